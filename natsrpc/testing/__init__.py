"""Tools for tests of services: a NATS server in memory with a JetStream, a clock that tests move,
fixtures.

The pytest fixtures are in `natsrpc.testing.fixtures`; a conftest loads them with
`pytest_plugins = ["natsrpc.testing.fixtures"]`. Real nats-server processes are made by
`natsrpc.server`; its names can be imported from here, too.
"""

from natsrpc.errors import ServerNotFoundError, ServerStartError
from natsrpc.server import Cluster, NatsServer, find_server

from .broker import Broker, Fault, Published
from .clock import Clock
from .jetstream import StoredMessage, StoredStream
from .kit import serve_in_memory

__all__ = [
    "Broker",
    "Clock",
    "Cluster",
    "Fault",
    "NatsServer",
    "Published",
    "ServerNotFoundError",
    "ServerStartError",
    "StoredMessage",
    "StoredStream",
    "find_server",
    "serve_in_memory",
]
