"""A network that goes down under everybody, in a namespace of its own: no RST, no FIN, no proxy.

`unshare -rn python -m tests.faults.namespace FOLDER ROW...` lives through it and prints, for each
kind of traffic, what came of it; its exit code is 1 if anything is unexplained.
"""

from __future__ import annotations

import asyncio
import subprocess
import sys
from pathlib import Path

from tests.core.harness import eventually
from tests.rpc.streams.adversity import nothing_is_left, nothing_unhandled

from .books import summary, unexplained
from .drive import driving
from .faults import Struck, moment
from .forks import Forks
from .rows import ROWS
from .table import TABLE
from .world import Place, opened


def network(state: str) -> None:
    subprocess.run(["ip", "link", "set", "lo", state], check=True)


async def cable_pulled(drive: Struck) -> None:
    """Packets go nowhere until both this side and the pings of the others have noticed."""
    network("down")
    try:
        caller = drive.world.caller.connection
        await eventually(lambda: not caller.is_connected, 15, what="pings notice it")
        await moment()
    finally:
        network("up")


async def live_through(row: str, folder: Path, forks: Forks) -> list[str]:
    """Half-open, as the page has it, but for all links at once."""
    folder.mkdir(parents=True)
    async with (
        nothing_unhandled(5.0),
        opened(Place(), folder, forks) as world,
        driving(world, ROWS[row]) as drive,
    ):
        await drive.works()
        await drive.strike(cable_pulled)
        await drive.works()
        await drive.stop()
        await nothing_is_left(world.caller)
        print(row, summary(drive), flush=True)
        return unexplained(drive, TABLE["server-stalled"][row])


def main(folder: str, *rows: str) -> int:
    network("up")
    with Forks() as forks:
        found = [asyncio.run(live_through(row, Path(folder) / row, forks)) for row in rows]
    print(found)
    return int(any(found))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
