"""ADR-32: answering and asking `$SRV.PING`, `$SRV.INFO` and `$SRV.STATS`."""

from .reader import EndpointInfo, EndpointStats, ServiceIdentity, ServiceInfo, ServiceStats
from .requester import info, ping, schema, stats
from .responder import Discovery, Verb, attach

__all__ = [
    "Discovery",
    "EndpointInfo",
    "EndpointStats",
    "ServiceIdentity",
    "ServiceInfo",
    "ServiceStats",
    "Verb",
    "attach",
    "info",
    "ping",
    "schema",
    "stats",
]
