"""`Natsrpc-Deadline`: named by callers that were told so, and taken by every kind of endpoint."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from typing import Any, cast

import pytest

from natsrpc import core
from natsrpc.core import Headers
from natsrpc.errors import ConfigError, DeadlineExceededError
from natsrpc.rpc import Client, Context, Service, connect
from natsrpc.rpc.headers.deadline import STEP, deadline_line, parse_deadline
from natsrpc.rpc.serving.slots import Lane
from natsrpc.rpc.serving.terms import MAX_DATED, TermsBook
from natsrpc.testing import NatsServer
from tests.core.harness import ScriptedServer, eventually
from tests.rpc.paths import PATHS, InPlaceClient, pass_on
from tests.rpc.scripted import block, message


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1500", 1.5 + STEP),
        (" 1500 ", 1.5 + STEP),
        ("0", STEP),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("9" * 30, None),
        ("٣", None),
        ("soon", None),
    ],
)
def test_reading_a_deadline(text: str, moment: float | None) -> None:
    assert parse_deadline(text) == moment


def test_a_deadline_is_rounded_down_to_a_tenth_of_a_second() -> None:
    assert deadline_line(1.299) == deadline_line(1.2001) == b"Natsrpc-Deadline: 1200\r\n"
    assert deadline_line(1_796_000_000.05) == b"Natsrpc-Deadline: 1796000000000\r\n"


# what callers send


async def asked(client: Client, server: ScriptedServer, count: int, timeout: float) -> list[bytes]:
    """The header blocks of so many calls, which nobody answers."""
    found: list[bytes] = []
    server.listeners.append(
        lambda peer, frame: found.append(frame.headers) if frame.op == b"HPUB" else None
    )
    calls = [asyncio.ensure_future(client.call("x", 1, timeout=timeout)) for _ in range(count)]
    await eventually(lambda: len(found) == count)
    for call in calls:
        call.cancel()
    server.listeners.clear()
    return found


@pytest.mark.parametrize("path", PATHS)
async def test_the_deadline_stands_beside_the_timeout_and_blocks_are_kept_for_a_tenth(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with ScriptedServer() as server:
        kind = InPlaceClient if path == "in place" else Client
        async with kind(await core.connect(server.url), deadline_clock="wall") as client:
            if path == "general":
                client.middleware(pass_on)
            for now in (1000.0, 1000.06, 1000.099, 1000.101):
                monkeypatch.setattr(time, "time", lambda now=now: now)
                (sent,) = await asked(client, server, 1, 2.0)
                headers = Headers.decode(sent)
                assert headers["Natsrpc-Timeout"] == "2000"
                expected = "1002000" if now < 1000.1 else "1002100"
                assert headers["Natsrpc-Deadline"] == expected
            (sent,) = await asked(client, server, 1, 0.5)
            assert Headers.decode(sent)["Natsrpc-Deadline"] == "1000600"


async def test_a_caller_names_no_deadline_unless_it_is_told_to() -> None:
    async with ScriptedServer() as server, connect(server.url) as client:
        assert b"Natsrpc-Deadline" not in (await asked(client, server, 1, 2.0))[0]
    async with ScriptedServer() as server, connect(server.url, deadline_clock="wall") as client:
        calling = asyncio.ensure_future(client.call("x", 1, timeout=None))
        frame = await (await server.accept()).expect(b"HPUB x ")
        assert b"Natsrpc-Deadline" not in frame.headers
        calling.cancel()


async def test_other_clocks_are_refused() -> None:
    with pytest.raises(ConfigError, match="deadline_clock is 'sun'"):
        await connect("nats://127.0.0.1:1", deadline_clock=cast(Any, "sun"))


# what services make of it


def in_ms(seconds: float) -> str:
    return str(int((time.time() + seconds) * 10) * 100)


@pytest.mark.live
async def test_the_earlier_of_both_counts(client: Client, unique: str) -> None:
    service = Service("dated", version="1.0.0")

    @service.handler(unique)
    async def left(context: Context) -> float | None:
        return context.time_left()

    async def ask(**headers: str) -> float:
        reply = await client.connection.request(unique, headers=Headers.decode(block(**headers)))
        return float(reply.data)

    async with client.serve(service):
        assert 8 < await ask(Natsrpc_Deadline=in_ms(9)) <= 9 + STEP
        assert 8 < await ask(Natsrpc_Deadline=in_ms(9), Natsrpc_Timeout="30000") <= 9 + STEP
        assert 1 < await ask(Natsrpc_Deadline=in_ms(9), Natsrpc_Timeout="2000") <= 2
        assert 1 < await ask(Natsrpc_Deadline="junk", Natsrpc_Timeout="2000") <= 2
        same = in_ms(9)
        first, then = await ask(Natsrpc_Deadline=same), await ask(Natsrpc_Deadline=same)
        assert first > then  # read once, counted anew


@pytest.mark.live
async def test_what_comes_after_its_deadline_is_not_run(client: Client, unique: str) -> None:
    ran: list[str] = []
    service = Service("dated", version="1.0.0")
    group = service.group(unique)

    @group.handler("call")
    async def call(n: int) -> None:
        ran.append("call")

    @group.handler("stream")
    async def stream(n: int) -> AsyncIterator[int]:
        ran.append("stream")
        yield n

    headers = {"Natsrpc-Deadline": in_ms(-1), "Natsrpc-Timeout": "5000"}
    async with client.serve(service):
        reply = await client.connection.request(f"{unique}.call", b"1", headers=headers)
        assert reply.headers["Nats-Service-Error-Code"] == "504"
        for calling in (
            client.call(call, 1, headers=headers),
            anext(client.stream(stream, 1, headers=headers)),
            client.call(f"{unique}.call", "x" * 2_000_000, headers=headers),
        ):
            with pytest.raises(DeadlineExceededError):
                await calling
    assert ran == []


@pytest.mark.live
async def test_every_kind_of_call_is_answered_by_the_wall_clock(
    nats_server: NatsServer, other: Client, unique: str
) -> None:
    service = Service("dated", version="1.0.0")
    group = service.group(unique)

    group.handler("size")(size)

    @group.handler("count")
    async def count(n: int) -> AsyncIterator[int]:
        for each in range(n):
            yield each

    @group.handler("sum")
    async def total(items: AsyncIterator[int]) -> int:
        return sum([item async for item in items])

    async def three() -> AsyncIterator[int]:
        for each in (1, 2, 3):
            yield each

    async with (
        other.serve(service),
        connect(nats_server.url, deadline_clock="wall") as client,
    ):
        for timeout in (5.0, 0.05):
            assert await client.call(size, "four", timeout=timeout) == 4
        assert await client.call(size, "x" * 2_000_000) == 2_000_000
        assert [item async for item in client.stream(count, 3, timeout=5)] == [0, 1, 2]
        assert await client.upload(total, three(), timeout=5) == 6


@pytest.mark.live
async def test_a_nested_call_passes_on_the_deadline_by_what_is_left(
    nats_server: NatsServer, other: Client, unique: str
) -> None:
    service = Service("dated", version="1.0.0")
    group = service.group(unique)

    @group.handler("inner")
    async def inner(context: Context) -> str | None:
        return context.headers.get("Natsrpc-Deadline")

    async with connect(nats_server.url, deadline_clock="wall") as client:

        @group.handler("outer")
        async def outer() -> str | None:
            return await client.call(inner, timeout=60)

        async with other.serve(service):
            before = int(in_ms(3))
            named = await client.call(outer, timeout=3)
            assert named is not None
            assert before - 100 <= int(named) <= int(in_ms(3))
            relative = await other.call(outer, timeout=3)
            assert relative is not None
            assert int(relative) <= int(in_ms(3))


def test_passing_deadlines_do_not_fill_the_table_of_terms() -> None:
    service = Service("dated", version="1.0.0")
    service.handler("size")(size)
    (handler,) = service.definition.handlers
    lane = cast(Lane, object())
    contract, limits = handler.contract, handler.limits
    book = TermsBook(contract, limits, service.codec, lambda depth: lane, time.monotonic)
    book.read(message(headers=block(Natsrpc_Timeout="5000")), 0.0)
    for n in range(10 * MAX_DATED):
        deadline = str(int((time.time() + 100 + n) * 1000))
        terms = book.read(message(headers=block(Natsrpc_Deadline=deadline)), time.monotonic())
        assert 99 < terms.timeout - n <= 100 + STEP
    assert len(book.dated) == MAX_DATED
    assert len(book.known) == 2


async def size(text: str) -> int:
    return len(text)


@pytest.mark.live
async def test_a_deadline_that_passes_while_the_handler_runs_ends_it(
    client: Client, unique: str
) -> None:
    service = Service("dated", version="1.0.0")

    @service.handler(unique)
    async def slow() -> None:
        await asyncio.Event().wait()

    async with client.serve(service):
        headers = {"Natsrpc-Deadline": in_ms(0.1)}
        with pytest.raises(DeadlineExceededError):
            await client.call(unique, headers=headers, timeout=60)
