"""Uploads: plain iterators, read in the thread that waits for the answer."""

from __future__ import annotations

import signal
import threading
from collections.abc import AsyncIterator, Iterator

import pytest

import natsrpc.sync
from natsrpc.errors import ConfigTypeError, NatsTimeoutError

from .desk import SoldOutError, add, full, seen, total

pytestmark = pytest.mark.live


def test_any_iterable_is_sent(client: natsrpc.sync.Client) -> None:
    for numbers in ([1, 2, 3], (1, 2, 3), iter([1, 2, 3]), {1: "", 2: "", 3: ""}, range(1, 4)):
        seen.taken.clear()
        assert client.upload(total, numbers) == 6
    seen.taken.clear()
    assert client.upload("desk.total", (number for number in range(1000)), returns=int) == 499500
    assert client.upload("desk.total", [], returns=int, timeout=5.0) == 499500


def test_items_are_read_in_the_calling_thread_and_hold_up_nobody(
    client: natsrpc.sync.Client,
) -> None:
    threads: set[str] = set()

    def numbers() -> Iterator[int]:
        for number in range(3):
            threads.add(threading.current_thread().name)
            # the loop is not held: this thread calls, in the midst of its upload, and so may others
            yield client.call(add, {"a": number, "b": 0})

    assert client.upload(total, numbers()) == 3
    assert threads == {threading.current_thread().name}


def test_what_the_items_raise_is_raised_here_and_ends_the_handler(
    client: natsrpc.sync.Client,
) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        client.upload(total, broken())
    assert seen.cancelled.wait(10)


def test_an_interrupt_while_items_are_read_ends_the_handler(client: natsrpc.sync.Client) -> None:
    def interrupted() -> Iterator[int]:
        yield 1
        assert seen.started.wait(10)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        client.upload(total, interrupted())
    assert seen.cancelled.wait(10)


def test_a_refusal_ends_the_reading(client: natsrpc.sync.Client) -> None:
    read: list[int] = []

    def numbers() -> Iterator[int]:
        for number in range(1_000_000):
            read.append(number)
            yield number

    with pytest.raises(SoldOutError):
        client.upload(full, numbers())
    assert len(read) < 100_000


def test_time_holds_for_an_upload(client: natsrpc.sync.Client) -> None:
    late = threading.Event()

    def numbers() -> Iterator[int]:
        yield 1
        late.wait(0.2)
        yield 2

    with pytest.raises(NatsTimeoutError):
        client.upload(total, numbers(), timeout=0.1)


def test_an_async_iterable_is_refused(client: natsrpc.sync.Client) -> None:
    async def numbers() -> AsyncIterator[int]:
        yield 1

    with pytest.raises(ConfigTypeError, match="not an async one"):
        client.upload(total, numbers())  # type: ignore[call-overload]
    with pytest.raises(ConfigTypeError, match="int"):
        client.upload("desk.total", 3, returns=int)  # type: ignore[call-overload]
