"""What a handler answers that did not catch the error of a call which it made itself.

Such an error is not the handler's own, and says nothing of whether the handler ran: its caller must
not take it for a refusal, and run the handler again. So it goes out marked (`Natsrpc-Relayed`). The
application's errors stay what they are. Those of natsrpc itself become an `UpstreamError`: what
they say (that fields are wrong, an error id, ...) was meant for the handler.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeGuard

from natsrpc.errors import (
    BadRequestError,
    CallCancelledError,
    DeadlineExceededError,
    HeadersTooLargeError,
    InternalError,
    InvalidRequestError,
    NatsTimeoutError,
    NoRespondersError,
    OverloadedError,
    ReplyTooLargeError,
    RequestTooLargeError,
    RpcError,
    UnavailableError,
    UnsupportedCodecError,
    UpstreamError,
)

ABOUT_NOW = 0.01
"""Seconds by which the end of a nested call may be seen before that of the handler's time."""

_FRAMEWORK = frozenset(
    {
        BadRequestError,
        CallCancelledError,
        DeadlineExceededError,
        HeadersTooLargeError,
        InternalError,
        InvalidRequestError,
        OverloadedError,
        ReplyTooLargeError,
        RequestTooLargeError,
        UnavailableError,
        UnsupportedCodecError,
    }
)
"""Errors that natsrpc answers by itself. Told by the class itself: subclasses are applications'."""


def relayed(error: BaseException) -> RpcError | None:
    """The error to answer for one that a call within the handler ended with.

    None if `error` is none of a call: the handler raised it itself. (What a handler raises on
    purpose is its own, of whatever class.)
    """
    if isinstance(error, RpcError):
        if not error.came_from:
            return None
        if type(error) in _FRAMEWORK:
            return _upstream(error.came_from, error.code, error.name)
        return error
    if isinstance(error, NoRespondersError):
        return _upstream(error.subject, UnavailableError.default_code, type(error).__name__)
    if is_timeout_of_a_call(error):
        code = DeadlineExceededError.default_code
        return _upstream(error.subject, code, type(error).__name__)
    return None


def real_error(error: BaseException) -> BaseException:
    """The error that a handler failed with, where a task group has wrapped it.

    Where all errors of the group, however deep, are for callers (`RpcError`, or those of nested
    calls), it is the first of them: mostly there is one, and others failed beside it. Any other
    group stays what it is, a failure of the handler, to be logged whole.
    """
    if not isinstance(error, BaseExceptionGroup):
        return error
    found = list(_leaves(error))
    is_told = all(isinstance(each, RpcError) or relayed(each) for each in found)
    return found[0] if is_told else error


def _leaves(group: BaseExceptionGroup[BaseException]) -> Iterator[BaseException]:
    for each in group.exceptions:
        if isinstance(each, BaseExceptionGroup):
            yield from _leaves(each)
        else:
            yield each


def is_timeout_of_a_call(error: BaseException) -> TypeGuard[NatsTimeoutError]:
    """Whether a call within the handler ended with this because its time was over."""
    if isinstance(error, DeadlineExceededError):
        return bool(error.came_from)
    return isinstance(error, NatsTimeoutError) and bool(error.subject)


def is_end_of_time(error: BaseException, left: float) -> bool:
    """Whether a call within the handler ended because the handler's own time, of which `left`
    seconds remain, is over: the call had all of it, cut to whole milliseconds."""
    return left < ABOUT_NOW and is_timeout_of_a_call(error)


def _upstream(subject: str, code: int, name: str) -> UpstreamError:
    error = UpstreamError(
        f"a call of {subject!r} failed: {code} {name}",
        details={"subject": subject, "code": code, "error": name},
    )
    error.relayed = True
    return error
