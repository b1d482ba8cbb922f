"""The servers of a connection: which one is tried, and when."""

from .backoff import Backoff
from .pool import PoolServer, ServerPool, is_address, is_loopback

__all__ = [
    "Backoff",
    "PoolServer",
    "ServerPool",
    "is_address",
    "is_loopback",
]
