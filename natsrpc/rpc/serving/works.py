"""What a running service knows of its workers, which `natsrpc.durable` makes and runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from ..contract import Context, EndpointContract, Next
from .afterwards import AfterReply
from .meters import Meter
from .observers import Observer
from .outcomes import OnFailed


class Counters(Protocol):
    """A worker's counters, as an endpoint's."""

    num_requests: int
    num_errors: int
    num_refused: int
    num_dropped: int
    last_error: str
    processing_time_ns: int
    on_dropped: list[Callable[[str], object]]

    def reset(self) -> None:
        """Zero them."""

    def figures(self) -> Mapping[str, int]:
        """Those that only a worker has."""
        ...

    def note_error(self, text: str) -> None:
        """Count an error."""

    def close(self) -> None:
        """Tell what is not told yet."""


class Worker(Protocol):
    """One worker of a running service: prepared and begun at its start, withdrawn at its end."""

    contract: EndpointContract
    state: Any
    client: Any

    @property
    def answers(self) -> Counters:
        """Its counters."""
        ...

    @property
    def inflight(self) -> int:
        """Messages that it has taken, and of which nothing is said yet."""
        ...

    def use(
        self, general: Next[Context], after: AfterReply, *, has_middleware: bool = False
    ) -> None:
        """Call the handler the general way."""

    def measure(self, meter: Meter) -> None:
        """Count its messages by `meter`, too."""

    def observe(self, observer: Observer, on_failed: list[OnFailed]) -> None:
        """Have an observer see its runs."""

    async def prepare(self) -> None:
        """Find what it needs at the server, or raise what is missing there."""

    def begin(self) -> None:
        """Take messages."""

    async def withdraw(self) -> None:
        """Take no more, and give back what was not started."""

    def released(self) -> None:
        """Its gate was held, and is no more: ask for messages again."""

    def abort(self) -> None:
        """Cancel what runs, and give it back."""
