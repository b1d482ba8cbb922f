"""What an instance, a call, a stream, an upload and an event cost servers, routes and gateways.

Counted by the servers themselves: interest by /subsz, messages and bytes by /routez and /gatewayz.
Their bytes are headers and bodies, without the line of the protocol around them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass

import natsrpc
from natsrpc import discovery
from natsrpc.server import NatsServer

from .servers import (
    Counts,
    cluster,
    counts,
    gateway_interest,
    look,
    subscriptions,
    supercluster,
    until,
)

CALLS = 500
BODY = b"x" * 128
ITEMS = 10_000

placed = natsrpc.Event("fleet.events.{by}", bytes)


def service(endpoints: int = 0) -> natsrpc.Service:
    made = natsrpc.Service("fleet", version="1.0.0")

    async def echo(data: bytes) -> bytes:
        return data

    async def count(to: int) -> AsyncIterator[bytes]:
        for _ in range(to):
            yield BODY

    async def size(items: AsyncIterator[bytes]) -> int:
        return sum([len(each) async for each in items])

    async def fill(size: int) -> bytes:
        return bytes(size)

    if endpoints:
        for number in range(endpoints):
            made.handler(f"fleet.endpoint{number}", name=f"endpoint{number}")(echo)
        return made

    async def wait() -> None:
        await asyncio.Event().wait()

    named = (("echo", echo), ("count", count), ("size", size), ("fill", fill), ("wait", wait))
    for name, function in named:
        made.handler(f"fleet.{name}")(function)
    return made


def subscriber(number: int) -> natsrpc.Service:
    made = natsrpc.Service(f"listener{number}", version="1.0.0")

    @made.subscriber(placed)
    async def note(event: bytes) -> None: ...

    return made


@dataclass
class Sites:
    """Where the caller is, and where the worker is."""

    near: NatsServer
    far: NatsServer
    caller: natsrpc.Client
    worker: natsrpc.Client


async def call(client: natsrpc.Client) -> int:
    for _ in range(CALLS):
        await client.call("fleet.echo", BODY, bytes)
    return CALLS


async def call_without_deadline(client: natsrpc.Client) -> int:
    for _ in range(CALLS):
        await client.call("fleet.echo", BODY, bytes, timeout=None)
    return CALLS


async def stream(client: natsrpc.Client) -> int:
    items = client.stream("fleet.count", ITEMS, bytes)
    return len([each async for each in items])


async def upload(client: natsrpc.Client) -> int:
    async def items() -> AsyncIterator[bytes]:
        for _ in range(ITEMS):
            yield BODY

    await client.upload("fleet.size", items(), returns=int)
    return ITEMS


async def large_reply(client: natsrpc.Client) -> int:
    await client.call("fleet.fill", 4 * 1024 * 1024, bytes)
    return 4


async def event(client: natsrpc.Client) -> int:
    for _ in range(CALLS):
        await client.publish(placed, BODY, tokens={"by": "me"})
    await client.connection.flush()
    return CALLS


async def cancelled(client: natsrpc.Client) -> int:
    for _ in range(100):
        calling = asyncio.ensure_future(client.call("fleet.wait"))
        await client.connection.flush()
        calling.cancel()
        await asyncio.wait([calling])
    return 100


async def find(client: natsrpc.Client) -> int:
    return len(await discovery.ping(client.connection, "fleet"))


WORK: dict[str, tuple[Callable[[natsrpc.Client], Awaitable[int]], str]] = {
    "call, 128 B both ways": (call, "call"),
    "the same, timeout=None": (call_without_deadline, "call"),
    "stream of 128 B": (stream, "item"),
    "upload of 128 B": (upload, "item"),
    "reply of 4 MiB": (large_reply, "MiB"),
    "event of 128 B": (event, "event"),
    "call that is cancelled": (cancelled, "call"),
    "discovery": (find, "instance"),
}


async def work(sites: Sites, kind: str) -> None:
    """Do each piece of work, and print what went from the caller's side, and what came back."""
    for name, (do, unit) in WORK.items():
        await do(sites.caller)  # what is asked once: the inbox, the interest that gateways learn
        await settled(sites)
        there, back = counts(sites.near), counts(sites.far)
        number = await do(sites.caller)
        await settled(sites)
        sent, got = counts(sites.near) - there, counts(sites.far) - back
        print(f"  {name:24} a {unit:8}: {said(sent, kind, number)} there, "
              f"{said(got, kind, number)} back")  # fmt: skip


async def settled(sites: Sites) -> None:
    """Wait until the servers count no more."""
    for client in (sites.caller, sites.worker):
        await client.connection.flush()
    found = [counts(sites.near), counts(sites.far)]
    for _ in range(100):
        await asyncio.sleep(0.3)
        before, found = found, [counts(sites.near), counts(sites.far)]
        if found == before:
            return


def said(found: Counts, kind: str, number: int) -> str:
    messages, size = getattr(found, kind)
    return f"{messages / number:6.3f} messages {size / number:7.0f} B"


Looks = dict[str, Callable[[], int]]


async def interest(near: NatsServer, others: Looks) -> None:
    """What instances, subscribers and callers add to each server."""
    servers: Looks = {"its own server": lambda: subscriptions(near), **others}

    async def added(what: str, start: Callable[[natsrpc.Client], Awaitable[object]]) -> None:
        before = {name: known() for name, known in servers.items()}
        async with natsrpc.connect(near.url) as client:
            await start(client)
            await client.connection.flush()
            await asyncio.sleep(1)
            after = {name: known() - before[name] for name, known in servers.items()}
            print(f"  {what:36}", ", ".join(f"{name} {count}" for name, count in after.items()))
        until(lambda: subscriptions(near) <= before["its own server"], "the end of a client")
        await asyncio.sleep(0.5)

    for endpoints in (1, 4):
        for instances in (1, 10):

            async def start(client: natsrpc.Client, n: int = instances, e: int = endpoints) -> None:
                for _ in range(n):
                    await client.serve(service(e))

            await added(f"{instances} instances of {endpoints} endpoints", start)
    await added("a subscriber of an event", lambda client: client.serve(subscriber(1)))

    async def ask(client: natsrpc.Client) -> None:
        with_none = client.call("fleet.nobody", timeout=1)
        await asyncio.gather(with_none, return_exceptions=True)

    await added("a caller, however much it asks", ask)


async def between(near: NatsServer, far: NatsServer, kind: str) -> None:
    async with (
        natsrpc.connect(near.url) as caller,
        natsrpc.connect(far.url) as worker,
        worker.serve(service(), subscriber(1), subscriber(2)),
        worker.serve(service()),
    ):
        await asyncio.sleep(1)  # for servers to tell each other
        await work(Sites(near, far, caller, worker), kind)


async def main() -> None:
    with cluster(3) as servers:
        await asyncio.sleep(2)  # for the servers to have told each other of themselves
        print("a cluster of three, interest added:")
        await interest(servers[0], {"another server": lambda: subscriptions(servers[1])})
        print("from one server to another, over a route:")
        await between(servers[0], servers[1], "routes")
        routes = look(servers[0], "/routez")["num_routes"]
        print(f"routes of a server: {routes}")
    with supercluster(2) as (east, west):
        await asyncio.sleep(2)
        print("two clusters of two, interest added:")
        known: Looks = {
            "its cluster": lambda: subscriptions(east[1]),
            "a gateway to it": lambda: gateway_interest(west[0]),
        }
        await interest(east[0], known)
        print("from one cluster to another, over a gateway:")
        await between(east[0], west[0], "gateways")


if __name__ == "__main__":
    asyncio.run(main())
