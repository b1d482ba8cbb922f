"""`CallObserver`: sees what a client sends, from outside: spans are made by one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from ..contract import Next
from .call import Call
from .policy import Attempt

GivenHeaders = Mapping[str, str] | None
"""The headers that a call or a publication is given."""


class Publication(NamedTuple):
    """What is published, as a `CallObserver` sees it: `target` is a subject or an `Event`."""

    target: Any
    tokens: Mapping[str, str] | None
    headers: GivenHeaders


class CallObserver(Protocol):
    """Sees the calls of a client, outside of its middleware, and what it publishes."""

    async def call(self, call: Call, call_next: Next[Call]) -> Any:
        """Make a call, as a middleware does."""
        ...

    def attempts(self, attempt: Attempt, *, is_once: bool) -> Attempt:
        """What makes the attempts at one call; with `is_once` it is repeated only where the
        connection was lost."""
        ...

    def headers(self, headers: GivenHeaders) -> GivenHeaders:
        """The headers of the attempt that is made now, from those of its call."""
        ...

    async def publish(
        self, publication: Publication, send: Callable[[GivenHeaders], Awaitable[None]]
    ) -> None:
        """Publish by `send`, with more headers."""
        ...
