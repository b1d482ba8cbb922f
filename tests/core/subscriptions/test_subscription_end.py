"""How a subscription is read, how it ends, and what becomes of a handler that fails."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.core import Msg, Subscription, connect, new_inbox
from natsrpc.errors import (
    BadSubscriptionError,
    BadTimeoutError,
    ConfigTypeError,
    ConnectionClosedError,
    MaxMessagesError,
    NatsTimeoutError,
    NoRespondersError,
    SlowConsumerError,
    SubscriptionError,
    SyncSubRequiredError,
)
from natsrpc.testing import NatsServer
from tests.core.harness import eventually, no_leaks, turns

pytestmark = pytest.mark.live


@pytest.fixture
def subject() -> str:
    return new_inbox("test")


def recorder() -> tuple[list[tuple[object, Exception]], Callable[..., None]]:
    """What `on_error` was told, as (subscription, error)."""
    told: list[tuple[object, Exception]] = []

    def on_error(_: object, sub: object, error: Exception) -> None:
        told.append((sub, error))

    return told, on_error


# reading


@pytest.mark.parity("S9", "U2", "E4", "E12", "E13", "E8")
async def test_a_read_that_cannot_be_has_the_first_error_that_applies(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        with_callback = await nc.subscribe(subject, cb=lambda _: None)
        with pytest.raises(SyncSubRequiredError):
            await with_callback.next_msg(1)
        with pytest.raises(SyncSubRequiredError):
            aiter(with_callback)
        ended = await nc.subscribe(subject)
        await ended.unsubscribe()
        full = await nc.subscribe(subject, max_msgs=1)
        slow = await nc.subscribe(subject, pending_msgs_limit=1)
        for _ in range(2):
            await nc.publish(subject)
        await nc.flush()
        with pytest.raises(BadSubscriptionError):
            await ended.next_msg(1)
        await full.next_msg(1)
        with pytest.raises(MaxMessagesError):
            await full.next_msg(1)
        with pytest.raises(SlowConsumerError) as caught:
            await slow.next_msg(1)
        assert (caught.value.sid, caught.value.dropped) == (slow.sid, 1)
        assert (await slow.next_msg(1)).subject == subject, "told once; the next call goes on"
        with pytest.raises(NatsTimeoutError):
            await slow.next_msg(0.01)
    for sub in (with_callback, ended, full, slow):
        with pytest.raises(ConnectionClosedError):
            await sub.next_msg(1)


@pytest.mark.parametrize("bad", [0, -1, float("nan"), True, "1"])
@pytest.mark.parity("E18")
async def test_a_read_needs_a_time_above_zero(nats_server: NatsServer, bad: Any) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe("a")
        with pytest.raises(BadTimeoutError):
            await sub.next_msg(bad)
        with pytest.raises(ValueError, match="above 0"):
            await sub.next_msg(bad)


@pytest.mark.parity("S10", "S13")
async def test_a_waiting_read_is_released_by_unsubscribe_and_by_close(
    nats_server: NatsServer, subject: str
) -> None:
    async def iterate(sub: Subscription) -> str:
        async for _ in sub:
            pass
        return "ended"

    async with connect(nats_server.url) as nc:
        subs = [await nc.subscribe(subject) for _ in range(4)]
        waits = [
            asyncio.create_task(subs[0].next_msg(None)),
            asyncio.create_task(iterate(subs[1])),
            asyncio.create_task(subs[2].next_msg(None)),
            asyncio.create_task(iterate(subs[3])),
        ]
        await turns()
        await subs[0].unsubscribe()
        await subs[1].unsubscribe()
        await asyncio.wait(waits[:2], timeout=1)
        assert isinstance(waits[0].exception(), BadSubscriptionError)
        assert waits[1].result() == "ended"
        assert [sub.is_valid for sub in subs] == [False, False, True, True]
        await nc.close()
        await asyncio.wait(waits[2:], timeout=1)
        assert isinstance(waits[2].exception(), ConnectionClosedError)
        assert isinstance(waits[3].exception(), ConnectionClosedError)
        assert not any(sub.is_valid for sub in subs)


@pytest.mark.parity("X2", "X4")
async def test_a_cancelled_read_stays_cancelled_and_leaves_the_message_for_the_next(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        reader = asyncio.create_task(sub.next_msg(None))
        await turns()
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01):
                await sub.next_msg(timeout=None)
        await nc.publish(subject, b"kept")
        await nc.flush()
        assert (await sub.next_msg(timeout=None)).data == b"kept"
        await nc.close()
        with pytest.raises(ConnectionClosedError):
            async with asyncio.timeout(0):
                await sub.next_msg(timeout=None)


async def test_one_error_raised_many_times_does_not_grow(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
    depths = []
    for _ in range(5):
        try:
            await sub.next_msg(1)
        except ConnectionClosedError as error:
            trace, depth = error.__traceback__, 0
            while trace is not None:
                trace, depth = trace.tb_next, depth + 1
            depths.append(depth)
    assert len(depths) == 5
    assert len(set(depths)) == 1


@pytest.mark.parity("L-no-responders")
async def test_nobody_answering_is_told_on_an_inbox_made_by_hand(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        inbox = nc.new_inbox()
        sub = await nc.subscribe(inbox, max_msgs=1)
        await nc.publish(subject, b"anybody?", reply=inbox)
        with pytest.raises(NoRespondersError):
            await sub.next_msg(1)
        assert sub.is_valid, "a status does not count towards max_msgs"
        seen: list[int | None] = []
        told = nc.new_inbox()
        await nc.subscribe(told, cb=lambda msg: seen.append(msg.status))
        await nc.publish(subject, reply=told)
        await nc.flush()
        assert seen == [503], "a callback gets it as a message"


async def test_a_forged_status_ends_no_iteration(nats_server: NatsServer, subject: str) -> None:
    async with connect(nats_server.url) as nc, connect(nats_server.url) as villain:
        sub = await nc.subscribe(subject)
        await nc.flush()
        villain.link.send(subject.encode(), b"", b"", b"NATS/1.0 503\r\n\r\n")
        villain.link.send(subject.encode(), b"one", b"", b"NATS/1.0 503\r\n\r\n")
        await villain.publish(subject, b"two")
        await villain.flush()
        await sub.drain()
        assert [(msg.data, msg.status) async for msg in sub] == [
            (b"", 503),
            (b"one", None),
            (b"two", None),
        ]


async def test_a_forged_status_counts_as_the_message_that_it_is(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc, connect(nats_server.url) as villain:
        sub = await nc.subscribe(subject, max_msgs=2)
        await nc.flush()
        villain.link.send(subject.encode(), b"", b"", b"NATS/1.0 503\r\n\r\n")
        await villain.publish(subject, b"one")
        await villain.publish(subject, b"too many")
        await villain.flush()
        assert (await sub.next_msg()).status == 503
        assert [msg.data async for msg in sub] == [b"one"]


# ending


@pytest.mark.parity("S11", "S13", "E4")
async def test_unsubscribing_ends_it_once_and_frees_the_server(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        got: list[Msg] = []
        sub = await nc.subscribe(subject, cb=got.append)
        assert sub in nc.subscriptions
        await sub.unsubscribe()
        assert not sub.is_valid
        assert nc.subscriptions == []
        await nc.publish(subject)
        await nc.flush()
        assert got == []
        with pytest.raises(BadSubscriptionError):
            await sub.unsubscribe()
        with pytest.raises(NoRespondersError):
            await nc.request(subject, timeout=1)
        live = await nc.subscribe(subject)
    with pytest.raises(ConnectionClosedError):
        await live.unsubscribe()


@pytest.mark.parity("S11", "S12")
async def test_unsubscribing_within_its_own_callback_discards_the_rest(
    nats_server: NatsServer, subject: str
) -> None:
    calls = []
    async with no_leaks(), connect(nats_server.url) as nc:

        async def once(msg: Msg) -> None:
            calls.append("begun")
            await msg.sub.unsubscribe()
            await asyncio.sleep(0)
            calls.append("finished")

        await nc.subscribe(subject, cb=once)
        for _ in range(5):
            await nc.publish(subject)
        await nc.flush()
        await eventually(lambda: len(calls) == 2)
        await nc.flush()
        assert calls == ["begun", "finished"]


async def test_a_plain_callback_may_have_its_subscription_or_its_connection_ended(
    nats_server: NatsServer, subject: str
) -> None:
    async with no_leaks():
        tasks: list[asyncio.Task[None]] = []
        async with connect(nats_server.url) as nc, connect(nats_server.url) as other:
            got: list[bytes] = []

            def stop(msg: Msg) -> None:
                got.append(msg.data)
                tasks.append(asyncio.ensure_future(msg.sub.unsubscribe()))

            def close(msg: Msg) -> None:
                tasks.append(asyncio.ensure_future(nc.close()))

            await nc.subscribe(subject, cb=stop)
            await nc.subscribe(f"{subject}.close", cb=close)
            await nc.flush()
            await other.publish(subject, b"1")
            await other.flush()
            await eventually(lambda: tasks and tasks[0].done())
            await other.publish(subject, b"2")
            await other.publish(f"{subject}.close")
            await asyncio.wait_for(nc.wait_closed(), 2)
            assert got == [b"1"]
        await asyncio.gather(*tasks)


@pytest.mark.parity("S12", "H14")
async def test_close_discards_what_is_queued_and_waits_for_no_handler(
    nats_server: NatsServer, subject: str
) -> None:
    release, calls = asyncio.Event(), []

    async def handle(msg: Msg) -> None:
        calls.append(msg.data)
        await release.wait()
        calls.append(b"finished")

    async with no_leaks():
        async with connect(nats_server.url) as nc:
            sub = await nc.subscribe(subject, cb=handle)
            for i in range(3):
                await nc.publish(subject, b"%d" % i)
            await nc.flush()
            await eventually(lambda: calls)
            await asyncio.wait_for(nc.close(), 1)
            assert sub.delivered == 1
        release.set()
        await eventually(lambda: len(calls) == 2)
        await turns()
        assert calls == [b"0", b"finished"]


async def test_close_may_be_called_in_a_callback(nats_server: NatsServer, subject: str) -> None:
    done = []
    async with no_leaks():
        nc = await connect(nats_server.url)

        async def handle(_: Msg) -> None:
            await nc.close()
            done.append(nc.is_closed)

        await nc.subscribe(subject, cb=handle)
        await nc.publish(subject)
        await asyncio.wait_for(nc.wait_closed(), 2)
        await eventually(lambda: done == [True])


@pytest.mark.parity("L-events")
async def test_the_end_is_told_once(nats_server: NatsServer, subject: str) -> None:
    _, on_error = recorder()
    ended: list[int] = []
    async with connect(nats_server.url, on_error=on_error) as nc:
        subs = [await nc.subscribe(subject, max_msgs=1 if i == 1 else None) for i in range(4)]
        for sub in subs:
            sub.on_closed = lambda sub: ended.append(sub.sid)
        await subs[0].unsubscribe()
        await nc.publish(subject)
        await nc.flush()
        await subs[2].drain()
        assert ended == [1, 2, 3]

        def fail(_: Subscription) -> None:
            raise ZeroDivisionError

        subs[3].on_closed = fail
    assert ended == [1, 2, 3]
    assert nc.is_closed
    assert isinstance(nc.last_error, ZeroDivisionError)


async def test_leaving_the_block_ends_the_subscription(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        async with await nc.subscribe(subject) as sub:
            assert sub.is_valid
        assert not sub.is_valid
        async with await nc.subscribe(subject) as sub:
            await sub.unsubscribe()
        assert nc.subscriptions == []


# handlers that fail


@pytest.mark.parity("S17")
async def test_a_handler_that_fails_is_told_and_the_subscription_goes_on(
    nats_server: NatsServer, subject: str
) -> None:
    told, on_error = recorder()
    seen: list[bytes] = []

    async def handle(msg: Msg) -> None:
        seen.append(msg.data)
        raise ValueError("async")

    def plain(msg: Msg) -> None:
        seen.append(msg.data)
        raise ValueError("plain")

    async with connect(nats_server.url, on_error=on_error) as nc:
        subs = [await nc.subscribe(subject, cb=cb, max_msgs=2) for cb in (handle, plain)]
        for i in range(2):
            await nc.publish(subject, b"%d" % i)
        await nc.flush()
        await eventually(lambda: len(told) == 4)
        assert sorted(seen) == [b"0", b"0", b"1", b"1"]
        assert {(sub, str(error)) for sub, error in told} == {
            (subs[0], "async"),
            (subs[1], "plain"),
        }


@pytest.mark.parity("S17")
async def test_a_cancellation_from_within_a_handler_costs_its_message_only(
    nats_server: NatsServer, subject: str
) -> None:
    told, on_error = recorder()
    seen: list[bytes] = []

    async def handle(msg: Msg) -> None:
        seen.append(msg.data)
        if msg.data == b"0":
            task = asyncio.ensure_future(asyncio.Event().wait())
            task.cancel()
            await task

    async with connect(nats_server.url, on_error=on_error) as nc:
        sub = await nc.subscribe(subject, cb=handle)
        for i in range(3):
            await nc.publish(subject, b"%d" % i)
        await nc.flush()
        await asyncio.wait_for(sub.drain(), 1)
        assert seen == [b"0", b"1", b"2"]
        await eventually(lambda: told)
        assert isinstance(told[0][1], SubscriptionError)
        assert isinstance(told[0][1].__cause__, asyncio.CancelledError)


async def test_a_handler_that_cancels_its_own_task_ends_its_subscription(
    nats_server: NatsServer, subject: str
) -> None:
    async def handle(_: Msg) -> None:
        task = asyncio.current_task()
        assert task is not None
        task.cancel()
        await asyncio.Event().wait()

    async with no_leaks(), connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, cb=handle)
        await nc.publish(subject)
        await eventually(lambda: not sub.is_valid)
        assert nc.subscriptions == []


async def test_partials_methods_and_callable_objects_are_recognized_as_async(
    nats_server: NatsServer, subject: str
) -> None:
    seen: list[str] = []

    class Handler:
        async def method(self, msg: Msg) -> None:
            seen.append("method")

        async def __call__(self, msg: Msg) -> None:
            seen.append("object")

    async def partial(name: str, msg: Msg) -> None:
        seen.append(name)

    async with connect(nats_server.url) as nc:
        for cb in (Handler().method, Handler(), functools.partial(partial, "partial")):
            await nc.subscribe(subject, cb=cb)
        await nc.publish(subject)
        await nc.flush()
        await eventually(lambda: sorted(seen) == ["method", "object", "partial"])


async def test_a_plain_function_that_gives_a_coroutine_is_told(
    nats_server: NatsServer, subject: str
) -> None:
    told, on_error = recorder()

    async def handle(_: Msg) -> None:
        raise AssertionError("never awaited")

    async with connect(nats_server.url, on_error=on_error) as nc:
        await nc.subscribe(subject, cb=lambda msg: handle(msg))
        await nc.publish(subject)
        await eventually(lambda: told)
        assert isinstance(told[0][1], ConfigTypeError)
        gc.collect()
