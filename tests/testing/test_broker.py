"""The broker in memory: what it can be asked to do wrong, and what it refuses."""

from __future__ import annotations

import asyncio

import pytest

from natsrpc.core import Connection, Msg, Status
from natsrpc.errors import (
    MaxPayloadError,
    NoRespondersError,
    NoServersError,
    ServerClosedConnectionError,
)
from natsrpc.testing import Broker, Clock


class Wire(asyncio.Protocol):
    """A client that is not ours: it writes and keeps bytes."""

    def __init__(self) -> None:
        self.got = b""
        self.lost: list[Exception | None] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.got += data

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)

    async def says(self, data: bytes) -> bytes:
        """What the broker answers to `data`."""
        await turns()
        self.got = b""
        self.transport.write(data)
        await turns()
        return self.got


async def turns() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


@pytest.fixture
async def wire(broker: Broker) -> Wire:
    """A raw connection that has said CONNECT."""
    _, protocol = await broker.dial(Wire, "memory", 4222)
    assert isinstance(protocol, Wire)
    await turns()
    assert protocol.got.startswith(b"INFO {")
    assert await protocol.says(b'CONNECT {"headers":true,"no_responders":true}\r\nPING\r\n') == (
        b"PONG\r\n"
    )
    return protocol


async def test_it_speaks_the_protocol_s_bytes(wire: Wire) -> None:
    assert await wire.says(b"SUB a.* 1\r\nPUB a.b r 2\r\nhi\r\n") == b"MSG a.b 1 r 2\r\nhi\r\n"
    headers = b"NATS/1.0\r\nA: b\r\n\r\n"
    assert await wire.says(b"hpub a.b 18 20\r\n" + headers + b"hi\r\n") == (
        b"HMSG a.b 1 18 20\r\n" + headers + b"hi\r\n"
    )
    assert await wire.says(b"UNSUB 1\r\nPUB a.b 2\r\nhi\r\n") == b""


async def test_frames_may_be_cut_anywhere(wire: Wire) -> None:
    assert await wire.says(b"SUB a 1\r\n") == b""
    frame = b"PUB a 6\r\nhi\r\nyo\r\n"
    for at in range(1, len(frame)):
        assert await wire.says(frame[:at]) == b""
        assert await wire.says(frame[at:]) == b"MSG a 1 6\r\nhi\r\nyo\r\n"


async def test_a_limit_counts_deliveries_from_the_start(wire: Wire) -> None:
    await wire.says(b"SUB a 1\r\nPUB a 1\r\n1\r\n")
    assert (
        await wire.says(b"UNSUB 1 2\r\nPUB a 1\r\n2\r\nPUB a 1\r\n3\r\n") == b"MSG a 1 1\r\n2\r\n"
    )
    await wire.says(b"SUB b 2\r\nPUB b 1\r\n1\r\n")
    assert await wire.says(b"UNSUB 2 1\r\nPUB b 1\r\n2\r\n") == b""


async def test_no_responders_names_the_subject(wire: Wire) -> None:
    status = b"NATS/1.0 503\r\nNats-Subject: none\r\n\r\n"
    told = b"HMSG r 1 %d %d\r\n%b\r\n" % (len(status), len(status), status)
    assert await wire.says(b"SUB r 1\r\nPUB none r 0\r\n\r\n") == told


async def test_nobody_is_told_of_a_lost_message_without_a_reply(wire: Wire, broker: Broker) -> None:
    with broker.fault("a", no_responders=True):
        assert await wire.says(b"SUB > 1\r\nPUB a 2\r\nhi\r\n") == b""


@pytest.mark.parametrize(
    ("frame", "text"),
    [
        (b"BOO\r\n", b"Unknown Protocol Operation"),
        (b"PUB a 2\r\nhigh\r\n", b"Unknown Protocol Operation"),
        (b"PUB a 2000000\r\n" + bytes(2_000_000) + b"\r\n", b"Maximum Payload Violation"),
    ],
)
async def test_a_broken_client_is_told_and_dropped(
    wire: Wire, broker: Broker, frame: bytes, text: bytes
) -> None:
    assert await wire.says(frame) == b"-ERR '" + text + b"'\r\n"
    await turns()
    assert len(wire.lost) == 1
    assert broker.connections == 0


async def test_what_was_published_can_be_looked_at(broker: Broker) -> None:
    async with broker.connect() as nc:
        await nc.publish("a", b"1", reply="r", headers={"X": "y"})
        await nc.flush()
    (message,) = broker.published
    assert (message.subject, message.data, message.reply) == ("a", b"1", "r")
    assert b"X: y" in message.headers


async def test_a_fault_drops_so_many_messages(broker: Broker) -> None:
    async with broker.connect() as nc:
        sub = await nc.subscribe("a.>")
        with broker.fault("a.*", drop=True, times=2) as fault:
            for number in range(4):
                await nc.publish("a.b", str(number).encode())
            await nc.flush()
        assert fault.hits == 2
        assert [(await sub.next_msg()).data for _ in range(2)] == [b"2", b"3"]
        await nc.publish("a.b", b"after")
        assert (await sub.next_msg()).data == b"after"


async def test_a_fault_delays_messages(broker: Broker) -> None:
    clock = Clock.install()
    async with broker.connect() as nc:
        sub = await nc.subscribe("a")
        with broker.fault("a", delay=5.0):
            await nc.publish("a", b"late")
            await nc.flush()
        assert sub.pending_msgs == 0
        await clock.advance(5.0)
        assert sub.pending_msgs == 1


async def test_a_fault_hides_the_responders(broker: Broker) -> None:
    async def answer(msg: Msg) -> None:
        await msg.respond(b"here")

    async with broker.connect() as nc:
        await nc.subscribe("a", cb=answer)
        with broker.fault("a", no_responders=True, times=1), pytest.raises(NoRespondersError):
            await nc.request("a")
        assert (await nc.request("a")).data == b"here"


async def test_a_disconnect_is_survived(broker: Broker) -> None:
    async with broker.connect() as nc:
        sub = await nc.subscribe("a")
        await nc.flush()
        broker.disconnect()
        await broker.until_connected(1)
        await nc.publish("a", b"after")
        assert (await sub.next_msg()).data == b"after"
        assert nc.stats().reconnects == 1


async def test_refusing_keeps_everybody_out(broker: Broker) -> None:
    async with broker.connect(max_reconnect_attempts=-1) as nc:
        with broker.refuse():
            await turns()
            assert nc.status is Status.RECONNECTING
            with pytest.raises(NoServersError):
                await broker.connect()
        await broker.until_connected(1)
        await nc.flush()


async def test_waiting_for_clients_that_do_not_come_ends(broker: Broker) -> None:
    with pytest.raises(TimeoutError, match="0 of 1"):
        await broker.until_connected(1)


async def test_the_limit_of_a_payload_is_the_broker_s() -> None:
    broker = Broker(max_payload=10)
    async with broker.connect() as nc:
        with pytest.raises(MaxPayloadError):
            await nc.publish("a", bytes(11))


async def test_its_errors_are_ours_to_tell(broker: Broker) -> None:
    errors: list[Exception] = []

    def told(_: Connection, __: object, error: Exception) -> None:
        errors.append(error)

    async with broker.connect(on_error=told) as nc:
        broker.max_payload = 10  # lowered without an INFO, as by a reload
        await nc.publish("a", bytes(11))
        await broker.until_connected(1)
        await turns()
    assert [type(error) for error in errors] == [ServerClosedConnectionError]
