"""Values larger than a message may be travel in frames, to whoever takes them so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from typing import Any

import pytest

from natsrpc.core import Msg
from natsrpc.errors import (
    DeadlineExceededError,
    NatsTimeoutError,
    NoRespondersError,
    ReplyTooLargeError,
    RequestTooLargeError,
    UnavailableError,
)
from natsrpc.rpc import Client, Context, EndpointContract, Policy, Server, Service, connect
from natsrpc.rpc.headers import frame, item_frame
from natsrpc.rpc.streams import conversations_of, large_subject
from natsrpc.testing import NatsServer
from tests.core.harness import eventually
from tests.rpc.paths import either_path

pytestmark = pytest.mark.live

path = either_path

MIB = 1024 * 1024


class Store:
    """A service whose requests and replies have any size."""

    def __init__(self, prefix: str, **options: Any) -> None:
        self.started = 0
        self.ended = asyncio.Event()
        self.service = Service("large", version="1.0.0", **options)
        group = self.service.group(prefix)
        for function in (self.give, self.size, self.echo, self.stuck, self.texts, self.sizes):
            group.handler(function.__name__)(function)

    async def give(self, size: int, context: Context) -> bytes:
        context.reply_headers["Stored-As"] = "x"
        return b"x" * size

    async def size(self, data: bytes) -> int:
        self.started += 1
        return len(data)

    async def echo(self, text: str) -> str:
        return text

    async def stuck(self, data: bytes) -> None:
        self.started += 1
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def texts(self, sizes: list[int]) -> AsyncIterator[str]:
        for size in sizes:
            yield "t" * size

    async def sizes(self, texts: AsyncIterator[str]) -> list[int]:
        return [len(text) async for text in texts]


@pytest.fixture
def store(unique: str) -> Store:
    return Store(unique)


async def nothing_left(server: Server, *clients: Client) -> None:
    (running,) = server.services
    await eventually(lambda: running.inflight == 0)
    for endpoint in running.endpoints:
        assert not endpoint.taken
        assert endpoint.inflight == 0
    for client in clients:
        await eventually(partial(_has_no_streams, client))
        assert not client.connection.link.requests.pending
        all_ = conversations_of(client.connection.link)
        assert all_.account.free == all_.account.size
        assert all_.window.free == all_.window.size


def _has_no_streams(client: Client) -> bool:
    return not client.connection.link.requests.streams


@pytest.mark.parametrize("size", [MIB + 1, 5 * MIB, 8 * MIB])
async def test_a_large_reply(client: Client, other: Client, store: Store, size: int) -> None:
    async with other.serve(store.service) as server:
        data = await client.call(store.give, size, timeout=30)
        assert data == b"x" * size
        await nothing_left(server, client, other)
        (give, *_) = server.services[0].endpoints
        assert (give.answers.num_requests, give.answers.num_errors) == (1, 0)


@pytest.mark.parametrize("size", [MIB + 1, 5 * MIB, 8 * MIB])
async def test_a_large_request(client: Client, other: Client, store: Store, size: int) -> None:
    async with other.serve(store.service) as server:
        assert await client.call(store.size, b"x" * size, timeout=30) == size
        await nothing_left(server, client, other)


async def test_much_larger_ones_where_both_sides_say_so(
    nats_server: NatsServer, unique: str
) -> None:
    store = Store(unique, max_body=64 * MIB)
    async with (
        connect(nats_server.url, max_body=64 * MIB) as client,
        connect(nats_server.url) as other,
        other.serve(store.service) as server,
    ):
        assert await client.call(store.size, b"x" * 64 * MIB, timeout=30) == 64 * MIB
        assert len(await client.call(store.give, 64 * MIB, timeout=30)) == 64 * MIB
        await nothing_left(server, client, other)


async def test_both_and_all_ways_to_call(
    client: Client, other: Client, unique: str, store: Store
) -> None:
    text = "".join(map(str, range(400_000)))
    async with other.serve(store.service) as server:
        assert await client.call(store.echo, text) == text
        assert await client.call(f"{unique}.echo", text, str, codec="msgpack") == text
        assert await client.call(f"{unique}.echo", text, str, policy=Policy()) == text
        assert await client.call(f"{unique}.echo", text, str, timeout=None) == text
        assert await asyncio.gather(*[client.call(store.echo, text) for _ in range(8)])
        await nothing_left(server, client, other)


async def test_on_a_connection_with_an_inbox_for_each_request(
    nats_server: NatsServer, other: Client, store: Store
) -> None:
    text = "y" * 2 * MIB
    options: dict[str, Any] = {"old_style_requests": True}
    async with connect(nats_server.url, **options) as client, other.serve(store.service):
        assert await client.call(store.echo, text) == text


async def test_a_stranger_is_told_that_it_is_too_large(
    client: Client, unique: str, store: Store
) -> None:
    async with client.serve(store.service) as server:
        reply = await client.connection.request(f"{unique}.give", b"%d" % (2 * MIB))
        assert reply.headers["Nats-Service-Error-Code"] == "413"
        await nothing_left(server, client)


async def test_a_stranger_gets_no_half_request(client: Client, unique: str) -> None:
    seen: list[Msg] = []
    await client.connection.subscribe(f"{unique}.any", cb=seen.append)
    with pytest.raises(NoRespondersError):
        await client.call(f"{unique}.any", b"x" * 2 * MIB)
    with pytest.raises(NoRespondersError):
        await client.call(f"{unique}", b"x")
    assert seen == []
    assert not client.connection.link.requests.streams


async def test_nothing_larger_than_what_is_taken(
    nats_server: NatsServer, other: Client, unique: str
) -> None:
    store = Store(unique, max_body=2 * MIB)
    async with (
        connect(nats_server.url, max_body=2 * MIB) as client,
        connect(nats_server.url, max_body=0) as plain,
        other.serve(store.service) as server,
    ):
        assert await client.call(store.size, b"x" * 2 * MIB) == 2 * MIB
        with pytest.raises(RequestTooLargeError):
            await client.call(store.size, b"x" * (2 * MIB + 1))
        assert len(await client.call(store.give, 2 * MIB)) == 2 * MIB
        with pytest.raises(ReplyTooLargeError):
            await client.call(store.give, 2 * MIB + 1)
        with pytest.raises(ReplyTooLargeError):
            await plain.call(store.give, 2 * MIB)
        with pytest.raises(ReplyTooLargeError, match="at most"):
            _ = [text async for text in client.stream(store.texts, [1, 3 * MIB])]
        await eventually(lambda: not other.connection.link.outbound.congested)
        with pytest.raises(RequestTooLargeError):
            await client.upload(store.sizes, texts(1, 3 * MIB))
        await nothing_left(server, client, other)


async def texts(*sizes: int) -> AsyncIterator[str]:
    for size in sizes:
        yield "t" * size


SIZES = [0, 1, MIB, MIB + 1, 5, 3 * MIB, 7 * MIB, 7 * MIB, 7, 0]


async def test_large_items_of_a_stream(client: Client, other: Client, store: Store) -> None:
    async with other.serve(store.service) as server:
        got = [len(text) async for text in client.stream(store.texts, SIZES)]
        assert got == SIZES
        assert await client.upload(store.sizes, texts(*SIZES)) == SIZES
        await nothing_left(server, client, other)


async def test_a_plain_requester_of_a_stream_is_told_so(
    client: Client, unique: str, store: Store
) -> None:
    async with client.serve(store.service):
        replies = client.connection.request_many(f"{unique}.texts", b"[1,2000000]", timeout=1)
        got = [msg async for msg in replies]
    assert got[0].data == b'"t"'
    assert got[1].headers["Nats-Service-Error-Code"] == "413"


async def test_the_end_of_an_empty_stream_is_no_head(
    client: Client, unique: str, store: Store
) -> None:
    async with client.serve(store.service):
        async with asyncio.timeout(10):
            assert await client.call(f"{unique}.texts", [], timeout=1) is None


async def test_cancelling_a_large_call_cancels_the_handler(
    client: Client, other: Client, store: Store
) -> None:
    async with other.serve(store.service) as server:
        call = asyncio.ensure_future(client.call(store.stuck, b"x" * 2 * MIB))
        await eventually(lambda: store.started == 1)
        call.cancel()
        await asyncio.wait_for(store.ended.wait(), 1)
        await nothing_left(server, client, other)


@pytest.mark.usefixtures("patient_callers")
async def test_the_deadline_of_a_large_call(client: Client, other: Client, store: Store) -> None:
    async with other.serve(store.service) as server:
        with pytest.raises(DeadlineExceededError):
            await client.call(store.stuck, b"x" * 2 * MIB, timeout=0.8)
        await asyncio.wait_for(store.ended.wait(), 1)
        await nothing_left(server, client, other)


async def test_a_caller_that_dies_in_the_middle(
    nats_server: NatsServer, other: Client, store: Store
) -> None:
    client = await connect(nats_server.url)
    async with other.serve(store.service) as server:
        call = asyncio.ensure_future(client.call(store.stuck, b"x" * 2 * MIB))
        await eventually(lambda: store.started == 1)
        await client.close()
        await asyncio.gather(call, return_exceptions=True)
        await asyncio.wait_for(store.ended.wait(), 2)
        await nothing_left(server, other)


async def test_a_head_without_a_body(
    client: Client, other: Client, unique: str, store: Store
) -> None:
    """Whoever sends only a head holds a place to receive its body in, until its time is over."""
    subject = large_subject(f"{unique}.size")
    async with other.serve(store.service) as server:
        silent = await client.connection.subscribe(f"{unique}.inbox")
        headers = {"Natsrpc-Frame": f"large {MIB}", "Natsrpc-Timeout": "100"}
        await client.connection.publish(subject, reply=f"{unique}.inbox", headers=headers)
        words = [(await silent.next_msg(1)).headers for _ in range(4)]
        assert [word["Natsrpc-Frame"].split()[0] for word in words[:3]] == [
            "ack",
            "alive",
            "credit",
        ]
        assert words[3]["Nats-Service-Error-Code"] == "504"
        await nothing_left(server, client, other)
        for word, code in (("large x", 413), ("open 3 3", 413), (f"large {9 * MIB}", 413)):
            refused = await client.connection.request(subject, headers={"Natsrpc-Frame": word})
            assert refused.headers["Nats-Service-Error-Code"] == str(code)
        assert store.started == 0
        await nothing_left(server, client, other)


async def test_a_head_with_a_body_that_is_too_long(
    client: Client, other: Client, unique: str, store: Store
) -> None:
    async with other.serve(store.service) as server:
        inbox = await client.connection.subscribe(f"{unique}.inbox")
        await client.connection.publish(
            large_subject(f"{unique}.size"),
            reply=f"{unique}.inbox",
            headers={"Natsrpc-Frame": "large 2"},
        )
        worker = [(await inbox.next_msg(1)).raw_reply for _ in range(3)][-1]
        send = client.connection.link.outbound.send
        send(worker, b"abc", b"", item_frame(1))
        assert (await inbox.next_msg(1)).headers["Nats-Service-Error-Code"] == "503"
        await nothing_left(server, client, other)


@pytest.mark.usefixtures("patient_callers")
async def test_a_large_request_waits_for_its_turn(
    client: Client, other: Client, unique: str
) -> None:
    store = Store(unique, max_concurrency=1)
    async with other.serve(store.service) as server:
        blocker = asyncio.ensure_future(client.call(store.stuck, b"x" * 2 * MIB))
        await eventually(lambda: store.started == 1)
        waiting = asyncio.ensure_future(client.call(store.size, b"x" * 2 * MIB))
        late = asyncio.ensure_future(client.call(store.size, b"x" * 2 * MIB, timeout=0.1))
        with pytest.raises(DeadlineExceededError):
            await late
        blocker.cancel()
        assert await waiting == 2 * MIB
        await nothing_left(server, client, other)


async def test_a_large_reply_that_is_not_taken(
    client: Client, other: Client, unique: str, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.rpc.streams.large.TAKEN_WITHIN", 0.05)
    async with other.serve(store.service) as server:
        reply = await client.connection.request(
            f"{unique}.give", b"2000000", headers={"Natsrpc-Max-Reply": "9000000"}
        )
        assert reply.headers["Natsrpc-Frame"] == "large 2000000"
        assert reply.headers["Stored-As"] == "x"
        await nothing_left(server, client, other)
        (give, *_) = server.services[0].endpoints
        assert "no worker answered" in give.answers.last_error
        await client.connection.publish(  # to nobody
            f"{unique}.give",
            b"2000000",
            reply="nobody.there",
            headers={"Natsrpc-Max-Reply": "9000000"},
        )
        await eventually(lambda: give.answers.num_requests == 2)
        await nothing_left(server, client, other)


class Taker:
    """A caller of a large reply by hand: begins to take it, then does nothing."""

    def __init__(self, client: Client, unique: str) -> None:
        self.connection = client.connection
        self.inbox = f"{unique}.inbox"
        self.subject = f"{unique}.give"

    async def take(self, timeout: str | None = None) -> Any:
        inbox = await self.connection.subscribe(self.inbox)
        headers = {"Natsrpc-Max-Reply": "9000000"}
        if timeout is not None:
            headers["Natsrpc-Timeout"] = timeout
        head = await self.connection.request(self.subject, b"2000000", headers=headers)
        self.worker = head.raw_reply
        credit = frame("credit", 1, 100_000)
        self.connection.link.outbound.send(self.worker, b"", self.inbox.encode(), credit)
        words = [(await inbox.next_msg(1)).headers["Natsrpc-Frame"] for _ in range(3)]
        assert words == ["ack 0", "alive 0", "part 1 1900000"]
        return inbox


async def test_a_large_reply_that_is_taken_too_slowly(
    client: Client, other: Client, unique: str, store: Store
) -> None:
    async with other.serve(store.service) as server:
        inbox = await Taker(client, unique).take("200")
        assert (await inbox.next_msg(1)).headers["Nats-Service-Error-Code"] == "504"
        await nothing_left(server, client, other)


async def test_a_large_reply_that_is_not_wanted_any_more(
    client: Client, other: Client, unique: str, store: Store
) -> None:
    async with other.serve(store.service) as server:
        taker = Taker(client, unique)
        inbox = await taker.take()
        client.connection.link.outbound.send(taker.worker, b"", b"", frame("stop", 0))
        assert (await inbox.next_msg(1)).headers["Nats-Service-Error-Code"] == "499"
        await nothing_left(server, client, other)


async def test_a_large_reply_is_cut_short_by_the_end_of_a_drain(
    client: Client, other: Client, unique: str, store: Store
) -> None:
    server = await other.serve(store.service)
    inbox = await Taker(client, unique).take()
    await server.drain(0.05)
    assert (await inbox.next_msg(1)).headers["Nats-Service-Error-Code"] == "503"
    await nothing_left(server, client, other)


async def offer(
    client: Client, subject: str, *frames: tuple[bytes, bytes], within: int = 100
) -> None:
    """A worker by hand: offers a large reply that comes within so many ms, then answers the first
    credit with these frames."""
    address = client.connection.new_inbox().encode()
    send = client.connection.link.outbound.send

    def worker(msg: Msg) -> None:
        if msg.headers["Natsrpc-Frame"].startswith("credit") and msg.raw_reply:
            for word in ("ack", "alive"):
                send(msg.raw_reply, b"", address, frame(word, 0))
            for data, headers in frames:
                send(msg.raw_reply, data, b"", headers)

    await client.connection.subscribe(address.decode(), cb=worker)

    def answer(msg: Msg) -> None:
        block = frame("large", 2)[:-2] + b"Natsrpc-Timeout: %d\r\n\r\n" % within
        send(msg.raw_reply, b"", address, block)

    await client.connection.subscribe(subject, cb=answer)


@pytest.mark.parametrize(
    ("frames", "error"),
    [
        ([(b"a", frame("part", 1, 1)), (b"b", item_frame(2))], None),
        ([(b"ab", item_frame(1))], None),
        ([(b"a", frame("part", 1, 1)), (b"b", item_frame(3))], UnavailableError),
        ([(b"a", frame("part", 2, 1))], UnavailableError),
        ([(b"a", frame("part", 1, 1)), (b"", frame("end", 1))], UnavailableError),
        ([(b"", frame("end", 0))], UnavailableError),
        ([(b"a", frame("part", 1, 1))], NatsTimeoutError),
        ([(b"a", frame("part", 1, 10**9))], UnavailableError),
        ([(b"abc", item_frame(1))], UnavailableError),
        (
            [(b"", b"NATS/1.0\r\nNats-Service-Error: x\r\nNatsrpc-Error: CallCancelledError"
              b"\r\nNats-Service-Error-Code: 499\r\n\r\n")],
            UnavailableError,  # the caller cancelled nothing
        ),
    ],
)  # fmt: skip
async def test_what_a_worker_may_do_with_a_large_reply(
    client: Client, other: Client, unique: str, frames: Any, error: type[Exception] | None
) -> None:
    within = 100 if error is NatsTimeoutError else 4000  # what is lost is so after a moment
    await offer(other, unique, *frames, within=within)
    await other.connection.flush()
    if error is None:
        assert await client.call(unique, returns=bytes) == b"ab"
    else:
        with pytest.raises(error):
            await client.call(unique, returns=bytes)
    assert not client.connection.link.requests.streams


async def test_one_large_reply_keeps_no_call_from_being_answered(
    nats_server: NatsServer, client: Client, other: Client, unique: str, store: Store
) -> None:
    answered = 0
    async with connect(nats_server.url) as third, other.serve(store.service):
        large = asyncio.ensure_future(client.call(store.give, 8 * MIB, timeout=30))
        while not large.done():
            await third.call(store.size, b"x", timeout=30)
            answered += 1
        assert len(await large) == 8 * MIB
    assert answered > 5


async def test_a_head_and_an_end_with_nothing_between(
    client: Client, other: Client, unique: str, store: Store
) -> None:
    async with other.serve(store.service) as server:
        inbox = await client.connection.subscribe(f"{unique}.inbox")
        headers = {"Natsrpc-Frame": "large 2"}
        subject = large_subject(f"{unique}.size")
        await client.connection.publish(subject, reply=f"{unique}.inbox", headers=headers)
        worker = [(await inbox.next_msg(1)).raw_reply for _ in range(3)][-1]
        client.connection.link.outbound.send(worker, b"", b"", frame("end", 0))
        assert (await inbox.next_msg(1)).headers["Nats-Service-Error-Code"] == "503"
        assert store.started == 0
        await nothing_left(server, client, other)


async def offer_for_ever(client: Client, subject: str) -> None:
    """A worker by hand: offers a large reply, names no time, and only says that it is there."""
    address = client.connection.new_inbox().encode()
    send = client.connection.link.outbound.send

    def worker(msg: Msg) -> None:
        if msg.raw_reply:
            send(msg.raw_reply, b"", address, frame("alive", 0))

    await client.connection.subscribe(address.decode(), cb=worker)

    def answer(msg: Msg) -> None:
        peer = msg.raw_reply
        if "open" in (msg.headers.get("Natsrpc-Frame") or ""):
            send(peer, b"", address, frame("ack", 0))
        send(peer, b"", address, frame("large", 5))

    await client.connection.subscribe(subject, cb=answer)
    await client.connection.flush()


async def test_a_worker_that_only_says_that_it_is_there(
    client: Client, other: Client, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.rpc.streams.large.BODY_TIME", 0.1)
    await offer_for_ever(other, unique)
    async with asyncio.timeout(10):
        with pytest.raises(NatsTimeoutError, match="large reply did not arrive in time"):
            await client.call(unique, timeout=None)
    assert not client.connection.link.requests.streams


async def test_a_worker_that_goes_on_for_longer_than_its_caller_waits(
    client: Client, other: Client, unique: str
) -> None:
    await offer_for_ever(other, unique)
    contract = EndpointContract("sum", unique, "", kind="request_stream", response_type=bytes)
    async with asyncio.timeout(10):
        with pytest.raises(NatsTimeoutError, match="large reply did not arrive in time"):
            await client.upload(contract, no_items(), timeout=0.1)
        with pytest.raises(NatsTimeoutError, match="large reply did not arrive in time"):
            await client.call(unique, timeout=0.1)
    assert not client.connection.link.requests.streams


async def no_items() -> AsyncIterator[bytes]:
    return
    yield b""


async def test_a_worker_that_offers_and_falls_silent(
    client: Client, other: Client, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.rpc.streams.conversations.TICK", 0.01)
    silent = await other.connection.subscribe(f"{unique}.silent")

    async def answer(msg: Msg) -> None:
        head = frame("large", 5)
        other.connection.link.outbound.send(msg.raw_reply, b"", f"{unique}.silent".encode(), head)

    await other.connection.subscribe(unique, cb=answer)
    await other.connection.flush()
    with pytest.raises(UnavailableError, match="no worker answered"):
        await client.call(unique)
    assert (await silent.next_msg(1)).headers["Natsrpc-Frame"].startswith("credit ")
    assert not client.connection.link.requests.streams
