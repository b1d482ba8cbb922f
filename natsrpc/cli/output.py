"""Printing for the commands: tables and JSON on stdout, everything else on stderr.

A pipe gets the whole of every cell; a terminal gets rows that fit its width.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

__all__ = ["print_json", "print_table", "say"]


def say(text: str) -> None:
    """Print one line for people on stderr, so that stdout holds nothing but the answer."""
    print(text, file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Print plain data as indented JSON. A value that JSON has no form for is printed as text."""
    print(json.dumps(value, indent=2, ensure_ascii=False, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under these headings in aligned columns; columns of numbers align to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numbers = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, no_wrap=True, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(str(cell) for cell in row))
    # what services say of themselves is text: "[red]" is no color and ":b:" no emoji in it
    width = None if Console().is_terminal else 10_000  # a pipe has none: nothing is cut off there
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)
