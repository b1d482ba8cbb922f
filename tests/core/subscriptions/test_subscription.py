"""Subscriptions of every kind, on a real server: what is delivered, and what one says of itself."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import nats
import pytest

from natsrpc.core import Connection, Msg, SubscriptionKind, connect, new_inbox
from natsrpc.errors import (
    BadQueueNameError,
    BadSubjectError,
    ConfigError,
    ConfigTypeError,
    ConnectionClosedError,
    MaxSubscriptionsError,
    NatsTimeoutError,
    PermissionsError,
    SlowConsumerError,
    SubscriptionTypeError,
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


async def test_a_checked_subscription_outlives_a_session_that_ends_before_it_is_confirmed() -> None:
    async with connected(auto_pong=False) as (nc, peer, server):
        checked = [asyncio.create_task(nc.subscribe(name, check=True)) for name in ("a", "b")]
        await eventually(lambda: b"SUB b" in peer.received)
        server.auto_pong = True
        peer.err("maximum subscriptions exceeded")
        peer.close()
        peer = await server.accept()
        assert [sub.subject for sub in await asyncio.gather(*checked)] == ["a", "b"]
        assert [sub.is_valid for sub in nc.subscriptions] == [True, True]


async def test_a_checked_subscription_that_the_server_has_no_room_for_is_an_error() -> None:
    with NatsServer("max_subscriptions: 1") as server:
        async with connect(server.url) as nc:
            await nc.subscribe("a", check=True)
            with pytest.raises(MaxSubscriptionsError):
                await nc.subscribe("b", check=True)
            assert [sub.subject for sub in nc.subscriptions] == ["a"]


async def test_an_attached_subscription_can_hear_of_its_denial_alone() -> None:
    config = """
        authorization { users: [ { user: u, password: p,
            permissions: { subscribe: { deny: ["secret.>"] } } } ] }
    """
    denied: list[Any] = []
    told, on_error = recorder()
    with NatsServer(config) as server:
        async with connect(server.url, user="u", password="p", on_error=on_error) as nc:
            sub = nc.link.attach("secret.plan", lambda msg: None, on_denied=denied.append)
            await nc.flush()
            assert [error.subject for error in denied] == ["secret.plan"]
            assert not sub.is_valid
            assert (told, nc.last_error) == ([], None)


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
        kept = sub._intake._plain_blocks  # noqa: SLF001  what the bound is about
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
        assert nc.link.sinks == {}


async def _come_and_go(nc: Connection, count: int) -> None:
    async def handle(_: Msg) -> None:
        pass

    for i in range(count):
        sub = await nc.subscribe("many", cb=handle if i % 2 else None)
        await sub.unsubscribe()
