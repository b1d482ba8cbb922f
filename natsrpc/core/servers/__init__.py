"""The servers of a connection: which one is tried, and when."""

from .backoff import Backoff
from .pool import Server, ServerPool, is_address, is_loopback

__all__ = [
    "Backoff",
    "Server",
    "ServerPool",
    "is_address",
    "is_loopback",
]
