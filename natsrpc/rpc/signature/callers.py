"""Functions and callers by file and line, for errors that are about two places of a program."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .layers import describe
from .places import place

_OURS = str(Path(__file__).parents[2])


def place_of(function: Callable[..., Any]) -> str:
    """The name of a function, with the file and line that define it, where these are known."""
    where, name = place(function), repr(describe(function))
    return f"{name} ({where})" if where else name


def depth_of_caller() -> int:
    """How many frames above the one who asks stands the program's own: a `stacklevel`."""
    frame, level = inspect.currentframe(), 0
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame, level = frame.f_back, level + 1
    return max(level, 1)


def caller() -> str:
    """The file and line of the program that called us."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_code.co_filename.startswith(_OURS):
        frame = frame.f_back
    return f"{frame.f_code.co_filename}:{frame.f_lineno}" if frame else "somewhere"
