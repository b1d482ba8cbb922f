"""What calls and log lines inside a handler inherit from it: its deadline, its depth, its request.

The context variable is set by `Endpoint`, in the task that runs the handler, and by `no_deadline`;
`BoundCall` reads it, and `current_request` for those who write logs. Other processes learn of it by
headers alone.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import NamedTuple, Protocol

from natsrpc.core import Headers

from ..contract import EndpointContract, ServiceContract

NO_DEADLINE = math.inf
"""The deadline (`loop.time()`) and the timeout of what may take as long as it likes."""


class Serving(Protocol):
    """The endpoint whose handler is running."""

    contract: EndpointContract
    service: ServiceContract


Inherited = tuple[float, int, bytes, Serving | None]
"""(deadline, depth, header block, endpoint) of the handler that is running; depth 1 is a handler
called from outside."""

inherited: ContextVar[Inherited | None] = ContextVar("natsrpc_inherited", default=None)


@contextmanager
def no_deadline() -> Iterator[None]:
    """Calls made inside do not inherit the handler's deadline, only the timeout they name.

    For work that must outlive the request, such as compensation or a background refresh.
    """
    current = inherited.get()
    rest = current[1:] if current else (0, b"", None)
    token = inherited.set((NO_DEADLINE, *rest))
    try:
        yield
    finally:
        inherited.reset(token)


class CurrentRequest(NamedTuple):
    """The request that is being handled where the caller runs, for log lines."""

    service: str
    endpoint: str
    headers: Headers


def current_request() -> CurrentRequest | None:
    """The request whose handler is running here, in this task or thread; None outside of one."""
    current = inherited.get()
    if current is None or current[3] is None:
        return None
    raw, serving = current[2], current[3]
    headers = Headers.decode(raw) if raw else Headers()
    return CurrentRequest(serving.service.name, serving.contract.name, headers)
