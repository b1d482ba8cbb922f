"""A service with one endpoint of each kind, and all that its users may want of it.

Each user is one of those that `permissions` knows. `refused` tells which wishes were not granted.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Annotated

import natsrpc
from natsrpc import discovery
from natsrpc.describe import Inboxes, Permissions, document
from natsrpc.server import NatsServer

INBOXES = Inboxes("_INBOX.calc", "_INBOX.caller", "_INBOX.observer")
LARGE = 1_500_000
"""Bytes of a body that no message takes."""

asked = natsrpc.Event("calc.asked.{by}", int)
done = natsrpc.Event("calc.done.{by}", int)


@dataclass
class Told:
    """What the service tells the test of."""

    asked: asyncio.Event = field(default_factory=asyncio.Event)
    running: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))
    cancelled: asyncio.Semaphore = field(default_factory=lambda: asyncio.Semaphore(0))


def service(told: Told) -> natsrpc.Service:
    made = natsrpc.Service("calc", version="1.0.0", publishes=[done])

    async def wait() -> None:
        told.running.release()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            told.cancelled.release()
            raise

    @made.handler("calc.do.{what}")
    async def do(data: bytes, what: Annotated[str, natsrpc.Token("what")]) -> bytes:
        if what == "wait":
            await wait()
        return bytes(LARGE) if what == "fill" else data[:3]

    @made.handler("calc.count")
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @made.handler("calc.who", queue_group=None)
    async def who(client: natsrpc.Client, waits: bool = False) -> int:
        if waits:
            await wait()
        await client.publish(done, 1, tokens={"by": "me"})
        return 7

    @made.subscriber(asked, name="note")
    async def note(event: int) -> None:
        told.asked.set()

    return made


DOCUMENT = document(service(Told()).contract)


@dataclass
class Users:
    """All who are connected."""

    service: natsrpc.Client
    caller: natsrpc.Client
    publisher: natsrpc.Client
    observer: natsrpc.Client
    admin: natsrpc.Client
    told: Told
    id: str
    patience: float
    done: asyncio.Event = field(default_factory=asyncio.Event)


def config(users: Mapping[str, Permissions | str]) -> str:
    """A server's configuration with these users, and one who may do everything."""
    lines = [f"{{ user: {name}, password: p, {_block(each)} }}" for name, each in users.items()]
    lines.append("{ user: admin, password: p }")
    return "authorization { users: [\n" + "\n".join(lines) + "\n] }"


def _block(given: Permissions | str) -> str:
    return given if isinstance(given, str) else given.config


async def call(users: Users) -> None:
    found = await users.caller.call("calc.do.it", b"abc", bytes, timeout=users.patience)
    assert found == b"abc"


async def large_request(users: Users) -> None:
    body = b"abc" + bytes(LARGE)
    found = await users.caller.call("calc.do.it", body, bytes, timeout=users.patience)
    assert found == b"abc"


async def large_reply(users: Users) -> None:
    found = await users.caller.call("calc.do.fill", b"", bytes, timeout=users.patience)
    assert found == bytes(LARGE)


async def stream(users: Users) -> None:
    items = users.caller.stream("calc.count", 3, int, timeout=users.patience)
    assert [each async for each in items] == [0, 1, 2]


async def gather(users: Users) -> None:
    found = users.caller.gather("calc.who", returns=int, timeout=users.patience, max_responses=1)
    assert await found == [7]


async def cancel(users: Users) -> None:
    calls = (
        asyncio.ensure_future(users.caller.call("calc.do.wait", b"", bytes, timeout=60)),
        asyncio.ensure_future(users.caller.call("calc.who", True, int, timeout=60)),
    )
    try:
        async with asyncio.timeout(users.patience):
            for _ in calls:
                await users.told.running.acquire()
    except TimeoutError:
        pass  # those that came are cancelled, and their number is wrong
    for each in calls:
        each.cancel()
    await asyncio.gather(*calls, return_exceptions=True)
    async with asyncio.timeout(users.patience):
        for _ in calls:
            await users.told.cancelled.acquire()


async def event(users: Users) -> None:
    await users.publisher.publish(asked, 1, tokens={"by": "you"})
    await asyncio.wait_for(users.told.asked.wait(), users.patience)


async def published(users: Users) -> None:
    await users.caller.call("calc.who", returns=int, timeout=users.patience)
    await asyncio.wait_for(users.done.wait(), users.patience)


async def find_all(users: Users) -> None:
    found = discovery.ping(users.observer.connection, timeout=users.patience, stall=0.1)
    assert await found


async def find_by_name(users: Users) -> None:
    found = discovery.stats(users.observer.connection, "calc", timeout=users.patience, stall=0.1)
    assert await found


async def find_by_id(users: Users) -> None:
    found = discovery.info(users.observer.connection, "calc", users.id, timeout=users.patience)
    assert await found


WISHES: dict[str, Callable[[Users], Awaitable[None]]] = {
    wish.__name__: wish
    for wish in (
        call,
        large_request,
        large_reply,
        stream,
        gather,
        cancel,
        event,
        published,
        find_all,
        find_by_name,
        find_by_id,
    )
}
"""By their names, what is wished of a service."""

START = "start"
DOES_WITHOUT = "does without"
"""What is refused beside wishes: to serve; a subscription that nobody misses, told in the log."""


async def refused(
    text: str,
    patience: float,
    logins: Mapping[str, str] = MappingProxyType({}),
    wishes: Iterable[str] = tuple(WISHES),
) -> dict[str, str]:
    """The wishes that a server of this configuration does not grant within so many seconds, and
    why. `logins` names the user as whom a client connects, where that is not its own name."""
    noted: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: noted.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("natsrpc.rpc")
    logger.addHandler(handler)
    try:
        with NatsServer(text) as server:
            found = await _try(server.url, patience, logins, list(wishes))
    finally:
        logger.removeHandler(handler)
    told = [line for line in noted if "does without" in line]
    return found | ({DOES_WITHOUT: told[0]} if told else {})


async def _try(
    url: str, patience: float, logins: Mapping[str, str], wishes: list[str]
) -> dict[str, str]:
    told = Told()
    async with contextlib.AsyncExitStack() as stack:

        async def user(name: str) -> natsrpc.Client:
            login = natsrpc.connect(
                url,
                user=logins.get(name, name),
                password="p",
                inbox_prefix=f"_INBOX.{name}",
                drain_timeout=1,
            )
            return await stack.enter_async_context(login)

        served = await user("calc")
        try:
            server = await stack.enter_async_context(served.serve(service(told)))
        except natsrpc.NatsError as error:
            return {START: str(error)}
        users = Users(
            service=served,
            caller=await user("caller"),
            publisher=await user("publisher"),
            observer=await user("observer"),
            admin=await user("admin"),
            told=told,
            id=server.services[0].id,
            patience=patience,
        )

        async def note(_: natsrpc.Msg) -> None:
            users.done.set()

        await users.admin.connection.subscribe("calc.done.*", cb=note)
        await users.admin.connection.flush()
        reasons = await asyncio.gather(*(_reason(WISHES[wish], users) for wish in wishes))
        return {name: why for name, why in zip(wishes, reasons, strict=True) if why}


async def _reason(wish: Callable[[Users], Awaitable[None]], users: Users) -> str:
    try:
        await wish(users)
    except (natsrpc.NatsRpcError, AssertionError, TimeoutError) as error:
        return f"{type(error).__name__}: {error}"
    return ""
