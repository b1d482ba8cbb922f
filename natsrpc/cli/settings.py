"""The settings of a pool of worker processes, as data that reaches the workers as JSON.

`natsrpc run` and `natsrpc demo` make them; the supervisor reads them, and each worker gets a part.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

__all__ = ["LogSettings", "WorkSettings"]


@dataclass(frozen=True, slots=True)
class LogSettings:
    """How a worker logs where its services do not say it."""

    level: str = "info"
    """The least level that is written: a name as `logging` has them, in any case."""
    format: str = "text"
    """`text` or `json`."""
    config: dict[str, Any] | str | None = None
    """A configuration for `logging.config`, or the path of one in its INI format. It is applied
    before the services are imported, and overrides level and format."""


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """The settings of all workers of a pool."""

    targets: Sequence[str]
    """The services to serve, as `load_services` takes them. Each has workers of its own."""
    servers: Sequence[str]
    """The servers to connect to."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of `natsrpc.connect`; they must be plain data, for they travel as JSON."""
    factory: bool = False
    """The targets name functions that make the services."""
    uvloop: bool = False
    """Run the workers on uvloop's event loop."""
    ready_timeout: float = 30.0
    """Seconds within which a new worker must be ready, its services imported and started."""
    drain_timeout: float = 30.0
    """Seconds that a worker may take to drain."""
    worker_timeout: float = 30.0
    """Seconds without an answer after which a worker is taken for stuck; 0 for never."""
    max_requests: int = 0
    """Requests after which a worker is replaced; 0 for never."""
    max_memory: int = 0
    """Bytes of memory above which a worker is replaced; 0 for never."""
    logs: LogSettings = LogSettings()
    """How the workers log."""
