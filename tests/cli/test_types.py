"""natsrpc.cli.types: JSON Schema as a person reads types."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import BaseModel, TypeAdapter

from natsrpc.cli.types import in_words


class Item(BaseModel):
    name: str
    count: int = 1


class Order(BaseModel):
    items: list[Item]
    note: str | None = None
    extra: dict[str, float] = {}


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (int, "int"),
        (str | None, "str | None"),
        (list[bool], "list[bool]"),
        (dict[str, int], "dict[str, int]"),
        (Item, "{name: str, count?: int}"),
        (Order, "{items: list[Item], note?: str | None, extra?: dict[str, float]}"),
        (Any, "any"),
    ],
)
def test_types_in_words(kind: Any, words: str) -> None:
    assert in_words(TypeAdapter(kind).json_schema()) == words


def test_no_body_is_nothing() -> None:
    assert in_words(None) == "nothing"


def test_raw_bytes() -> None:
    raw = {"type": "string", "contentMediaType": "application/octet-stream"}
    assert in_words(raw) == "bytes"


def test_what_is_deep_or_long_is_cut() -> None:
    deep: dict[str, Any] = {"type": "integer"}
    for _ in range(1000):
        deep = {"type": "array", "items": deep}
    assert in_words(deep) == "list[list[list[list[…]]]]"
    wide = {"type": "object", "properties": {f"field{n}": {"type": "string"} for n in range(500)}}
    assert len(in_words(wide)) == 160
    twice: dict[str, Any] = {"type": "integer"}
    for _ in range(60):
        twice = {"anyOf": [twice, twice]}
    assert in_words(twice) == "…"
