"""Draining a subscription and a connection: nothing received is lost, and nobody waits for ever."""

from __future__ import annotations

import asyncio
import gc
import sys
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, Status, Subscription, connect, new_inbox
from natsrpc.errors import (
    BadSubscriptionError,
    ConnectionClosedError,
    ConnectionDrainingError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    MaxMessagesError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected, sid_of
from tests.core.harness import eventually, no_leaks, turns, warped

pytestmark = pytest.mark.live


@pytest.fixture
def subject() -> str:
    return new_inbox("drain")


async def publish_many(nc: Connection, subject: str, count: int) -> None:
    for i in range(count):
        await nc.publish(subject, b"%d" % i)
    await nc.flush()


# a subscription


@pytest.mark.parity("L-drain-sub")
async def test_all_that_the_server_had_sent_is_handled(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc, connect(nats_server.url) as other:
        handled = 0

        async def handle(_: Msg) -> None:
            nonlocal handled
            await asyncio.sleep(0)
            handled += 1

        sub = await nc.subscribe(subject, cb=handle)
        await nc.flush()
        sent = 0

        async def send() -> None:
            nonlocal sent
            while sub.is_valid:
                await other.publish(subject)
                sent += 1
                if not sent % 50:
                    await asyncio.sleep(0)

        sending = asyncio.create_task(send())
        await eventually(lambda: handled > 100)
        before = nc.stats().in_msgs
        await sub.drain()
        assert nc.stats().in_msgs >= before
        assert handled == sub.delivered
        assert not sub.is_valid
        assert handled == nc.stats().in_msgs
        await sending
        await other.flush()
        await nc.flush()
        assert handled == nc.stats().in_msgs, "and nothing after"


@pytest.mark.parity("L-drain-sub")
async def test_the_sid_stays_until_the_server_has_answered() -> None:
    async with connected(auto_pong=False) as (nc, peer, _):
        got: list[bytes] = []
        sub = await nc.subscribe("a", cb=lambda msg: got.append(msg.data))
        sid = await sid_of(peer, b"a")
        draining = asyncio.create_task(sub.drain())
        await peer.expect(b"UNSUB")
        await peer.expect(b"PING")
        peer.msg(b"a", sid, b"in flight")
        peer.ping()
        await peer.expect(b"PONG")
        assert got == [b"in flight"]
        assert not draining.done()
        assert sub.is_valid
        assert sub.is_draining
        peer.pong()
        await asyncio.wait_for(draining, 1)
        assert not sub.is_valid


@pytest.mark.parity("L-drain-sub")
async def test_a_running_handler_is_waited_for(nats_server: NatsServer, subject: str) -> None:
    release, done = asyncio.Event(), []

    async def handle(msg: Msg) -> None:
        await release.wait()
        done.append(msg.data)

    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, cb=handle)
        await publish_many(nc, subject, 3)
        drains = [asyncio.create_task(sub.drain()) for _ in range(2)]
        await eventually(lambda: not sub.is_valid)
        await turns()
        assert not any(drain.done() for drain in drains)
        release.set()
        await asyncio.wait_for(asyncio.gather(*drains), 1)
        assert done == [b"0", b"1", b"2"]
        await sub.drain()
        ended = await nc.subscribe(subject)
        await ended.unsubscribe()
        with pytest.raises(BadSubscriptionError):
            await ended.drain()


@pytest.mark.parity("L-drain-sub")
async def test_what_nobody_reads_is_not_waited_for_and_stays_readable(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        await publish_many(nc, subject, 3)
        await asyncio.wait_for(sub.drain(), 1)
        assert not sub.is_valid
        assert sub.pending_msgs == 3
        assert (await sub.next_msg(1)).data == b"0"
        assert [msg.data async for msg in sub] == [b"1", b"2"]
        with pytest.raises(BadSubscriptionError):
            await sub.next_msg(1)


async def test_the_body_of_an_iteration_is_waited_for(
    nats_server: NatsServer, subject: str
) -> None:
    release, done = asyncio.Event(), []
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)

        async def read() -> None:
            async for msg in sub:
                await release.wait()
                done.append(msg.data)

        reader = asyncio.create_task(read())
        await publish_many(nc, subject, 3)
        draining = asyncio.create_task(sub.drain())
        await eventually(lambda: not sub.is_valid)
        await turns()
        assert not draining.done()
        release.set()
        await asyncio.wait_for(draining, 1)
        assert done == [b"0", b"1", b"2"]
        await reader


async def test_a_reader_that_gave_up_is_not_waited_for(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        kept: list[Any] = []

        async def read_one() -> None:
            messages = aiter(sub)
            kept.append(messages)
            await anext(messages)

        reader = asyncio.create_task(read_one())
        await publish_many(nc, subject, 2)
        draining = asyncio.create_task(sub.drain())
        await reader
        await asyncio.wait_for(draining, 1)
        await kept.pop().aclose()


async def test_a_reader_that_waits_no_more_is_not_waited_for(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        with pytest.raises(TimeoutError):
            await sub.next_msg(0.001)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await sub.next_msg(None)
        await asyncio.wait_for(asyncio.create_task(sub.drain()), 1)


async def test_a_subscription_may_be_drained_in_its_own_callback(
    nats_server: NatsServer, subject: str
) -> None:
    seen: list[bytes] = []
    async with no_leaks(), connect(nats_server.url) as nc:

        async def handle(msg: Msg) -> None:
            if msg.data == b"0":
                await asyncio.wait_for(_drain_in_place(msg.sub), 1)
            seen.append(msg.data)

        sub = await nc.subscribe(subject, cb=handle)
        await publish_many(nc, subject, 4)
        await eventually(lambda: len(seen) == 4)
        await sub.drain()
        assert not sub.is_valid


def _drain_in_place(sub: Subscription) -> asyncio.Future[None]:
    """`await sub.drain()` within this very task, as a future that is done if it did not wait."""
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    step = sub.drain()
    try:
        step.send(None)
    except StopIteration:
        done.set_result(None)
    return done


async def test_a_subscription_may_be_drained_in_the_body_of_its_own_iteration(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        await publish_many(nc, subject, 3)
        seen = []
        async with asyncio.timeout(1):
            async for msg in sub:
                seen.append(msg.data)
                if len(seen) == 1:
                    await sub.drain()
        assert seen == [b"0", b"1", b"2"]


async def test_a_drain_goes_on_when_its_caller_is_cancelled(
    nats_server: NatsServer, subject: str
) -> None:
    release, done = asyncio.Event(), []

    async def handle(msg: Msg) -> None:
        await release.wait()
        done.append(msg.data)

    async with no_leaks(), connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, cb=handle)
        await publish_many(nc, subject, 2)
        caller = asyncio.create_task(sub.drain())
        await turns()
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        release.set()
        await sub.drain()
        assert done == [b"0", b"1"]


async def test_a_loss_during_a_drain_ends_it_and_does_not_resubscribe() -> None:
    async with connected(auto_pong=False) as (nc, peer, server):
        done: list[bytes] = []

        async def handle(msg: Msg) -> None:
            await asyncio.sleep(0)
            done.append(msg.data)

        sub = await nc.subscribe("a", cb=handle)
        sid = await sid_of(peer, b"a")
        for i in range(3):
            peer.msg(b"a", sid, b"%d" % i)
        draining = asyncio.create_task(sub.drain())
        await peer.expect(b"PING")
        peer.reset()
        await asyncio.wait_for(draining, 1)
        assert done == [b"0", b"1", b"2"]
        server.auto_pong = True
        again = await server.accept()
        again.auto_pong = True
        again.pong()
        await nc.flush()
        assert b"SUB" not in again.ops()


async def test_close_ends_the_wait_of_a_drain(nats_server: NatsServer, subject: str) -> None:
    release = asyncio.Event()

    async def handle(_: Msg) -> None:
        await release.wait()

    async with no_leaks():
        async with connect(nats_server.url) as nc:
            sub = await nc.subscribe(subject, cb=handle)
            await publish_many(nc, subject, 2)
            drains = [asyncio.create_task(sub.drain()), asyncio.create_task(nc.drain())]
            await eventually(lambda: not sub.is_valid)
            await asyncio.wait_for(nc.close(), 1)
            await asyncio.wait(drains, timeout=1)
            assert [type(drain.exception()) for drain in drains] == [ConnectionClosedError] * 2
        release.set()


# a connection


@pytest.mark.parity("L-drain", "R11")
async def test_draining_handles_what_was_received_and_sends_what_was_published(
    nats_server: NatsServer, subject: str
) -> None:
    async with no_leaks(), connect(nats_server.url) as watcher:
        answers = await watcher.subscribe(f"{subject}.answers")
        await watcher.flush()
        nc = await connect(nats_server.url)

        async def handle(msg: Msg) -> None:
            await asyncio.sleep(0)
            await msg.respond(msg.data)

        async def read(sub: Subscription) -> None:
            async for msg in sub:
                await msg.respond(msg.data)

        subs = [await nc.subscribe(subject, cb=handle), await nc.subscribe(subject)]
        reader = asyncio.create_task(read(subs[1]))
        await nc.flush()
        for i in range(100):
            await watcher.publish(subject, b"%d" % i, reply=f"{subject}.answers")
        await watcher.flush()
        await asyncio.wait_for(nc.drain(), 5)
        assert nc.status is Status.CLOSED
        assert not any(sub.is_valid for sub in subs)
        await reader
        await watcher.flush()
        assert sum(sub.delivered for sub in subs) == answers.pending_msgs
        await nc.drain()


@pytest.mark.parity("L-drain")
async def test_a_running_handler_may_publish_and_ask_but_not_subscribe(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as server, connect(nats_server.url) as nc:

        async def answer(msg: Msg) -> None:
            await msg.respond(b"yes")

        await server.subscribe(f"{subject}.ask", cb=answer)
        await server.flush()
        draining = asyncio.Event()
        outcome: list[object] = []

        async def handle(msg: Msg) -> None:
            await draining.wait()
            outcome.append(nc.status)
            for refused in (nc.subscribe("new"), other.unsubscribe()):
                with pytest.raises(ConnectionDrainingError):
                    await refused
            await nc.publish(f"{subject}.told")
            outcome.append((await nc.request(f"{subject}.ask", timeout=1)).data)
            outcome.extend([m.data async for m in nc.request_many(f"{subject}.ask", max_msgs=1)])

        other = await nc.subscribe("other", cb=lambda _: asyncio.Event())
        await nc.subscribe(subject, cb=handle)
        await nc.publish(subject)
        await nc.flush()
        task = asyncio.create_task(nc.drain())
        await eventually(lambda: nc.is_draining)
        draining.set()
        await asyncio.wait_for(task, 2)
        assert outcome == [Status.DRAINING_SUBS, b"yes", b"yes"]
        with pytest.raises(ConnectionClosedError):
            await nc.publish("late")


@pytest.mark.parity("L-drain", "R11")
@pytest.mark.parametrize("old_style", [False, True])
@pytest.mark.parametrize("many_first", [False, True])
async def test_requests_in_flight_are_waited_for(
    nats_server: NatsServer, subject: str, old_style: bool, many_first: bool
) -> None:
    async with (
        connect(nats_server.url) as server,
        connect(nats_server.url, old_style_requests=old_style) as nc,
    ):
        questions = await server.subscribe(subject)
        await server.flush()
        asking = asyncio.create_task(nc.request(subject, timeout=5))
        asked = await questions.next_msg(2)

        async def collect() -> list[bytes]:
            return [msg.data async for msg in nc.request_many(subject, max_msgs=1, timeout=5)]

        many = asyncio.create_task(collect())
        asked_many = await questions.next_msg(2)
        draining = asyncio.create_task(nc.drain())
        await eventually(lambda: nc.is_draining)
        await turns()
        assert nc.subscriptions == []
        pending = {asked: asking, asked_many: many}
        for question in (asked_many, asked) if many_first else (asked, asked_many):
            await server.flush()
            await turns(30)
            assert not draining.done()
            await question.respond(b"in time")
            await pending.pop(question)
        assert (asking.result().data, many.result()) == (b"in time", [b"in time"])
        await asyncio.wait_for(draining, 2)


@pytest.mark.parity("L-drain")
async def test_publishing_is_refused_once_all_is_handled() -> None:
    async with connected(auto_pong=False) as (nc, peer, _):
        draining = asyncio.create_task(nc.drain())
        await eventually(lambda: nc.status is Status.DRAINING_PUBS)
        with pytest.raises(ConnectionDrainingError):
            await nc.publish("a")
        with pytest.raises(ConnectionDrainingError):
            await nc.request("a")
        second = asyncio.create_task(nc.drain())
        await peer.expect(b"PING")
        peer.pong()
        await asyncio.gather(draining, second)
        assert nc.is_closed


@pytest.mark.parity("L-drain")
async def test_a_drain_that_takes_too_long_is_told_and_closes_anyway(
    nats_server: NatsServer, subject: str
) -> None:
    told: list[Exception] = []
    release = asyncio.Event()

    async def handle(_: Msg) -> None:
        await release.wait()

    def on_error(_: object, __: object, error: Exception) -> None:
        told.append(error)

    async with no_leaks():
        async with connect(nats_server.url, drain_timeout=0.05, on_error=on_error) as nc:
            await nc.subscribe(subject, cb=handle)
            await publish_many(nc, subject, 2)
            with pytest.raises(DrainTimeoutError, match=r"0\.05"):
                await nc.drain()
            assert nc.is_closed
            assert isinstance(nc.last_error, DrainTimeoutError)
            assert [type(error) for error in told] == [DrainTimeoutError]
            with pytest.raises(DrainTimeoutError):
                await nc.drain()
        release.set()


@warped
async def test_an_end_that_the_server_does_not_confirm_is_no_success() -> None:
    for loses in (False, True):
        async with connected(auto_pong=False) as (nc, peer, _):
            draining = asyncio.create_task(nc.drain())
            await peer.expect(b"PING")
            if loses:
                peer.reset()
            with pytest.raises(ConnectionClosedError if loses else DrainTimeoutError):
                await draining
            assert nc.is_closed
            if not loses:
                assert isinstance(nc.last_error, DrainTimeoutError)


async def test_a_closed_connection_cannot_be_drained(nats_server: NatsServer) -> None:
    nc = await connect(nats_server.url)
    await nc.close()
    with pytest.raises(ConnectionClosedError):
        await nc.drain()


async def test_a_failed_drain_nobody_waits_for_is_not_complained_about(
    nats_server: NatsServer,
) -> None:
    complaints: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, what: complaints.append(what))
    told: list[str] = []  # and nothing is logged: a log record would keep the task alive
    options: dict[str, Any] = {
        "drain_timeout": 0.02,
        "on_error": lambda *what: told.append(str(what[-1])),
    }
    async with no_leaks(), connect(nats_server.url, **options) as nc:
        nc.link.add_drain_hook(asyncio.Event().wait)  # type: ignore[arg-type]  # never ends
        task = asyncio.create_task(nc.drain())
        await turns()
        task.cancel()
        await nc.wait_closed()
        await nc.close()
    del task, nc
    gc.collect()
    await turns()
    assert len(told) == 1
    assert complaints == []


@pytest.mark.parity("L-drain")
async def test_draining_while_reconnecting_closes_and_says_so() -> None:
    async with no_leaks(), connected() as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        with pytest.raises(ConnectionReconnectingError):
            await nc.drain()
        assert nc.is_closed


@pytest.mark.parity("L-drain")
async def test_messages_that_nobody_reads_delay_no_drain_and_stay_readable(
    nats_server: NatsServer, subject: str
) -> None:
    nc = await connect(nats_server.url)
    sub = await nc.subscribe(subject)
    await publish_many(nc, subject, 2)
    await asyncio.wait_for(nc.drain(), 1)
    assert [msg.data async for msg in sub] == [b"0", b"1"]


async def test_what_ended_subscriptions_received_is_handled_too(
    nats_server: NatsServer, subject: str
) -> None:
    nc = await connect(nats_server.url)
    release, done = asyncio.Event(), []

    async def handle(msg: Msg) -> None:
        await release.wait()
        await nc.publish(f"{subject}.done")
        done.append(msg.data)

    full = await nc.subscribe(subject, cb=handle, max_msgs=3)
    stopped = await nc.subscribe(subject, cb=handle)
    await publish_many(nc, subject, 3)
    await eventually(lambda: full.delivered == stopped.delivered == 1)
    await stopped.unsubscribe()
    assert not full.is_valid
    draining = asyncio.create_task(nc.drain())
    await eventually(lambda: nc.is_draining)
    await turns(10)
    assert not draining.done()
    release.set()
    await asyncio.wait_for(draining, 1)
    assert sorted(done) == [b"0", b"0", b"1", b"2"]


@pytest.mark.parametrize("where", ["callback", "last callback", "connection callback", "hook"])
async def test_a_connection_may_be_drained_in_a_callback(
    nats_server: NatsServer, subject: str, where: str
) -> None:
    seen: list[bytes] = []
    returned: list[bool] = []

    async def drain() -> None:
        await nc.drain()
        returned.append(nc.is_closed)

    async def handle(msg: Msg) -> None:
        if msg.data == b"0" and where.endswith("callback"):
            await drain()
        seen.append(msg.data)

    async def on_error(*_: object) -> None:
        await drain()

    async with no_leaks(), connect(nats_server.url, on_error=on_error) as nc:
        sub = await nc.subscribe(subject, cb=handle)
        last = 3 if where == "last callback" else None
        await (sub.unsubscribe(max_msgs=last) if last else turns())
        if where == "hook":
            nc.link.add_drain_hook(drain)
            await publish_many(nc, subject, 3)
            await nc.drain()
        if where == "connection callback":
            nc.link.report(ValueError("for the test"), None)
        else:
            await publish_many(nc, subject, 3) if where != "hook" else None
        await asyncio.wait_for(nc.wait_closed(), 2)
        if where != "connection callback":
            assert seen == [b"0", b"1", b"2"]
        await eventually(lambda: returned)


async def test_a_connection_may_be_drained_in_the_body_of_an_iteration(
    nats_server: NatsServer, subject: str
) -> None:
    async with asyncio.timeout(2), connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        await publish_many(nc, subject, 3)
        seen = []
        async for msg in sub:
            seen.append(msg.data)
            if len(seen) == 1:
                await nc.drain()
                assert nc.is_closed
        assert seen == [b"0", b"1", b"2"]


async def test_a_connection_may_be_drained_in_the_body_of_a_request_for_many(
    nats_server: NatsServer, subject: str
) -> None:
    async with (
        asyncio.timeout(2),
        connect(nats_server.url) as server,
        connect(nats_server.url) as nc,
    ):
        questions = await server.subscribe(subject)
        await server.flush()
        replies = nc.request_many(subject, timeout=30)
        first = asyncio.ensure_future(anext(replies))
        await (await questions.next_msg(1)).respond(b"1")
        await first

        async def stop_at_the_second() -> None:
            async for _ in nc.request_many(subject, timeout=30):
                await replies.aclose()  # type: ignore[attr-defined]  # it is a generator
                await nc.drain()
                return

        stopping = asyncio.create_task(stop_at_the_second())
        await (await questions.next_msg(1)).respond(b"2")
        await stopping
        assert nc.is_closed


@pytest.mark.skipif(sys.version_info < (3, 12), reason="tasks can start eagerly from 3.12")
async def test_drains_work_where_tasks_start_eagerly(nats_server: NatsServer, subject: str) -> None:
    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)  # type: ignore[attr-defined]  # from 3.12
    seen: list[bytes] = []
    ended: list[str] = []

    async def handle(msg: Msg) -> None:
        await asyncio.sleep(0)
        seen.append(msg.data)

    async with connected() as (nc, peer, server):
        sub = await nc.subscribe("a", cb=handle)
        sub.on_closed = lambda sub: ended.append(sub.subject)
        peer.msg(b"a", await sid_of(peer, b"a"), b"1")
        await peer.synced()
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await sub.drain()
    async with connect(nats_server.url) as nc:
        await nc.subscribe(subject, cb=handle)
        await publish_many(nc, subject, 2)
        await nc.drain()
    assert seen == [b"1", b"0", b"1"]
    assert ended == ["a"]


async def test_the_end_of_the_block_waits_for_a_drain_begun_in_a_callback(
    nats_server: NatsServer, subject: str
) -> None:
    asked, done = asyncio.Event(), []

    async with connect(nats_server.url) as nc:

        async def stop(_: Msg) -> None:
            await nc.drain()
            asked.set()
            await turns(20)
            done.append("stopped")

        await nc.subscribe(subject, cb=stop)
        await nc.publish(subject)
        await asked.wait()
    assert done == ["stopped"]


# hooks


async def test_hooks_run_first_and_one_that_fails_stops_nothing(
    nats_server: NatsServer, subject: str
) -> None:
    steps: list[str] = []

    async def bad() -> None:
        steps.append("bad")
        raise TimeoutError("of its own")

    async def good() -> None:
        steps.append("good")
        await (await nc.subscribe(subject)).unsubscribe()

    async def gone() -> None:
        raise AssertionError("was removed")

    async with connect(nats_server.url) as nc:
        for hook in (bad, good, gone):
            nc.link.add_drain_hook(hook)
        nc.link.remove_drain_hook(gone)
        nc.link.remove_drain_hook(gone)
        await nc.subscribe(subject, cb=lambda _: None)
        await nc.drain()
        assert steps == ["bad", "good"]
        assert nc.is_closed
        assert isinstance(nc.last_error, TimeoutError)
        assert not isinstance(nc.last_error, DrainTimeoutError)


@pytest.mark.parametrize("ending", ["close", "loss"])
async def test_a_connection_that_ends_during_a_hook_stays_ended(ending: str) -> None:
    closings: list[object] = []
    async with no_leaks(), connected(on_close=closings.append) as (nc, peer, server):

        async def hook() -> None:
            if ending == "close":
                await nc.close()
            else:
                server.refuse()
                peer.reset()
                await eventually(lambda: nc.is_reconnecting)

        nc.link.add_drain_hook(hook)
        expected = ConnectionClosedError if ending == "close" else ConnectionReconnectingError
        with pytest.raises(expected):
            await asyncio.wait_for(nc.drain(), 2)
        assert nc.is_closed
        await nc.close()
        assert closings == [nc]


async def test_a_connection_lost_while_draining_closes_and_says_so() -> None:
    async with no_leaks(), connected(auto_pong=False) as (nc, peer, _):
        await nc.subscribe("a")
        draining = asyncio.create_task(nc.drain())
        await peer.expect(b"UNSUB")
        peer.reset()
        with pytest.raises(ConnectionClosedError):
            await asyncio.wait_for(draining, 1)
        assert nc.is_closed


async def test_a_waiting_read_ends_with_the_drain(nats_server: NatsServer, subject: str) -> None:
    nc = await connect(nats_server.url)
    sub = await nc.subscribe(subject)
    limited = await nc.subscribe(subject, max_msgs=1)
    reads = [asyncio.create_task(s.next_msg(None)) for s in (sub, limited)]
    await turns()
    await publish_many(nc, subject, 1)
    reads.append(asyncio.create_task(sub.next_msg(None)))
    await turns()
    await nc.drain()
    assert [(await read).data for read in reads[:2]] == [b"0", b"0"]
    with pytest.raises((BadSubscriptionError, ConnectionClosedError)):
        await reads[2]
    with pytest.raises((MaxMessagesError, ConnectionClosedError)):
        await limited.next_msg(1)


async def test_draining_over_and_over_at_random_moments_loses_nothing(
    nats_server: NatsServer, subject: str
) -> None:
    """A row of workers in one group, each drained under load: every message is handled once."""
    total = 3000
    handled: list[int] = []

    async with connect(nats_server.url) as sender:

        def worker() -> Callable[[Msg], Any]:
            async def handle(msg: Msg) -> None:
                await asyncio.sleep(0)
                handled.append(int(msg.data))

            return handle

        current = await connect(nats_server.url)
        await current.subscribe(subject, queue_group="w", cb=worker())
        await current.flush()

        async def send() -> None:
            for i in range(total):
                await sender.publish(subject, b"%d" % i)
                if not i % 20:
                    await sender.flush()

        sending = asyncio.create_task(send())
        while not sending.done():
            following = await connect(nats_server.url)
            await following.subscribe(subject, queue_group="w", cb=worker())
            await following.flush()
            await current.drain()
            current = following
        await sender.flush()
        await current.drain()
    assert sorted(handled) == list(range(total))
