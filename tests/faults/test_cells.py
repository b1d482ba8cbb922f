"""Each kind of traffic through each fault: every call is accounted for, as the page says."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.rpc.streams.adversity import nothing_is_left, nothing_unhandled

from .books import summary, unexplained
from .drive import driving
from .faults import FAULTS
from .forks import Forks
from .rows import ROWS
from .table import TABLE
from .world import opened

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

QUICK = {
    "server-killed-call",
    "server-killed-event",
    "server-restarted-stream",
    "node-lost-idempotent",
    "lame-duck-upload",
    "half-open-publish",
    "reset-large",
    "slow-consumer-subscription",
    "overload-call",
    "overload-event",
    "worker-killed-stream",
    "worker-stopped-gather",
    "loop-blocked-event",
    "sigterm-call",
    "reload-policy",
    "max-payload-lowered-large",
    "permission-withdrawn-call",
    "clock-jump-policy",
}
"""A tenth of the cells, which runs with all other tests; `make faults` runs all of them."""

CELLS = [
    pytest.param(fault, row, id=(name := f"{fault}-{row}"),
                 marks=() if name in QUICK else pytest.mark.faults)
    for fault in FAULTS
    for row in ROWS
]  # fmt: skip


def test_the_quick_ones_are_a_tenth_of_the_cells() -> None:
    assert {str(cell.id) for cell in CELLS} > QUICK
    assert len(CELLS) == 180
    assert len(QUICK) == 18


@pytest.mark.parametrize(("fault", "row"), CELLS)
async def test_cell(fault: str, row: str, tmp_path: Path, forks: Forks) -> None:
    place, strike = FAULTS[fault].place, FAULTS[fault].strike
    async with (
        nothing_unhandled(5.0),
        opened(place, tmp_path, forks) as world,
        driving(world, ROWS[row]) as drive,
    ):
        await drive.works()
        await drive.strike(strike)
        await drive.works()
        await drive.stop()
        await nothing_is_left(world.caller)
        print(summary(drive))
        assert unexplained(drive, TABLE[fault][row]) == []
