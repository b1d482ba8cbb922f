"""Clients and services written by others: plain JSON both ways, ADR-32 both ways."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import nats
import nats.micro
import pytest
from nats.micro.request import Request
from pydantic import BaseModel

import natsrpc
from natsrpc.errors import NatsTimeoutError, NoRespondersError, RpcError
from natsrpc.testing import NatsServer

pytestmark = [pytest.mark.live, pytest.mark.interop]


class Question(BaseModel):
    topic: str


class Answer(BaseModel):
    text: str


class Unhelpful(natsrpc.RpcError, code=418):
    why: str


def helpdesk(prefix: str) -> natsrpc.Service:
    service = natsrpc.Service("helpdesk", version="1.0.0", description="answers questions")
    group = service.group(prefix)

    @group.handler("help")
    async def help(question: Question) -> Answer:
        if question.topic == "tea":
            raise Unhelpful("only coffee", why="teapot")
        return Answer(text=f"I can help with {question.topic}")

    return service


@pytest.fixture
async def stranger(nats_server: NatsServer) -> AsyncIterator[Any]:
    """A nats-py client."""
    nc = await nats.connect(nats_server.url)
    yield nc
    await nc.close()


async def test_nats_py_asks_with_plain_json_and_gets_plain_json(
    nats_server: NatsServer, stranger: Any, unique: str
) -> None:
    async with natsrpc.connect(nats_server.url) as client, client.serve(helpdesk(unique)):
        reply = await stranger.request(f"{unique}.help", b'{"topic":"nats"}', timeout=2)
        assert json.loads(reply.data) == {"text": "I can help with nats"}
        assert reply.headers is None
        reply = await stranger.request(f"{unique}.help", b'{"topic":"tea"}', timeout=2)
        assert json.loads(reply.data) == {"why": "teapot"}
        assert reply.headers["Nats-Service-Error"] == "only coffee"
        assert reply.headers["Nats-Service-Error-Code"] == "418"


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # theirs
async def test_we_call_a_nats_py_micro_service(
    nats_server: NatsServer, stranger: Any, unique: str
) -> None:
    async def answer(request: Request) -> None:
        question = json.loads(request.data)
        if question["topic"] == "tea":
            await request.respond_error("418", "only coffee", b'{"why":"teapot"}')
        else:
            await request.respond(json.dumps({"text": question["topic"]}).encode())

    service = await nats.micro.add_service(stranger, name="theirs", version="1.0.0")
    await service.add_endpoint(name="help", subject=f"{unique}.help", handler=answer)
    await stranger.flush()
    async with natsrpc.connect(nats_server.url) as client:
        answered = await client.call(f"{unique}.help", Question(topic="nats"), Answer)
        assert answered == Answer(text="nats")
        with pytest.raises(RpcError) as caught:
            await client.call(f"{unique}.help", Question(topic="tea"), Answer)
    error = caught.value
    assert type(error) is RpcError
    assert (error.code, error.message, error.details) == (418, "only coffee", {"why": "teapot"})
    await service.stop()


async def test_a_raw_socket_asks_and_is_answered(nats_server: NatsServer, unique: str) -> None:
    async with natsrpc.connect(nats_server.url) as client, client.serve(helpdesk(unique)):
        reader, writer = await asyncio.open_connection("127.0.0.1", nats_server.port)
        await reader.readline()
        body = b'{"topic":"sockets"}'
        writer.write(
            b'CONNECT {"verbose":false,"headers":true}\r\nSUB raw.inbox 1\r\n'
            b"PUB %b.help raw.inbox %d\r\n%b\r\n" % (unique.encode(), len(body), body)
        )
        line = await asyncio.wait_for(reader.readline(), 2)
        assert line.startswith(b"MSG raw.inbox 1 ")
        data = await reader.readexactly(int(line.split()[-1]))
        assert json.loads(data) == {"text": "I can help with sockets"}
        writer.close()
        await writer.wait_closed()


async def test_an_unknown_subject_is_known_at_once(nats_server: NatsServer, unique: str) -> None:
    async with natsrpc.connect(nats_server.url) as client:
        with pytest.raises(NoRespondersError) as caught:
            await asyncio.wait_for(client.call(unique), 0.5)
    assert caught.value.subject == unique


async def test_a_running_service_is_visible_to_others(
    nats_server: NatsServer, stranger: Any, unique: str
) -> None:
    async with natsrpc.connect(nats_server.url) as client, client.serve(helpdesk(unique)) as server:
        running = server.services[0]
        reply = await stranger.request(f"$SRV.INFO.helpdesk.{running.id}", timeout=2)
        info = json.loads(reply.data)
        assert info["endpoints"][0]["subject"] == f"{unique}.help"
        await stranger.request(f"{unique}.help", b'{"topic":"x"}', timeout=2)
        reply = await stranger.request(f"$SRV.STATS.helpdesk.{running.id}", timeout=2)
        assert json.loads(reply.data)["endpoints"][0]["num_requests"] == 1


async def read(stream: AsyncIterator[Any], error: str) -> list[Any]:
    """The items of a stream that ends with an error of such a text."""
    found: list[Any] = []
    with pytest.raises((RpcError, NatsTimeoutError), match=error):
        while True:
            found.append(await anext(stream))
    return found


VALUES: list[Any] = [0, None, "", False, 1, [], "end"]


@pytest.mark.filterwarnings("ignore:datetime.datetime.utcnow:DeprecationWarning")  # theirs
async def test_a_nats_py_micro_service_streams_to_us(
    nats_server: NatsServer, stranger: Any, unique: str
) -> None:
    async def burst(request: Request) -> None:
        for value in VALUES:
            await request.respond(json.dumps(value).encode())
        await request.respond(b"")

    async def fails(request: Request) -> None:
        await request.respond(b"1")
        await request.respond_error("418", "only coffee")

    service = await nats.micro.add_service(stranger, name="theirs", version="1.0.0")
    await service.add_endpoint(name="burst", subject=f"{unique}.burst", handler=burst)
    await service.add_endpoint(name="fails", subject=f"{unique}.fails", handler=fails)
    await stranger.flush()
    async with natsrpc.connect(nats_server.url) as client:
        assert [item async for item in client.stream(f"{unique}.burst")] == VALUES
        assert await read(client.stream(f"{unique}.fails"), "only coffee") == [1]
    await service.stop()


async def test_headers_that_are_copied_from_the_request_make_no_frame_of_an_item(
    nats_server: NatsServer, stranger: Any, unique: str
) -> None:
    async def echo(msg: Any) -> None:
        assert "Natsrpc-Frame" in msg.headers
        for value in VALUES:
            await msg.respond(json.dumps(value).encode())  # with the request's headers
        await msg.respond(b"")

    await stranger.subscribe(unique, cb=echo)
    await stranger.flush()
    async with natsrpc.connect(nats_server.url) as client:
        assert [item async for item in client.stream(unique)] == VALUES


async def test_a_raw_service_streams_to_us_with_headers_and_reply_subjects_of_its_own(
    nats_server: NatsServer, unique: str
) -> None:
    """As a Go service may: `RespondMsg` with headers, a reply subject, and pauses in between."""
    reader, writer = await asyncio.open_connection("127.0.0.1", nats_server.port)
    await reader.readline()
    subject = unique.encode()
    writer.write(b'CONNECT {"verbose":false,"headers":true}\r\nSUB %b 1\r\nPING\r\n' % subject)
    assert await reader.readline() == b"PONG\r\n"

    async def serve() -> None:
        reply = (await reader.readline()).split()[3]
        block = b"NATS/1.0\r\nSeq: 1\r\n\r\n"
        for body in (b"0", b"null", b'""', b"false", b""):
            sizes = len(block), len(block) + len(body)
            writer.write(b"HPUB %b go.reply %d %d\r\n" % (reply, *sizes) + block + body + b"\r\n")
            await writer.drain()

    serving = asyncio.create_task(serve())
    async with natsrpc.connect(nats_server.url) as client:
        found = [item async for item in client.stream(unique, idle_timeout=2.0)]
    assert found == [0, None, "", False]
    await serving
    writer.close()
    await writer.wait_closed()


async def test_a_stream_that_a_stranger_never_ends_is_bounded(
    nats_server: NatsServer, stranger: Any, unique: str
) -> None:
    async def once(msg: Any) -> None:
        await stranger.publish(msg.reply, b"7")

    await stranger.subscribe(unique, cb=once)
    await stranger.flush()
    async with natsrpc.connect(nats_server.url) as client:
        assert await read(client.stream(unique, returns=int, timeout=0.2), "did not end") == [7]
        assert await read(client.stream(unique, returns=int, idle_timeout=0.1), "was idle") == [7]


async def test_a_stranger_that_goes_on_is_not_idle(
    nats_server: NatsServer, stranger: Any, unique: str
) -> None:
    async def slowly(msg: Any) -> None:
        for number in range(8):
            await stranger.publish(msg.reply, b"%d" % number)
            await asyncio.sleep(0.1)  # why: longer in all than the caller's `idle_timeout`
        await stranger.publish(msg.reply, b"")

    await stranger.subscribe(unique, cb=slowly)
    await stranger.flush()
    async with natsrpc.connect(nats_server.url) as client:
        found = [item async for item in client.stream(unique, returns=int, idle_timeout=0.5)]
    assert found == list(range(8))


async def test_nats_py_reads_a_stream_of_ours(
    nats_server: NatsServer, stranger: Any, unique: str
) -> None:
    service = natsrpc.Service("counts", version="1.0.0")

    @service.handler(unique)
    async def count(to: int) -> AsyncIterator[int | None]:
        for number in range(to):
            yield number or None
        if to > 3:
            raise Unhelpful("too far", why="tired")

    async with natsrpc.connect(nats_server.url) as client, client.serve(service):
        assert (await stranger.request(unique, b"3", timeout=2)).data == b"null"
        inbox = await stranger.subscribe(stranger.new_inbox())
        await stranger.publish(unique, b"3", reply=inbox.subject)
        got = [await inbox.next_msg(2) for _ in range(4)]
        assert [msg.data for msg in got] == [b"null", b"1", b"2", b""]
        assert [msg.headers for msg in got] == [None] * 4
        await stranger.publish(unique, b"4", reply=inbox.subject)
        got = [await inbox.next_msg(2) for _ in range(5)]
        assert got[-1].headers["Nats-Service-Error-Code"] == "418"


async def test_a_stranger_that_sends_faster_than_it_is_read_is_bounded(
    nats_server: NatsServer, stranger: Any, unique: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.rpc.calling.outgoing.UNTAKEN_ITEMS", 10)

    async def flood(msg: Any) -> None:
        for number in range(1000):
            await stranger.publish(msg.reply, b"%d" % number)
        await stranger.flush()
        flooded.set()

    flooded = asyncio.Event()
    await stranger.subscribe(unique, cb=flood)
    await stranger.flush()
    async with natsrpc.connect(nats_server.url) as client:
        stream = client.stream(unique, returns=int)
        assert await anext(stream) == 0
        await flooded.wait()
        await client.connection.flush()
        found = await read(stream, "read too slowly")
    assert found == list(range(1, 1 + len(found)))
    assert 10 <= len(found) < 100
