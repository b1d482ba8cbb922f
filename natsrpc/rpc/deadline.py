"""Deadlines: relative milliseconds on the wire, absolute `loop.time()` inside a process.

A handler runs in a *scope*: its deadline and how deep in a chain of calls it stands. Calls made
inside inherit both. Only this file reads or sets the scope; only headers carry it further.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

TIMEOUT_HEADER = b"Natsrpc-Timeout"
DEPTH_HEADER = b"Natsrpc-Depth"

MAX_DEPTH = 16
"""Calls deeper than this in one chain are taken for a loop and refused."""

MAX_TIMEOUT_MS = 10**9
"""Larger values on the wire are read as this (eleven days)."""

Scope = tuple[float | None, int]
"""(deadline, depth) of the handler that is running; depth 1 is a handler called from outside."""

scope: ContextVar[Scope | None] = ContextVar("natsrpc_scope", default=None)


@contextmanager
def no_deadline() -> Iterator[None]:
    """Calls made inside do not inherit the handler's deadline, only the timeout they name.

    For work that must outlive the request, such as compensation or a background refresh.
    """
    current = scope.get()
    token = scope.set((None, current[1] if current else 0))
    try:
        yield
    finally:
        scope.reset(token)


def parse_timeout(text: str) -> float | None:
    """Seconds of a `Natsrpc-Timeout` value; None (no deadline) for what is not a whole number."""
    text = text.strip()
    if not (text.isascii() and text.isdigit() and len(text) <= 18):
        return None
    return min(int(text), MAX_TIMEOUT_MS) / 1000


def parse_depth(text: str) -> int:
    """The depth of a call chain; 0 for what is not a whole number."""
    text = text.strip()
    return min(int(text), 10**6) if text.isascii() and text.isdigit() and len(text) <= 18 else 0
