"""The codecs that a service lets its callers name."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest

import natsrpc
from natsrpc import codecs
from natsrpc.core import Connection
from natsrpc.errors import ConfigError, MessagesLostError, UnsupportedCodecError
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

pytestmark = pytest.mark.live

BOMB = (b"\xdd\x00\x10\x00\x00" * 200)[:1000]


def service(**options: Any) -> natsrpc.Service:
    made = natsrpc.Service("calc", version="1.0.0", **options)

    @made.handler("calc.double")
    async def double(a: int) -> int:
        return 2 * a

    @made.handler("calc.count")
    async def count(a: int) -> AsyncIterator[int]:
        for i in range(a):
            yield i

    @made.handler("calc.sum")
    async def sum_(items: AsyncIterator[int]) -> int:
        return sum([each async for each in items])

    return made


async def upto(size: int) -> AsyncIterator[int]:
    for i in range(size):
        yield i


async def ask(connection: Connection, content_type: str, data: bytes) -> str | None:
    reply = await connection.request(
        "calc.double", data, headers={"Content-Type": content_type, "Nats-X": "1"}
    )
    return reply.headers.get("Nats-Service-Error-Code")


async def test_a_codec_that_is_not_spoken_is_refused_unread_and_typed(
    fresh_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with (
        natsrpc.connect(fresh_server.url) as client,
        client.serve(service(codecs=["json"])),
    ):
        assert await client.call("calc.double", 2, int) == 4
        assert await client.call("calc.double", 2, int, codec="json") == 4
        monkeypatch.setattr(
            type(codecs.get("msgpack")), "bind", lambda *_: pytest.fail("a parser was made")
        )
        code = await ask(client.connection, "application/msgpack", BOMB)
        assert code == "415"
        assert await ask(client.connection, "application/nonsense", b"") == "415"
        monkeypatch.undo()
        with pytest.raises(UnsupportedCodecError, match="it speaks json"):
            await client.call("calc.double", 2, int, codec="msgpack")
        with pytest.raises(UnsupportedCodecError):
            await anext(client.stream("calc.count", 3, int, codec="msgpack"))
        with pytest.raises(UnsupportedCodecError):
            await client.upload("calc.sum", upto(3), returns=int, codec="msgpack")
        with pytest.raises(UnsupportedCodecError):
            big = "x" * (2 * client.connection.max_payload)
            await client.call("calc.double", big, int, codec="msgpack")


async def test_an_event_in_a_codec_that_is_not_spoken_is_lost_unread_and_told(
    fresh_server: NatsServer,
) -> None:
    told: list[Exception] = []
    heard: list[int] = []
    event = natsrpc.Event("placed", int)
    limited = service(codecs=["json"])

    @limited.subscriber(event)
    async def note(order: int) -> None:
        heard.append(order)

    async with (
        natsrpc.connect(fresh_server.url, on_error=lambda nc, sub, e: told.append(e)) as client,
        client.serve(limited),
    ):
        await client.publish(event, 1, codec="msgpack")
        await client.publish(event, 2)
        await eventually(lambda: heard == [2])
        await eventually(lambda: told)
    (error,) = told
    assert isinstance(error, MessagesLostError)
    assert isinstance(error.last, UnsupportedCodecError)


async def test_those_that_are_spoken_go_on(fresh_server: NatsServer) -> None:
    for given in (None, ["msgpack", "json"], [codecs.get("json"), "msgpack", "raw"]):
        async with (
            natsrpc.connect(fresh_server.url) as client,
            client.serve(service(codec="msgpack", codecs=given)),
        ):
            for codec in ("json", "msgpack"):
                assert await client.call("calc.double", 2, int, codec=codec) == 4
                stream = client.stream("calc.count", 3, int, codec=codec)
                assert [each async for each in stream] == [0, 1, 2]
                assert await client.upload("calc.sum", upto(4), returns=int, codec=codec) == 6


@pytest.mark.parametrize("given", ["json", [], ["msgpack"], ["nonsense"]])
def test_codecs_that_cannot_be_meant_are_refused(given: Any) -> None:
    with pytest.raises((ConfigError, LookupError)):
        service(codecs=given)
