"""A server or a cluster, a caller here, two workers in processes of their own, and what ran."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import natsrpc
from natsrpc.core import Connection, Msg
from natsrpc.server import Cluster, NatsServer
from tests.cli.processes import Command
from tests.core.harness import Proxy, eventually

from .forks import ROOT, Forks
from .worker import PATIENCE, SHORT, Settings, log_of

CONFIG = "max_payload: 65536\n"

QUICK: dict[str, Any] = {
    "reconnect_wait": 0.05,
    "reconnect_jitter": 0.01,
    "max_reconnect_attempts": -1,
    "connect_timeout": 1.0,
    "retry_on_failed_connect": True,  # also the first time: a busy machine may take that second
    "ping_interval": 0.5,
    "max_pings_out": 1,
    "ignore_auth_error_abort": True,
}
"""A link that is dead is noticed within a second and a half, and left."""

TICKS = "faultsticks"
"""The subject of the plain subscription."""

FLOOD = "faultsflood"
"""A subject of this side, for faults that send it more than it reads."""


@dataclass
class Place:
    """What a fault needs to be there.

    Attributes:
        cluster: three servers; the caller and the first worker begin on the first one, the second
            worker on the second, and what stays whole speaks to the third.
        proxied: the caller and the workers come through proxies of their own.
        pool: the workers are those of `natsrpc run`.
        pad: bytes that are added to each request.
        limits: `max_concurrency` and `max_waiting` of the service.
        users: how the caller, the workers and what stays whole sign in.
    """

    config: str = CONFIG
    cluster: bool = False
    proxied: bool = False
    pool: bool = False
    pad: int = 0
    limits: dict[str, int] = field(default_factory=dict)
    users: Callable[[Path], tuple[str, dict[str, dict[str, Any]]]] | None = None


@dataclass
class World:
    """What traffic and faults work with. `emitter` is a connection that no fault touches."""

    place: Place
    folder: Path
    forks: Forks
    servers: list[NatsServer]
    users: dict[str, dict[str, Any]]
    near: Proxy | None = None
    far: Proxy | None = None
    workers: list[int] = field(default_factory=list)
    started: list[int] = field(default_factory=list)
    pool: Command | None = None
    ticks: Counter[int] = field(default_factory=Counter)
    _caller: natsrpc.Client | None = None
    _emitter: Connection | None = None
    _listener: Connection | None = None

    @property
    def caller(self) -> natsrpc.Client:
        assert self._caller is not None
        return self._caller

    @property
    def emitter(self) -> Connection:
        assert self._emitter is not None
        return self._emitter

    @property
    def listener(self) -> Connection:
        """The connection of the plain subscription; it goes where the caller's goes."""
        assert self._listener is not None
        return self._listener

    @property
    def server(self) -> NatsServer:
        return self.servers[0]

    @property
    def ledger(self) -> Path:
        return self.folder / "ledger"

    @property
    def pad(self) -> str:
        return "." * self.place.pad

    def lines(self, word: str) -> list[list[str]]:
        """What is in the ledger under this word."""
        text = self.ledger.read_text() if self.ledger.exists() else ""
        found = [line.split() for line in text.splitlines()]
        return [rest for first, *rest in found if first == word]

    def runs(self, row: str) -> Counter[int]:
        """How often what a row asked for was run, by its number."""
        if row == "subscription":
            return self.ticks
        return Counter(int(number) for number, *_ in self.lines(row))

    # what is started

    async def start_worker(self, home: int = 0) -> int:
        """Start a worker and wait until it serves."""
        urls = [server.url for server in self.servers]
        options = {**QUICK, **self.users["worker"]}
        if self.far is not None:
            urls = [self.far.url]
        elif len(urls) > 1:
            options["first_server"] = urls[home]
        limits: dict[str, Any] = self.place.limits
        settings = Settings(urls, str(self.ledger), options, **limits)
        pid = self.forks.start(settings)
        self.workers.insert(0, pid)  # faults strike the newest: the first one stays
        self.started.append(pid)
        await eventually(lambda: [str(pid)] in self.lines("ready") or pid in self.forks.codes, 20)
        said = dict.fromkeys(Path(log_of(settings)).read_text().splitlines())
        assert pid not in self.forks.codes, "\n".join(said)
        return pid

    async def _serve(self) -> None:
        if not self.place.pool:
            await self.start_worker(0)
            await self.start_worker(1)
            return
        assert self.pool is not None
        self.pool.wait_for("is served by 2 workers")

    async def _tick(self, msg: Msg) -> None:
        self.ticks[int(msg.data.split()[0])] += 1
        if self.place.limits:
            await asyncio.sleep(SHORT)  # why: slower than messages come

    @property
    def dropped(self) -> int:
        """How many messages the plain subscription says it dropped."""
        return sum(each.dropped for each in self.listener.subscriptions)

    @contextlib.asynccontextmanager
    async def _opened(self) -> AsyncIterator[None]:
        urls = [server.url for server in self.servers]
        near = [self.near.url] if self.near is not None else urls
        first: dict[str, Any] = {"first_server": near[0]}
        async with (
            natsrpc.connect(
                near,
                **QUICK | first | self.users["caller"],
                open_timeout=PATIENCE,
                presence_timeout=PATIENCE,
            ) as self._caller,
            natsrpc.core.connect(near, **QUICK | first | self.users["caller"]) as self._listener,
            natsrpc.core.connect(urls[-1:], **QUICK | self.users["emitter"]) as self._emitter,
        ):
            await self._serve()
            most = self.place.limits.get("max_waiting", 65536)
            await self.listener.subscribe(TICKS, cb=self._tick, pending_msgs_limit=most)
            for connection in (self.listener, self.caller.connection):
                await connection.subscribe(FLOOD, cb=lambda msg: None)
                await connection.flush()
            yield


@contextlib.asynccontextmanager
async def opened(place: Place, folder: Path, forks: Forks) -> AsyncIterator[World]:
    """Start all of it, and end it."""
    config = place.config
    users: dict[str, dict[str, Any]] = {name: {} for name in ("caller", "worker", "emitter")}
    if place.users is not None:
        more, users = place.users(folder)
        config += more
    async with contextlib.AsyncExitStack() as stack:
        if place.cluster:
            cluster = await stack.enter_async_context(Cluster(3, config))
            servers = cluster.servers
        else:
            servers = [await stack.enter_async_context(NatsServer(config))]
        world = World(place, folder, forks, servers, users)
        stack.callback(lambda: forks.end(world.started))
        stack.callback(_go_on, world)
        if place.proxied:
            world.near = await stack.enter_async_context(Proxy(world.server.port, records=False))
            world.far = await stack.enter_async_context(Proxy(world.server.port, records=False))
        if place.pool:
            world.pool = stack.enter_context(_pool(world))
        await stack.enter_async_context(world._opened())  # noqa: SLF001  its own factory
        yield world


def _pool(world: World) -> Command:
    target = "tests.faults.worker:service"
    arguments = ("run", target, "--workers", "2", "--server", world.server.url)
    return Command(*arguments, cwd=ROOT, env={"FAULTS_LEDGER": str(world.ledger)})


def _go_on(world: World) -> None:
    """Whatever a failing test left stopped goes on, to be ended."""
    if sys.platform == "win32":
        return
    for server in world.servers:
        if server.is_running:
            server.signal(signal.SIGCONT)
    for pid in world.started:
        if pid not in world.forks.codes:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
