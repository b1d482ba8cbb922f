"""`Background`: a thread with a loop, whose end reaches all who wait."""

from __future__ import annotations

import asyncio
import logging
import threading

import pytest

from natsrpc.errors import ConfigError, ConnectionClosedError
from natsrpc.sync.background import Background
from tests.core.harness.waiting import soon


async def here() -> str:
    return threading.current_thread().name


def test_coroutines_run_in_the_thread_until_it_ends() -> None:
    ended = threading.Event()
    background = Background(ended.set)
    assert background.run(here) == "natsrpc-sync"
    assert not background.is_here
    background.end()
    assert ended.is_set() and background.is_ended
    for use in (lambda: background.run(here), lambda: background.post(here)):
        with pytest.raises(ConnectionClosedError):
            use()
    background.end()


def test_what_runs_at_the_end_is_cancelled_and_told_as_closed() -> None:
    background = Background(lambda: None)
    hanging = threading.Event()
    errors: list[BaseException] = []

    async def hang() -> None:
        hanging.set()
        await asyncio.Event().wait()

    def wait() -> None:
        try:
            background.run(hang)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=wait)
    thread.start()
    assert hanging.wait(10)
    background.end()
    thread.join(10)
    assert [type(error) for error in errors] == [ConnectionClosedError]


def test_a_cancellation_of_the_coroutine_s_own_is_passed_on() -> None:
    background = Background(lambda: None)

    async def cancelled() -> None:
        raise asyncio.CancelledError

    with pytest.raises(asyncio.CancelledError):
        background.run(cancelled)
    background.end()


def test_what_is_submitted_in_the_last_moment_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    background = Background(lambda: None)
    loop = background._loop  # noqa: SLF001  # no other way hits that moment
    close = loop.close
    errors: list[BaseException] = []

    def late() -> None:
        try:
            background.run(here)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=late)

    def close_after_a_call() -> None:
        thread.start()
        soon(lambda: background._jobs and len(loop._ready) > 0)  # type: ignore[attr-defined]  # noqa: SLF001
        close()

    monkeypatch.setattr(loop, "close", close_after_a_call)
    background.end()
    thread.join(10)
    assert [type(error) for error in errors] == [ConnectionClosedError]


def test_its_own_thread_must_not_wait_for_itself() -> None:
    background = Background(lambda: None)

    async def blocks() -> None:
        assert background.is_here
        background.run(here)

    with pytest.raises(ConfigError, match="another thread"):
        background.run(blocks)
    background.end()


def test_errors_that_nobody_waits_for_are_logged(caplog: pytest.LogCaptureFixture) -> None:
    background = Background(lambda: None)

    async def fails() -> None:
        raise LookupError("nothing there")

    with caplog.at_level(logging.WARNING):
        background.post(fails)
        soon(lambda: "nothing there" in caplog.text)  # told a moment after the record is there
    background.end()


def test_leaving_runs_what_is_to_be_done_at_the_end() -> None:
    done = threading.Event()
    background = Background(lambda: None)

    async def last() -> None:
        done.set()

    background.at_exit = last
    background.leave(10.0)
    assert done.is_set() and background.is_ended
