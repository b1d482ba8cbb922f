"""Requests at a steady rate while every server of a cluster is restarted, one after the other.

Each server is told to go (lame duck), is stopped once its clients have left, and is started again.
At each turn one instance of the service is drained and replaced, as in a rolling deploy.

Run it by itself: `python -m tests.soak.rolling_restart [seconds] [requests a second]`.
"""

from __future__ import annotations

import asyncio
import sys
from collections import Counter
from dataclasses import dataclass, field

import natsrpc
from natsrpc.core import Connection, Msg, connect
from natsrpc.testing import Cluster, NatsServer
from tests.core.harness import eventually

SUBJECT = "soak.work"
WORKERS = 10  # of each instance, one request at a time
CONFIG = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "10s"\n'


@dataclass
class Tally:
    """What happened to the requests."""

    asked: int = 0
    answered: int = 0
    failed: Counter[str] = field(default_factory=Counter)
    handled: Counter[bytes] = field(default_factory=Counter)
    restarts: int = 0
    drains: int = 0
    reconnects: int = 0
    repeated_replies: int = 0
    slowest: float = 0.0

    @property
    def lost(self) -> int:
        return self.asked - self.answered

    @property
    def handled_twice(self) -> int:
        return sum(1 for times in self.handled.values() if times > 1)

    def __str__(self) -> str:
        return (
            f"asked {self.asked}, answered {self.answered}, lost {self.lost} "
            f"{dict(self.failed) or ''}, handled twice {self.handled_twice}, "
            f"replies that came twice {self.repeated_replies}; restarts {self.restarts}, "
            f"instances drained {self.drains}, moves {self.reconnects}, "
            f"slowest {self.slowest * 1000:.0f} ms"
        )


class Fleet:
    """The instances of the service, and who asks them: by bare subscriptions and requests."""

    def __init__(self, cluster: Cluster) -> None:
        self.cluster = cluster
        self.tally = Tally()
        self.instances: list[Connection] = []
        self.askers: list[Connection] = []
        self.clients: dict[Connection, natsrpc.Client] = {}

    async def dial(self, home: int) -> Connection:
        urls = self.cluster.urls
        return await connect(urls, first_server=urls[home % len(urls)], reconnect_wait=0.25)

    async def start_instance(self, home: int) -> None:
        nc = await self.dial(home)
        for _ in range(WORKERS):
            await nc.subscribe(SUBJECT, queue_group="q", cb=self._work)
        await nc.flush()
        self.instances.append(nc)

    async def _work(self, msg: Msg) -> None:
        self.tally.handled[msg.data] += 1
        await asyncio.sleep(0.02)  # why: some are always in hand when something happens
        await msg.respond(msg.data)

    async def replace_oldest(self, home: int) -> None:
        """A rolling deploy: the next one is up before the last one drains."""
        await self.start_instance(home)
        oldest = self.instances.pop(0)
        self.tally.reconnects += oldest.stats().reconnects
        await oldest.drain()
        self.tally.drains += 1

    async def ask(self, nc: Connection) -> None:
        tally, loop = self.tally, asyncio.get_running_loop()
        tally.asked += 1
        number, start = tally.asked, loop.time()
        try:
            answer = await self.request(nc, number)
        except natsrpc.NatsRpcError as error:
            tally.failed[type(error).__name__] += 1
        else:
            tally.answered += answer == number
            tally.slowest = max(tally.slowest, loop.time() - start)

    async def request(self, nc: Connection, number: int) -> int:
        return int((await nc.request(SUBJECT, b"%d" % number, timeout=5.0)).data)

    async def ask_steadily(self, rate: float, over: asyncio.Event) -> None:
        loop = asyncio.get_running_loop()
        start, sent = loop.time(), 0
        async with asyncio.TaskGroup() as group:
            while not over.is_set():
                while sent < (loop.time() - start) * rate:
                    group.create_task(self.ask(self.askers[sent % len(self.askers)]))
                    sent += 1
                await asyncio.sleep(0.004)  # why: requests come at a steady rate

    async def roll(self, server: NatsServer) -> None:
        """Take one server down and up again, as an operator does."""
        server.lame_duck()
        await self._left(server)
        await asyncio.sleep(0.3)  # why: what is left on the old sessions is answered meanwhile
        server.kill()  # in lame duck mode it would take its time over a polite signal
        await asyncio.to_thread(server.start)
        await asyncio.to_thread(self.cluster.await_mesh)
        self.tally.restarts += 1

    async def _left(self, server: NatsServer) -> None:
        """Wait until nobody's work depends on this server."""
        here = (server.host, server.port)
        everybody = self.instances + self.askers
        await eventually(lambda: all(nc.server_address != here for nc in everybody), 20)


class TypedFleet(Fleet):
    """The same by services and typed calls."""

    async def dial(self, home: int) -> Connection:
        urls = self.cluster.urls
        client = await natsrpc.connect(
            urls, first_server=urls[home % len(urls)], reconnect_wait=0.25
        )
        self.clients[client.connection] = client
        return client.connection

    async def start_instance(self, home: int) -> None:
        nc = await self.dial(home)
        service = natsrpc.Service("soak", version="1.0.0")
        service.handler(SUBJECT)(self._handle)
        await self.clients[nc].serve(service)
        self.instances.append(nc)

    async def _handle(self, number: int) -> int:
        self.tally.handled[b"%d" % number] += 1
        await asyncio.sleep(0.02)  # why: as `_work` does
        return number

    async def request(self, nc: Connection, number: int) -> int:
        return await self.clients[nc].call(SUBJECT, number, int, timeout=5.0)


async def rolling_restart(
    seconds: float, rate: float, *, rolls: int = 0, fleet_type: type[Fleet] = Fleet
) -> Tally:
    """Ask `rate` times a second for at least `seconds`, and until `rolls` servers restarted."""
    async with Cluster(3, CONFIG) as cluster:
        fleet = fleet_type(cluster)
        tally = fleet.tally
        for home in range(3):
            await fleet.start_instance(home)
        fleet.askers = [await fleet.dial(home) for home in range(3)]
        over = asyncio.Event()
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        async with asyncio.TaskGroup() as group:
            group.create_task(fleet.ask_steadily(rate, over))
            turn = 0
            while loop.time() < end or turn < rolls:
                await fleet.roll(cluster.servers[turn % 3])
                turn += 1
                await fleet.replace_oldest(turn % 3)
            over.set()
        for nc in fleet.instances + fleet.askers:
            stats = nc.stats()
            tally.reconnects += stats.reconnects
            tally.repeated_replies += stats.unmatched_replies
            await nc.drain()
    return tally


if __name__ == "__main__":
    seconds_, rate_ = (
        [*map(float, sys.argv[1:]), 30.0, 500.0][:2] if sys.argv[2:] else (30.0, 500.0)
    )
    for kind in (Fleet, TypedFleet):
        print(kind.__name__, asyncio.run(rolling_restart(seconds_, rate_, fleet_type=kind)))
