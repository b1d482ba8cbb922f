"""The way out: the frames it writes, what it counts, and that congestion is told however it is
used."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.core import Connection, ServerInfo
from natsrpc.core.link.outbound import Outbound
from natsrpc.core.session import HIGH_WATER
from natsrpc.core.wire import frames
from natsrpc.errors import (
    ConnectionClosedError,
    HeadersNotSupportedError,
    MaxPayloadError,
    ReconnectBufferExceededError,
)
from tests.core.connected import connected
from tests.core.session.test_transport import opened

BLOCK = b"NATS/1.0\r\nA: b\r\n\r\n"
LARGE = frames.LARGE + 1


def unchanged(reply: bytes, headers: bytes) -> bytes:
    """All requests are still waited for, and say what they said."""
    return headers


@pytest.mark.parametrize("reply", [b"", b"_INBOX.x"])
@pytest.mark.parametrize("headers", [b"", BLOCK])
@pytest.mark.parametrize("size", [0, 1, frames.LARGE - len(BLOCK), frames.LARGE, LARGE])
async def test_every_message_is_one_frame_and_is_counted(
    size: int, headers: bytes, reply: bytes
) -> None:
    transport, _, _ = opened()
    outbound = Outbound(0, unchanged)
    outbound.write_to(transport)
    data = bytes(size)
    outbound.send(b"a", data, reply, headers)
    expected = bytes(frames.large(b"a", headers, data, reply))
    assert list(map(bytes, transport.frames)) == [expected]
    assert transport.unsent == len(expected)
    assert (outbound.sent_msgs, outbound.sent_bytes) == (1, size + len(headers))


Send = Callable[[Connection, bytes], Any]

WAYS: dict[str, Send] = {
    "send": lambda nc, data: nc.link.send(b"a", data),
    "send with a reply": lambda nc, data: nc.link.send(b"a", data, b"r"),
    "send with headers": lambda nc, data: nc.link.send(b"a", data, b"", BLOCK),
    "publish": lambda nc, data: nc.publish("a", data),
    "publish with a reply": lambda nc, data: nc.publish("a", data, reply="r"),
    "publish with headers": lambda nc, data: nc.publish("a", data, headers={"A": "b"}),
}


@pytest.mark.parametrize("size", [1000, 100_000], ids=["small", "large"])
@pytest.mark.parametrize("way", WAYS)
async def test_congestion_is_told_in_the_turn_in_which_it_begins(way: str, size: int) -> None:
    async with connected() as (nc, _, _):
        data, turned, sent = bytes(size), False, 0

        def note_turn() -> None:
            nonlocal turned
            turned = True

        nc.link.loop.call_soon(note_turn)
        while not (turned or nc.link.congested):
            waiting = WAYS[way](nc, data)
            if waiting is not None:
                await waiting  # a turn of the loop, once it is congested
            sent += size
            assert sent < HIGH_WATER + 2 * size, "nobody is asked to wait"
        assert sent > HIGH_WATER / 2, "and not much too early"


async def test_publishing_waits_only_while_it_is_congested() -> None:
    async with connected() as (nc, _, _):
        publishing = nc.publish("a", b"1")
        with pytest.raises(StopIteration):
            publishing.send(None)  # a coroutine, run in place
        nc.link.send(b"a", bytes(HIGH_WATER))
        assert nc.link.congested
        publishing = nc.publish("a", b"2")
        publishing.send(None)  # it waits
        publishing.close()
        nc.link.push()
        assert not nc.link.congested


async def test_without_a_session_messages_are_kept_and_replayed_or_refused() -> None:
    transport, _, _ = opened()
    outbound = Outbound(1000, unchanged)
    outbound.send(b"a", b"first")
    outbound.send(b"a", b"with headers", b"", BLOCK)
    outbound.carry([b"PING\r\n", b"PUB a 5\r\nlost.\r\n"])
    headed = frames.hpub(b"a", BLOCK, b"with headers")
    assert outbound.buffered == 2 * len(b"PUB a 5\r\nfirst\r\n") + len(headed)
    refused = outbound.replay(transport, ServerInfo(headers=False))
    assert [type(error) for error, _ in refused] == [HeadersNotSupportedError]
    assert transport.frames == [b"PUB a 5\r\nlost.\r\n", b"PUB a 5\r\nfirst\r\n"]
    assert outbound.buffered == 0
    outbound.refuse(ConnectionClosedError)
    with pytest.raises(ConnectionClosedError):
        outbound.send(b"a", b"")
    assert outbound.sent_msgs == 2, "what was refused does not count"


async def test_what_finds_no_room_is_not_counted() -> None:
    outbound = Outbound(-1, unchanged)
    for data in (b"small", bytes(LARGE)):
        with pytest.raises(ReconnectBufferExceededError):
            outbound.send(b"a", data)
    outbound.note_info(ServerInfo(max_payload=10))
    with pytest.raises(MaxPayloadError):
        outbound.send(b"a", bytes(11))
    assert (outbound.sent_msgs, outbound.sent_bytes, outbound.buffered) == (0, 0, 0)


async def test_the_limits_are_those_of_the_server_connected_to() -> None:
    transport, _, _ = opened()
    outbound = Outbound(1000, unchanged)
    assert outbound.encode({"A": "b"}) == BLOCK
    outbound.note_info(ServerInfo(max_payload=10, headers=False))
    outbound.write_to(transport)
    assert outbound.max_payload == 10
    with pytest.raises(HeadersNotSupportedError):
        outbound.encode({"A": "b"})
    outbound.keep()
    assert outbound.encode({"A": "b"}) == BLOCK, "the next server may support them"


async def test_only_the_current_transport_says_whether_it_is_congested() -> None:
    transport, _, _ = opened()
    other, _, _ = opened()
    outbound = Outbound(1000, unchanged)
    outbound.write_to(transport)
    outbound.note_pressure(other, congested=True)
    assert not outbound.congested
    outbound.note_pressure(transport, congested=True)
    assert outbound.congested
    outbound.keep()
    assert not outbound.congested
