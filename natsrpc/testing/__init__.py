"""What tests of services need: a real nats-server process, alone or as a cluster.

The pytest fixtures are in `natsrpc.testing.fixtures`; a conftest takes them in with
`pytest_plugins = ["natsrpc.testing.fixtures"]`.
"""

from .server import Cluster, NatsServer, ServerNotFoundError, ServerStartError, find_server

__all__ = ["Cluster", "NatsServer", "ServerNotFoundError", "ServerStartError", "find_server"]
