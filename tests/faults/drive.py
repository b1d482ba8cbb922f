"""Traffic of one kind that goes on before, during and after a fault, and its books."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field

import natsrpc
from tests.core.harness import eventually, turns

from .faults import Act
from .rows import Row, WrongError
from .world import World

HANGS = 20.0
"""Seconds after which what has not ended is said never to end."""

BACK = 25.0
"""Seconds after a fault is over in which all must be well again."""

LOOPS = 6
"""How many ask at a time."""

BURST = 200
"""Messages that are sent in the moment of a fault."""


@dataclass
class Entry:
    """One thing that was asked or sent. `outcome` is good, an error's class, or unexplained."""

    number: int
    began: float
    ended: float = 0.0
    outcome: str = ""
    text: str = ""


@dataclass
class Drive:
    """Asks without a pause from `go` until `stop`, and keeps books."""

    world: World
    row: Row
    entries: list[Entry] = field(default_factory=list)
    base: int = 0
    struck: float = 0.0
    healed: float = 0.0

    def __post_init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._over = asyncio.Event()
        self._crowd_over = asyncio.Event()
        self._flows = asyncio.Event()
        self._flows.set()
        self._tasks: list[asyncio.Task[object]] = []

    def now(self) -> float:
        return self._loop.time()

    def go(self, loops: int = LOOPS) -> None:
        self._tasks += [asyncio.create_task(self._ask_until(self._over)) for _ in range(loops)]

    def crowd(self, loops: int = 0) -> None:
        """Far more ask, until `leave`."""
        loops = loops or (8 if self.row.is_sent else 60)
        asking = [asyncio.create_task(self._ask_until(self._crowd_over)) for _ in range(loops)]
        self._tasks += asking

    @contextlib.asynccontextmanager
    async def paused(self) -> AsyncIterator[None]:
        """A moment in which nothing is asked, and all that was has ended."""
        self._flows.clear()
        await eventually(lambda: all(entry.outcome for entry in self.entries), HANGS)
        try:
            yield
        finally:
            self._flows.set()

    def leave(self) -> None:
        self._crowd_over.set()

    async def strike(self, act: Act) -> None:
        """Have the fault come and go; of what is sent, much is under way then."""
        self.struck = self.now()
        if self.row.is_sent:
            self._tasks += [asyncio.create_task(self._ask_once()) for _ in range(BURST)]
            await turns(1)
        await act(self)
        self.healed = self.now()

    async def works(self, count: int = LOOPS) -> None:
        """Wait until so many that begin from now on are well."""
        began = self._loop.time()

        def well() -> bool:
            later = [entry for entry in self.entries if entry.began >= began]
            good = [entry for entry in later if entry.outcome == self.row.good]
            if self.row.is_sent:
                runs = self.world.runs(self.row.name)
                good = [entry for entry in good if runs[entry.number]]
            return len(good) >= count

        await eventually(well, BACK, what=f"{self.row.name} is well again: {self.last()}")

    async def asks(self, count: int = LOOPS) -> None:
        """Wait until so many that begin from now on have ended, well or not."""
        began = self._loop.time()

        def ended() -> int:
            return sum(entry.began >= began and bool(entry.outcome) for entry in self.entries)

        await eventually(lambda: ended() >= count, BACK)

    async def stop(self) -> None:
        """Let all end, and what was sent arrive."""
        self._over.set()
        self._crowd_over.set()
        async with asyncio.timeout(HANGS + 10):
            await asyncio.gather(*self._tasks)
        await self._settle()

    async def give_up(self) -> None:
        """End all of it at once, as it must be for a test that fails."""
        self._over.set()
        self._crowd_over.set()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _settle(self) -> None:
        unchanged, before = 0, -1
        while unchanged < 20 and not (self.row.is_sent and len(list(self.lost())) == self.told()):
            now = self.world.runs(self.row.name).total()
            unchanged, before = (unchanged + 1 if now == before else 0), now
            await asyncio.sleep(0.05)  # why: another process cannot be watched

    def told(self) -> int:
        """How many of them somebody was told of."""
        if self.row.name == "subscription":
            return self.world.dropped
        lines = self.world.lines("told")
        return sum(int(dropped) for name, dropped, _ in lines if name == self.row.name)

    def lost(self) -> Iterator[Entry]:
        """What was accepted and did not run."""
        runs = self.world.runs(self.row.name)
        return (e for e in self.entries if e.outcome == "accepted" and not runs[e.number])

    async def _ask_until(self, over: asyncio.Event) -> None:
        while not over.is_set():
            await self._flows.wait()
            entry = await self._ask_once()
            if self.row.is_sent or entry.outcome != self.row.good:
                await asyncio.sleep(0.02)  # why: what is answered at once would spin

    async def _ask_once(self) -> Entry:
        entry = Entry(self.base + (len(self.entries) + 1) * 1000, self.now())
        self.entries.append(entry)
        await self._ask(entry)
        entry.ended = self.now()
        return entry

    async def _ask(self, entry: Entry) -> None:
        try:
            async with asyncio.timeout(HANGS):
                entry.outcome = await self.row.ask(self.world, entry.number)
        except natsrpc.NatsRpcError as error:
            entry.outcome, entry.text = type(error).__name__, str(error)
        except TimeoutError:
            entry.outcome = "unexplained: it hangs"
        except WrongError as error:
            entry.outcome = f"unexplained: {error}"
        except Exception as error:
            entry.outcome = f"unexplained: {error!r}"

    # what came of it

    def outcomes(self) -> Counter[str]:
        return Counter(entry.outcome for entry in self.entries)

    def last(self) -> list[str]:
        return [f"{e.outcome} {e.text}" for e in self.entries[-3:]]

    def slowest(self) -> float:
        """The longest that one took, counted from the fault where it began before it."""
        later = [e for e in self.entries if e.ended > self.struck]
        return max((e.ended - max(e.began, self.struck) for e in later), default=0.0)


@contextlib.asynccontextmanager
async def driving(world: World, row: Row) -> AsyncIterator[Drive]:
    """Traffic of a row, which is over at the end."""
    drive = Drive(world, row)
    drive.go()
    try:
        yield drive
    finally:
        await drive.give_up()
