"""A subscription that ends by itself after a number of messages."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natsrpc.core import Msg, connect, new_inbox
from natsrpc.core.subscriptions.sinks import MsgCallback
from natsrpc.errors import BadSubscriptionError, ConfigError, MaxMessagesError
from natsrpc.testing import NatsServer
from tests.core.connected import connected, sid_of
from tests.core.harness import eventually, turns

pytestmark = pytest.mark.live


@pytest.fixture
def subject() -> str:
    return new_inbox("test")


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
            await turns()
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
        assert sub.delivered == 3
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
        assert nc.stats().in_msgs == 2 + 8
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
