"""`WorkOutcomes`: what became of a worker's messages: ADR-32 counters, log lines, figures.

The counters have the names of an endpoint's, so that discovery shows them alike. An error of a
handler is a line of its own with an id, for each attempt. What publishers can cause by themselves
is one line a second with the number of those like it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from types import TracebackType

from natsrpc.core import Link, Msg, Throttle
from natsrpc.errors import InternalError, Reject, RetryLater, RpcError
from natsrpc.rpc import (
    EndpointContract,
    Losses,
    Meter,
    OnFailed,
    description,
    error_id_of,
    users_part,
)

from .job import Job

logger: logging.Logger = logging.getLogger("natsrpc.durable")

_REJECTED = 422
_LATER = 503


class WorkOutcomes:
    """The part of a worker that counts, logs and tells.

    `num_requests` are the messages that it was given to handle, each attempt counted; of them
    `num_refused` did not run, and `num_errors` failed or did not run. `num_dropped` are those that
    were given up and kept by nobody. `redelivered`, `retried`, `dead_lettered` and `given_back`
    count messages. Where there are `meters`, `lost` are those that failed and are not counted yet.
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
        self.redelivered: int = 0
        self.retried: int = 0
        self.dead_lettered: int = 0
        self.given_back: int = 0
        self.on_dropped: list[Callable[[str], object]] = []
        self.meters: list[Meter] = []
        self.lost: set[Msg] = set()
        self._on_failed = on_failed
        self._contract = contract
        self._losses = Losses(link, contract)
        self._log = Throttle(logger)
        work = contract.work
        self._of = (
            "" if work is None or work.retry.attempts is None else f" of {work.retry.attempts}"
        )

    def reset(self) -> None:
        """Zero the counters."""
        self.num_requests = self.num_errors = self.processing_time_ns = 0
        self.num_refused = self.num_dropped = 0
        self.redelivered = self.retried = self.dead_lettered = self.given_back = 0
        self.last_error = ""

    def figures(self) -> dict[str, int]:
        """What is counted of workers alone, for STATS."""
        return {
            "redelivered": self.redelivered,
            "retried": self.retried,
            "dead_lettered": self.dead_lettered,
            "given_back": self.given_back,
        }

    def note_error(self, text: str) -> None:
        """Count an error of this worker."""
        self.num_errors += 1
        self.last_error = text

    def retry(self, job: Job, error: BaseException, delay: float) -> None:
        """Count and tell an attempt that failed, and is followed by another after `delay`."""
        self.retried += 1
        if isinstance(error, RetryLater):
            self._fail(job.msg, error, _LATER)
            text = "worker %r is given a message on %r (seq %d) again in %g s: %s"
            name = self._contract.name
            logger.info(text, name, job.msg.subject, job.seq, delay, error)
            return
        what, error_id = self._note(job.msg, error)
        text = (
            "worker %r failed on a message on %r (seq %d, attempt %d%s): %s; it is tried again in "
            "%.3g s (error id %s)"
        )
        given = (self._contract.name, job.msg.subject, job.seq, job.attempt, self._of)
        logger.warning(
            text,
            *given,
            what,
            delay,
            error_id,
            exc_info=_trace(error),
            extra={"error_id": error_id},
        )

    def give_up(self, job: Job, error: BaseException, *, ran: bool, quiet: bool) -> tuple[str, str]:
        """Count and tell a message that is given up; the reason, and the id of the error, for its
        dead letter. With `quiet` a publisher can cause it, and lines like it are put together."""
        if not ran:
            self.num_refused += 1
        if isinstance(error, Reject | RetryLater):
            self._fail(job.msg, error, _REJECTED if isinstance(error, Reject) else _LATER)
            what, error_id = str(error), ""
        else:
            what, error_id = self._note(job.msg, error)
        text = "worker %r gives up a message on %r (seq %d, attempt %d%s): %s"
        told = f"{what} (error id {error_id})" if error_id else what
        given = (self._contract.name, job.msg.subject, job.seq, job.attempt, self._of, told)
        if quiet:
            self._log.warning("given up", text, *given)
        else:
            logger.error(text, *given, exc_info=_trace(error), extra={"error_id": error_id})
        # A text may hold half a character, which cannot be sent: its letter would never be stored.
        return what.encode("utf-8", "replace").decode(), error_id

    def drop(self, error: BaseException) -> None:
        """Count and tell a message that was given up, where there is nobody to keep it."""
        self.num_dropped += 1
        for each in self.on_dropped:
            each(self._contract.name)
        for meter in self.meters:
            meter.dropped()
        known = error if isinstance(error, RpcError) else InternalError(str(error_id_of(error)))
        self._losses.note(known, ran=True)

    def give_back(self, job: Job, error: RpcError) -> None:
        """Count a message whose handler was cut off, and which is given back."""
        self.given_back += 1
        self._fail(job.msg, error, error.code)

    def leave(self, job: Job, error: BaseException) -> None:
        """Count and tell an attempt that failed after the server had given the message to another:
        what becomes of it is said by that one."""
        what, error_id = self._note(job.msg, error)
        text = (
            "worker %r failed on a message on %r (seq %d, attempt %d%s), which the server has "
            "given to another meanwhile: %s (error id %s)"
        )
        given = (self._contract.name, job.msg.subject, job.seq, job.attempt, self._of)
        logger.warning(text, *given, what, error_id, exc_info=_trace(error))

    def close(self) -> None:
        """Tell what was lost and not told yet: no more messages come."""
        self._losses.close()

    def _note(self, msg: Msg, error: BaseException) -> tuple[str, str]:
        """Count an error; what it is, in words that may leave the process, and its id."""
        error_id = error_id_of(error)
        if isinstance(error, RpcError):
            what = f"{error.code} {description(error)}"
            self._fail(msg, error, error.code)
            self.last_error = f"{error.code}:{description(error)}"
        else:
            what = type(error).__qualname__
            self._fail(msg, error, InternalError.default_code)
            self.last_error = f"{InternalError.default_code}:internal error {error_id}"
        return what, error_id

    def _fail(self, msg: Msg, error: BaseException, code: int) -> None:
        self.num_errors += 1
        self.last_error = str(error)
        if self.meters:
            self.lost.add(msg)
        for meter in self.meters:
            meter.failed(code)
        for each in self._on_failed:
            each(self._contract, msg, error)


Trace = tuple[type[BaseException], BaseException, TracebackType | None] | None


def _trace(error: BaseException) -> Trace:
    if isinstance(error, RpcError | Reject | RetryLater):
        return None
    return type(error), error, users_part(error)
