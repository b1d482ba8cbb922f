"""The faults: what each needs to be there, how it strikes, and how it is over.

All of them are done for real, by signals, by files and by a proxy between the parties. One is not:
a clock on the wall that jumps is set in the processes, not in the machine that they run on.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import natsrpc
from natsrpc.server import NatsServer
from tests.core.harness import Proxy, eventually
from tests.core.identities import Key, Operator, creds, private

from .worker import jump
from .world import CONFIG, FLOOD, Place, World


class Struck(Protocol):
    """What a fault strikes: a world, and the traffic in it."""

    @property
    def world(self) -> World: ...

    async def works(self) -> None:
        """Wait until all traffic is well again."""

    async def asks(self) -> None:
        """Wait until some of what is asked from now on has ended, well or not."""

    def crowd(self) -> None:
        """Ask for far more, until `leave`."""

    def leave(self) -> None: ...

    def paused(self) -> contextlib.AbstractAsyncContextManager[None]:
        """A moment in which nothing is under way."""


Act = Callable[[Struck], Awaitable[None]]

MOMENT = 0.7
"""Seconds that a fault holds where it matters little for how long."""


@dataclass(frozen=True)
class Fault:
    """A fault. `strike` returns when it is over; what goes on after it is mended in it too.

    The page calls it `short` in its first table; `title` and `about` are what it says of it.
    """

    name: str
    short: str
    title: str
    about: str
    strike: Act
    place: Place = field(default_factory=Place)


async def moment(seconds: float = MOMENT) -> None:
    await asyncio.sleep(seconds)  # why: how long the fault holds


# servers


async def server_killed(drive: Struck) -> None:
    server = drive.world.server
    server.kill()
    await moment()
    await asyncio.to_thread(server.start)


async def server_restarted(drive: Struck) -> None:
    await asyncio.to_thread(drive.world.server.restart)


async def node_lost(drive: Struck) -> None:
    drive.world.server.kill()
    await moved(drive.world)


async def lame_duck(drive: Struck) -> None:
    world = drive.world
    world.server.lame_duck()
    await moved(world)
    await moment()  # what is left on the old sessions is answered meanwhile
    world.server.kill()


async def moved(world: World) -> None:
    """Wait until neither the caller nor a worker is on the first server."""

    async def elsewhere() -> bool:
        with contextlib.suppress(natsrpc.NatsRpcError):
            ports = await world.caller.gather(
                "faults.where", returns=int, timeout=1.0, max_responses=2
            )
            for connection in (world.caller.connection, world.listener):
                ports.append(connection.server_address[1] if connection.server_address else 0)
            return len(ports) == 4 and not {0, world.server.port} & set(ports)
        return False

    await eventually(elsewhere, 25, what="all have moved")


@contextlib.contextmanager
def stopped(server: NatsServer) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


async def server_stalled(drive: Struck) -> None:
    with stopped(drive.world.server):
        await moment(2.5)  # longer than two pings, and than a call waits


# links: the caller's, and then that of the workers


def each_link(act: Callable[[World, Proxy], Awaitable[None]]) -> Act:
    async def strike(drive: Struck) -> None:
        world = drive.world
        assert world.near is not None and world.far is not None
        await act(world, world.near)
        await drive.works()
        await act(world, world.far)

    return strike


async def half_open(world: World, proxy: Proxy) -> None:
    """The live links are dead without a word; both ends find out by their pings, and dial anew."""
    before = len(proxy.links)
    expected = len([link for link in proxy.links if not link.closed.is_set()])
    proxy.swallow()
    await eventually(lambda: len(proxy.links) >= before + expected, 15, what="new links")


async def reset(world: World, proxy: Proxy) -> None:
    before = len(proxy.links)
    proxy.cut(reset=True)
    await eventually(lambda: len(proxy.links) > before, 15, what="new links")


async def slow_consumer(world: World, proxy: Proxy) -> None:
    """It reads no more, and the server drops it once it holds too much for it.

    Where the server has little time, pings end the link first, and nobody is slow: then once more.
    """
    for _ in range(5):
        proxy.stall(up=False)
        found = await _is_flooded(world, FLOOD if proxy is world.near else "faults.where")
        proxy.resume()
        if found:
            return
        await eventually(lambda: _all_hear(world), 25, what="all are connected again")
    raise AssertionError("nobody was slow")


async def _is_flooded(world: World, subject: str) -> bool:
    """Publish until the server drops somebody; False if nobody reads it any more."""
    seen = world.server.log.count("Slow Consumer")
    for _ in range(25):
        with contextlib.suppress(natsrpc.NatsRpcError):
            for _ in range(40):
                await world.emitter.publish(subject, bytes(60_000))
            await world.emitter.flush(5)
        if world.server.log.count("Slow Consumer") > seen:
            return True
    return False


async def _all_hear(world: World) -> bool:
    """Whether the caller, the listener and both workers are connected."""
    with contextlib.suppress(natsrpc.NatsRpcError):
        there = await world.caller.gather("faults.where", timeout=1.0, max_responses=2)
        return len(there) == 2 and world.listener.is_connected
    return False


# load


async def overload(drive: Struck) -> None:
    drive.crowd()
    await moment(1.5)
    drive.leave()


# workers


async def worker_killed(drive: Struck) -> None:
    os.kill(drive.world.workers.pop(0), signal.SIGKILL)
    await moment()
    await drive.world.start_worker()


async def worker_stopped(drive: Struck) -> None:
    os.kill(drive.world.workers[0], signal.SIGSTOP)
    await moment(3.0)  # longer than a conversation waits, and than a call does
    os.kill(drive.world.workers[0], signal.SIGCONT)


async def loop_blocked(drive: Struck) -> None:
    world = drive.world
    subject = f"faults.block.{world.workers[0]}"
    await world.emitter.publish(subject, b"3.0")
    await moment(3.0)


async def sigterm(drive: Struck) -> None:
    world = drive.world
    pid = world.workers.pop(0)
    os.kill(pid, signal.SIGTERM)
    await eventually(lambda: pid in world.forks.codes, 20)
    assert world.forks.codes[pid] == 0
    await world.start_worker()


async def reload(drive: Struck) -> None:
    pool = drive.world.pool
    assert pool is not None
    pool.signal(signal.SIGHUP)
    await asyncio.to_thread(pool.wait_for, "are replaced")


# what servers allow


class Expiring:
    """A caller and workers with credentials in files, which are written anew."""

    def __init__(self) -> None:
        self.operator = Operator()
        self.keys = {name: Key() for name in ("caller", "worker", "emitter")}

    def write(self, folder: Path, name: str, expires_in: float | None) -> Path:
        key = self.keys[name]
        jwt = self.operator.user(key, expires_in=expires_in)
        return private(folder / f"{name}.creds", creds(jwt, key.seed))

    def __call__(self, folder: Path) -> tuple[str, dict[str, dict[str, Any]]]:
        files = {name: self.write(folder, name, None) for name in self.keys}
        users = {name: {"credentials": str(file)} for name, file in files.items()}
        _expiring[folder] = self
        return self.operator.config, users


_expiring: dict[Path, Expiring] = {}


async def credentials_expired(drive: Struck) -> None:
    world = drive.world
    expiring = _expiring.pop(world.folder)
    async with drive.paused():  # so that it does not matter how long all took to stand
        for name in ("caller", "worker"):
            expiring.write(world.folder, name, 4.0)
        await _renewed(world)
    await eventually(lambda: not world.caller.connection.is_connected, 20)
    await moment(1.2)  # whole seconds count in a JWT: the workers' may end a second later
    for name in ("caller", "worker"):
        expiring.write(world.folder, name, None)


async def _renewed(world: World) -> None:
    """Have all that will expire connect anew."""
    await world.emitter.publish("faults.renew", b"")
    await eventually(lambda: len(world.lines("renewed")) == len(world.workers), 20)
    for connection in (world.caller.connection, world.listener):
        await connection.force_reconnect()
        await connection.flush()


def permissions(*, caller: str, worker: str) -> str:
    """A configuration in which the caller may publish, and workers subscribe, as said."""
    return CONFIG + (
        "authorization {\n users: [\n"
        f"  {{user: c, password: c, permissions: {{publish: {caller}, subscribe: '>'}}}}\n"
        f"  {{user: w, password: w, permissions: {{publish: '>', subscribe: {worker}}}}}\n"
        "  {user: e, password: e}\n ]\n}\n"
    )


WHOLE = permissions(caller="'>'", worker="'>'")
DENIED = "{allow: '>', deny: ['faults.>', 'faultsevents.>', 'faultsticks']}"


def signed_in(folder: Path) -> tuple[str, dict[str, dict[str, Any]]]:
    names = {"caller": "c", "worker": "w", "emitter": "e"}
    return "", {name: {"user": user, "password": user} for name, user in names.items()}


async def permission_withdrawn(drive: Struck) -> None:
    """From the caller, who is given it back; then from the workers."""
    server = drive.world.server
    subscribing = "subscribe: '>'"
    withdrawn = permissions(caller=DENIED, worker="'>'").replace(
        subscribing, f"subscribe: {DENIED}", 1
    )
    await asyncio.to_thread(server.reload, withdrawn)
    await moment()
    await drive.asks()
    await asyncio.to_thread(server.reload, WHOLE)
    await drive.works()
    await asyncio.to_thread(server.reload, permissions(caller="'>'", worker=DENIED))
    await moment()
    await drive.asks()
    await asyncio.to_thread(server.reload, WHOLE)


async def max_payload_lowered(drive: Struck) -> None:
    server = drive.world.server
    before = server.config or ""
    lowered = before.replace("max_payload: 65536", "max_payload: 16384")
    await asyncio.to_thread(server.reload, lowered)
    await moment()
    await drive.asks()
    await asyncio.to_thread(server.reload, before)
    world = drive.world
    async with drive.paused():  # what a server allows is told when one connects
        for connection in (world.caller.connection, world.listener, world.emitter):
            await connection.force_reconnect()


# clocks


async def clock_jump(drive: Struck) -> None:
    """An hour on, and then two back: in the workers, and here."""
    caller = drive.world.caller
    with right_again():
        for seconds in (3600.0, -3600.0):
            jump(seconds)
            jumped = await caller.gather(
                "faults.jump", seconds, returns=int, timeout=20.0, max_responses=2
            )
            assert len(jumped) == 2
            await moment()


@contextlib.contextmanager
def right_again() -> Iterator[None]:
    try:
        yield
    finally:
        jump(0)


SLOW = CONFIG + "max_pending: 1048576\nwrite_deadline: '250ms'\nping_interval: '1s'\nping_max: 1\n"
PINGED = CONFIG + "ping_interval: '1s'\nping_max: 1\n"
LAME = CONFIG + "lame_duck_duration: '30s'\nlame_duck_grace_period: '10s'\n"

FAULTS = {
    fault.name: fault
    for fault in (
        Fault(
            "server-killed", "server killed", "The server is killed, and comes back",
            "Whatever was in its memory is gone. Calls that wait go on waiting: their answers come "
            "after the reconnect, if they had not been sent before.",
            server_killed,
        ),
        Fault(
            "server-restarted", "server restarted", "The server is restarted",
            "By SIGTERM, which spares nothing that `kill -9` would not; lame duck mode does.",
            server_restarted,
        ),
        Fault(
            "node-lost", "node lost", "A node of a cluster is killed",
            "Clients move to the other nodes at once.",
            node_lost, Place(cluster=True),
        ),
        Fault(
            "lame-duck", "lame duck", "A node of a cluster goes into lame duck mode",
            "Clients move first and leave their old session when it has nothing more for them.",
            lame_duck, Place(LAME, cluster=True),
        ),
        Fault(
            "server-stalled", "server stalled", "The server stands still, and goes on",
            "As by SIGSTOP. It is noticed by pings; what was sent meanwhile lies in its socket, "
            "and may be run when it goes on.",
            server_stalled,
        ),
        Fault(
            "half-open", "half-open link", "A link is half-open",
            "Both ends have a connection, and nothing comes through, either way. It is noticed by "
            "pings; until then `publish` accepts what is lost.",
            each_link(half_open), Place(PINGED, proxied=True),
        ),
        Fault(
            "reset", "link reset", "A link is reset",
            "The caller's, and then that of the workers. Both dial again at once.",
            each_link(reset), Place(proxied=True),
        ),
        Fault(
            "slow-consumer", "slow consumer", "One side reads too slowly, and the server drops it",
            "The caller, and then the workers, do not read what comes; the server closes their "
            "connections once `max_pending` is reached.",
            each_link(slow_consumer), Place(SLOW, proxied=True),
        ),
        Fault(
            "overload", "overload", "More is asked for than there is room for",
            "A worker runs four at a time, eight more wait, and sixty callers ask without a pause.",
            overload, Place(limits={"max_concurrency": 4, "max_waiting": 8}),
        ),
        Fault(
            "worker-killed", "worker killed", "A worker is killed",
            "One of two, by `kill -9`. The server knows at once, and sends it nothing more.",
            worker_killed,
        ),
        Fault(
            "worker-stopped", "worker stopped", "A worker stands still, and goes on",
            "SIGSTOP, for longer than it is waited for. It runs nothing whose caller has given up. "
            "`natsrpc run` replaces it after `--worker-timeout`.",
            worker_stopped,
        ),
        Fault(
            "loop-blocked", "loop blocked", "A worker's event loop is blocked",
            "A handler computes, or calls what blocks, for longer than the worker is waited for. "
            "`natsrpc run` replaces it after `--worker-timeout`.",
            loop_blocked,
        ),
        Fault(
            "sigterm", "SIGTERM", "A worker is told to end",
            "It takes no more, finishes what it has, and ends with code 0.",
            sigterm,
        ),
        Fault(
            "reload", "reload", "A pool of `natsrpc run` is reloaded (SIGHUP)",
            "Each new worker serves before an old one drains.",
            reload, Place(pool=True),
        ),
        Fault(
            "credentials-expired", "credentials expired", "Credentials expire, and are renewed",
            "The server closes the connection; files are read anew at each attempt. Two refusals "
            "alike end a client for good, unless `ignore_auth_error_abort` is set: renew in time.",
            credentials_expired, Place(users=Expiring()),
        ),
        Fault(
            "permission-withdrawn", "permission withdrawn",
            "A permission is withdrawn by a reload, and given back",
            "From the caller, and then from the workers. Services ask for their endpoints, and "
            "connections for plain subscriptions, until they have them again: after a second, then "
            "less and less often, and at each reconnect.",
            permission_withdrawn, Place(WHOLE, users=signed_in),
        ),
        Fault(
            "max-payload-lowered", "`max_payload` lowered", "`max_payload` is lowered by a reload",
            "What does not fit any more goes in parts, where it is a call; what cannot is refused. "
            "A client hears of the limit when it connects: what it sends before costs it the "
            "connection, and then it knows.",
            max_payload_lowered, Place(pad=30_000),
        ),
        Fault(
            "clock-jump", "clock jump", "The clock on the wall jumps",
            "By an hour, on and back. Timeouts are measured by a clock that does not jump.",
            clock_jump,
        ),
    )
}  # fmt: skip
