"""`Outcomes`: what became of a subscriber's events: ADR-32 counters, log lines, what is told.

Nobody waits for the answer of an event, so each that was lost or failed leaves a count and a line
in the log with an id, and is told to `on_error` of the connection (see `Losses`). What publishers
can cause by themselves (a body that does not fit, more than there is room for) is one line a second
with the number of those like it; an error of the handler's is a line of its own.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from natsrpc.core import Link, Msg, Throttle
from natsrpc.errors import (
    BadRequestError,
    HeadersTooLargeError,
    InternalError,
    InvalidRequestError,
    RpcError,
    UnavailableError,
    UnsupportedCodecError,
)

from ..contract import EndpointContract, description, error_id_of, users_part
from .losses import Losses
from .meters import Meter

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

OnFailed = Callable[[EndpointContract, Msg, BaseException], object]
"""Told of each event that was not handled to its end: by which subscriber, and why."""

_OF_PUBLISHERS = (
    BadRequestError,
    InvalidRequestError,
    UnsupportedCodecError,
    HeadersTooLargeError,
)


class Outcomes:
    """The part of a subscriber that counts, logs and tells.

    The counters have the names of an endpoint's. `num_requests` are the events that came; of them
    `num_refused` did not run, as `num_dropped` counts, too. `num_errors` are those that did not run
    or failed. `on_dropped` are called with the subscriber's name for each that did not run. Where
    there are `meters`, `lost` are the events that failed and are not counted yet.
    """

    def __init__(
        self, link: Link, contract: EndpointContract, on_failed: Sequence[OnFailed]
    ) -> None:
        self.num_requests: int = 0
        self.num_errors: int = 0
        self.num_refused: int = 0
        self.num_dropped: int = 0
        self.last_error: str = ""
        self.processing_time_ns: int = 0
        self.on_dropped: list[Callable[[str], object]] = []
        self.meters: list[Meter] = []
        self.lost: set[Msg] = set()
        self._on_failed = on_failed
        self._contract = contract
        self._losses = Losses(link, contract)
        self._log = Throttle(logger)

    def reset(self) -> None:
        """Zero the counters."""
        self.num_requests = self.num_errors = self.processing_time_ns = 0
        self.num_refused = self.num_dropped = 0
        self.last_error = ""

    def note_error(self, text: str) -> None:
        """Count an error of this subscriber."""
        self.num_errors += 1
        self.last_error = text

    def drop(self, msg: Msg, error: RpcError) -> None:
        """Count and tell an event that does not run."""
        self.num_requests += 1
        self.num_refused += 1
        self.num_dropped += 1
        for each in self.on_dropped:
            each(self._contract.name)
        for meter in self.meters:
            meter.dropped()
        text = "subscriber %r dropped an event on %r: %s (error id %s)"
        self._tell(msg, error, error, text, ran=False, kind="dropped")

    def fail(self, msg: Msg, error: BaseException) -> None:
        """Count and tell an event whose handler was to run, or did, and raised `error`."""
        if isinstance(error, asyncio.CancelledError):
            known: RpcError | None = UnavailableError("the handler was cancelled")
        else:
            known = error if isinstance(error, RpcError) else None
        if self.meters:
            self.lost.add(msg)
        for meter in self.meters:
            meter.failed(InternalError.default_code if known is None else known.code)
        if isinstance(known, _OF_PUBLISHERS):
            text = "subscriber %r could not read an event on %r: %s (error id %s)"
            self._tell(msg, known, error, text, kind="unread")
        else:
            text = "subscriber %r failed on an event on %r: %s (error id %s)"
            self._tell(msg, known, error, text)

    def close(self) -> None:
        """Tell what was lost and not told yet: no more events come."""
        self._losses.close()

    def _tell(
        self,
        msg: Msg,
        known: RpcError | None,
        error: BaseException,
        text: str,
        *,
        ran: bool = True,
        kind: str = "",
    ) -> None:
        error_id = error_id_of(error)
        last = known or InternalError(f"internal error {error_id}", details={"error_id": error_id})
        what = f"{last.code} {description(last)}" if known else type(error).__qualname__
        given = (self._contract.name, msg.subject, what, error_id)
        if kind:
            self._log.warning(kind, text, *given)
        else:
            trace = None if known else (type(error), error, users_part(error))
            logger.error(text, *given, exc_info=trace, extra={"error_id": error_id})
        self.note_error(f"{last.code}:{description(last)}")
        self._losses.note(last, ran=ran)
        for each in self._on_failed:
            each(self._contract, msg, error)
