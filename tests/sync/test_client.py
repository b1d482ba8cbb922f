"""`sync.Client`: calls that block, what they raise, from where they may be made, and the end."""

from __future__ import annotations

import asyncio
import contextlib
import contextvars
import gc
import signal
import threading
import traceback
import weakref
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from pydantic import BaseModel

import natsrpc
import natsrpc.sync
from natsrpc.errors import (
    ConfigError,
    ConnectionClosedError,
    EncodeError,
    InvalidRequestError,
    NatsTimeoutError,
    NoRespondersError,
    OverloadedError,
)
from natsrpc.rpc import Call, Next
from natsrpc.testing import NatsServer
from tests.core.harness.waiting import soon

from . import desk
from .desk import SoldOutError, add, echo_header, hang, left, refuse, second_time, seen, served

pytestmark = pytest.mark.live


def test_a_call_gives_the_value_and_a_request_all_of_the_reply(client: natsrpc.sync.Client) -> None:
    assert client.call("desk.add", {"a": 1}, int) == 3
    assert client.call(add, {"a": 1, "b": 5}, codec="msgpack") == 6
    reply = client.request(add, {"a": 1})
    assert (reply.value, reply.subject) == (3, "desk.add")
    assert client.call(echo_header, headers={"X-Who": "me"}) == {"X-Who": "me"}
    assert client.gather("desk.add", {"a": 1}, int, max_responses=1) == [3]


def test_errors_keep_their_class_and_show_where_the_call_was_made(
    client: natsrpc.sync.Client,
) -> None:
    def made_here() -> None:
        client.call(refuse, "tea")

    with pytest.raises(SoldOutError) as caught:
        made_here()
    assert caught.value.details == ["tea"]
    frames = [frame.name for frame in traceback.extract_tb(caught.value.__traceback__)]
    assert frames[1:3] == ["made_here", "call"]
    assert "_run" not in frames  # nothing of the thread's own
    with pytest.raises(InvalidRequestError, match="a: "):
        client.call("desk.add", {"a": "x"}, int)
    with pytest.raises(NoRespondersError):
        client.call("desk.nobody")
    with pytest.raises(ConfigError, match=r"stream\(\)"):
        client.call(desk.count, 1)  # type: ignore[call-overload,unused-ignore]


def test_an_error_keeps_nothing_of_its_call_alive(client: natsrpc.sync.Client) -> None:
    class Order(BaseModel):
        item: int = 0

    order = Order()
    kept = weakref.ref(order)
    gc.disable()
    try:
        with contextlib.suppress(SoldOutError):
            client.call("desk.refuse", order, str)
        del order
        soon(lambda: kept() is None, 1.0, what="the request is freed without the collector")
    finally:
        gc.enable()


def test_a_timeout_is_the_async_one_and_cancels_nobody_else(client: natsrpc.sync.Client) -> None:
    with pytest.raises(NatsTimeoutError) as caught:
        client.call(hang, timeout=0.05)
    assert isinstance(caught.value, TimeoutError)
    assert client.call(add, {"a": 1}) == 3


def test_many_threads_share_a_client(client: natsrpc.sync.Client) -> None:
    together = threading.Barrier(16)

    def work(number: int) -> list[int]:
        together.wait()
        return [client.call(add, {"a": number, "b": turn}) for turn in range(50)]

    with ThreadPoolExecutor(16) as pool:
        found = list(pool.map(work, range(16)))
    assert found == [[number + turn for turn in range(50)] for number in range(16)]


async def test_it_works_inside_a_running_loop(client: natsrpc.sync.Client) -> None:
    assert client.call(add, {"a": 1}) == 3
    assert list(client.stream(desk.count, 3)) == [0, 1, 2]
    assert await asyncio.to_thread(client.call, "desk.add", {"a": 2}, int) == 4


async def test_a_call_in_a_handler_inherits_its_deadline(client: natsrpc.sync.Client) -> None:
    outer = natsrpc.Service("outer", version="1.0.0")

    @outer.handler("desk.outer", timeout=2.0)
    def ask(inherits: bool) -> float | None:
        if inherits:
            return client.call(left, timeout=60.0)
        with natsrpc.no_deadline():
            return client.call(left, timeout=60.0)

    async with outer.test() as caller:
        inner = await caller.call("desk.outer", True, float)
        assert 0 < inner <= 2.0
        assert await caller.call("desk.outer", False, float) > 2.0


WHO: contextvars.ContextVar[str] = contextvars.ContextVar("who", default="nobody")


def test_middleware_has_the_context_variables_of_the_caller(client: natsrpc.sync.Client) -> None:
    found: list[tuple[str, str]] = []

    @client.middleware
    async def note(call: Call, call_next: Next[Call]) -> Any:
        found.append((WHO.get(), threading.current_thread().name))
        return await call_next(call)

    WHO.set("me")
    assert client.call(add, {"a": 1}) == 3
    assert found == [("me", "natsrpc-sync")]


def test_policies_hold_by_scope_and_by_client(client: natsrpc.sync.Client) -> None:
    policy = natsrpc.Policy(attempts=2, wait=0.0)
    with pytest.raises(OverloadedError):
        client.call(second_time)
    seen.attempts = 0
    with policy.scope():
        assert client.call(second_time) == 2
    assert client.call(second_time, policy=policy) == 4
    client.policy = policy
    assert client.policy is policy
    assert client.call(second_time) == 6


def test_an_interrupt_ends_a_call_at_once_and_cancels_it_at_the_worker(
    client: natsrpc.sync.Client,
) -> None:
    def interrupt() -> None:
        seen.started.wait(10)
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    thread = threading.Thread(target=interrupt)
    thread.start()
    with pytest.raises(KeyboardInterrupt):
        client.call(hang, timeout=60.0)
    thread.join()
    assert seen.cancelled.wait(10)
    assert client.call(add, {"a": 1}) == 3


def test_what_is_published_arrives(client: natsrpc.sync.Client, url: str) -> None:
    got: list[int] = []
    inbox = threading.Event()
    events = natsrpc.Service("events", version="1.0.0")

    @events.handler("desk.told")
    async def told(number: int) -> None:
        got.append(number)
        if len(got) == 100:
            inbox.set()

    with served(url, events):
        for number in range(100):
            client.publish("desk.told", number)
        assert inbox.wait(10)
    assert got == list(range(100))


class Moved(BaseModel):
    number: int


def test_an_event_is_published_with_its_type_and_tokens(
    client: natsrpc.sync.Client, url: str
) -> None:
    moved = natsrpc.Event("desk.{floor}.moved", Moved)
    got: list[tuple[str, int]] = []
    events = natsrpc.Service("events", version="1.0.0")
    inbox = threading.Event()

    @events.subscriber(moved)
    async def note(event: Moved, floor: str) -> None:
        got.append((floor, event.number))
        inbox.set()

    with served(url, events):
        client.publish(moved, Moved(number=3), tokens={"floor": "second"})
        assert inbox.wait(10)
    assert got == [("second", 3)]
    with pytest.raises(EncodeError):
        client.publish(moved, "up", tokens={"floor": "second"})  # type: ignore[misc]
    with pytest.raises(ConfigError, match="floor"):
        client.publish(moved, Moved(number=3))


def test_a_closed_client_says_so(url: str) -> None:
    client = natsrpc.sync.connect(url)
    stream = client.stream(desk.count, 1000)
    assert next(stream) == 0
    client.close()
    client.close()
    for use in (
        lambda: client.call(add, {"a": 1}),
        lambda: client.publish("x", 1),
        lambda: client.stream(desk.count, 1),
        lambda: client.upload(desk.total, [1]),
        lambda: client.gather("desk.add"),
        lambda: client.__enter__(),
        lambda: list(stream),  # after the items that are here
    ):
        with pytest.raises(ConnectionClosedError, match="closed"):
            use()
    stream.close()


def test_closing_fails_the_calls_of_other_threads(url: str) -> None:
    client = natsrpc.sync.connect(url)
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(client.call, hang, timeout=60.0) for _ in range(4)]
        assert seen.started.wait(10)
        client.close()
        for each in waiting:
            assert isinstance(each.exception(10), ConnectionClosedError)


def test_threads_that_call_while_it_closes_all_end(url: str) -> None:
    for _ in range(10):
        client = natsrpc.sync.connect(url)
        calling = threading.Barrier(5)

        def work(client: natsrpc.sync.Client = client, calling: Any = calling) -> None:
            calling.wait()
            while True:
                client.call(add, {"a": 1})

        with ThreadPoolExecutor(4) as pool:
            working = [pool.submit(work) for _ in range(4)]
            calling.wait()
            client.close()
            errors = [each.exception(10) for each in working]
        assert {type(error) for error in errors} == {ConnectionClosedError}


def test_drain_waits_for_what_is_under_way(url: str) -> None:
    client = natsrpc.sync.connect(url)
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(client.call, "desk.left", None, float, timeout=30.0)
        assert waiting.result(10) > 0
    client.drain()
    with pytest.raises(ConnectionClosedError):
        client.call(add, {"a": 1})


def test_a_client_that_is_dropped_leaves_no_thread(url: str) -> None:
    client = natsrpc.sync.connect(url)
    (thread,) = [each for each in threading.enumerate() if each.name == "natsrpc-sync"]
    assert client.call(add, {"a": 1}) == 3
    del client
    gc.collect()
    thread.join(10)
    assert not thread.is_alive()


def test_a_stream_keeps_its_client(url: str) -> None:
    assert list(natsrpc.sync.connect(url).stream(desk.count, 5)) == [0, 1, 2, 3, 4]


def test_a_callback_may_publish_and_not_call(url: str, fresh_server: NatsServer) -> None:
    errors: list[Exception] = []
    done = threading.Event()

    def lost(_: object, __: object) -> None:
        try:
            client.call(add, {"a": 1})
        except ConfigError as error:
            errors.append(error)
        client.publish("desk.lost", 1)
        done.set()

    with natsrpc.sync.connect(fresh_server.url, on_disconnect=lost) as client:
        fresh_server.stop()
        assert done.wait(10)
    (error,) = errors
    assert "another thread" in str(error)


def test_a_connection_lost_for_good_is_made_anew(fresh_server: NatsServer) -> None:
    client = natsrpc.sync.connect(fresh_server.url, allow_reconnect=False)
    with served(fresh_server.url):
        assert client.call(add, {"a": 1}) == 3
    threads = [each for each in threading.enumerate() if each.name == "natsrpc-sync"]
    fresh_server.stop()
    for thread in threads:
        thread.join(10)
    fresh_server.start()
    with served(fresh_server.url), client:
        assert client.call(add, {"a": 1}) == 3


def test_use_in_a_finalizer(client: natsrpc.sync.Client, caplog: pytest.LogCaptureFixture) -> None:
    found: list[int] = []

    class Tells:
        def __init__(self) -> None:
            self.me = self

        def __del__(self) -> None:
            client.publish("desk.told", 1)
            found.append(1)

    for _ in range(50):
        Tells()
        client.call(add, {"a": 1})
    gc.collect()
    assert len(found) == 50
    assert caplog.record_tuples == []
