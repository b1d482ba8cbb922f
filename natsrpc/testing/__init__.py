"""What tests of services need: an in-memory broker, a clock, and real nats-server processes.

The pytest fixtures are in `natsrpc.testing.fixtures`; a conftest takes them in with
`pytest_plugins = ["natsrpc.testing.fixtures"]`.
"""

from natsrpc.errors import ServerNotFoundError, ServerStartError
from natsrpc.server import Cluster, NatsServer, find_server

from .broker import Broker, Fault, Published
from .clock import Clock
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
    "find_server",
    "serve_in_memory",
]
