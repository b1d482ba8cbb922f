"""ADR-32: answering and asking `$SRV.PING`, `$SRV.INFO`, `$SRV.STATS` (and our `$SRV.SCHEMA`)."""

from .reader import EndpointInfo, EndpointStats, ServiceIdentity, ServiceInfo, ServiceStats
from .requester import info, ping, schema, schemas, stats
from .responder import Describe, Discovery, attach

__all__ = [
    "Describe",
    "Discovery",
    "EndpointInfo",
    "EndpointStats",
    "ServiceIdentity",
    "ServiceInfo",
    "ServiceStats",
    "attach",
    "info",
    "ping",
    "schema",
    "schemas",
    "stats",
]
