"""Where the members of a queue group are preferred, and how 1 000 of them share the work.

Workers answer with the name of their place, and callers on each server count the names.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import Counter
from collections.abc import Iterator

import natsrpc
from natsrpc.server import NatsServer

from .servers import MONITORED, cluster, cpu_seconds, free_ports, one_server, supercluster

CALLS = 600


def service(place: str) -> natsrpc.Service:
    made = natsrpc.Service("fleet", version="1.0.0")

    @made.handler("fleet.where")
    async def where() -> str:
        return place

    return made


async def placed(what: str, servers: dict[str, NatsServer], caller: str, *workers: str) -> None:
    """Serve at these places, call from another, and print who answered."""
    async with contextlib.AsyncExitStack() as stack:
        for place in workers:
            client = await stack.enter_async_context(natsrpc.connect(servers[place].url))
            await stack.enter_async_context(client.serve(service(place)))
        client = await stack.enter_async_context(natsrpc.connect(servers[caller].url))
        await asyncio.sleep(1)  # for servers to tell each other
        await client.call("fleet.where", returns=str)
        found = Counter([await client.call("fleet.where", returns=str) for _ in range(CALLS)])
        shares = ", ".join(f"{name} {found[name] * 100 // CALLS} %" for name in workers)
        print(f"{what:12} caller at {caller}: {shares}", flush=True)


@contextlib.contextmanager
def leaf() -> Iterator[dict[str, NatsServer]]:
    """A server at the edge, joined to a hub as a leaf node."""
    (port,) = free_ports(1)
    hub = NatsServer(f'{MONITORED}leafnodes {{ listen: "127.0.0.1:{port}" }}')
    edge = NatsServer(f'{MONITORED}leafnodes {{ remotes: [{{ url: "nats://127.0.0.1:{port}" }}] }}')
    with hub, edge:
        time.sleep(1)
        yield {"hub": hub, "edge": edge}


async def many(total: int = 1000, each: int = 50) -> None:
    """A queue group of so many members: how even it is, and what a call costs the server."""
    for members in (1, 10, total):
        with one_server() as server:
            async with contextlib.AsyncExitStack() as stack:
                clients = [
                    await stack.enter_async_context(natsrpc.connect(server.url))
                    for _ in range(max(1, members // each))
                ]
                counters: list[int] = [0] * members
                for number in range(members):
                    await clients[number % len(clients)].serve(counting(counters, number))
                caller = await stack.enter_async_context(natsrpc.connect(server.url))
                calls = max(2000, members * 20)
                before = cpu_seconds(server.pid)
                await asyncio.gather(*(ask(caller, calls // 64) for _ in range(64)))
                spent = cpu_seconds(server.pid) - before
                done = sum(counters)
                mean = done / members
                print(f"{members} members: {spent / done * 1e6:.1f} us of the server a call; "
                      f"least {min(counters) / mean:.2f}, most {max(counters) / mean:.2f} of the "
                      f"mean of {mean:.0f}", flush=True)  # fmt: skip


def counting(counters: list[int], number: int) -> natsrpc.Service:
    made = natsrpc.Service("fleet", version="1.0.0")

    @made.handler("fleet.where")
    async def where() -> None:
        counters[number] += 1

    return made


async def ask(client: natsrpc.Client, calls: int) -> None:
    for _ in range(calls):
        await client.call("fleet.where", timeout=30)


async def main() -> None:
    with cluster(3) as found:
        servers = dict(zip("ABC", found, strict=True))
        await placed("cluster", servers, "A", "A", "B", "C")
        await placed("cluster", servers, "A", "B", "C")
        await placed("cluster", servers, "A", "B", "B", "B", "C")
    with supercluster(2) as (east, west):
        servers = {"east-0": east[0], "east-1": east[1], "west-0": west[0], "west-1": west[1]}
        await placed("supercluster", servers, "east-0", "east-0", "east-1", "west-0")
        await placed("supercluster", servers, "east-0", "east-1", "west-0")
        await placed("supercluster", servers, "east-0", "west-0", "west-1")
    with leaf() as servers:
        await placed("leaf node", servers, "edge", "edge", "hub")
        await placed("leaf node", servers, "hub", "edge", "hub")
        await placed("leaf node", servers, "edge", "hub")
        await placed("leaf node", servers, "hub", "edge")
    await many(*map(int, sys.argv[1:]))


if __name__ == "__main__":
    asyncio.run(main())
