"""Where a function is defined, for the errors that refuse it."""

from __future__ import annotations

import contextlib
import inspect
import os
from collections.abc import Callable, Iterator
from typing import Any

from natsrpc.errors import BadSubjectError, ConfigError

from .layers import layers


def place(function: Callable[..., Any]) -> str:
    """The file and line of a function's definition, as "shop/app.py:12"; empty if unknown."""
    if inspect.isclass(function):
        return _place_of_class(function)
    code = None
    for layer in layers(function):
        code = getattr(layer, "__code__", code)
    if code is None:
        return ""
    return f"{_short(code.co_filename)}:{code.co_firstlineno}"


def _place_of_class(cls: type) -> str:
    try:
        file, line = inspect.getsourcefile(cls), inspect.getsourcelines(cls)[1]
    except (OSError, TypeError):  # its source is not at hand
        return ""
    return f"{_short(file)}:{line}" if file else ""


def _short(file: str) -> str:
    """A path from the working directory on, if it is below that."""
    here = os.getcwd() + os.sep
    return file.removeprefix(here)


@contextlib.contextmanager
def located(function: Callable[..., Any]) -> Iterator[None]:
    """Add the function's place to the error of registration that is raised inside.

    Raises:
        ConfigError, BadSubjectError: the one that was raised, with the place at its text's end.
    """
    try:
        yield
    except (ConfigError, BadSubjectError) as error:
        where = place(function)
        text = str(error)
        if where and where not in text:
            error.args = (f"{text} ({where})", *error.args[1:])
        raise
