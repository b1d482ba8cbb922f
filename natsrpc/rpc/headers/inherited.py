"""What calls made inside a handler inherit from it: its deadline, its depth in a chain of calls.

The endpoint sets it in the handler's task, calls read it. Only headers carry it further.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

Inherited = tuple[float | None, int]
"""(deadline, depth) of the handler that is running; depth 1 is a handler called from outside."""

inherited: ContextVar[Inherited | None] = ContextVar("natsrpc_inherited", default=None)


@contextmanager
def no_deadline() -> Iterator[None]:
    """Calls made inside do not inherit the handler's deadline, only the timeout they name.

    For work that must outlive the request, such as compensation or a background refresh.
    """
    current = inherited.get()
    token = inherited.set((None, current[1] if current else 0))
    try:
        yield
    finally:
        inherited.reset(token)
