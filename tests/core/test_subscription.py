"""Subscriptions of every kind, on a real server: what is delivered, when one ends, what it says."""

from __future__ import annotations

import asyncio
import functools
import gc
from collections.abc import Callable
from typing import Any

import nats
import pytest

from natsrpc.core import Connection, Msg, Subscription, SubscriptionKind, connect, new_inbox
from natsrpc.core.intake import MsgCallback
from natsrpc.errors import (
    BadQueueNameError,
    BadSubjectError,
    BadSubscriptionError,
    BadTimeoutError,
    ConfigError,
    ConfigTypeError,
    ConnectionClosedError,
    MaxMessagesError,
    NatsTimeoutError,
    NoRespondersError,
    PermissionsError,
    SlowConsumerError,
    SubscriptionError,
    SubscriptionTypeError,
    SyncSubRequiredError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected, sid_of
from tests.core.harness import Proxy, eventually, no_leaks, turns

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


def _noting(subjects: list[str]) -> Callable[[Msg], None]:
    return lambda msg: subjects.append(msg.subject)


def _consumption(
    kind: str, plain: MsgCallback, slow: MsgCallback, queue: asyncio.Queue[Msg]
) -> dict[str, Any]:
    ways: dict[str, dict[str, Any]] = {
        "plain": {"cb": plain},
        "async": {"cb": slow},
        "queue": {"into": queue},
        "pull": {},
    }
    return ways[kind]


# kinds


@pytest.mark.parity("S1")
async def test_an_async_callback_is_called_in_order_one_message_at_a_time(
    nats_server: NatsServer, subject: str
) -> None:
    seen, running = [], 0

    async def handle(msg: Msg) -> None:
        nonlocal running
        running += 1
        assert running == 1
        await asyncio.sleep(0)
        seen.append(int(msg.data))
        running -= 1

    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, cb=handle)
        for i in range(100):
            await nc.publish(subject, b"%d" % i)
        await eventually(lambda: len(seen) == 100)
        assert seen == list(range(100))
        assert sub.kind is SubscriptionKind.CALLBACK
        assert sub.delivered == 100


@pytest.mark.parity("S1", "L9")
async def test_a_blocked_handler_delays_no_other_subscription_and_no_flush(
    nats_server: NatsServer, subject: str
) -> None:
    release = asyncio.Event()
    other: list[Msg] = []

    async def block(_: Msg) -> None:
        await release.wait()

    async with connect(nats_server.url) as nc:
        blocked = await nc.subscribe(f"{subject}.blocked", cb=block)
        await nc.subscribe(f"{subject}.other", cb=other.append)
        for _ in range(3):
            await nc.publish(f"{subject}.blocked")
            await nc.publish(f"{subject}.other")
        await nc.flush(1)
        assert len(other) == 3
        assert blocked.pending_msgs == 2, "the one in the handler is not pending"
        release.set()


@pytest.mark.parity("S1")
async def test_a_plain_callback_is_called_in_place(nats_server: NatsServer, subject: str) -> None:
    seen: list[bytes] = []
    tasks = set()

    def handle(msg: Msg) -> None:
        seen.append(msg.data)
        tasks.add(asyncio.current_task())

    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, cb=handle)
        for i in range(10):
            await nc.publish(subject, b"%d" % i)
        await nc.flush()
        assert seen == [b"%d" % i for i in range(10)]
        assert tasks == {None}, "in the socket read, within no task"
        assert (sub.delivered, sub.pending_msgs) == (10, 0)


@pytest.mark.parity("S2", "X4")
async def test_without_a_callback_messages_are_read_at_leisure(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        assert sub.kind is SubscriptionKind.PULL
        for i in range(5):
            await nc.publish(subject, b"%d" % i)
        assert (await sub.next_msg(1)).data == b"0"
        assert (await sub.next_msg(timeout=None)).data == b"1"
        got = []
        async for msg in sub:
            got.append(msg.data)
            if len(got) == 3:
                break
        assert got == [b"2", b"3", b"4"]
        assert sub.delivered == 5
        with pytest.raises(NatsTimeoutError, match=r"within 0\.01 s"):
            await sub.next_msg(0.01)


@pytest.mark.parity("S3", "S15")
async def test_messages_are_put_into_the_callers_queue(
    nats_server: NatsServer, subject: str
) -> None:
    told, on_error = recorder()
    async with connect(nats_server.url, on_error=on_error) as nc:
        queue: asyncio.Queue[Msg] = asyncio.Queue(2)
        sub = await nc.subscribe(subject, into=queue)
        assert sub.kind is SubscriptionKind.QUEUE
        for i in range(4):
            await nc.publish(subject, b"%d" % i)
        await nc.flush()
        assert (queue.qsize(), sub.delivered, sub.dropped) == (2, 2, 2), "full: the new ones go"
        assert [queue.get_nowait().data for _ in range(2)] == [b"0", b"1"]
        await nc.publish(subject, b"4")
        await nc.flush()
        await sub.unsubscribe()
        assert queue.get_nowait().data == b"4"
        await eventually(lambda: told)
        [(who, error)] = told
        assert who is sub
        assert isinstance(error, SlowConsumerError)
    assert queue.empty(), "the queue is the caller's: nothing was put into it at the end"


@pytest.mark.skipif(
    not hasattr(asyncio.Queue, "shutdown"), reason="queues can be shut down on 3.13"
)
async def test_a_queue_that_was_shut_down_ends_its_subscription(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        queue: Any = asyncio.Queue()
        sub = await nc.subscribe(subject, into=queue)
        queue.shutdown()
        await nc.publish(subject)
        await nc.flush()
        assert not sub.is_valid


@pytest.mark.parity("S4", "S5")
async def test_a_queue_groups_members_share_and_everybody_else_gets_all(
    nats_server: NatsServer, subject: str
) -> None:
    stranger = await nats.connect(nats_server.url)
    theirs: list[object] = []

    async def take(msg: object) -> None:
        theirs.append(msg)

    async with connect(nats_server.url) as nc, connect(nats_server.url) as other:
        await stranger.subscribe(subject, queue="workers", cb=take)
        await stranger.flush()
        workers: list[Msg] = []
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        mine = [
            await nc.subscribe(subject, queue_group="workers", cb=workers.append),
            await other.subscribe(subject, queue_group="workers", into=queue),
        ]
        pull = await other.subscribe(subject, queue_group="pullers")
        plain: list[Msg] = []
        await nc.subscribe("test.*", cb=plain.append)
        await nc.flush()
        await other.flush()
        for _ in range(300):
            await stranger.publish(subject, b"x")
        await stranger.flush()
        await eventually(lambda: len(workers) + queue.qsize() + len(theirs) == 300)
        await eventually(lambda: pull.pending_msgs == 300 and len(plain) == 300)
        assert min(len(workers), queue.qsize(), len(theirs)) > 30
        assert mine[0].queue_group == "workers"
    await stranger.close()


@pytest.mark.parity("S5")
async def test_wildcards_stand_for_one_token_or_for_all_that_follow(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        seen: dict[str, list[str]] = {}
        for pattern in (f"{subject}.*.c", f"{subject}.>", f"{subject}.b.c", f"{subject}.*"):
            hits = seen[pattern] = []
            sub = await nc.subscribe(pattern, cb=_noting(hits))
            assert sub.subject == pattern
        for tail in ("", ".b", ".b.c", ".b.c.d"):
            await nc.publish(subject + tail)
        await nc.flush()
        short = {
            pattern.removeprefix(subject): [s.removeprefix(subject) for s in hits]
            for pattern, hits in seen.items()
        }
        assert short == {
            ".*.c": [".b.c"],
            ".>": [".b", ".b.c", ".b.c.d"],
            ".b.c": [".b.c"],
            ".*": [".b"],
        }


@pytest.mark.parity("S6", "S4")
async def test_ids_count_from_one_and_survive_a_reconnect_with_their_group() -> None:
    async with connected() as (nc, peer, server):
        first = await nc.subscribe("a", queue_group="q")
        second = await nc.subscribe("b.>")
        assert (first.sid, second.sid) == (1, 2)
        assert (await peer.expect(b"SUB")).raw == b"SUB a q 1\r\n"
        assert (await peer.expect(b"SUB")).raw == b"SUB b.> 2\r\n"
        peer.reset()
        again = await server.accept()
        assert (await again.expect(b"SUB")).raw == b"SUB a q 1\r\n"
        assert (await again.expect(b"SUB")).raw == b"SUB b.> 2\r\n"
        again.msg(b"b.c", b"2", b"still")
        assert (await second.next_msg(2)).data == b"still"


@pytest.mark.parametrize(
    "bad", ["", "a b", "a..b", ".a", "a.", "a.>.b", "a.b*", "a>", "a\r\nPING", "\x00", 5, None]
)
@pytest.mark.parity("S7", "E6")
async def test_a_bad_pattern_is_refused_and_the_connection_lives(bad: Any) -> None:
    async with connected() as (nc, peer, _):
        with pytest.raises(BadSubjectError) as caught:
            await nc.subscribe(bad)
        assert repr(bad) in str(caught.value)
        with pytest.raises(BadQueueNameError):
            await nc.subscribe("a", queue_group="two words")
        await nc.flush()
        assert b"SUB" not in peer.ops()
        assert nc.subscriptions == []


@pytest.mark.parity("S7")
async def test_a_pattern_that_only_the_server_refuses_does_not_end_the_connection() -> None:
    async with NatsServer("max_subscription_tokens: 3") as server:
        told, on_error = recorder()
        async with connect(server.url, on_error=on_error) as nc:
            await nc.subscribe("a.b.c.d")
            await nc.flush()
            await eventually(lambda: told)
            assert nc.is_connected
            assert nc.stats().reconnects == 0


@pytest.mark.parity("S8", "E1")
async def test_subscribing_while_reconnecting_takes_effect_later_and_costs_no_buffer() -> None:
    async with connected(reconnect_buffer_size=-1) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        sub = await nc.subscribe("late")
        gone = await nc.subscribe("gone")
        await gone.unsubscribe()
        assert nc.buffered == 0
        await server.listen()
        again = await server.accept()
        sid = await sid_of(again, b"late")
        again.msg(b"late", sid, b"here")
        assert (await sub.next_msg(2)).data == b"here"
        assert [f.subject for f in again.frames if f.op == b"SUB"] == [b"late"]
    with pytest.raises(ConnectionClosedError):
        await nc.subscribe("closed")


async def test_what_cannot_be_delivered_to_is_refused(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as nc:
        with pytest.raises(ConfigTypeError, match="cb"):
            await nc.subscribe("a", cb=5)  # type: ignore[arg-type]  # the point of the test
        with pytest.raises(ConfigTypeError, match="into"):
            await nc.subscribe("a", into=[])  # type: ignore[arg-type]  # the point of the test
        with pytest.raises(ConfigError, match="not both"):
            await nc.subscribe("a", cb=print, into=asyncio.Queue())
        assert nc.subscriptions == []


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
        villain.send(subject.encode(), b"", b"", b"NATS/1.0 503\r\n\r\n")
        villain.send(subject.encode(), b"one", b"", b"NATS/1.0 503\r\n\r\n")
        await villain.publish(subject, b"two")
        await villain.flush()
        await sub.drain()
        assert [(msg.data, msg.status) async for msg in sub] == [
            (b"", 503),
            (b"one", None),
            (b"two", None),
        ]


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
            task = asyncio.ensure_future(asyncio.sleep(10))
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
        await asyncio.sleep(1)

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


# a number of messages


@pytest.mark.parity("U1", "U8")
@pytest.mark.parametrize("kind", ["plain", "async", "queue", "pull"])
async def test_the_subscription_ends_by_itself_at_max_msgs(
    nats_server: NatsServer, subject: str, kind: str
) -> None:
    async with connect(nats_server.url) as nc:
        answers = await nc.subscribe(f"{subject}.answers")
        await nc.subscribe(subject, cb=lambda _: None)  # so that nothing finds nobody
        got: list[Msg] = []
        queue: asyncio.Queue[Msg] = asyncio.Queue()

        async def slowly(msg: Msg) -> None:
            await asyncio.sleep(0.001)
            got.append(msg)

        how = _consumption(kind, got.append, slowly, queue)
        sub = await nc.subscribe(subject, max_msgs=3, **how)
        for i in range(6):
            await nc.publish(subject, b"%d" % i, reply=f"{subject}.answers")
        await nc.flush()
        assert not sub.is_valid
        assert sub not in nc.subscriptions
        if kind == "pull":
            got += [msg async for msg in sub]
        while not queue.empty():
            got.append(queue.get_nowait())
        await eventually(lambda: len(got) == 3)
        await got[-1].respond(b"last")
        assert (await answers.next_msg(1)).data == b"last"
        assert [msg.data for msg in got] == [b"0", b"1", b"2"]
        assert (sub.received, sub.delivered) == (3, 3)
        with pytest.raises(BadSubscriptionError):
            await sub.unsubscribe()


@pytest.mark.parity("U1")
async def test_nothing_beyond_max_msgs_is_delivered_even_if_it_arrives() -> None:
    async with connected() as (nc, peer, _):
        seen: list[bytes] = []
        await nc.subscribe("a", cb=lambda msg: seen.append(msg.data), max_msgs=2)
        sid = await sid_of(peer, b"a")
        assert (await peer.expect(b"UNSUB")).raw == b"UNSUB %b 2\r\n" % sid
        peer.send(b"".join(b"MSG a %b 1\r\n%d\r\n" % (sid, i) for i in range(5)))
        await peer.synced()
        assert seen == [b"0", b"1"]


@pytest.mark.parametrize("bad", [0, -1, 1.5, True, "3"])
@pytest.mark.parity("U3", "E18")
async def test_max_msgs_is_an_int_above_zero(nats_server: NatsServer, bad: Any) -> None:
    async with connect(nats_server.url) as nc:
        with pytest.raises(ConfigError, match="max_msgs"):
            await nc.subscribe("a", max_msgs=bad)
        sub = await nc.subscribe("a")
        with pytest.raises(ValueError, match="max_msgs"):
            await sub.unsubscribe(max_msgs=bad)
        assert sub.is_valid


@pytest.mark.parity("U4")
async def test_max_msgs_may_be_raised_in_time_or_lowered(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        raised = await nc.subscribe(subject, max_msgs=2)
        lowered = await nc.subscribe(subject)
        await nc.publish(subject)
        await nc.flush()
        await raised.unsubscribe(max_msgs=4)
        await lowered.unsubscribe(max_msgs=1)
        assert not lowered.is_valid
        for _ in range(5):
            await nc.publish(subject)
        await nc.flush()
        assert len([msg async for msg in raised]) == 4
        assert len([msg async for msg in lowered]) == 1, "what was received stays readable"


@pytest.mark.parity("U5", "U7", "B9")
@pytest.mark.parametrize("kind", ["plain", "async", "queue", "pull"])
async def test_after_a_reconnect_the_rest_of_max_msgs_is_asked_for(kind: str) -> None:
    async with connected() as (nc, peer, server):
        queue: asyncio.Queue[Msg] = asyncio.Queue()

        async def handle(_: Msg) -> None:
            pass

        how = _consumption(kind, lambda _: None, handle, queue)
        sub = await nc.subscribe("a", max_msgs=5, **how)
        done = await nc.subscribe("b", max_msgs=1)
        peer.msg(b"a", b"1", b"x")
        peer.msg(b"b", b"2", b"x")
        await peer.synced()
        peer.reset()
        again = await server.accept()
        assert (await again.expect(b"UNSUB")).raw == b"UNSUB 1 4\r\n"
        assert not done.is_valid
        await sub.unsubscribe(max_msgs=7)
        assert (await again.expect(b"UNSUB")).raw == b"UNSUB 1 6\r\n", "the new server counts anew"
        for _ in range(8):
            again.msg(b"a", b"1", b"x")
        await again.synced()
        assert sub.received == 7
        assert not sub.is_valid
        assert [f.subject for f in again.frames if f.op == b"SUB"] == [b"a"]


@pytest.mark.parity("U6", "E12")
async def test_of_many_readers_as_many_get_a_message_as_there_are(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, max_msgs=10)
        readers = [asyncio.create_task(sub.next_msg(5)) for _ in range(25)]
        await turns()
        for _ in range(12):
            await nc.publish(subject)
        await nc.flush()
        done, late = await asyncio.wait(readers, timeout=1)
        assert not late
        failed = [task.exception() for task in done if task.exception()]
        assert len(failed) == 15
        assert {type(error) for error in failed} == {MaxMessagesError}


# what a subscription says of itself


@pytest.mark.parity("S13", "S14", "S15")
async def test_a_subscription_tells_its_facts(nats_server: NatsServer, subject: str) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, queue_group="q", max_msgs=9)
        assert (sub.subject, sub.queue_group, sub.max_msgs) == (subject, "q", 9)
        assert repr(sub) == f"<Subscription 1 {subject!r} queue_group='q' active>"
        assert int(SubscriptionKind.PULL) == 1
        await sub.drain()
        assert repr(sub).endswith("ended>")
        into = await nc.subscribe(subject, into=asyncio.Queue())
        for fact in ("pending_msgs", "pending_bytes", "max_pending", "pending_limits"):
            with pytest.raises(SubscriptionTypeError):
                getattr(into, fact)


@pytest.mark.parity("A7")
async def test_a_denied_subscription_ends_with_the_reason() -> None:
    config = """
        authorization { users: [ { user: u, password: p,
            permissions: { subscribe: { deny: ["secret.>"] } } } ] }
    """
    async with NatsServer(config) as server:
        told, on_error = recorder()
        async with connect(server.url, user="u", password="p", on_error=on_error) as nc:
            sub = await nc.subscribe("secret.Plan")
            with pytest.raises(PermissionsError) as caught:
                await sub.next_msg(2)
            assert caught.value.subject == "secret.Plan"
            assert (caught.value.operation, sub.is_valid) == ("subscribe", False)
            with pytest.raises(PermissionsError):
                async for _ in sub:
                    pass
            with pytest.raises(PermissionsError):
                await nc.subscribe("secret.checked", check=True)
            assert nc.subscriptions == []
            assert (await nc.subscribe("open", check=True)).is_valid
            await eventually(lambda: len(told) == 2)
            assert told[0][0] is sub


async def test_a_checked_subscription_that_is_not_confirmed_does_not_stay() -> None:
    async with connected(auto_pong=False) as (nc, _, _):
        task = asyncio.create_task(nc.subscribe("a", check=True))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert nc.subscriptions == []


@pytest.mark.parity("S18")
async def test_a_message_for_nobody_is_counted_and_ignored() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a")
        sid = await sid_of(peer, b"a")
        peer.msg(b"a", b"999", b"123")
        peer.msg(b"a", b"no-number", b"123")
        peer.msg(b"a", sid, b"mine")
        assert (await sub.next_msg(1)).data == b"mine"
        assert (nc.stats().in_msgs, nc.stats().in_bytes) == (3, 10)
        assert nc.last_error is None


async def test_header_blocks_are_remembered_within_bounds(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, cb=lambda _: None)
        for i in range(500):
            await nc.publish(subject, headers={"N": str(i)})
            await nc.publish(subject, headers={"N": str(i) * 1000})
        await nc.flush()
        assert sub.delivered == 1000
        kept = sub._plain_blocks  # noqa: SLF001  what the bound is about
        assert 0 < len(kept) <= 128
        assert sum(map(len, kept)) < 128 * 1024


# many


async def test_subscriptions_over_a_trickling_link_stay_in_order(
    nats_server: NatsServer, subject: str
) -> None:
    async with Proxy(nats_server.port) as proxy, connect(proxy.url) as nc:
        proxy.piece = 7
        subs = [await nc.subscribe(subject) for _ in range(3)]
        for i in range(20):
            await nc.publish(subject, b"%d" % i, headers={"N": str(i)})
        for sub in subs:
            got = [await sub.next_msg(5) for _ in range(20)]
            assert [int(msg.data) for msg in got] == list(range(20))
            assert [msg.headers["N"] for msg in got] == [str(i) for i in range(20)]


async def test_nothing_is_left_of_ten_thousand_subscriptions(nats_server: NatsServer) -> None:
    async with no_leaks(), connect(nats_server.url) as nc:
        await _come_and_go(nc, 10_000)
        await nc.flush()
        assert nc.subscriptions == []
        assert nc.sinks == {}


async def _come_and_go(nc: Connection, count: int) -> None:
    async def handle(_: Msg) -> None:
        pass

    for i in range(count):
        sub = await nc.subscribe("many", cb=handle if i % 2 else None)
        await sub.unsubscribe()
