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
from natsrpc.errors import NoRespondersError, RpcError
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
