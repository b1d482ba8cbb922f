"""Printing for the commands: tables and JSON on stdout, everything else on stderr.

A pipe gets the whole of every cell; a terminal gets rows that fit its width. What services and
files say is text of strangers: whatever in it could move a cursor, set a title, fill a clipboard or
turn the direction of writing is printed as an escape (`\\x1b`), here and nowhere else.
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table

__all__ = ["harmless", "harmless_json", "print_json", "print_table", "say", "show"]

# C0, DEL and C1; marks of direction, invisible characters and tags; ends of lines; lone surrogates
_HARMFUL = (
    "\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff"
    "\ufff9-\ufffb\U000e0000-\U000e007f\ud800-\udfff"
)
_harmful = re.compile(f"[{_HARMFUL}]")
_harmful_but_lines = re.compile(f"(?![\t\n])[{_HARMFUL}]")


def harmless(text: str, *, lines: bool = False) -> str:
    """Return a text with escapes for all that a terminal would act on, or not show; with `lines`,
    ends of lines and tabs stay."""
    return (_harmful_but_lines if lines else _harmful).sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode()


def harmless_json(text: str) -> str:
    """Return JSON text with the escapes of JSON for all that a terminal would act on: its value is
    the same."""
    return _harmful_but_lines.sub(lambda found: json.dumps(found[0])[1:-1], text)


def show(text: str) -> None:
    """Print one line of the answer on stdout."""
    print(harmless(text), flush=True)


def say(text: str) -> None:
    """Print one line for people on stderr, so that stdout holds nothing but the answer."""
    print(harmless(text, lines=True), file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Print plain data as indented JSON. A value that JSON has no form for is printed as text."""
    print(harmless_json(json.dumps(value, indent=2, ensure_ascii=False, default=str)))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print rows under these headings in aligned columns; columns of numbers align to the right."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for index, column in enumerate(columns):
        numbers = all(isinstance(row[index], int | float) for row in rows)
        table.add_column(column, no_wrap=True, justify="right" if numbers else "left")
    for row in rows:
        table.add_row(*(harmless(str(cell)) for cell in row))
    # what services say of themselves is text: "[red]" is no color and ":b:" no emoji in it
    width = None if Console().is_terminal else 10_000  # a pipe has none: nothing is cut off there
    Console(highlight=False, markup=False, emoji=False, width=width).print(table)
