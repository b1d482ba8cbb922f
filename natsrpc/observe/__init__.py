"""Observability of calls: traces by `natsrpc.observe.otel`, metrics by `natsrpc.observe.prometheus`.

Each is middleware, needs the extra of its name, and costs nothing where it is not used.
"""
