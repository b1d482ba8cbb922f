"""What the server denies ends a conversation at once, on the side that was denied it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from natsrpc.errors import MaxSubscriptionsError, PermissionsError, RpcError, UnavailableError
from natsrpc.rpc import Client, Service, connect
from natsrpc.rpc.streams import conversations_of, large
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

pytestmark = pytest.mark.live

MIB = 1024 * 1024


def users(**permissions: str) -> str:
    """A server's configuration: users, whose passwords are their names."""
    lines = (
        f"{{user: {user}, password: {user}, permissions: {{{allowed}}}}}"
        for user, allowed in permissions.items()
    )
    return f"authorization {{ users: [{', '.join(lines)}] }}"


ALL = 'publish: ">", subscribe: ">"'
MUTE = 'publish: "nothing", subscribe: "_INBOX.>"'
DEAF = 'publish: ">", subscribe: "nothing"'


async def numbers() -> AsyncIterator[int]:
    yield 1


async def read(client: Client) -> Any:
    return [each async for each in client.stream("calc.count", 1, returns=int)]


CALLS: dict[str, Callable[[Client], Awaitable[Any]]] = {
    "call": lambda client: client.call("calc.add", 1, int, timeout=60),
    "stream": read,
    "upload": lambda client: client.upload("calc.mean", numbers(), returns=int, timeout=60),
    "large request": lambda client: client.call("calc.big", "x" * 2 * MIB, int, timeout=60),
    "gather": lambda client: client.gather("calc.who", 1, int, timeout=60),
}


@pytest.mark.parametrize("permissions", [MUTE, DEAF], ids=["publish", "subscribe"])
@pytest.mark.parametrize("call", CALLS)
async def test_a_denied_call_fails_at_once(call: str, permissions: str) -> None:
    with NatsServer(users(c=permissions, s=ALL)) as server:
        async with (
            connect(server.url, user="c", password="c") as client,
            connect(server.url, user="s", password="s") as other,
        ):
            for subject in ("calc.>", "calc.big._NATSRPC.large"):
                await other.connection.subscribe(subject, cb=lambda _: None)
            await other.connection.flush()
            async with asyncio.timeout(4):
                with pytest.raises(PermissionsError):
                    await CALLS[call](client)
            assert not conversations_of(client.connection.link)


@pytest.mark.parametrize("call", CALLS)
async def test_a_call_whose_inbox_is_one_too_many_fails_at_once(call: str) -> None:
    with NatsServer("max_subscriptions: 2") as server:
        async with connect(server.url) as client, connect(server.url) as other:
            for subject in ("calc.>", "calc.big._NATSRPC.large"):
                await other.connection.subscribe(subject, cb=lambda _: None)
                await client.connection.subscribe("other", check=True)
            await other.connection.flush()
            async with asyncio.timeout(4):
                with pytest.raises(MaxSubscriptionsError):
                    await CALLS[call](client)
            assert not conversations_of(client.connection.link)


def calc() -> Service:
    service = Service("calc", version="1.0.0")

    @service.handler("calc.text")
    async def text(size: int) -> str:
        return "x" * size

    @service.handler("calc.count")
    async def count() -> AsyncIterator[int]:
        while True:
            yield 1

    return service


async def test_a_large_reply_whose_worker_may_not_be_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The caller may publish to the service's subjects, and nowhere else."""
    monkeypatch.setattr(large, "TAKEN_WITHIN", 0.2)  # nobody can tell the worker
    permissions = users(c='publish: "calc.>", subscribe: "_INBOX.>"', s=ALL)
    with NatsServer(permissions) as server:
        async with (
            connect(server.url, user="c", password="c") as client,
            connect(server.url, user="s", password="s") as worker,
            worker.serve(calc()),
        ):
            async with asyncio.timeout(4):
                with pytest.raises(PermissionsError, match="the server denied a frame"):
                    await client.call("calc.text", 2 * MIB, str, timeout=60)
            assert not conversations_of(client.connection.link)


async def test_a_worker_that_may_not_answer_lets_go_at_once() -> None:
    permissions = users(c=ALL, s='publish: "nothing", subscribe: ["calc.>", "_INBOX.>", "$SRV.>"]')
    with NatsServer(permissions) as server:
        async with (
            connect(server.url, user="c", password="c") as client,
            connect(server.url, user="s", password="s") as worker,
            worker.serve(calc()) as running,
        ):
            stream = asyncio.ensure_future(read(client))
            await eventually(lambda: bool(conversations_of(client.connection.link)))
            await client.connection.flush()
            await eventually(lambda: not running.inflight, 2)
            await eventually(lambda: not conversations_of(worker.connection.link), 2)
            stream.cancel()
            await asyncio.gather(stream, return_exceptions=True)


async def test_a_denial_ends_no_other_conversation() -> None:
    permissions = users(c='publish: ["calc.>", "_INBOX.>"], subscribe: "_INBOX.>"', s=ALL)
    with NatsServer(permissions) as server:
        async with (
            connect(server.url, user="c", password="c") as client,
            connect(server.url, user="s", password="s") as worker,
            worker.serve(calc()),
        ):
            stream = client.stream("calc.count", returns=int)
            assert await anext(stream) == 1
            with pytest.raises(PermissionsError):
                async for _ in client.stream("other.count", returns=int):
                    pass
            for _ in range(1000):
                assert await anext(stream) == 1
            await stream.aclose()


async def test_a_worker_that_may_not_listen_to_its_inbox_runs_no_large_request() -> None:
    """No part of a body can come to it, so that its handler would see an empty one."""
    seen: list[int] = []
    service = Service("calc", version="1.0.0")

    @service.handler("calc.size")
    async def size(data: bytes) -> int:
        seen.append(len(data))
        return len(data)

    permissions = users(c=ALL, s='publish: ">", subscribe: ["calc.>", "$SRV.>"]')
    with NatsServer(permissions) as server:
        async with (
            connect(server.url, user="c", password="c") as client,
            connect(server.url, user="s", password="s") as worker,
            worker.serve(service) as running,
        ):
            async with asyncio.timeout(10):
                with pytest.raises(UnavailableError):
                    await client.call("calc.size", bytes(2 * MIB), int, timeout=60)
                assert await client.call("calc.size", b"abc", int) == 3
            assert seen == [3]
            assert running.inflight == 0
            assert not conversations_of(worker.connection.link)


async def test_what_a_worker_may_not_listen_to_its_inbox_for_is_refused_each_time() -> None:
    """Also once its connection knows of the denial: every request gets an answer."""
    permissions = users(c=ALL, s='publish: ">", subscribe: ["calc.>", "$SRV.>"]')
    with NatsServer(permissions) as server:
        async with (
            connect(server.url, user="c", password="c") as client,
            connect(server.url, user="s", password="s") as worker,
            worker.serve(calc()) as running,
        ):
            for _ in range(3):
                with pytest.raises(RpcError, match=r"own inbox|is gone|internal error"):
                    await asyncio.wait_for(read(client), 4)
                with pytest.raises(RpcError, match=r"own inbox|is gone|internal error"):
                    await client.call("calc.text", 2 * MIB, str, timeout=60)
            assert running.inflight == 0
            await eventually(lambda: not conversations_of(worker.connection.link), 2)
