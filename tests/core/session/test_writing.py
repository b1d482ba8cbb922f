"""What a connection writes: in the order of the calls, checked, bounded, and each frame once."""

from __future__ import annotations

import array
import asyncio
import contextlib
import random
import tracemalloc
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import (
    BadHeaderError,
    BadQueueNameError,
    BadSubjectError,
    ConfigError,
    InvalidMsgError,
    MaxPayloadError,
    NatsError,
    ReconnectBufferExceededError,
)
from tests.core.connected import connected, sid_of
from tests.core.harness import ScriptedServer, eventually, steady, turns

# When


async def test_what_is_answered_in_place_leaves_together(monkeypatch: pytest.MonkeyPatch) -> None:
    async with connected() as (nc, peer, _):
        await nc.subscribe("a", cb=lambda msg: msg.respond_nowait(b"re " + msg.data))
        await nc.flush()
        chunks: list[bytes] = []
        monkeypatch.setattr(peer, "data_received", chunks.append)
        peer.send(b"".join(b"MSG a 1 r.%d 1\r\n%d\r\n" % (number, number) for number in range(9)))
        await eventually(lambda: chunks)
        answers = [b"PUB r.%d 4\r\nre %d\r\n" % (number, number) for number in range(9)]
        assert chunks == [b"".join(answers)]


async def test_what_was_answered_in_a_chunk_that_breaks_the_session_goes_to_the_next() -> None:
    async with connected() as (nc, peer, server):
        await nc.subscribe("a", cb=lambda msg: msg.respond_nowait(b"yes"))
        await nc.flush()
        peer.send(b"MSG a 1 r 0\r\n\r\nBOGUS\r\n")
        again = await server.accept()
        assert (await again.expect(b"PUB r ")).payload == b"yes"
        assert not [frame for frame in peer.frames if frame.raw.startswith(b"PUB")]


def run_over_an_interrupt(scenario: Coroutine[Any, Any, None]) -> None:
    """Run it, in a loop that a KeyboardInterrupt ends once."""
    loop = asyncio.new_event_loop()
    task = loop.create_task(scenario)
    with pytest.raises(KeyboardInterrupt):
        loop.run_forever()
    loop.run_until_complete(asyncio.wait_for(task, 5))
    loop.close()


def test_what_ends_the_loop_within_a_read_leaves_a_connection_that_writes() -> None:
    def stop(msg: Msg) -> None:
        msg.respond_nowait(b"before")
        raise KeyboardInterrupt

    async def scenario() -> None:
        async with connected() as (nc, peer, _):
            await nc.subscribe("a", cb=stop)
            await nc.flush()
            peer.send(b"MSG a 1 r 0\r\n\r\n")
            await peer.expect(b"PUB r 6")
            await nc.publish("after")
            await peer.expect(b"PUB after ")

    run_over_an_interrupt(scenario())


def test_what_ends_the_loop_behind_a_reply_leaves_a_connection_that_writes() -> None:
    async def ask_and_stop(nc: Connection) -> None:
        await nc.request("a")
        await nc.publish("before")
        raise KeyboardInterrupt

    async def scenario() -> None:
        async with connected() as (nc, peer, _):
            asking = asyncio.create_task(ask_and_stop(nc))
            question = await peer.expect(b"PUB a ")
            peer.send(b"MSG %b 1 0\r\n\r\n" % question.reply)
            await peer.expect(b"PUB before ")
            await nc.publish("after")
            await peer.expect(b"PUB after ")
            assert isinstance(asking.exception(), KeyboardInterrupt)

    run_over_an_interrupt(scenario())


# Order


async def test_a_flush_comes_after_what_was_published_before_it() -> None:
    async with connected() as (nc, peer, _):
        await nc.publish("a", b"1")
        await nc.publish("a", b"2")
        await nc.flush()
        assert peer.ops()[-3:] == [b"PUB", b"PUB", b"PING"]


async def test_frames_of_every_kind_keep_the_order_of_the_calls() -> None:
    async with connected() as (nc, peer, _):
        await nc.publish("a", b"1")
        sub = await nc.subscribe("b")
        await nc.publish("a", b"2", headers={"A": "b"})
        await sub.unsubscribe()
        await nc.publish("a", b"3", reply="r")
        limited = await nc.subscribe("c", queue_group="q", max_msgs=5)
        await nc.flush()
        sid, limited_sid = b"%d" % sub.sid, b"%d" % limited.sid
        assert [frame.raw for frame in peer.frames[2:]] == [
            b"PUB a 1\r\n1\r\n",
            b"SUB b %b\r\n" % sid,
            b"HPUB a 18 19\r\nNATS/1.0\r\nA: b\r\n\r\n2\r\n",
            b"UNSUB %b\r\n" % sid,
            b"PUB a r 1\r\n3\r\n",
            b"SUB c q %b\r\n" % limited_sid,
            b"UNSUB %b 5\r\n" % limited_sid,
            b"PING\r\n",
        ]


async def test_a_reply_inbox_is_subscribed_before_the_request_in_one_write() -> None:
    async with connected() as (nc, peer, _):
        request = asyncio.create_task(nc.request("a", b"?"))
        sid = await sid_of(peer, nc.link.requests.subject.encode())
        published = await peer.next_frame()
        assert (published.op, published.subject) == (b"PUB", b"a")
        peer.msg(published.reply, sid, b"!")
        assert (await request).data == b"!"


async def test_a_slow_peer_loses_and_repeats_nothing() -> None:
    """Many publishers, a peer that stops and goes: each message once, each publisher's in order."""
    dice = random.Random(4)
    async with connected(receive_buffer=131072) as (nc, peer, _):

        async def publish_all(name: str) -> None:
            for number in range(200):
                await nc.publish(name, b"%d " % number + bytes(dice.randrange(4000)))
                if dice.random() < 0.05:
                    await asyncio.sleep(0)

        publishers = asyncio.gather(*(publish_all(f"p{i}") for i in range(24)))
        waited = 0
        while not publishers.done():
            peer.stall()
            await asyncio.sleep(0.003 * dice.random())  # why: a peer that reads nothing for a while
            waited += nc.link.congested
            peer.resume()
            await turns(dice.randrange(20))
        await publishers
        assert waited
        await nc.flush()
        got: dict[bytes, list[int]] = {}
        for frame in peer.frames:
            if frame.op == b"PUB":
                got.setdefault(frame.subject, []).append(int(frame.payload.split(b" ")[0]))
        assert got == {b"p%d" % i: list(range(200)) for i in range(24)}


async def test_order_holds_over_a_reconnect_and_nothing_is_written_twice() -> None:
    async with connected(receive_buffer=4096) as (nc, peer, server):
        await nc.subscribe("one")
        await nc.subscribe("two", queue_group="q")
        kept = await nc.subscribe("three", max_msgs=10)
        gone = await nc.subscribe("four")
        await gone.unsubscribe()
        await nc.flush()
        for _ in range(3):
            peer.msg(b"three", b"%d" % kept.sid)
        await peer.synced()
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        late = await nc.subscribe("five")
        for number in range(5):
            await nc.publish("a", b"%d" % number)
        flushed = asyncio.create_task(nc.flush())
        await server.listen()
        again = await server.accept()
        await flushed
        sid = b"%d" % kept.sid
        assert [frame.raw.partition(b"\r\n")[0] for frame in again.frames[1:]] == [
            b"PING",
            b"SUB one 1",
            b"SUB two q 2",
            b"SUB three " + sid,
            b"UNSUB " + sid + b" 7",
            b"SUB five %d" % late.sid,
            *[b"PUB a 1"] * 5,
            b"PING",
        ]
        assert [frame.payload for frame in again.frames if frame.op == b"PUB"] == [
            b"0", b"1", b"2", b"3", b"4",
        ]  # fmt: skip


async def test_published_while_stalled_is_carried_over_without_repeats() -> None:
    """Frames never handed to the socket go to the next connection, in front of newer ones."""
    async with connected(receive_buffer=4096) as (nc, peer, server):
        peer.stall()
        await fill(nc)
        waiting = asyncio.create_task(nc.publish("big", b""))
        await turns()
        numbers = list(range(50))
        for number in numbers:
            nc.link.send(b"n", b"%d" % number)
        await nc.subscribe("s")
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await waiting
        await nc.publish("n", b"last")
        await server.listen()
        again = await server.accept()
        await nc.flush()
        payloads = [frame.payload for frame in again.frames if frame.op == b"PUB"]
        assert payloads[payloads.index(b"") :] == [b"", *(b"%d" % n for n in numbers), b"last"]
        assert len(payloads) < 60
        assert again.ops().count(b"SUB") == 1


# Bounds


async def test_a_peer_that_stops_reading_stops_the_publishers_and_bounds_memory() -> None:
    async with connected(receive_buffer=4096) as (nc, peer, _):
        peer.stall()
        published = 0

        async def flood() -> None:
            nonlocal published
            while True:
                await nc.publish("flood", bytes(10_000))
                published += 1

        tracemalloc.start()
        try:
            floods = [asyncio.create_task(flood()) for _ in range(4)]
            await eventually(lambda: nc.link.congested)
            before = await steady(lambda: published)
            current, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert nc.buffered < 2_000_000
        assert current < 6_000_000
        peer.resume()
        await eventually(lambda: published > before + 100)
        for task in floods:
            task.cancel()
        await asyncio.gather(*floods, return_exceptions=True)


async def fill(nc: Connection) -> None:
    """Write until the kernel takes no more from a peer that reads nothing."""
    while nc.buffered < 400_000:
        nc.link.send(b"fill", bytes(300_000))
        await turns()


async def test_a_publisher_blocked_by_a_stalled_peer_is_ended_by_one_cancel() -> None:
    async with connected(receive_buffer=65536) as (nc, peer, _):
        peer.stall()
        await fill(nc)
        task = asyncio.create_task(nc.publish("a", b"x"))
        await turns(5)
        assert not task.done()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asyncio.wait_for(asyncio.shield(task), 1)
        peer.resume()
        await nc.flush()


async def test_a_message_as_large_as_the_server_allows_is_sent() -> None:
    size = 8 * 1024 * 1024
    async with connected(info={"max_payload": size}) as (nc, peer, _):
        await nc.publish("a", bytes(3 * 1024 * 1024))
        await nc.publish("a", bytes(size))
        await nc.flush(20)
        assert [len(f.payload) for f in peer.frames if f.op == b"PUB"] == [3 * 1024 * 1024, size]


async def test_a_large_buffer_may_be_used_again_as_soon_as_it_is_published() -> None:
    async with connected(info={"max_payload": 1024 * 1024}, receive_buffer=65536) as (nc, peer, _):
        peer.stall()
        buffer = bytearray(b"a" * 500_000)
        await nc.publish("a", buffer)
        nc.link.send(b"a", memoryview(buffer))  # type: ignore[arg-type]  # what a codec might give
        buffer[:] = b"b" * 500_000
        buffer.clear()
        peer.resume()
        await nc.flush()
        assert [f.payload for f in peer.frames if f.op == b"PUB"] == [b"a" * 500_000] * 2


async def test_the_header_block_counts_towards_max_payload() -> None:
    async with connected(info={"max_payload": 100}) as (nc, peer, _):
        block = len(b"NATS/1.0\r\nA: b\r\n\r\n")
        await nc.publish("a", bytes(100))
        await nc.publish("a", bytes(100 - block), headers={"A": "b"})
        for call in (
            nc.publish("a", bytes(101)),
            nc.publish("a", bytes(101 - block), headers={"A": "b"}),
            nc.request("a", bytes(101)),
            nc.request("a", bytes(101 - block), headers={"A": "b"}),
        ):
            with pytest.raises(MaxPayloadError) as caught:
                await call
            assert (caught.value.size, caught.value.max_payload) == (101, 100)
        await nc.flush()
        assert [f.op for f in peer.frames if f.op.endswith(b"PUB")] == [b"PUB", b"HPUB"]
        peer.info(max_payload=10)
        await peer.synced()
        with pytest.raises(MaxPayloadError):
            await nc.publish("a", bytes(11))


async def test_what_is_published_while_down_is_bounded() -> None:
    async with connected(reconnect_buffer_size=10_000) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        sent = 0
        with pytest.raises(ReconnectBufferExceededError):
            for _ in range(1000):
                await nc.publish("a", bytes(100))
                sent += 1
        assert 80 <= sent <= 100
        assert nc.buffered < 10_000 + 200
        await server.listen()
        again = await server.accept()
        await nc.flush()
        assert again.ops().count(b"PUB") == sent


async def test_nothing_is_kept_while_down_if_buffering_is_off() -> None:
    async with connected(reconnect_buffer_size=-1) as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        with pytest.raises(ReconnectBufferExceededError):
            await nc.publish("a", b"x")
        assert nc.buffered == 0


async def test_a_buffered_message_too_large_for_the_next_server_is_dropped_and_told() -> None:
    errors: list[Exception] = []
    async with connected(on_error=lambda nc, sub, error: errors.append(error)) as (
        nc,
        peer,
        server,
    ):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        await nc.publish("a", bytes(1000))
        await nc.publish("a", bytes(10))
        server.info["max_payload"] = 100
        await server.listen()
        again = await server.accept()
        await nc.flush()
        assert [len(f.payload) for f in again.frames if f.op == b"PUB"] == [10]
        assert [type(error) for error in errors] == [MaxPayloadError]


# Refused before a byte is written

BAD_SUBJECTS = ["", " ", "a b", "a\r\nPUB x 0\r\n", "a\nb", "a\x00", ".a", "a.", "a..b", "\ud800"]
BAD_HEADERS: list[dict[Any, Any]] = [
    {"A\r\nB": "c"},
    {"A": "b\r\nC: d"},
    {"A": "b\n"},
    {"A": ["ok", "b\r"]},
    {"A": "b\x00"},
    {"": "b"},
    {"A:": "b"},
    {"A": 5},
]


def publishing(bad: Any) -> list[Callable[[Connection], Awaitable[object]]]:
    return [
        lambda nc: nc.publish(bad),
        lambda nc: nc.request(bad),
        lambda nc: anext(nc.request_many(bad)),
        lambda nc: nc.subscribe(bad),
    ]


@pytest.mark.parametrize("bad", [*BAD_SUBJECTS, None, 5, b"a"], ids=repr)
async def test_a_bad_subject_is_refused_on_every_path_and_nothing_is_written(bad: Any) -> None:
    async with connected() as (nc, peer, _):
        written = len(peer.received)
        for call in publishing(bad):
            with pytest.raises(BadSubjectError):
                await call(nc)
        if bad:
            with pytest.raises(BadSubjectError):
                await nc.publish("a", reply=bad)
        await nc.flush()
        assert bytes(peer.received[written:]) == b"PING\r\n"
        assert nc.subscriptions == []


@pytest.mark.parametrize("bad", ["a b", "q\r\nPING", "q\n", "q\x00", "*", 5], ids=repr)
async def test_a_bad_queue_group_is_refused(bad: Any) -> None:
    async with connected() as (nc, peer, _):
        written = len(peer.received)
        with pytest.raises(BadQueueNameError):
            await nc.subscribe("a", queue_group=bad)
        await nc.flush()
        assert bytes(peer.received[written:]) == b"PING\r\n"
        assert nc.subscriptions == []


@pytest.mark.parametrize("bad", BAD_HEADERS, ids=repr)
async def test_bad_headers_are_refused_on_every_path_and_nothing_is_written(
    bad: dict[Any, Any],
) -> None:
    async with connected() as (nc, peer, _):
        got: list[Msg] = []
        await nc.subscribe("a", cb=got.append)
        peer.msg(b"a", await sid_of(peer, b"a"), reply=b"r")
        await eventually(lambda: got)
        await nc.flush()
        written = len(peer.received)
        for call in (
            nc.publish("a", headers=bad),
            nc.request("a", headers=bad),
            anext(nc.request_many("a", headers=bad)),
            got[0].respond(b"", headers=bad),
        ):
            with pytest.raises(BadHeaderError):
                await call
        await nc.flush()
        assert bytes(peer.received[written:]) == b"PING\r\n"


async def test_names_that_would_not_fit_one_control_line_are_refused() -> None:
    """The server closes the connection at a line over 4096 bytes, whatever its parts."""
    long = "x" * 3000
    async with connected() as (nc, peer, _):
        with pytest.raises(BadSubjectError):
            await nc.publish(long, reply=long)
        with pytest.raises((BadSubjectError, BadQueueNameError)):
            await nc.subscribe("x" * 3800, queue_group="q" * 1000)
        with pytest.raises(BadSubjectError):
            await nc.request("x" * 4000)
        await nc.publish("x" * 3000, reply="y" * 800)
        await nc.flush()
        assert max(len(frame.raw.partition(b"\r\n")[0]) for frame in peer.frames) < 4096


@pytest.mark.parametrize("bad", ["a b", "a.", "a.*", "", "a\r\nPING\r\n"])
async def test_a_bad_inbox_prefix_is_refused_before_dialing(bad: str) -> None:
    async with ScriptedServer() as server:
        with pytest.raises((ConfigError, BadSubjectError)):
            await connect(server.url, inbox_prefix=bad)
        assert server.peers == []


@pytest.mark.parametrize("bad", ["text", 5, None, ["a"], {"a": 1}], ids=repr)
async def test_a_payload_that_is_no_bytes_is_refused_on_every_path(bad: Any) -> None:
    async with connected() as (nc, peer, _):
        written = len(peer.received)
        for call in (nc.publish("a", bad), nc.request("a", bad), anext(nc.request_many("a", bad))):
            with pytest.raises(InvalidMsgError):
                await call
        await nc.flush()
        assert bytes(peer.received[written:]).replace(b"SUB", b"").count(b"PUB") == 0
        assert nc.subscriptions == []


async def test_views_and_arrays_are_sent_as_their_bytes() -> None:
    async with connected() as (nc, peer, _):
        numbers = array.array("I", [1, 2, 3])
        payloads: list[Any] = [bytearray(b"abc"), memoryview(b"abcdef")[::2], numbers]
        payloads.append(memoryview(numbers))
        for data in payloads:
            await nc.publish("a", data)
        await nc.flush()
        sent = [frame.payload for frame in peer.frames if frame.op == b"PUB"]
        assert sent == [b"abc", b"ace", numbers.tobytes(), numbers.tobytes()]


async def test_a_payload_changed_after_publishing_is_sent_as_it_was() -> None:
    async with connected() as (nc, peer, _):
        data: Any = bytearray(b"before")
        await nc.publish("a", data)
        data[:] = b"after!"
        await nc.flush()
        assert [f.payload for f in peer.frames if f.op == b"PUB"] == [b"before"]


async def test_what_cannot_be_sent_leaves_the_connection_as_it_was() -> None:
    async with connected(info={"max_payload": 100}) as (nc, peer, _):
        bad: list[Awaitable[object]] = [
            nc.publish("a b"),
            nc.publish("a", bytes(101)),
            nc.request("a", bytes(101)),
            nc.subscribe("a b"),
            nc.publish("a", headers={"A": "\n"}),
        ]
        for call in bad:
            with contextlib.suppress(NatsError):
                await call
        assert nc.is_connected
        assert not nc.link.requests.pending
        await nc.flush()
        assert b"PUB" not in peer.ops()
