"""A nats-server process, and clusters of them: for tests, and for `natsrpc run` and `demo`."""

from .process import Cluster, NatsServer, find_server

__all__ = ["Cluster", "NatsServer", "find_server"]
