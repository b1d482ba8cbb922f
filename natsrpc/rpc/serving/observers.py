"""`Observer`: sees what a service runs, from outside: spans are made by one.

It stands around the run of each request and event, outside of all middleware, and sees how it
ended. An endpoint that has none pays nothing for it.
"""

from __future__ import annotations

from typing import Protocol

from ..contract import Context, EndpointContract, Middleware
from .meters import Run, RunEvent
from .outcomes import OnFailed


class Observer(Protocol):
    """Sees the requests and events of the services that it is given to."""

    def request(self, service: str, endpoint: EndpointContract, run: Run) -> Run:
        """The same run of a request, seen; `take_failure` is the error that it ended with."""
        ...

    def event(
        self, service: str, subscriber: EndpointContract, run: RunEvent, on_failed: list[OnFailed]
    ) -> RunEvent:
        """The same run of an event, seen; `on_failed` are told of each one that failed."""
        ...

    def items(self, endpoint: EndpointContract) -> Middleware[Context] | None:
        """A middleware that sees the items of an endpoint's streams; None for none."""
        ...
