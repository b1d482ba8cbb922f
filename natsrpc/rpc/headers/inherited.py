"""The deadline and the depth that calls made inside a handler inherit from it.

The context variable is set by `Endpoint`, in the task that runs the handler, and by `no_deadline`;
`BoundCall` reads it. Other processes learn of it by headers alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar

NO_DEADLINE = math.inf
"""The deadline (`loop.time()`) and the timeout of what may take as long as it likes."""

Inherited = tuple[float, int]
"""(deadline, depth) of the handler that is running; depth 1 is a handler called from outside."""

inherited: ContextVar[Inherited | None] = ContextVar("natsrpc_inherited", default=None)


@contextmanager
def no_deadline() -> Iterator[None]:
    """Calls made inside do not inherit the handler's deadline, only the timeout they name.

    For work that must outlive the request, such as compensation or a background refresh.
    """
    current = inherited.get()
    token = inherited.set((NO_DEADLINE, current[1] if current else 0))
    try:
        yield
    finally:
        inherited.reset(token)
