"""The page says what the cells are held to, and every cell is on it."""

from __future__ import annotations

import re

from .faults import FAULTS
from .page import PAGE, whole
from .rows import ROWS
from .table import ENDS, SOON, TABLE


def test_the_page_is_what_its_cells_say() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert whole(page) == page, "write it anew: python -m tests.faults.page"


def test_every_cell_is_on_the_page_with_its_test() -> None:
    named = re.findall(r"test_cells\.py#([\w-]+)\)", PAGE.read_text(encoding="utf-8"))
    assert named == [f"{fault}-{row}" for fault in FAULTS for row in ROWS]


def test_the_table_has_every_fault_and_every_row() -> None:
    assert list(TABLE) == list(FAULTS)
    assert all(list(line) == list(ROWS) for line in TABLE.values())
    for line in TABLE.values():
        assert {cell.soon for cell in line.values()} <= SOON.keys()
        assert all(cell.surely <= cell.allowed <= set(ENDS.values()) for cell in line.values())
