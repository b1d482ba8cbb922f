"""What a handler answers whose own call failed: told by class, and by whether it was a call."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import natsrpc.errors
from natsrpc.core import Headers, Msg
from natsrpc.errors import (
    BadRequestError,
    CallCancelledError,
    ConflictError,
    DeadlineExceededError,
    ForbiddenError,
    HeadersTooLargeError,
    InternalError,
    InvalidRequestError,
    NatsTimeoutError,
    NoRespondersError,
    NotFoundError,
    OverloadedError,
    ReplyTooLargeError,
    RequestTooLargeError,
    RpcError,
    UnauthorizedError,
    UnavailableError,
    UnsupportedCodecError,
    UpstreamError,
)
from natsrpc.rpc.contract import from_wire, real_error, relayed, to_wire

FRAMEWORK = [
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
]


class SoldOutError(RpcError, code=429, retryable=True):
    sku: str


class StillBusyError(OverloadedError):
    """An application's own kind of 429."""


def test_every_error_class_is_one_or_the_other() -> None:
    known = {
        each
        for each in vars(natsrpc.errors).values()
        if isinstance(each, type) and issubclass(each, RpcError)
    }
    applications = {
        RpcError,
        UnauthorizedError,
        ForbiddenError,
        NotFoundError,
        ConflictError,
    }
    assert known == {*FRAMEWORK, *applications, UpstreamError}


def received(error: RpcError, subject: str = "inner") -> RpcError:
    """The error as the caller of `subject` has it."""
    block, data = to_wire(error)
    return from_wire(Msg("_INBOX.x", data, headers=Headers.decode(block)), subject=subject)


@pytest.mark.parametrize("cls", FRAMEWORK)
def test_errors_of_the_framework_become_upstream_errors(cls: type[RpcError]) -> None:
    inner = received(cls("the input was 'secret'", details={"error_id": "abc"}))
    error = relayed(inner)
    assert type(error) is UpstreamError
    assert (error.code, error.relayed) == (502, True)
    assert error.details == {"subject": "inner", "code": inner.code, "error": cls.__name__}
    assert str(inner.code) in str(error)
    assert "'inner'" in str(error)
    block, data = to_wire(error)
    assert b"secret" not in block + data
    assert b"abc" not in block + data


@pytest.mark.parametrize(
    "error",
    [
        NotFoundError("no such user"),
        ConflictError("taken"),
        SoldOutError("none left", sku="a"),
        StillBusyError("come again"),
        RpcError("of a class unknown here", code=429, details=[1]),
    ],
)
def test_errors_of_the_application_stay_and_are_marked(error: RpcError) -> None:
    inner = received(error)
    assert not inner.relayed
    assert relayed(inner) is inner
    block, _ = to_wire(inner)
    assert Headers.decode(block)["Natsrpc-Relayed"] == "1"
    outer = received(inner, "outer")
    assert type(outer) is type(error)
    assert (outer.code, outer.name, outer.details) == (error.code, error.name, error.details)
    assert (outer.relayed, outer.came_from) == (True, "outer")


def test_an_unknown_class_keeps_its_name() -> None:
    error = RpcError("x", code=420)
    error.name = "NeverHeardOf"
    outer = received(received(error))
    assert (type(outer), outer.name, outer.relayed) == (RpcError, "NeverHeardOf", True)


def test_an_upstream_error_is_passed_on_as_it_is() -> None:
    first = relayed(received(OverloadedError(), "innermost"))
    assert first is not None
    second = received(first, "inner")
    assert relayed(second) is second
    assert second.details["subject"] == "innermost"


@pytest.mark.parametrize("cls", [*FRAMEWORK, NotFoundError, StillBusyError, UpstreamError])
def test_what_a_handler_raises_itself_is_its_own(cls: type[RpcError]) -> None:
    error = cls("on purpose")
    assert relayed(error) is None
    block, _ = to_wire(error)
    assert "Natsrpc-Relayed" not in Headers.decode(block)
    assert not received(error).relayed


def test_calls_that_nobody_answered_are_upstream_errors() -> None:
    nobody = relayed(NoRespondersError("inner"))
    late = relayed(NatsTimeoutError("no reply", subject="inner"))
    assert nobody is not None
    assert late is not None
    assert nobody.details == {"subject": "inner", "code": 503, "error": "NoRespondersError"}
    assert late.details == {"subject": "inner", "code": 504, "error": "NatsTimeoutError"}


@pytest.mark.parametrize("error", [NatsTimeoutError("flush"), ValueError("x"), TimeoutError()])
def test_other_exceptions_are_no_errors_of_calls(error: Exception) -> None:
    assert relayed(error) is None


@pytest.mark.parametrize("way", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
def test_a_copy_is_still_the_error_of_a_call(way: Any) -> None:
    again = way(received(received(NotFoundError("x"))))
    assert (again.came_from, again.relayed) == ("inner", True)
    again = way(received(OverloadedError()))
    assert type(relayed(again)) is UpstreamError


# task groups


def test_the_one_error_of_a_group_is_it_however_deep() -> None:
    error = NotFoundError("x")
    assert real_error(error) is error
    assert real_error(ExceptionGroup("g", [error])) is error
    assert real_error(ExceptionGroup("g", [ExceptionGroup("h", [error])])) is error


def test_of_several_errors_for_callers_it_is_the_first() -> None:
    first, second = NotFoundError("x"), ConflictError("y")
    assert real_error(ExceptionGroup("g", [ExceptionGroup("h", [first]), second])) is first
    late = NatsTimeoutError("no reply", subject="inner")
    assert real_error(ExceptionGroup("g", [late, second])) is late


@pytest.mark.parametrize("other", [ValueError("x"), NatsTimeoutError("flush")])
def test_a_group_with_a_failure_is_a_failure(other: Exception) -> None:
    for group in (
        ExceptionGroup("g", [other]),
        ExceptionGroup("g", [NotFoundError("x"), other]),
        ExceptionGroup("g", [ExceptionGroup("h", [other]), NotFoundError("x")]),
    ):
        assert real_error(group) is group
