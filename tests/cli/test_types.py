"""natsrpc.cli.types: JSON Schema as a person reads types."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
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
        (tuple[int, str | None], "tuple[int, str | None]"),
        (tuple[int, ...], "list[int]"),
        (Literal["a", 1], "'a' | 1"),
    ],
)
def test_types_in_words(kind: Any, words: str) -> None:
    assert in_words(TypeAdapter(kind).json_schema()) == words


def test_no_body_is_nothing() -> None:
    assert in_words(None) == "nothing"


@pytest.mark.parametrize(
    ("schema", "words"),
    [
        ({"type": ["string", "null"]}, "str | None"),
        ({"type": ["array", "null"], "items": {"type": "integer"}}, "list[int] | None"),
        ({"type": "object", "properties": {"x": {}}, "required": [{}, ["x"]]}, "{x?: any}"),
        ({"type": [[], {}]}, "any"),
        ({"anyOf": [], "enum": []}, "any"),
    ],
)
def test_schemas_that_others_write(schema: Any, words: str) -> None:
    assert in_words(schema) == words


WORDS = (
    "type", "enum", "const", "anyOf", "oneOf", "items", "prefixItems", "properties", "required",
    "title", "format", "$ref", "additionalProperties", "contentMediaType", "object", "array",
    "string",
)  # fmt: skip


@given(
    st.recursive(
        st.none()
        | st.booleans()
        | st.integers()
        | st.floats()
        | st.text()
        | st.sampled_from(WORDS),
        lambda inner: st.lists(inner) | st.dictionaries(st.sampled_from(WORDS), inner),
    )
)
def test_any_json_is_told_in_some_words(schema: Any) -> None:
    assert 0 < len(in_words(schema)) <= 160


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
