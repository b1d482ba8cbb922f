"""Laying out tables for a terminal of any width, so that what identifies a row is never cut.

Where a table is too wide, these are tried in turn, the first that fits is taken:

1. ids are cut to their first characters, as many as tell them apart;
2. long texts (descriptions, lists, last errors) are wrapped within their columns;
3. they go on lines of their own below their row;
4. what an identifying column says at more length (the subject of an endpoint) goes there, too;
5. each row becomes a block, one line for each column.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from rich.cells import cell_len, set_cell_size

__all__ = ["layout"]

_GAP = "  "
_LEAST_SOFT = 16  # columns that a wrapped text gets, at least
_ID_LENGTH = 6  # characters that are left of an id, at least


@dataclass(slots=True)
class _Table:
    columns: list[str]
    rows: list[list[str]]
    numbers: list[bool]

    def widths(self) -> list[int]:
        cells = [self.columns, *self.rows]
        return [max(cell_len(row[i]) for row in cells) for i in range(len(self.columns))]

    def width(self) -> int:
        return sum(self.widths()) + len(_GAP) * (len(self.columns) - 1)

    def lines(self, widths: list[int]) -> list[str]:
        found = []
        for row in [self.columns, *self.rows]:
            cells = [
                " " * (width - cell_len(cell)) + cell if right else set_cell_size(cell, width)
                for cell, width, right in zip(row, widths, self.numbers, strict=True)
            ]
            found.append(_GAP.join(cells).rstrip())
        return found


def layout(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    width: int | None,
    *,
    soft: Collection[str] = (),
    spare: Collection[str] = (),
    ids: Collection[str] = (),
) -> list[str]:
    """The lines of a table; the first is its heading, but where rows become blocks.

    Args:
        columns: the headings.
        rows: a cell for each column.
        width: the terminal's; None for any width.
        soft: headings of the columns whose texts may be wrapped.
        spare: headings of the columns that may go below their row, whole.
        ids: headings of the columns whose texts may be cut.
    """
    numbers = [
        bool(rows) and all(isinstance(row[i], int | float) for row in rows)
        for i in range(len(columns))
    ]
    table = _Table(list(columns), [[_text(cell) for cell in row] for row in rows], numbers)
    if width is None or table.width() <= width:
        return table.lines(table.widths())
    for index, column in enumerate(columns):
        if column in ids:
            _cut(table.rows, index)
    if table.width() <= width:
        return table.lines(table.widths())
    places = [index for index, column in enumerate(columns) if column in soft]
    more = [index for index, column in enumerate(columns) if column in (*soft, *spare)]
    return (
        _wrapped(table, places, width)
        or _below(table, places, width)
        or _below(table, more, width)
        or _blocks(table)
    )


def _text(cell: object) -> str:
    """A cell's text; measured times have three decimals, so that they stand one below another."""
    return f"{cell:.3f}" if isinstance(cell, float) else str(cell)


def _cut(rows: list[list[str]], index: int) -> None:
    """Cut the cells of a column to as many characters as tell them apart."""
    cells = {row[index] for row in rows}
    longest = max(map(len, cells), default=0)
    for length in range(_ID_LENGTH, longest):
        if len({cell[:length] for cell in cells}) == len(cells):
            for row in rows:
                row[index] = row[index][:length]
            return


def _wrapped(table: _Table, places: list[int], width: int) -> list[str]:
    """The table with texts wrapped within their columns; empty if they would be too narrow."""
    widths = table.widths()
    taken = sum(w for i, w in enumerate(widths) if i not in places)
    left = width - taken - len(_GAP) * (len(widths) - 1)
    for place, share in zip(places, _shares([widths[i] for i in places], left), strict=True):
        if share < min(widths[place], max(_LEAST_SOFT, cell_len(table.columns[place]))):
            return []
        widths[place] = share
    if not places:
        return []
    lines: list[list[str]] = []
    for row in table.rows:
        parts = [
            _wrap(cell, widths[i]) or [""] if i in places else [cell] for i, cell in enumerate(row)
        ]
        lines += [
            [part[number] if number < len(part) else "" for part in parts]
            for number in range(max(map(len, parts)))
        ]
    return _Table(table.columns, lines, table.numbers).lines(widths)


def _wrap(text: str, width: int, first: str = "", others: str = "") -> list[str]:
    """A text in lines, which begin with `first` or `others`. As `textwrap.wrap`, but by columns of
    the terminal: letters of some scripts take two, and no spaces stand between their words."""
    lines, line, is_empty = [], first, True
    for word in text.split():
        gap = "" if is_empty else " "
        if cell_len(line + gap + word) <= width:
            line, is_empty = line + gap + word, False
            continue
        if not is_empty and cell_len(others + word) <= width:
            lines.append(line)
            line = others + word
            continue
        line += gap  # the word is longer than a line: it is cut where a line is full
        for letter in word:
            if not is_empty and cell_len(line + letter) > width:
                lines.append(line.rstrip())
                line = others
            line, is_empty = line + letter, False
    return lines if is_empty else [*lines, line]


def _shares(wanted: list[int], left: int) -> list[int]:
    """How much of what is left each gets: the short ones all they want, the others equal parts."""
    shares = [0] * len(wanted)
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    for done, place in enumerate(order):
        shares[place] = min(wanted[place], left // (len(wanted) - done))
        left -= shares[place]
    return shares


def _below(table: _Table, places: list[int], width: int) -> list[str]:
    """The table without its long texts, which stand below their rows; empty if it does not fit."""
    kept = [i for i in range(len(table.columns)) if i not in places]
    rest = _Table(
        [table.columns[i] for i in kept],
        [[row[i] for i in kept] for row in table.rows],
        [table.numbers[i] for i in kept],
    )
    if not places or rest.width() > width:
        return []
    heading, *lines = rest.lines(rest.widths())
    found = [heading]
    for line, row in zip(lines, table.rows, strict=True):
        found.append(line)
        for place in places:
            if row[place]:
                text = f"{table.columns[place]}: {row[place]}"
                indent = _GAP * 2
                found += _wrap(text, max(width, 20), indent, indent + _GAP)
    return found


def _blocks(table: _Table) -> list[str]:
    """Each row as lines of a heading and a cell."""
    longest = max(map(cell_len, table.columns))
    found: list[str] = []
    for row in table.rows:
        found += [""] if found else []
        for column, cell in zip(table.columns, row, strict=True):
            if cell:
                found.append(f"{set_cell_size(column, longest)}{_GAP}{cell}")
    return found
