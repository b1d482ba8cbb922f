"""All kinds of traffic at once, a fault every few seconds, and books that balance after each.

Run it by itself: `python -m tests.soak.mixed [minutes] [seed]`.
"""

from __future__ import annotations

import asyncio
import contextlib
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import natsrpc
from tests.faults.books import unexplained
from tests.faults.drive import Drive
from tests.faults.faults import FAULTS, SLOW
from tests.faults.forks import Forks
from tests.faults.rows import ROWS
from tests.faults.table import ENDS, Cell
from tests.faults.worker import facts
from tests.faults.world import Place, World, opened
from tests.rpc.streams.adversity import nothing_is_left, nothing_unhandled

KINDS = (
    "server-killed", "server-restarted", "server-stalled", "half-open", "reset", "slow-consumer",
    "overload", "worker-killed", "worker-stopped", "loop-blocked", "sigterm",
    "max-payload-lowered", "clock-jump",
)  # fmt: skip

ANY = " ".join(ENDS)
WARM = 4
"""Rounds after which what is held is counted for the first time."""

PLACE = Place(SLOW.replace("max_pending: 1048576", "max_pending: 4194304"), proxied=True)


@dataclass
class Mixed:
    """Traffic of all kinds in one world, for the time of one fault."""

    world: World
    base: int
    drives: list[Drive] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.drives = [Drive(self.world, row, base=self.base) for row in ROWS.values()]

    async def works(self) -> None:
        await asyncio.gather(*(drive.works(2) for drive in self.drives))

    async def asks(self) -> None:
        await asyncio.gather(*(drive.asks(2) for drive in self.drives))

    def crowd(self) -> None:
        for drive in self.drives:
            drive.crowd(4)

    def leave(self) -> None:
        for drive in self.drives:
            drive.leave()

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            for drive in self.drives:
                await stack.enter_async_context(drive.paused())
            yield

    async def live_through(self, kind: str, tally: Tally) -> None:
        for drive in self.drives:
            drive.go(2)
        try:
            await self.works()
            for drive in self.drives:
                drive.struck = drive.now()
            await FAULTS[kind].strike(self)
            await self.works()
            await asyncio.gather(*(drive.stop() for drive in self.drives))
        finally:
            await asyncio.gather(*(drive.give_up() for drive in self.drives))
        await nothing_is_left(self.world.caller)
        for drive in self.drives:
            twice = drive.row.times == 0
            cell = Cell(ANY, "silence", ran=True, twice=twice, lost="yes")
            tally.unexplained += [f"{kind}: {each}" for each in unexplained(drive, cell)]
            tally.ends += Counter(f"{drive.row.name}: {e.outcome}" for e in drive.entries)
            tally.lost[drive.row.name] += len(list(drive.lost()))
        tally.faults[kind] += 1


@dataclass
class Tally:
    """What came of all of it."""

    faults: Counter[str] = field(default_factory=Counter)
    ends: Counter[str] = field(default_factory=Counter)
    lost: Counter[str] = field(default_factory=Counter)
    unexplained: list[str] = field(default_factory=list)
    held: list[dict[str, dict[str, int]]] = field(default_factory=list)

    def growth(self, side: str, what: str) -> int:
        return self.held[-1][side][what] - self.held[0][side][what]

    def __str__(self) -> str:
        return "\n".join(
            [
                f"{self.faults.total()} faults: {dict(self.faults)}",
                f"{self.ends.total()} asked or sent: {dict(sorted(self.ends.items()))}",
                f"accepted, and lost: {dict(self.lost)}",
                f"held at first: {self.held[0]}",
                f"held at last:  {self.held[-1]}",
                f"{len(self.unexplained)} unexplained: {self.unexplained[:10]}",
            ]
        )


async def held(world: World) -> dict[str, dict[str, int]]:
    """What this process, and the worker that no fault ends, hold when nothing is asked."""
    for proxy in (world.near, world.far):
        assert proxy is not None
        proxy.links[:] = [link for link in proxy.links if not link.closed.is_set()]
    return {"worker": await facts_of(world), "caller": facts()}


async def facts_of(world: World) -> dict[str, int]:
    """What the worker holds. Its pings are those of a test: on a busy machine a connection may end
    even when nothing is asked, and take a question along."""
    subject = f"faults.facts.{world.workers[-1]}"
    async with asyncio.timeout(60):
        while True:
            with contextlib.suppress(natsrpc.NatsTimeoutError):
                return await world.caller.call(subject, returns=dict[str, int])


async def mixed(minutes: float, seed: int = 1) -> Tally:
    """A fault after the other for so long."""
    dice, tally = random.Random(seed), Tally()
    with Forks() as forks, tempfile.TemporaryDirectory() as folder:
        async with nothing_unhandled(10.0), opened(PLACE, Path(folder), forks) as world:
            end, rounds = time.monotonic() + minutes * 60, 0
            while time.monotonic() < end or rounds <= WARM:
                if rounds % len(KINDS) == 0:
                    order = dice.sample(KINDS, len(KINDS))
                await Mixed(world, rounds * 10**8).live_through(order[rounds % len(KINDS)], tally)
                rounds += 1
                if rounds >= WARM:
                    tally.held.append(await held(world))
                world.ledger.write_text("")
                world.ticks.clear()
    return tally


if __name__ == "__main__":
    told = [float(each) for each in sys.argv[1:]]
    print(asyncio.run(mixed(told[0] if told else 10.0, int((told[1:] or [1])[0]))))
