"""Publishing, and the headers that go along, between natsrpc and nats-py over a real server."""

from __future__ import annotations

import array
import asyncio
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg as TheirMsg

from natsrpc.core import Headers, Msg, connect, new_inbox
from natsrpc.errors import (
    BadHeaderError,
    BadSubjectError,
    ConnectionClosedError,
    HeadersNotSupportedError,
    InvalidMsgError,
    MaxPayloadError,
    ReconnectBufferExceededError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected
from tests.core.harness import eventually

pytestmark = pytest.mark.live


@pytest.fixture
def subject() -> str:
    return new_inbox("pub")


@pytest.mark.parity("P1")
async def test_a_stranger_gets_what_was_published_in_order(
    nats_server: NatsServer, subject: str
) -> None:
    stranger = await nats.connect(nats_server.url)
    got: list[TheirMsg] = []

    async def take(msg: TheirMsg) -> None:
        got.append(msg)

    await stranger.subscribe(subject, cb=take)
    await stranger.flush()
    async with connect(nats_server.url) as nc:
        payloads: list[Any] = [
            b"",
            b"plain",
            bytearray(b"array"),
            memoryview(b"view")[1:],
            array.array("H", [1, 2]),
            bytes(range(256)) * 100,
            b"MSG a 1 3\r\nabc\r\n",
        ]
        for payload in payloads:
            await nc.publish(subject, payload, reply="answer.here")
        await nc.publish(subject)
        await eventually(lambda: len(got) == len(payloads) + 1)
    await stranger.close()
    assert [bytes(msg.data) for msg in got] == [
        *(bytes(memoryview(payload).cast("B")) for payload in payloads),
        b"",
    ]
    assert [msg.reply for msg in got] == ["answer.here"] * len(payloads) + [""]


@pytest.mark.parity("P2", "P3", "E16")
async def test_a_message_made_by_hand_or_received_can_be_published(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        made = Msg(subject, b"data", reply="to.me", headers={"A": ["1", "2"]})
        await nc.publish_msg(made)
        received = await sub.next_msg(1)
        assert (received.subject, received.reply, received.data) == (subject, "to.me", b"data")
        assert received.headers.get_all("A") == ["1", "2"]
        assert received.sub is sub
        await nc.publish_msg(received)
        again = await sub.next_msg(1)
        assert (again.data, again.headers) == (received.data, received.headers)
        for bad in (None, b"bytes", "text"):
            with pytest.raises(InvalidMsgError):
                await nc.publish_msg(bad)  # type: ignore[arg-type]  # the point of the test
        bare = Msg(subject)
        assert (bare.data, bare.reply, len(bare.headers), bare.status) == (b"", "", 0, None)


@pytest.mark.parity("P3")
async def test_a_payload_is_the_receivers_own(nats_server: NatsServer, subject: str) -> None:
    async with connect(nats_server.url) as nc:
        kept: list[Msg] = []
        await nc.subscribe(subject, cb=kept.append)
        mine = bytearray(b"before")
        await nc.publish(subject, mine)
        mine[:] = b"after!"
        for i in range(1000):
            await nc.publish(subject, b"%d" % i)
        await nc.flush()
        assert [msg.data for msg in kept] == [b"before", *(b"%d" % i for i in range(1000))]


@pytest.mark.parity("P4", "E6")
@pytest.mark.parametrize("bad", ["", " ", "a b", "a\r\nPUB b 0\r\n", "a..b", ".a", "a.", "a\t", 3])
async def test_a_bad_subject_or_reply_writes_nothing(
    nats_server: NatsServer, subject: str, bad: Any
) -> None:
    async with connect(nats_server.url) as nc:
        seen: list[Msg] = []
        await nc.subscribe(">", cb=seen.append)
        await nc.flush()
        before = nc.stats()
        with pytest.raises(BadSubjectError):
            await nc.publish(bad)
        if bad:
            with pytest.raises(BadSubjectError):
                await nc.publish(subject, reply=bad)
        await nc.flush()
        assert seen == []
        assert nc.stats().out_msgs == before.out_msgs
        assert nc.last_error is None


@pytest.mark.parametrize("odd", ["p.*", "p.>", "p.a*b", "$JS.API.CONSUMER.CREATE.S.C.p.*.x.>"])
async def test_wildcards_are_published_requested_and_replied_to_as_they_are(
    nats_server: NatsServer, odd: str
) -> None:
    """The server delivers to such a subject literally, and JetStream's API has them."""
    async with connect(nats_server.url) as nc, connect(nats_server.url) as other:
        seen: list[Msg] = []

        async def answer(msg: Msg) -> None:
            seen.append(msg)
            if msg.reply:
                await msg.respond(b"yes")

        await other.subscribe(">", cb=answer)
        await other.flush()
        await nc.publish(odd, b"1")
        await nc.publish_msg(Msg(odd, b"2"))
        assert (await nc.request(odd, b"3")).data == b"yes"
        assert [msg.data async for msg in nc.request_many(odd, b"4", max_msgs=1)] == [b"yes"]
        assert [msg.data for msg in seen if msg.subject == odd] == [b"1", b"2", b"3", b"4"]
        back = await nc.subscribe("p.>")
        await nc.publish("q", b"5", reply="p.*")
        assert (await back.next_msg(2)).subject == "p.*"


@pytest.mark.parity("P5", "E11")
async def test_a_message_over_max_payload_is_refused_and_harms_nothing() -> None:
    async with NatsServer("max_payload: 1000") as server:
        async with connect(server.url) as nc:
            sub = await nc.subscribe("a")
            block = len(Headers({"A": "b"}).encode())
            for size, headers in ((1001, None), (1001 - block, {"A": "b"})):
                with pytest.raises(MaxPayloadError) as caught:
                    await nc.publish("a", b"x" * size, headers=headers)
                assert (caught.value.size, caught.value.max_payload) == (1001, 1000)
            await nc.publish("a", b"x" * 1000)
            await nc.publish("a", b"x" * (1000 - block), headers={"A": "b"})
            assert [len((await sub.next_msg(1)).data) for _ in range(2)] == [1000, 1000 - block]
            assert nc.last_error is None
        with pytest.raises(MaxPayloadError):
            await nc.publish("a", b"x" * 1001)
        with pytest.raises(ConnectionClosedError):
            await nc.publish("a")


@pytest.mark.parity("P5", "P6", "B8", "E15")
async def test_while_reconnecting_messages_are_kept_within_the_last_known_limit() -> None:
    async with connected(info={"max_payload": 100}, reconnect_buffer_size=32) as pair:
        nc, peer, server = pair
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        with pytest.raises(MaxPayloadError):
            await nc.publish("foo", b"x" * 101)
        await nc.publish("foo", b"1234")
        await nc.publish("foo", b"5678")
        with pytest.raises(ReconnectBufferExceededError):
            await nc.publish("foo", b"lost")
        assert nc.buffered == 34
        await server.listen()
        again = await server.accept()
        assert [(await again.expect(b"PUB")).payload for _ in range(2)] == [b"1234", b"5678"]
        await nc.publish("foo", b"later")
        assert (await again.expect(b"PUB")).payload == b"later"


@pytest.mark.parity("P6")
async def test_a_slow_consumer_fails_no_publish(nats_server: NatsServer, subject: str) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject, pending_msgs_limit=1)
        for _ in range(100):
            await nc.publish(subject)
        await nc.flush()
        assert sub.dropped == 99
        await nc.publish(subject)


async def test_a_cancelled_publish_leaves_the_stream_whole() -> None:
    async with connected(receive_buffer=4096) as (nc, peer, _):
        peer.stall()
        tasks = []
        for i in range(200):
            tasks.append(asyncio.create_task(nc.publish("a", b"%d" % i * 10_000)))
            await asyncio.sleep(0)
            if i % 3 == 0:
                tasks[-1].cancel()
        peer.resume()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert any(isinstance(result, asyncio.CancelledError) for result in results)
        await nc.flush()
        payloads = [f.payload for f in peer.frames if f.op == b"PUB"]
        done = [b"%d" % i * 10_000 for i, r in enumerate(results) if r is None]
        assert [p for p in payloads if p in set(done)] == done


# headers


@pytest.mark.parity("L-headers")
async def test_headers_keep_their_case_order_and_repetition_between_clients(
    nats_server: NatsServer, subject: str
) -> None:
    stranger = await nats.connect(nats_server.url)
    theirs = await stranger.subscribe(subject)
    async with connect(nats_server.url) as nc:
        mine = await nc.subscribe(subject)
        await nc.publish(
            subject, b"x", headers={"B": "1", "a-B": ["2", "3"], "b": " trimmed ", "E": ""}
        )
        got = await mine.next_msg(1)
        assert list(got.headers.items()) == [
            ("B", "1"),
            ("a-B", "2"),
            ("a-B", "3"),
            ("b", "trimmed"),
            ("E", ""),
        ]
        assert (got.headers["B"], got.headers["b"], got.headers.get("A-b")) == ("1", "trimmed", "2")
        their_msg = await theirs.next_msg(1)
        assert their_msg.headers is not None
        assert (their_msg.headers["B"], their_msg.headers["b"]) == ("1", "trimmed")
        await stranger.publish(subject, b"y", headers={"From": "them", "x": "ünï"})
        got = await mine.next_msg(1)
        assert (got.data, got.headers["from"], got.headers["x"]) == (b"y", "them", "ünï")
        assert got.status is None
    await stranger.close()


@pytest.mark.parity("L-headers", "E20")
@pytest.mark.parametrize(
    "bad",
    [
        {"": "a"},
        {"a b": "c"},
        {"a:": "c"},
        {"ä": "c"},
        {"a": "b\nc"},
        {"a": "b\r"},
        {"a": "\x00"},
        {"a": 5},
        {"a": ["b", None]},
        {5: "b"},
    ],
)
async def test_headers_that_cannot_be_sent_write_nothing(
    nats_server: NatsServer, subject: str, bad: Any
) -> None:
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe(subject)
        with pytest.raises(BadHeaderError):
            await nc.publish(subject, headers=bad)
        with pytest.raises(BadHeaderError):
            await nc.request(subject, headers=bad)
        await nc.flush()
        assert sub.pending_msgs == 0


@pytest.mark.parity("L-headers", "E20")
async def test_a_server_without_headers_is_sent_none() -> None:
    async with connected(info={"headers": False}) as (nc, peer, _):
        connect_options = next(f for f in peer.frames if f.op == b"CONNECT").options
        assert (connect_options["headers"], connect_options["no_responders"]) == (False, False)
        with pytest.raises(HeadersNotSupportedError):
            await nc.publish("a", headers={"A": "b"})
        with pytest.raises(HeadersNotSupportedError):
            await nc.request("a", headers={"A": "b"})
        await nc.flush()
        assert b"HPUB" not in peer.ops()
        assert b"PUB" not in peer.ops()


@pytest.mark.parity("L-headers")
async def test_a_status_line_is_read_beside_headers() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a")
        peer.msg(b"a", b"1", headers=b"NATS/1.0 100 Idle Heartbeat\r\nA: b\r\n\r\n")
        msg = await sub.next_msg(1)
        assert (msg.status, msg.status_text, msg.headers["A"]) == (100, "Idle Heartbeat", "b")


@pytest.mark.parity("L-headers", "H7")
@pytest.mark.parametrize("kind", ["plain", "async", "pull", "queue"])
async def test_a_block_that_cannot_be_read_is_told_and_its_message_delivered(
    nats_server: NatsServer, subject: str, kind: str
) -> None:
    told: list[tuple[object, Exception]] = []
    got: list[Msg] = []
    queue: asyncio.Queue[Msg] = asyncio.Queue()

    async def take(msg: Msg) -> None:
        got.append(msg)

    def on_error(_: object, sub: object, error: Exception) -> None:
        told.append((sub, error))

    async with connect(nats_server.url, on_error=on_error) as nc:
        ways: dict[str, dict[str, Any]] = {
            "plain": {"cb": got.append},
            "async": {"cb": take},
            "pull": {},
            "queue": {"into": queue},
        }
        sub = await nc.subscribe(subject, **ways[kind])
        nc.link.send(subject.encode(), b"data", b"", b"NATS/1.0\r\nno colon\r\n\r\n")
        if kind == "pull":
            got.append(await sub.next_msg(1))
        elif kind == "queue":
            got.append(await queue.get())
        await eventually(lambda: got and told)
        assert (got[0].data, got[0].headers.malformed, len(got[0].headers)) == (b"data", True, 0)
        assert told[0][0] is sub
        assert isinstance(told[0][1], BadHeaderError)


# echo


@pytest.mark.parity("L-no-echo")
async def test_without_echo_ones_own_messages_do_not_come_back(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url, echo=False) as nc, connect(nats_server.url) as other:
        mine, theirs = await nc.subscribe(subject), await other.subscribe(subject)
        await nc.flush()
        await other.flush()
        await nc.publish(subject, b"mine")
        await nc.flush()
        assert (await theirs.next_msg(1)).data == b"mine"
        await other.publish(subject, b"theirs")
        assert (await mine.next_msg(1)).data == b"theirs"
