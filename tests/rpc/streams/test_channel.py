"""One side of a stream without a network: frames lost, out of order, senseless, or late."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natsrpc.errors import (
    ConnectionClosedError,
    NatsTimeoutError,
    ReplyTooLargeError,
    UnavailableError,
)
from natsrpc.rpc.headers.frame import control, read_control
from natsrpc.rpc.streams import channel as channels
from natsrpc.rpc.streams.channel import Channel
from natsrpc.rpc.streams.state import START, WINDOW
from tests.core.harness import eventually
from tests.rpc.scripted import ScriptedConnection, as_connection, block, message

PEER = b"_INBOX.peer.00000001"


class Side:
    """A channel, and what it told its owner."""

    def __init__(self, peer: bytes = PEER, credit: int = 2, splits: bool = True) -> None:
        self.connection = ScriptedConnection()
        self.stops = 0
        self.replies: list[bytes] = []
        self.channel = Channel(
            as_connection(self.connection),
            peer,
            credit=credit,
            on_stop=self.stopped,
            on_reply=lambda msg: self.replies.append(msg.data),
            splits=splits,
        )

    def stopped(self) -> None:
        self.stops += 1

    def receive(self, data: bytes = b"", reply: bytes = b"", headers: bytes = b"") -> None:
        (sink,) = self.connection.link.requests.streams.values()
        sink(message(self.channel.address, data, reply, headers))

    def item(self, number: int, data: bytes = b"1") -> None:
        self.receive(data, b"%b%d" % (PEER, number))

    async def read(self) -> list[Any]:
        return [item async for item in self.channel.items(int)]

    def controls(self) -> list[tuple[str, int] | None]:
        return [read_control(msg.headers) for msg in self.connection.sent if msg.raw_headers]


async def test_items_then_the_end() -> None:
    side = Side()
    side.item(1, b"10")
    side.item(2, b"20")
    side.receive(headers=control("end", 2))
    assert await side.read() == [10, 20]
    side.channel.close()
    assert not side.connection.link.requests.streams


@pytest.mark.parametrize(
    "learn",
    [
        lambda side: side.item(1),
        lambda side: side.receive(reply=PEER, headers=control("alive", 0)),
    ],
)
async def test_the_peers_address_is_learned_from_its_first_frame(learn: Any) -> None:
    side = Side(peer=b"")
    assert not side.channel.stop()
    learn(side)
    assert side.channel.peer == PEER
    assert side.channel.stop()
    side.channel.close()


@pytest.mark.parametrize(
    "break_it",
    [
        lambda side: side.item(3),
        lambda side: side.item(1),
        lambda side: side.receive(headers=control("alive", 5)),
        lambda side: side.receive(headers=control("end", 5)),
        lambda side: side.receive(b"1", PEER + b"x"),
    ],
)
async def test_a_broken_stream_fails_after_what_came_before(break_it: Any) -> None:
    side = Side()
    side.item(1, b"7")
    break_it(side)
    got = []
    with pytest.raises((UnavailableError, ValueError)):
        async for item in side.channel.items(int):
            got.append(item)  # noqa: PERF401 — kept when the stream fails
    assert got == [7]
    side.channel.close()


async def test_senseless_frames_are_passed_over() -> None:
    side = Side()
    side.receive(headers=block(Natsrpc_Frame="credit many"))
    side.receive(headers=block(Natsrpc_Frame="dance 5"))
    side.receive(headers=control("credit", 1))  # less than there is
    assert side.channel.writer.credit == 2
    side.receive(b"an answer", headers=block(X="1"))
    assert side.replies == [b"an answer"]
    side.channel.close()


async def test_sending_waits_for_credit() -> None:
    side = Side(credit=1)
    await side.channel.send(b"1")
    waiting = asyncio.ensure_future(side.channel.send(b"2"))
    await asyncio.sleep(0)
    assert len(side.connection.sent) == 1
    side.receive(headers=control("credit", 5))
    await waiting
    assert [msg.raw_reply[len(side.channel.address) :] for msg in side.connection.sent] == [
        b"1",
        b"2",
    ]
    side.channel.close()


async def test_sending_waits_for_a_congested_connection() -> None:
    side = Side()
    side.connection.link.congested = True
    await side.channel.send(b"1")
    assert side.connection.waits == 1
    await side.channel.send(b"2")
    assert side.channel.writer.sent == 2
    side.channel.close()


async def test_what_does_not_fit_a_message_goes_in_parts_within_the_credit() -> None:
    side = Side(credit=3)
    sending = asyncio.ensure_future(side.channel.send(b"x" * 4000))
    await asyncio.sleep(0)
    assert [len(msg.data) for msg in side.connection.sent] == [960] * 3
    assert side.controls() == [("part", left) for left in (3040, 2080, 1120)]
    side.connection.sent.clear()
    side.receive(headers=control("credit", 9))
    await sending
    assert [len(msg.data) for msg in side.connection.sent] == [960, 160]
    assert side.controls() == [("part", 160)]
    assert side.connection.sent[-1].raw_reply == side.channel.address + b"5"
    assert side.connection.flushes == 4  # others may write in between
    side.channel.close()


async def test_what_does_not_fit_a_message_is_refused_where_nobody_takes_parts() -> None:
    side = Side(splits=False)
    with pytest.raises(ReplyTooLargeError):
        await side.channel.send(b"x" * 5000)
    await side.channel.send(b"1")
    assert side.channel.writer.sent == 1
    side.channel.close()


async def test_parts_become_one_item() -> None:
    side = Side(peer=b"")
    for number in range(1, 100):
        reply = b"%b%d" % (PEER, number)
        side.receive(b"1", reply, control("part", 100 - number))
    side.item(100, b"2")
    side.item(101, b"3")
    side.receive(headers=control("end", 101))
    assert await side.read() == [int("1" * 99 + "2"), 3]
    assert side.controls() == [("credit", 17 + WINDOW), ("credit", 82 + WINDOW)]
    side.channel.close()


async def test_an_end_in_the_middle_of_an_item_is_no_end() -> None:
    side = Side()
    side.receive(b"1", PEER + b"1", control("part", 1))
    side.receive(headers=control("end", 1))
    with pytest.raises(UnavailableError, match="middle"):
        await side.read()
    side.channel.close()


async def test_a_peer_that_is_gone_wakes_reader_and_writer() -> None:
    side = Side(credit=0)
    reading = asyncio.ensure_future(side.read())
    writing = asyncio.ensure_future(side.channel.send(b"1"))
    await asyncio.sleep(0)
    side.receive(headers=b"NATS/1.0 503\r\n\r\n")
    for waiting in (reading, writing):
        with pytest.raises(UnavailableError):
            await waiting
    assert side.stops == 1
    with pytest.raises(UnavailableError):
        await side.channel.send(b"2")
    side.channel.close()


async def test_stop_is_heard_and_nothing_after_the_close() -> None:
    side = Side()
    side.receive(headers=control("stop", 0))
    assert side.stops == 1
    side.channel.close()
    side.channel.gone()
    assert side.stops == 1


async def test_silence_is_broken_by_both_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "TICK", 0.01)
    side = Side()
    side.channel.reads = side.channel.writes = True
    await eventually(lambda: len(side.controls()) >= 2)
    assert side.controls()[:2] == [("alive", 0), ("credit", START)]
    assert all(msg.raw_reply == side.channel.address for msg in side.connection.sent)
    side.channel.close()


async def test_a_lost_connection_ends_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "TICK", 0.01)
    side = Side()
    side.connection.is_closed = True
    with pytest.raises(ConnectionClosedError):
        await side.read()
    assert side.stops == 1
    assert side.channel.stop()  # known, though it cannot be told
    side.channel.close()


async def test_a_peer_never_heard_again_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "TICK", 0.005)
    monkeypatch.setattr(channels, "PATIENCE", 3)
    side = Side()
    with pytest.raises(NatsTimeoutError, match="nothing is heard"):
        await side.read()
    assert side.stops == 1
    side.channel.close()


async def test_ready_waits_for_the_first_credit_or_the_end() -> None:
    side = Side(credit=0)
    waiting = asyncio.ensure_future(side.channel.ready())
    await asyncio.sleep(0)
    assert not waiting.done()
    side.receive(headers=control("credit", 3))
    await waiting
    await side.channel.ready()
    side.channel.close()


async def test_nothing_is_said_to_a_peer_whose_address_is_not_known() -> None:
    side = Side(peer=b"")
    side.channel.open_credit()
    assert side.connection.sent == []
    side.channel.close()
