"""What one hostile message may cost a service: no log line of its own, no reading of megabytes."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest

from natsrpc.core import Connection, Headers, Msg, connect
from natsrpc.rpc import Client, Header, Service, Token
from natsrpc.rpc import connect as connect_client
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

pytestmark = pytest.mark.live

MANY = 200


@pytest.fixture
async def evil(nats_server: NatsServer) -> AsyncIterator[Connection]:
    async with connect(nats_server.url) as connection:
        yield connection


@pytest.fixture
async def serving(client: Client, unique: str) -> AsyncIterator[None]:
    service = Service("calc", version="1.0.0")

    @service.handler(f"{unique}.text")
    async def text(value: dict[str, int]) -> str:
        return str(value)

    @service.handler(f"{unique}.tok.{{user}}")
    async def tok(user: Annotated[str, Token("user")]) -> str:
        return user

    @service.handler(f"{unique}.head")
    async def head(value: Annotated[str, Header("X-Name")]) -> str:
        return value

    async with client.serve(service):
        yield


async def ask(evil: Connection, subject: bytes, block: bytes = b"", data: bytes = b"{}") -> Msg:
    return await evil.link.requests.request(subject, data, block, 5.0)


def code(msg: Msg) -> str | None:
    return msg.headers.get("Nats-Service-Error-Code")


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "natsrpc.rpc"]


async def test_a_codec_that_an_endpoint_cannot_speak_is_logged_once(
    serving: None, evil: Connection, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    subject = f"{unique}.text".encode()
    with caplog.at_level(logging.WARNING):
        for number in range(MANY):
            block = Headers(
                {"Content-Type": "application/octet-stream", "Number": str(number)}
            ).encode()
            assert code(await ask(evil, subject, block)) == "415"
    (line,) = lines(caplog)
    assert "cannot speak 'raw'" in line


@pytest.mark.parametrize("part", ["token", "header"])
async def test_text_that_is_not_utf_8_is_the_caller_s_fault(
    serving: None, evil: Connection, unique: str, part: str, caplog: pytest.LogCaptureFixture
) -> None:
    subject, block = unique.encode() + b".tok.\xff\xfe", b""
    if part == "header":
        subject, block = unique.encode() + b".head", b"NATS/1.0\r\nX-Name: \xff\r\n\r\n"
    with caplog.at_level(logging.WARNING):
        msg = await ask(evil, subject, block)
    assert code(msg) == "400"
    assert "not UTF-8" in (msg.headers.get("Nats-Service-Error") or "")
    assert lines(caplog) == []


@pytest.mark.parametrize("over", [0, 1])
async def test_a_large_header_block_is_refused_unread(
    serving: None,
    evil: Connection,
    unique: str,
    over: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    read: list[int] = []
    decode = Headers.decode

    def noted(block: bytes) -> Headers:
        read.append(len(block))
        return decode(block)

    monkeypatch.setattr(Headers, "decode", noted)
    size = 64 * 1024 + over
    start = b"NATS/1.0\r\nX: "
    block = start + b"x" * (size - len(start) - 4) + b"\r\n\r\n"
    msg = await ask(evil, f"{unique}.text".encode(), block)
    assert (size in read) is not over
    assert code(msg) == ("431" if over else None)
    assert (msg.headers.get("Natsrpc-Error") == "HeadersTooLargeError") is bool(over)


async def test_replies_that_may_not_be_published_are_logged_once_a_second(
    unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    permissions = 'publish: "_INBOX.>", subscribe: ">"'
    conf = (
        f"authorization {{ users: [{{user: s, password: s, permissions: {{{permissions}}}}}, "
        "{user: c, password: c}] }"
    )
    service = Service("calc", version="1.0.0")

    @service.handler(unique)
    async def one() -> int:
        return 1

    with NatsServer(conf) as server, caplog.at_level(logging.WARNING):
        async with (
            connect_client(server.url, user="s", password="s") as worker,
            connect(server.url, user="c", password="c") as evil,
            worker.serve(service) as running,
        ):
            caplog.clear()
            for number in range(MANY):
                await evil.publish(unique, b"", reply=f"victim.{number}")
            await evil.request(unique)
            await worker.connection.flush()
            assert running.services[0].endpoints[0].answers.num_requests == MANY + 1
    told: list[Any] = [record.getMessage() for record in caplog.records]
    assert 1 <= len(told) <= 3, "and it took no longer than two seconds"
    assert "victim." in told[0]


async def test_a_cancel_costs_the_same_however_many_requests_are_here(
    client: Client, evil: Connection, unique: str
) -> None:
    service = Service("calc", version="1.0.0")

    @service.handler(unique)
    async def slow() -> None:
        await asyncio.sleep(60)  # why: it runs until it is stopped

    async with client.serve(service) as server:
        (endpoint,) = server.services[0].endpoints

        def seconds() -> float:
            began = time.process_time()
            for _ in range(1000):
                endpoint.cancel(b"_INBOX.nobody.x")
            return time.process_time() - began

        without = min(seconds() for _ in range(3))
        for number in range(1000):
            await evil.publish(unique, b"", reply=f"nobody.{number}")
        await evil.flush()
        await eventually(lambda: server.inflight == 1000)
        assert min(seconds() for _ in range(3)) < 5 * without + 0.005
        for number in range(1000):
            assert endpoint.cancel(b"nobody.%d" % number)
        await eventually(lambda: not server.inflight)


async def test_requests_of_one_name_end_each_by_itself(
    client: Client, evil: Connection, unique: str
) -> None:
    """Reply subjects never repeat, unless somebody means harm."""
    service = Service("calc", version="1.0.0")
    ended: list[str] = []

    @service.handler(unique)
    async def slow() -> None:
        try:
            await asyncio.sleep(60)  # why: it runs until it is stopped
        finally:
            ended.append("")

    async with client.serve(service) as server:
        for reply in ("same.reply", "same.reply", None, None):
            await evil.publish(unique, b"", reply=reply, headers={"Natsrpc-Timeout": "200"})
        await evil.flush()
        await eventually(lambda: server.inflight == 4)
        await eventually(lambda: not server.inflight)
        assert len(ended) == 4
        assert not server.services[0].endpoints[0].taken
