"""Counting what an endpoint does, from outside: a `Meter`, and how it is put around a run.

An endpoint that has no meter pays nothing for it: a metered one runs its requests by another
function, chosen when it is made.
"""

from __future__ import annotations

from collections.abc import Coroutine
from time import perf_counter_ns
from typing import Any, Protocol

from natsrpc.core import Msg

from .slots import Admitted
from .terms import Terms


class Run(Protocol):
    """Runs a request that has its slots."""

    def __call__(
        self, admitted: Admitted, msg: Msg, terms: Terms, deadline: float
    ) -> Coroutine[Any, Any, None]: ...


class Meter(Protocol):
    """Counts what one endpoint does. Its methods are called on the event loop, and must not raise.

    Each request that is taken is counted once by `succeeded` or by `failed`, and each that runs
    by `began` and `ended` besides.
    """

    def waited(self, seconds: float) -> None:
        """A request, or an event, that had to wait for its slots has them after that time. Of a
        worker: a message begins its first attempt, so long after its stream has stored it."""
        ...

    def redelivered(self) -> None:
        """A worker was given a message again."""
        ...

    def began(self) -> None:
        """A handler begins."""
        ...

    def ended(self, nanoseconds: int) -> None:
        """A handler ended after that time."""
        ...

    def succeeded(self) -> None:
        """A request was answered with its handler's result, or needed no answer."""
        ...

    def failed(self, code: int) -> None:
        """A request was answered with an error of that code, whether it ran or not."""
        ...

    def dropped(self) -> None:
        """A message neither ran nor was answered."""
        ...


class RunEvent(Protocol):
    """Runs an event that has its slots."""

    def __call__(self, msg: Msg, deadline: float) -> Coroutine[Any, Any, None]: ...


def metered_event(run: RunEvent, meter: Meter, lost: set[Msg]) -> RunEvent:
    """The same run of an event, counted; `lost` holds those that failed until they are counted."""

    async def run_metered(msg: Msg, deadline: float) -> None:
        meter.began()
        began = perf_counter_ns()
        try:
            await run(msg, deadline)
        finally:
            meter.ended(perf_counter_ns() - began)
            if msg in lost:
                lost.discard(msg)
            else:
                meter.succeeded()

    return run_metered


def take_failure(admitted: Admitted) -> BaseException | None:
    """What a request that has ended was answered with, if that is an error. It is told once: an
    error that stays with its request keeps both from being freed."""
    if admitted.msg is not None:
        return None
    found: BaseException | None = getattr(admitted, "failure", None)
    if found is None:
        return getattr(admitted, "why", None)
    del admitted.failure
    return found


def ended(admitted: Admitted) -> int:
    """When a request was answered that has no message any more, in `perf_counter_ns()`: where its
    handler left work for after the answer, before that."""
    try:
        return admitted.ended
    except AttributeError:
        return perf_counter_ns()


def metered(run: Run, meter: Meter) -> Run:
    """The same run, counted."""

    async def run_metered(admitted: Admitted, msg: Msg, terms: Terms, deadline: float) -> None:
        meter.began()
        began = perf_counter_ns()
        try:
            await run(admitted, msg, terms, deadline)
        finally:
            now = perf_counter_ns() if admitted.msg is not None else ended(admitted)
            meter.ended(now - began)
            if admitted.msg is not None:  # who answers with an error takes the message away
                meter.succeeded()

    return run_metered
