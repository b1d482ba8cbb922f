"""Printing for the commands: tables and JSON on stdout, everything else on stderr.

A pipe gets the whole of every cell; a terminal gets rows that fit its width. What services and
files say is text of strangers: whatever in it could move a cursor, set a title, fill a clipboard or
turn the direction of writing is printed as an escape (`\\x1b`), here and nowhere else.
"""

from __future__ import annotations

import base64
import json
import math
import re
import sys
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from rich.console import Console

from .tables import layout

__all__ = [
    "begin_screen",
    "harmless",
    "harmless_json",
    "json_text",
    "print_json",
    "print_json_line",
    "print_table",
    "say",
    "show",
]

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


def json_text(value: object, *, indent: int | None = None) -> str:
    """Return a value, also one that a stranger's bytes were decoded to, as JSON that a terminal
    shows and does not act on. Bytes are {"base64": …}, as a key their base64 text; anything else
    that JSON has no form for is its text.

    Raises:
        RecursionError: it is nested too deeply.
    """
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)
    except (TypeError, ValueError):  # looked through only where it must be
        text = json.dumps(_plain(value), ensure_ascii=False, indent=indent)
    return harmless_json(text)


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {_key(key): _plain(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(inner) for inner in value]
    if isinstance(value, bytes):
        return {"base64": base64.b64encode(value).decode()}
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    return value if value is None or isinstance(value, str | int | float) else str(value)


def _key(key: Any) -> Any:
    if isinstance(key, bytes):
        return base64.b64encode(key).decode()
    return key if key is None or isinstance(key, str | int) else str(key)


def show(text: str) -> None:
    """Print one line of the answer on stdout."""
    print(harmless(text), flush=True)


def say(text: str) -> None:
    """Print one line for people on stderr, so that stdout holds nothing but the answer."""
    print(harmless(text, lines=True), file=sys.stderr, flush=True)


def print_json(value: object) -> None:
    """Print data as indented JSON, as `json_text` has it."""
    print(json_text(value, indent=2))


def print_json_line(value: object) -> None:
    """Print data as one line of JSON: of many, each is a document of its own."""
    print(json_text(value), flush=True)


def begin_screen() -> None:
    """On a terminal, begin at its top again, and leave alone what was scrolled off; in a pipe,
    leave an empty line."""
    terminal = Console().is_terminal
    print("\x1b[H\x1b[2J" if terminal else "", end="" if terminal else "\n", flush=True)


def print_table(
    columns: Sequence[str],
    rows: Sequence[Sequence[object]],
    *,
    soft: Collection[str] = (),
    spare: Collection[str] = (),
    ids: Collection[str] = (),
    live: bool = False,
) -> None:
    """Print rows under these headings in aligned columns; columns of numbers align to the right.

    Where a terminal is too narrow, the columns `soft` are wrapped, the `ids` cut, and the columns
    `spare` put below their rows; all others are whole at any width. With `live` no more is printed
    than fits the terminal's height: else its heading would scroll away.
    """
    console = Console()
    width, height = (console.width, console.height) if console.is_terminal else (None, None)
    cells = [
        [each if isinstance(each, int | float) else harmless(str(each)) for each in row]
        for row in rows
    ]
    lines = layout(columns, cells, width, soft=soft, spare=spare, ids=ids)
    if live and height is not None and len(lines) >= height:
        kept = max(height - 2, 1)
        lines[kept:] = [f"… {len(lines) - kept} more lines than this terminal has"]
    for line in lines:
        print(line)
