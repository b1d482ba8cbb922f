"""Calls around a lost connection: what is left of their time is sent, and what is late is ended."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import pytest

from natsrpc import core
from natsrpc.core import Headers, Status
from natsrpc.errors import NatsTimeoutError
from natsrpc.rpc import Client, Policy
from natsrpc.rpc.headers.timeout import GRACE, with_time_left
from natsrpc.rpc.streams.conversations import CANCELS
from tests.core.harness import Peer, ScriptedServer, elapse, eventually, turns, warped
from tests.core.harness.frames import Frame
from tests.rpc.paths import PATHS, InPlaceClient, pass_on
from tests.rpc.scripted import block

OPTIONS: dict[str, Any] = {
    "reconnect_wait": 0.05,
    "reconnect_jitter": 0.0,
    "max_reconnect_attempts": -1,
}

both_paths = pytest.mark.parametrize("path", PATHS)


@contextlib.asynccontextmanager
async def calling(path: str = "", **options: Any) -> AsyncIterator[tuple[Client, ScriptedServer]]:
    """A client of a server that answers nothing, and the server."""
    kind = InPlaceClient if path == "in place" else Client
    async with (
        ScriptedServer() as server,
        kind(await core.connect(server.url, **OPTIONS, **options)) as client,
    ):
        if path == "general":
            client.middleware(pass_on)
        yield client, server


async def lose(client: Client, server: ScriptedServer) -> None:
    """Take the server away."""
    server.refuse()
    server.peers[-1].reset()
    await eventually(lambda: client.connection.status is Status.RECONNECTING)


async def found_again(client: Client, server: ScriptedServer) -> Peer:
    """Bring the server back; its connection once all that was buffered is there."""
    await server.listen()
    await eventually(lambda: client.connection.is_connected)
    await client.connection.flush()
    return server.peers[-1]


def published(peer: Peer, subject: bytes) -> list[Frame]:
    """What came to a subject."""
    return [
        frame for frame in peer.frames if frame.op in (b"PUB", b"HPUB") and frame.subject == subject
    ]


@pytest.mark.parametrize(
    ("before", "left", "after"),
    [
        (block(A="b"), 0.0, block(A="b")),
        (b"", -1.0, b""),
        (block(Natsrpc_Timeout="junk"), 0.0, block(Natsrpc_Timeout="junk")),
        (block(Natsrpc_Timeout="5000"), 1.5, block(Natsrpc_Timeout="1500")),
        (block(natsrpc_timeout="5000", A="b"), 1.5, block(Natsrpc_Timeout="1500", A="b")),
        (block(Natsrpc_Timeout="50"), 1.5, block(Natsrpc_Timeout="50")),
        (block(Natsrpc_Timeout="5000"), 0.0001, block(Natsrpc_Timeout="1")),
        (block(Natsrpc_Timeout="5000"), 0.0, None),
        (block(Natsrpc_Timeout="5000"), -1.0, None),
    ],
)
def test_a_block_says_what_is_left(before: bytes, left: float, after: bytes | None) -> None:
    assert with_time_left(before, left) == after


@warped
@both_paths
async def test_a_call_that_waited_for_a_session_says_what_is_left(path: str) -> None:
    async with calling(path) as (client, server):
        await lose(client, server)
        calls = [
            asyncio.ensure_future(client.call("x", n, timeout=timeout))
            for n, timeout in enumerate((10.0, None, 1.0, 1.0 - GRACE / 2))
        ]
        await elapse(1.0)
        peer = await found_again(client, server)
        first, unlimited = published(peer, b"x")
        assert (first.payload, unlimited.payload) == (b"0", b"1")
        assert 8500 < int(Headers.decode(first.headers)["Natsrpc-Timeout"]) <= 9000
        assert b"Natsrpc-Timeout" not in unlimited.headers
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


@warped
async def test_a_gather_and_an_old_style_call_say_what_is_left() -> None:
    async with calling(old_style_requests=True) as (client, server):
        await lose(client, server)
        calls = [
            asyncio.ensure_future(client.call("x", 0, timeout=10.0)),
            asyncio.ensure_future(client.gather("x", 1, timeout=10.0)),
        ]
        await elapse(1.0)
        peer = await found_again(client, server)
        frames = published(peer, b"x")
        assert [frame.payload for frame in frames] == [b"0", b"1"]
        for frame in frames:
            told = int(Headers.decode(frame.headers)["Natsrpc-Timeout"])
            assert 8500 < told <= 9000 + GRACE * 1000
        for call in calls:
            call.cancel()
        await asyncio.gather(*calls, return_exceptions=True)


@warped
async def test_an_opening_that_waited_for_a_session_is_sent_and_not_lost() -> None:
    """Streams, uploads and heads of large requests: what is left of their time is named."""
    async with calling() as (client, server):
        large = "x" * client.connection.max_payload
        await lose(client, server)
        opened = [
            asyncio.ensure_future(anext(client.stream("s", 0, timeout=10.0))),
            asyncio.ensure_future(client.upload("u", nothing(), timeout=10.0)),
            asyncio.ensure_future(client.call("h", large, timeout=10.0)),
            asyncio.ensure_future(anext(client.stream("s", 1))),
            asyncio.ensure_future(anext(client.stream("s", 2, timeout=1.0))),
        ]
        await turns()  # each has begun: encoding the large one takes time of a loaded machine
        await elapse(1.2)
        assert opened[4].done()
        assert isinstance(opened[4].exception(), NatsTimeoutError)
        peer = await found_again(client, server)
        timed, unlimited = published(peer, b"s")
        (upload,) = published(peer, b"u")
        (head,) = published(peer, b"h._NATSRPC.large")
        for frame in (timed, upload, head):
            headers = Headers.decode(frame.headers)
            assert 8500 < int(headers["Natsrpc-Timeout"]) <= 8800
            assert headers["Natsrpc-Frame"].startswith("large " if frame is head else "open ")
        assert unlimited.payload == b"1"
        await elapse(1.0)
        assert not any(each.done() for each in opened[:4])
        await lose(client, server)  # and now it is lost
        await found_again(client, server)
        results = await asyncio.gather(*opened[:4], return_exceptions=True)
        assert ["lost before the worker answered" in str(each) for each in results] == [True] * 4


async def nothing() -> AsyncIterator[int]:
    return
    yield 0


@warped
@both_paths
async def test_a_call_that_times_out_after_an_interruption_is_cancelled(path: str) -> None:
    async with calling(path) as (client, server):
        call = asyncio.ensure_future(client.call("x", 1, timeout=2.0))
        await turns()
        await client.connection.flush()
        (asked,) = published(server.peers[0], b"x")
        await lose(client, server)
        peer = await found_again(client, server)
        with pytest.raises(NatsTimeoutError, match=r"within 2 s"):
            await call
        await client.connection.flush()
        (cancel,) = published(peer, b"x._NATSRPC.cancel")
        assert cancel.payload == asked.reply
        with pytest.raises(NatsTimeoutError):
            await client.call("x", 2, timeout=2.0)  # its worker knows by itself
        await client.connection.flush()
        assert len(published(peer, b"x._NATSRPC.cancel")) == 1


@warped
@both_paths
async def test_cancels_of_late_calls_have_a_rate(path: str) -> None:
    async with calling(path) as (client, server):
        count = 3 * CANCELS
        calls = [
            asyncio.ensure_future(client.call("x", n, timeout=2 + n / count)) for n in range(count)
        ]
        await turns()
        await client.connection.flush()
        await lose(client, server)
        peer = await found_again(client, server)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in results} == {NatsTimeoutError}
        await client.connection.flush()
        assert CANCELS <= len(published(peer, b"x._NATSRPC.cancel")) <= 2 * CANCELS
        with contextlib.suppress(asyncio.CancelledError):
            call = asyncio.ensure_future(client.call("y", 1, timeout=60))
            await turns()
            call.cancel()
            await call
        await client.connection.flush()
        assert published(peer, b"y._NATSRPC.cancel")  # of what a caller gave up each one is told


@warped
async def test_a_call_whose_time_ends_as_it_would_be_sent_again_tells_how_often_it_was_sent() -> (
    None
):
    async with calling() as (client, server):
        policy = Policy(attempts=1, idempotent=True)
        call = asyncio.ensure_future(client.call("pay", timeout=1.0, policy=policy))
        await eventually(lambda: published(server.peers[-1], b"pay"))
        await lose(client, server)
        await elapse(1.0 + GRACE / 2)
        await server.listen()
        with pytest.raises(NatsTimeoutError, match="no answer in 1 attempts within 1 s"):
            await call
