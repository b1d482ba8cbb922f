"""Pending limits: what is dropped, what is told, and how often."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, Subscription, connect, new_inbox
from natsrpc.core.subscriptions import PENDING_BYTES_LIMIT, PENDING_MSGS_LIMIT
from natsrpc.errors import (
    BadSubscriptionError,
    ConfigError,
    ConnectionClosedError,
    SlowConsumerError,
    SubscriptionTypeError,
)
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

pytestmark = pytest.mark.live


@pytest.fixture
def subject() -> str:
    return new_inbox("slow")


class Told(list[tuple[object, Exception]]):
    """What `on_error` was told."""

    def __call__(self, _: object, sub: object, error: Exception) -> None:
        self.append((sub, error))


async def publish_many(nc: Connection, subject: str, count: int, size: int = 1) -> None:
    for _ in range(count):
        await nc.publish(subject, b"x" * size)
    await nc.flush()


@pytest.mark.parity("L1", "L2", "S16")
async def test_the_limits_are_generous_and_may_be_changed(
    nats_server: NatsServer, subject: str
) -> None:
    assert (PENDING_MSGS_LIMIT, PENDING_BYTES_LIMIT) == (500_000, 64 * 1024 * 1024)
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        assert sub.pending_limits == (500_000, 64 * 1024 * 1024)
        sub.set_pending_limits(10, None)
        assert list(sub.pending_limits) == [10, None]
        sub.set_pending_limits(-1, 100)
        assert list(sub.pending_limits) == [None, 100]
        small = await nc.subscribe(subject, pending_msgs_limit=3, pending_bytes_limit=-1)
        assert list(small.pending_limits) == [3, None]


@pytest.mark.parametrize("bad", [0, 1.5, True, "8"])
@pytest.mark.parity("L2", "E18")
async def test_a_limit_is_an_int_that_is_not_zero(nats_server: NatsServer, bad: Any) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe("a")
        with pytest.raises(ConfigError, match="pending_msgs_limit"):
            sub.set_pending_limits(bad, 1)
        with pytest.raises(ConfigError, match="pending_bytes_limit"):
            sub.set_pending_limits(1, bad)
        with pytest.raises(ConfigError, match=repr(bad)):
            await nc.subscribe("a", pending_msgs_limit=bad)
        assert sub.pending_limits == (PENDING_MSGS_LIMIT, PENDING_BYTES_LIMIT)
        assert nc.subscriptions == [sub]


@pytest.mark.parity("L3", "L5", "L6", "L7")
async def test_over_the_limit_of_messages_the_new_ones_are_dropped(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, pending_msgs_limit=5)
        for i in range(8):
            await nc.publish(subject, b"%d" % i)
        await nc.flush()
        assert (sub.pending_msgs, sub.pending_bytes, sub.dropped) == (5, 5, 3)
        assert sub.max_pending == (6, 6), "one that was refused counts as well"
        sub.clear_max_pending()
        assert sub.max_pending == (0, 0)
        with pytest.raises(SlowConsumerError):
            await sub.next_msg(1)
        assert [(await sub.next_msg(1)).data for _ in range(5)] == [b"%d" % i for i in range(5)]
        assert (sub.pending_msgs, sub.pending_bytes, sub.delivered) == (0, 0, 5)


@pytest.mark.parity("L3")
async def test_bytes_of_headers_and_payload_have_a_limit_too(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, pending_msgs_limit=None, pending_bytes_limit=100)
        await publish_many(nc, subject, 3, 40)
        assert (sub.pending_msgs, sub.pending_bytes, sub.dropped) == (2, 80, 1)
        await nc.publish(subject, b"x", headers={"A": "longer than 20"})
        await nc.publish(subject, b"x" * 20)
        await nc.flush()
        assert (sub.pending_msgs, sub.pending_bytes, sub.dropped) == (3, 100, 2)


@pytest.mark.parity("L4", "E7", "H7")
@pytest.mark.parametrize("kind", ["pull", "async", "queue"])
async def test_an_episode_is_told_once_and_ends_with_an_accepted_message(
    nats_server: NatsServer, subject: str, kind: str
) -> None:
    told, gate = Told(), asyncio.Semaphore(0)
    queue: asyncio.Queue[Msg] = asyncio.Queue(2)

    async def handle(_: Msg) -> None:
        await gate.acquire()

    async with connect(nats_server.url, on_error=told) as nc:
        sub = (
            await nc.subscribe(subject, into=queue)
            if kind == "queue"
            else await nc.subscribe(
                subject, cb=handle if kind == "async" else None, pending_msgs_limit=2
            )
        )
        await publish_many(nc, subject, 1)
        await asyncio.sleep(0)  # an async callback begins with the first
        await publish_many(nc, subject, 20)
        await eventually(lambda: told)
        first = nc.last_error
        assert isinstance(first, SlowConsumerError)
        assert [who for who, _ in told] == [sub]
        assert (first.subject, first.sid, first.dropped) == (subject, sub.sid, 1)
        dropped = sub.dropped
        assert dropped == (18 if kind == "async" else 19)
        await _handle_one(sub, kind, queue, gate)
        await publish_many(nc, subject, 1)
        assert sub.dropped == dropped, "accepted: the episode is over"
        await publish_many(nc, subject, 5)
        await eventually(lambda: len(told) == 2)
        assert sub.dropped == dropped + 5
        gate.release()


async def _handle_one(
    sub: Subscription, kind: str, queue: asyncio.Queue[Msg], gate: asyncio.Semaphore
) -> None:
    if kind == "queue":
        queue.get_nowait()
    elif kind == "async":
        gate.release()
        await eventually(lambda: sub.pending_msgs == 1)
    else:
        with pytest.raises(SlowConsumerError):
            await sub.next_msg(1)
        await sub.next_msg(1)


@pytest.mark.parity("L4")
async def test_a_flood_of_episodes_is_told_no_faster_than_it_is_heard(
    nats_server: NatsServer, subject: str
) -> None:
    heard: list[int] = []
    slow = asyncio.Event()

    async def on_error(_: object, __: object, error: Exception) -> None:
        assert isinstance(error, SlowConsumerError)
        heard.append(error.dropped)
        await slow.wait()

    async with connect(nats_server.url, on_error=on_error) as nc:
        sub = await nc.subscribe(subject, pending_msgs_limit=1)
        async with connect(nats_server.url) as other:
            await nc.flush()
            for _ in range(50):
                await publish_many(other, subject, 3)
                await nc.flush()
                async for _ in sub:
                    break
        assert sub.dropped == 100
        slow.set()
        await eventually(lambda: len(heard) == 2)


async def test_a_flood_of_episodes_that_nobody_hears_is_logged_once_a_second(
    nats_server: NatsServer, subject: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with connect(nats_server.url) as nc:
        subs = [await nc.subscribe(subject, pending_msgs_limit=1) for _ in range(2)]
        start = asyncio.get_running_loop().time()
        for _ in range(30):
            await publish_many(nc, subject, 3)
            for sub in subs:
                async for _ in sub:
                    break
        seconds = asyncio.get_running_loop().time() - start
        assert [sub.dropped for sub in subs] == [60, 60]
        logged = [r for r in caplog.records if "SlowConsumerError" in r.getMessage()]
        assert 2 <= len(logged) <= 2 * (1 + seconds)


@pytest.mark.parity("L8")
async def test_what_has_no_queue_of_its_own_or_has_ended_says_so(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        into = await nc.subscribe(subject, into=asyncio.Queue())
        ended = await nc.subscribe(subject)
        await ended.unsubscribe()
        for sub, error in ((into, SubscriptionTypeError), (ended, BadSubscriptionError)):
            _expect_no_pending_calls(sub, error)
        live = await nc.subscribe(subject)
    _expect_no_pending_calls(live, ConnectionClosedError)


def _expect_no_pending_calls(sub: Subscription, error: type[Exception]) -> None:
    for fact in ("pending_msgs", "pending_bytes", "max_pending", "pending_limits"):
        with pytest.raises(error):
            getattr(sub, fact)
    with pytest.raises(error):
        sub.set_pending_limits(1, 1)
    with pytest.raises(error):
        sub.clear_max_pending()


@pytest.mark.parity("L8", "S16")
async def test_a_queue_of_the_callers_may_hold_more_than_any_limit(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        pull = await nc.subscribe(subject)
        sub = await nc.subscribe(subject, into=queue)
        await publish_many(nc, subject, 70_000)
        assert (queue.qsize(), sub.dropped) == (70_000, 0)
        assert (pull.pending_msgs, pull.dropped) == (70_000, 0)


@pytest.mark.parity("L9")
async def test_a_subscription_at_its_limit_harms_no_other(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        seen: list[Msg] = []
        slow = await nc.subscribe(subject, pending_msgs_limit=1)
        await nc.subscribe(subject, cb=seen.append)
        await publish_many(nc, subject, 1000)
        assert (len(seen), slow.dropped) == (1000, 999)


async def test_a_flood_of_forged_statuses_is_bounded_as_any_flood(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc, connect(nats_server.url) as villain:
        sub = await nc.subscribe(subject, pending_msgs_limit=10)
        await nc.flush()
        for _ in range(1000):
            villain.link.send(subject.encode(), b"", b"", b"NATS/1.0 503\r\n\r\n")
        await villain.flush()
        await nc.flush()
        assert (sub.pending_msgs, sub.dropped) == (10, 990)


@pytest.mark.parity("L10")
async def test_being_too_slow_for_the_server_is_an_ordinary_loss() -> None:
    config = 'max_payload: 100000\nmax_pending: 200000\nwrite_deadline: "1s"'
    async with NatsServer(config) as server:
        lost: list[object] = []
        async with (
            connect(server.url) as sender,
            connect(
                server.url, on_disconnect=lambda _, error: lost.append(error), reconnect_wait=0.01
            ) as nc,
        ):
            sub = await nc.subscribe("flood", pending_bytes_limit=None)
            await nc.flush()
            _hold_reading(nc)
            for _ in range(300):
                await sender.publish("flood", b"x" * 90_000)
            await sender.flush()
            _go_on_reading(nc)
            await eventually(lambda: lost and nc.is_connected)
            await nc.flush()
            await sender.publish("flood", b"again")
            await eventually(lambda: sub.pending_msgs and _last(sub).data == b"again")


def _hold_reading(nc: Connection) -> None:
    nc.link.session.transport._socket.pause_reading()  # type: ignore[union-attr]  # noqa: SLF001  a stalled process


def _go_on_reading(nc: Connection) -> None:
    nc.link.session.transport._socket.resume_reading()  # type: ignore[union-attr]  # noqa: SLF001  a stalled process


def _last(sub: Subscription) -> Msg:
    pending = sub._intake.pending  # noqa: SLF001  reading would mean reading all
    assert pending is not None
    return pending.msgs[-1]
