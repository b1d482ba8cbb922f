"""Differences of two schemas as data. `compare` and `limits` make them, `diff` reads them."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from natsrpc.errors import ConfigError

MAX_DIFFERENCES = 10_000


@dataclass(frozen=True, slots=True)
class Difference:
    """One difference of two schemas."""

    path: str
    """The place in the value, dotted: `[]` are the items of an array, `{}` the values of an object
    without named fields."""
    text: str
    """What changed, for people."""
    breaks_request: bool = False
    """Whether some requests by the old schema are refused by the new one."""
    breaks_response: bool = False
    """Whether some responses by the new schema are refused by the old one."""
    talk: bool = False
    """Whether only words differ (a description)."""
    choice: bool = False
    """Whether it only matters to the reader of a request (a default)."""


def narrowed(text: str, path: str = "") -> Difference:
    """Return the difference of a value that is no longer allowed."""
    return Difference(path, text, breaks_request=True)


def widened(text: str, path: str = "") -> Difference:
    """Return the difference of a value that is allowed now."""
    return Difference(path, text, breaks_response=True)


def changed(text: str, path: str = "") -> Difference:
    """Return the difference of a value that is another now."""
    return Difference(path, text, breaks_request=True, breaks_response=True)


def under(path: str, found: Iterable[Difference]) -> list[Difference]:
    """Return the differences of a part of a value, as differences of the whole.

    Raises:
        ConfigError: there are too many.
    """
    found_there = [replace(each, path=_joined(path, each.path)) for each in found]
    if len(found_there) > MAX_DIFFERENCES:  # each level of a schema can double them
        raise ConfigError(f"these contracts differ in over {MAX_DIFFERENCES} places of one value")
    return found_there


def _joined(path: str, rest: str) -> str:
    if not rest or not path or rest.startswith(("[", "{")):
        return path + rest
    return f"{path}.{rest}"


def shown(value: Any) -> str:
    """Return a value of a schema as text."""
    return json.dumps(value, ensure_ascii=False, sort_keys=True)


def or_none(value: Any) -> str:
    """Return the value of a keyword as text, "none" where the schema has no such keyword."""
    return "none" if value is None else shown(value)
