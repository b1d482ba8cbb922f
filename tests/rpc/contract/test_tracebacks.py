"""Tracebacks for the people whose program it is."""

from __future__ import annotations

import contextlib
import logging
import traceback
from types import TracebackType
from typing import Annotated

import pytest

import natsrpc
from natsrpc.core import check_publish
from natsrpc.rpc import error_id_of, users_part


def fail() -> None:
    raise ValueError("gone")


def files(found: TracebackType | None) -> list[str]:
    return [frame.filename for frame in traceback.extract_tb(found)]


@pytest.mark.parametrize("kind", ["async", "plain", "dependency", "middleware"])
async def test_the_log_shows_the_user_s_frames_alone(
    caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    service = natsrpc.Service("frames", version="1.0.0")

    @service.handler("frames.async", name="async")
    async def later() -> None:
        fail()

    @service.handler("frames.plain", name="plain")
    def plain() -> None:
        fail()

    @service.handler("frames.dependency", name="dependency")
    async def dependent(value: Annotated[None, natsrpc.Depends(fail)]) -> None:
        """It is never called."""

    @service.handler("frames.middleware", name="middleware")
    async def around() -> None:
        """It is never called."""

    @service.middleware
    async def refuse(context: natsrpc.Context, call_next: natsrpc.Next[natsrpc.Context]) -> object:
        if context.endpoint.name == "middleware":
            fail()
        return await call_next(context)

    async with service.test() as client:
        with pytest.raises(natsrpc.InternalError):
            await client.call(f"frames.{kind}")
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert record.exc_info is not None
    found = files(record.exc_info[2])
    assert found[0] == __file__
    assert found[-1] == __file__


def test_an_error_of_ours_ends_where_the_user_called() -> None:
    with pytest.raises(natsrpc.BadSubjectError) as caught:
        check_publish("not valid")
    assert files(users_part(caught.value)) == [__file__]


def test_an_error_of_others_is_shown_to_its_end() -> None:
    with pytest.raises(KeyError) as caught, contextlib.ExitStack() as stack:
        stack.enter_context(contextlib.nullcontext())
        raise KeyError("x")
    assert files(users_part(caught.value)) == [__file__]


def test_an_error_without_a_traceback_has_none() -> None:
    assert users_part(ValueError("x")) is None


def test_an_error_has_one_id() -> None:
    first, second = ValueError("x"), ValueError("x")
    assert error_id_of(first) == error_id_of(first) != error_id_of(second)
