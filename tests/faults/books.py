"""The books of one cell: whatever its row of the page does not explain."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from .drive import Drive, Entry
from .table import REFUSED, SOON, Cell

INSTANCES = 4
"""How many workers there may be at a time, an old one beside each new one included."""


def unexplained(drive: Drive, cell: Cell) -> list[str]:
    """What the page does not allow, one line each; empty if all is accounted for."""
    runs = drive.world.runs(drive.row.name)
    found = [why for entry in drive.entries for why in _of(entry, runs, drive, cell)]
    return [*found, *_missing(drive, cell), *_of_all(drive, cell, runs)]


def _of(entry: Entry, runs: Counter[int], drive: Drive, cell: Cell) -> Iterator[str]:
    row, ran = drive.row, runs[entry.number]
    what = f"{row.name} {entry.number}, {entry.outcome} {entry.text}, ran {ran} times: "
    most = INSTANCES if row.name == "gather" else 100 if cell.twice else 1
    if ran > most:
        yield what + "too often"
    if entry.outcome == row.good:
        if not row.is_sent and not ran:
            yield what + "answered by nobody"
        return
    if entry.outcome == "not accepted":
        return
    if entry.outcome not in cell.allowed:
        yield what + "not on the page"
    if ran and not cell.ran and not row.is_sent:
        yield what + "it ran"
    if ran and not cell.twice and entry.outcome in REFUSED and row.name != "gather":
        yield what + "it was refused, and ran"


def _missing(drive: Drive, cell: Cell) -> Iterator[str]:
    """Ends that the fault makes for sure: without them it has not struck."""
    for end in cell.surely - drive.outcomes().keys():
        yield f"nobody saw {end}"


def _of_all(drive: Drive, cell: Cell, runs: Counter[int]) -> Iterator[str]:
    numbers = {entry.number for entry in drive.entries}
    strangers = sorted(number for number in runs if number > drive.base and number not in numbers)
    if strangers:
        yield f"ran unasked: {strangers[:5]}"
    _, limit = SOON[cell.soon]
    if not drive.row.is_sent and drive.slowest() > limit:
        yield f"one took {drive.slowest():.1f} s, and {limit} s are allowed"
    if not drive.row.is_sent:
        return
    lost = len(list(drive.lost()))
    if lost and cell.lost == "no":
        yield f"{lost} were lost"
    if not lost and cell.lost in ("surely", "told"):
        yield "none was lost"
    if cell.lost == "told" and drive.told() != lost:
        yield f"{lost} were lost, and {drive.told()} were told"


def summary(drive: Drive) -> str:
    """One line of what was seen."""
    runs = drive.world.runs(drive.row.name)
    failed = [e for e in drive.entries if e.outcome != drive.row.good]
    texts = {e.outcome: e.text for e in failed if e.text}
    return (
        f"{dict(drive.outcomes())}; failed and ran {sum(1 for e in failed if runs[e.number])}, "
        f"ran more than once {sum(1 for each in runs.values() if each > 1)}, "
        f"lost {len(list(drive.lost()))}, told {drive.told()}, slowest {drive.slowest():.1f} s; "
        f"{texts}"
    )
