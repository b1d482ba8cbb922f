"""nats-server processes and clusters of them. Tests start them, and `natsrpc run` and `demo`.

Only the standard library and `natsrpc.errors` are imported.
"""

from .child import own_process_group
from .cluster import Cluster
from .executable import find_server
from .process import NatsServer

__all__ = ["Cluster", "NatsServer", "find_server", "own_process_group"]
