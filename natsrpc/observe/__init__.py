"""What others may see of calls: `natsrpc.observe.otel` traces them, `natsrpc.observe.prometheus`
counts them. Each is middleware, needs its own extra, and costs nothing where it is not used.
"""
