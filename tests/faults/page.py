"""The tables of `docs/guarantees.md`, made of what the cells are held to.

`python -m tests.faults.page` writes them anew between the page's marks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .faults import FAULTS
from .forks import ROOT
from .rows import ROWS
from .table import ENDS, SOON, TABLE, Cell

PAGE = ROOT / "docs" / "guarantees.md"
BEGIN, END = "<!-- cells: python -m tests.faults.page -->\n", "<!-- end of cells -->"

NAMES = {"idempotent": "idempotent call", "policy": "call with a policy", "large": "large body"}


def word(row: str, cell: Cell) -> str:
    """The shortest thing to say of a cell."""
    if ROWS[row].is_sent:
        return {"no": "well", "yes": "lost?", "surely": "lost?", "told": "told"}[cell.lost]
    if not cell.sees:
        return "well"
    return "twice?" if cell.twice else "ran?" if cell.ran else "refused"


def overview() -> Iterator[str]:
    """One line for each fault, one column for each kind of traffic, each cell with its test."""
    yield "| | " + " | ".join(NAMES.get(row, row) for row in ROWS) + " |"
    yield "|---" * (len(ROWS) + 1) + "|"
    for fault, line in TABLE.items():
        found = [
            f"[{word(row, cell)}](../tests/faults/test_cells.py#{fault}-{row})"
            for row, cell in line.items()
        ]
        yield f"| **[{FAULTS[fault].short}](#{fault})** | " + " | ".join(found) + " |"


def section(fault: str) -> Iterator[str]:
    """All that may be seen of one fault; traffic that sees the same shares a line."""
    yield f'<a id="{fault}"></a>'
    yield f"**{FAULTS[fault].title}.** {FAULTS[fault].about}"
    yield ""
    yield "| | the caller sees | how soon | may have run | may be lost |"
    yield "|---|---|---|---|---|"
    shared: dict[str, list[str]] = {}
    for row, cell in TABLE[fault].items():
        shared.setdefault(text(row, cell), []).append(NAMES.get(row, row))
    for said, rows in shared.items():
        yield f"| {', '.join(rows)} | {said} |"


def text(row: str, cell: Cell) -> str:
    """The columns of a cell."""
    if ROWS[row].is_sent:
        errors = "; ".join(["nothing", *sees(cell)]) if row != "subscription" else "—"
        ran = "once at most"
        lost = {"no": "nothing", "told": "what is beyond the bounds; counted and told"}
        may_be_lost = lost.get(cell.lost, "messages under way")
        soon = SOON[cell.soon][0] if cell.sees else "—"
    else:
        good = "all answers" if row == "gather" else "its value"
        errors, soon = "; or ".join([good, *sees(cell)]), SOON[cell.soon][0]
        ran = "once" if not cell.sees else "no, if it failed"
        if cell.ran:
            ran = "yes, also twice" if cell.twice else "yes, once at most"
        if row == "gather":
            ran = "yes, once an instance"
        may_be_lost = "the answer" if cell.ran else "nothing"
    note = f": {cell.note}" if cell.note else ""
    return f"{errors} | {soon} | {ran} | {may_be_lost}{note}"


def sees(cell: Cell) -> list[str]:
    """The ends of a cell in words."""
    ends = [each.rstrip("!") for each in cell.sees.split()]
    words = {"F": "fewer answers", "FO": "`OverloadedError` in the place of an answer",
             "FD": "`DeadlineExceededError` in the place of an answer"}  # fmt: skip
    return [words.get(end, f"`{ENDS[end]}`") for end in ends]


def tables() -> str:
    parts = ["\n".join(overview()), *("\n".join(section(fault)) for fault in TABLE)]
    return "\n\n".join(parts) + "\n"


def whole(page: str) -> str:
    """The page with these tables between its marks."""
    marked = re.compile(re.escape(BEGIN) + ".*" + re.escape(END), re.S)
    assert marked.search(page), f"no {BEGIN!r}"
    return marked.sub(lambda _: BEGIN + "\n" + tables() + "\n" + END, page)


if __name__ == "__main__":
    PAGE.write_text(whole(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
