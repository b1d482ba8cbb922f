"""Whatever bytes a stranger sends, each request is answered once and the service goes on."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest
from pydantic import BaseModel

from natsrpc.core import Msg
from natsrpc.rpc import Client, Service
from tests.core.harness import eventually

pytestmark = pytest.mark.live

BODIES = [
    b"",
    b"{}",
    b"null",
    b'{"name":"a","sizes":[1,2]}',
    b'{"name":"a","sizes":[1,"x"]}',
    b'{"name":{"name":{}}}',
    b"[" * 5000,
    b'{"name":"' + b"x" * 50_000 + b'","sizes":[]}',
    b'{"name":"\xff\xfe","sizes":[]}',
    b'{"name":"\\ud800","sizes":[]}',
    b"\x82\xa4name\xa1a\xa5sizes\x90",
    b"\xdf\xff\xff\xff\xff",
    b"1e999",
    b'{"sizes":[' + b"9" * 4000 + b"]}",
]
HEADERS = [
    b"",
    b"NATS/1.0\r\n\r\n",
    b"NATS/1.0 503\r\n\r\n",
    b"garbage",
    b"NATS/1.0\r\nno colon\r\n\r\n",
    b"NATS/1.0\r\nNatsrpc-Timeout: 1000\r\n\r\n",
    b"NATS/1.0\r\nNatsrpc-Timeout: 0\r\n\r\n",
    b"NATS/1.0\r\nNatsrpc-Timeout: -5\r\n\r\n",
    b"NATS/1.0\r\nNatsrpc-Timeout: " + b"9" * 400 + b"\r\n\r\n",
    b"NATS/1.0\r\nNatsrpc-Timeout: 1e5\r\n\r\n",
    b"NATS/1.0\r\nNatsrpc-Timeout: \xd9\xa1\r\n\r\n",
    b"NATS/1.0\r\nNatsrpc-Timeout: 1\r\nNatsrpc-Timeout: 2000\r\n\r\n",
    b"NATS/1.0\r\nContent-Type: application/json\r\n\r\n",
    b"NATS/1.0\r\ncontent-type: application/msgpack\r\n\r\n",
    b"NATS/1.0\r\nContent-Type: text/plain; charset=x\r\n\r\n",
    b"NATS/1.0\r\nContent-Type: \xff\xff\r\n\r\n",
    b"NATS/1.0\r\nContent-Type:\r\n\r\n",
    b"NATS/1.0\r\nNats-Service-Error: x\r\nNats-Service-Error-Code: y\r\n\r\n",
]


class Order(BaseModel):
    name: str
    sizes: list[int]


def shop(subject: str) -> Service:
    service = Service("hostile", version="1.0.0")

    @service.handler(f"{subject}.model")
    async def model(order: Order) -> Order:
        return order

    @service.handler(f"{subject}.fields")
    async def fields(name: str, sizes: list[int], note: str = "") -> str:
        return name + note

    @service.handler(f"{subject}.raw")
    async def raw(data: bytes) -> bytes:
        return data

    @service.handler(f"{subject}.nothing")
    async def nothing() -> None: ...

    @service.handler(f"{subject}.sync")
    def sync(anything: Any) -> Any:
        return anything

    return service


async def test_each_hostile_request_is_answered_once(
    client: Client, other: Client, unique: str
) -> None:
    dice = random.Random(23)
    seen: list[dict[str, Any]] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda loop, context: seen.append(context))
    stranger = other.connection
    answers: dict[str, int] = {}

    def note(msg: Msg) -> None:
        answers[msg.subject] = answers.get(msg.subject, 0) + 1

    async with client.serve(shop(unique)) as server:
        inbox = stranger.new_inbox()
        await stranger.subscribe(f"{inbox}.*", cb=note)
        names = ["model", "fields", "raw", "nothing", "sync"]
        for number in range(600):
            body = bytearray(dice.choice(BODIES))
            block = bytearray(dice.choice(HEADERS))
            for raw in (body, block):
                if raw and dice.random() < 0.4:
                    at = dice.randrange(len(raw))
                    raw[at : at + dice.randrange(3)] = dice.randbytes(dice.randrange(3))
            subject = f"{unique}.{names[number % 5]}".encode()
            stranger.link.send(subject, bytes(body), f"{inbox}.{number}".encode(), bytes(block))
            if number % 50 == 49:
                await stranger.flush()
        await eventually(lambda: len(answers) == 600, timeout=10)
        assert set(answers.values()) == {1}
        (running,) = server.services
        assert running.inflight == 0
        order = Order(name="a", sizes=[1])
        assert await other.call(f"{unique}.model", order, Order) == order
    loop.set_exception_handler(None)
    assert seen == []
