"""`sync.Stream`: an iterator with back-pressure, that ends at the worker when it ends here."""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import queue
import signal
import threading
from collections.abc import Iterator

import pytest

import natsrpc.sync
from natsrpc.errors import ConfigError, ConfigTypeError, NatsTimeoutError, NoRespondersError
from tests.core.harness.waiting import soon

from .desk import SoldOutError, add, break_off, count, double, seen

pytestmark = pytest.mark.live

MANY = 1_000_000


def test_items_come_in_order_and_then_the_error(client: natsrpc.sync.Client) -> None:
    assert list(client.stream(count, 300)) == list(range(300))
    assert list(client.stream("desk.count", 3, int, codec="msgpack")) == [0, 1, 2]
    got: list[int] = []
    with pytest.raises(SoldOutError, match="no more"):
        for number in client.stream(break_off, 2):
            got.append(number)  # noqa: PERF402  # what came before the error
    assert got == [0, 1]
    stream = client.stream(count, 1)
    assert (list(stream), list(stream)) == ([0], [])


def test_nothing_is_opened_before_the_first_item(client: natsrpc.sync.Client) -> None:
    stream = client.stream("desk.nobody", 1)
    with pytest.raises(NoRespondersError):
        next(stream)
    with pytest.raises(ConfigError, match=r"call\(\)"):
        client.stream(add, {"a": 1})  # type: ignore[arg-type]


def test_the_worker_is_held_while_nobody_reads(client: natsrpc.sync.Client) -> None:
    with client.stream(count, MANY) as stream:
        assert next(stream) == 0
        ahead = seen.yielded
        soon(lambda: seen.yielded > 1)
        for _ in range(20):  # other calls go on meanwhile, and take some time
            client.call(add, {"a": 1})
            ahead = seen.yielded
        assert ahead < 10_000
        assert not seen.closed.is_set()
    assert seen.closed.wait(10)


def test_leaving_the_loop_closes_the_handler(client: natsrpc.sync.Client) -> None:
    for number in client.stream(count, MANY):
        if number == 3:
            break
    assert seen.closed.wait(10)


def test_closing_and_dropping_close_the_handler(client: natsrpc.sync.Client) -> None:
    stream = client.stream(count, MANY)
    assert next(stream) == 0
    stream.close()
    stream.close()
    assert seen.closed.wait(10)
    assert list(stream) == []

    seen.closed.clear()
    stream = client.stream(count, MANY)
    assert next(stream) == 0
    del stream
    assert seen.closed.wait(10)

    seen.closed.clear()
    with contextlib.closing(client.stream(count, MANY)) as stream:
        assert list(itertools.islice(stream, 3)) == [0, 1, 2]
    assert seen.closed.wait(10)


def test_an_interrupt_ends_the_stream(client: natsrpc.sync.Client) -> None:
    held = threading.Event()

    def waits() -> Iterator[int]:
        yield 1
        held.wait(30)

    def interrupt() -> None:
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    stream = client.stream(double, items=waits())
    assert next(stream) == 2
    timer = threading.Timer(0.05, interrupt)
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        next(stream)
    timer.join()
    assert seen.closed.wait(10)
    assert list(stream) == []
    held.set()


def test_time_is_that_of_the_whole_stream(client: natsrpc.sync.Client) -> None:
    held = threading.Event()

    def waits() -> Iterator[int]:
        yield 1
        held.wait(30)

    with pytest.raises(NatsTimeoutError):
        list(client.stream(double, items=waits(), timeout=0.1))
    with pytest.raises(NatsTimeoutError, match="idle"):
        list(client.stream(double, items=waits(), idle_timeout=0.1))
    held.set()


def test_items_may_wait_for_the_answers(client: natsrpc.sync.Client) -> None:
    asked: queue.SimpleQueue[int | None] = queue.SimpleQueue()
    asked.put(1)
    got: list[int] = []
    for number in client.stream(double, items=iter(asked.get, None)):
        got.append(number)
        asked.put(number if number < 100 else None)
    assert got == [2, 4, 8, 16, 32, 64, 128]


def test_the_thread_that_reads_items_ends_with_the_stream(client: natsrpc.sync.Client) -> None:
    def reading() -> list[threading.Thread]:
        return [each for each in threading.enumerate() if each.name == "natsrpc-items"]

    assert list(client.stream(double, items=[1, 2])) == [2, 4]
    with client.stream(double, items=itertools.count()) as stream:
        assert next(stream) == 0
    soon(lambda: not reading())
    stream = client.stream(double, items=itertools.count())
    assert next(stream) == 0
    del stream
    soon(lambda: not reading())
    assert seen.closed.wait(10)


WHO: contextvars.ContextVar[int] = contextvars.ContextVar("who", default=0)


def test_items_are_read_with_the_context_variables_of_the_caller(
    client: natsrpc.sync.Client,
) -> None:
    def numbers() -> Iterator[int]:
        yield WHO.get()

    WHO.set(4)
    assert list(client.stream(double, items=numbers())) == [8]


def test_an_error_of_the_items_is_raised_here(client: natsrpc.sync.Client) -> None:
    def broken() -> Iterator[int]:
        yield 1
        raise LookupError("nothing there")

    with pytest.raises(LookupError, match="nothing there"):
        list(client.stream(double, items=broken()))
    with pytest.raises(ConfigTypeError, match="plain iterable"):
        client.stream(double, items=3)  # type: ignore[call-overload]
