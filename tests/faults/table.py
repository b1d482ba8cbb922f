"""What each cell of `docs/guarantees.md` says, as data: the tests hold the servers to it.

In `sees` stand the ends, beside the good one, that a caller may see: `T!` for one that each run of
the test must show. What is not named there is unexplained, and fails the cell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from .rows import ROWS, TIMEOUT
from .worker import PATIENCE

ENDS = {
    "T": "NatsTimeoutError",
    "D": "DeadlineExceededError",
    "U": "UnavailableError",
    "N": "NoRespondersError",
    "O": "OverloadedError",
    "P": "PermissionsError",
    "M": "MaxPayloadError",
    "F": "fewer",
    "FO": "fewer with OverloadedError",
    "FD": "fewer with DeadlineExceededError",
}

REFUSED = {"NoRespondersError", "OverloadedError", "MaxPayloadError"}
"""Errors that promise that the call has not run; of one that was sent again: not this time."""

SLACK = 6.0
"""Seconds more than it should take, for a machine that is busy; beyond that a cell fails."""

SOON = {
    "ever": ("as ever", 3.0 + SLACK),
    "now": ("at once", 1.0 + SLACK),
    "second": ("within a second or so", 2.0 + SLACK),
    "timeout": ("at the call's timeout", TIMEOUT + SLACK),
    "back": ("once connected again, or after `presence_timeout`", PATIENCE + 2.0 + SLACK),
    "silence": ("after `open_timeout` or `presence_timeout`", PATIENCE + 1.0 + SLACK),
}

Lost = Literal["no", "yes", "surely", "told"]


@dataclass(frozen=True)
class Cell:
    """What a caller may see, how soon, and what may have happened then.

    Attributes:
        sees: ends beside the good one (`ENDS`).
        soon: when (`SOON`).
        ran: whether what failed may have run.
        twice: whether it may have run more than once.
        lost: whether what was accepted may be lost; "surely": each run of the test shows it;
            "told": as many are told as are lost.
        note: more for the page.
    """

    sees: str = ""
    soon: str = "ever"
    ran: bool = False
    twice: bool = False
    lost: Lost = "no"
    note: str = ""

    @property
    def allowed(self) -> set[str]:
        return {ENDS[each.rstrip("!")] for each in self.sees.split()}

    @property
    def surely(self) -> set[str]:
        return {ENDS[each[:-1]] for each in self.sees.split() if each.endswith("!")}


WELL = Cell()
# what reaches a worker late, sent again or from the reconnect buffer, may end at its deadline there
UNSURE = Cell("T D N", "timeout", ran=True)
REPEATED = Cell("T D N", "timeout", ran=True, twice=True)
BROKEN = Cell("U N T", "back", ran=True)
GATHERED = Cell("T F FD N", "timeout", ran=True)
SILENT = Cell("U N T", "silence", ran=True)
LOST = Cell(lost="yes")

CALLS = "call policy"
SENT = "publish event subscription"

Cells = dict[str, Cell]


def cells(named: dict[str, Cell]) -> Cells:
    """Cells by row, of cells by the names of several rows; other rows notice nothing."""
    found = {row: cell for rows, cell in named.items() for row in rows.split()}
    return {row: found.get(row, WELL) for row in ROWS}


def broken(answers: Cell = UNSURE, streams: Cell = BROKEN, sent: Cell = LOST) -> Cells:
    """What comes of a connection that breaks, somewhere between a caller and a worker."""
    return cells({CALLS: answers, "idempotent": REPEATED, "stream upload": streams,
                  "large": Cell("U N T D", "timeout", ran=True), "gather": GATHERED,
                  SENT: sent})  # fmt: skip


def still() -> Cells:
    """What comes of one worker of two that does nothing for longer than it is waited for."""
    late = Cell("T! D O", "timeout", ran=True)
    return cells({
        "call idempotent policy": late,
        "stream upload": Cell("U!", "silence", ran=True),
        "large": Cell("U T D O", "timeout", ran=True),
        "gather": Cell("F! FD FO", "timeout", ran=True),
    })  # fmt: skip


REFUSED_NOW = Cell("O!", "now")

TABLE: dict[str, Cells] = {
    "server-killed": broken(streams=Cell("U! N T", "back", ran=True)),
    "server-restarted": broken(streams=Cell("U! N T", "back", ran=True)),
    "node-lost": broken(),
    "lame-duck": cells({
        "subscription": Cell(lost="yes", note="what comes while neither node has it, for a moment"),
    }),
    "server-stalled": broken(Cell("T! D N", "timeout", ran=True), SILENT),
    "half-open": broken(Cell("T! D N", "timeout", ran=True), SILENT, Cell(lost="surely")),
    "reset": broken(),
    "slow-consumer": broken(),
    "overload": cells({
        "call idempotent policy stream upload large": REFUSED_NOW,
        "gather": Cell("FO!", "now", ran=True),
        "publish": Cell(note="65 536 messages or 64 MiB wait; what comes beyond is lost, and told"),
        "event": Cell(lost="told", note="beyond `max_waiting`"),
        "subscription": Cell(lost="told", note="beyond `pending_msgs_limit`"),
    }),
    "worker-killed": cells({
        "call idempotent policy": Cell("T", "timeout", ran=True),
        "stream upload": Cell("U", "second", ran=True),
        "large": Cell("U T", "timeout", ran=True),
        "gather": Cell("F", "timeout", ran=True),
        "publish event": LOST,
    }),
    "worker-stopped": still(),
    "loop-blocked": still(),
    "sigterm": cells({"gather": Cell("F", "timeout", ran=True)}),
    "reload": cells({}),
    "credentials-expired": broken(),
    "permission-withdrawn": cells({
        "call": Cell("P! N! T", "timeout", ran=True),
        "policy": Cell("P! N T D", "timeout", ran=True),
        "idempotent": Cell("P! N! T D", "timeout", ran=True, twice=True),
        "stream upload": Cell("P! N! U T", "silence", ran=True),
        "large": Cell("P! N! U T", "timeout", ran=True),
        "gather": Cell("P! N! T F", "timeout", ran=True),
        SENT: Cell(lost="surely", note="`on_error` is told of the denial"),
    }),
    "max-payload-lowered": cells({
        CALLS: Cell("U T D", "timeout", ran=True),
        "idempotent": Cell("U T D", "timeout", ran=True, twice=True),
        "stream": Cell("M U T", "back", ran=True),
        "upload large": Cell("U T", "timeout", ran=True),
        "gather": Cell("M T F", "timeout", ran=True),
        "publish event": Cell("M!", "now", lost="yes"),
        "subscription": LOST,
    }),
    "clock-jump": cells({}),
}  # fmt: skip
