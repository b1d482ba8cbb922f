"""Observability of calls: traces (`natsrpc.observe.otel`), metrics (`natsrpc.observe.prometheus`).

Each is middleware, needs the extra of its name, and costs nothing where it is not used.
"""
