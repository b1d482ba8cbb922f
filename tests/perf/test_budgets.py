"""The file of the budgets is written by a command alone, and always in the same way."""

from __future__ import annotations

from .budgets import FILE, THIS_PYTHON, changes, read, written
from .operations import HELD_THINGS, OPERATIONS


def test_the_file_is_as_the_command_writes_it() -> None:
    assert FILE.read_text(encoding="utf-8") == written(read())


def test_each_python_has_a_row_for_each_operation() -> None:
    tables = read()
    assert tables["work"].keys() == tables["memory"].keys()
    for rows in tables["work"].values():
        assert [*rows] == [*OPERATIONS]
    for rows in tables["memory"].values():
        assert [*rows] == [*HELD_THINGS]


def test_what_changed_is_told_old_and_new() -> None:
    tables = {"work": {THIS_PYTHON: {"a": [1.0, 2.0], "b": [3.0, 4.0], "gone": [5.0, 6.0]}}}
    found = {"work": {"a": [1.0, 2.0], "b": [3.5, 4.0], "new": [7.0, 8.0]}}
    assert [*changes(tables, found)] == [
        f"{THIS_PYTHON} work, b: [3.0, 4.0] -> [3.5, 4.0]",
        f"{THIS_PYTHON} work, gone: [5.0, 6.0] -> none",
        f"{THIS_PYTHON} work, new: none -> [7.0, 8.0]",
    ]
