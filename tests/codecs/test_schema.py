"""The JSON Schema of types."""

from __future__ import annotations

import dataclasses
import datetime as dt
import decimal
import enum
import json
import uuid
from collections.abc import Callable
from typing import Any, Literal, NotRequired, TypedDict

from pydantic import BaseModel, Field

from natsrpc import codecs

JSON = codecs.get("json")


class Question(BaseModel):
    topic: str
    depth: int = 0


class Color(enum.Enum):
    RED = "red"


class Person(TypedDict):
    name: str
    age: NotRequired[int]


@dataclasses.dataclass
class Point:
    x: int
    y: float = 0.0


class Everything(BaseModel):
    when: dt.datetime = dt.datetime(2026, 1, 2, 3, 4, 5, 6, tzinfo=dt.UTC)
    day: dt.date = dt.date(2026, 1, 2)
    span: dt.timedelta = dt.timedelta(seconds=90)
    key: uuid.UUID = uuid.UUID(int=7)
    price: decimal.Decimal = decimal.Decimal("1.10")
    color: Color = Color.RED
    point: Point = Point(1)
    tags: set[int] = {1, 2}
    pair: tuple[int, str] = (1, "x")
    by_number: dict[int, str] = {1: "one"}
    blob: bytes = b"\xff\xfe>?"
    maybe: int | None = None
    kind: Literal["a", 1] = 1
    either: int | str = "5"
    anything: Any = None
    questions: list[Question] = [Question(topic="a")]


def test_schemas() -> None:
    schema = JSON.schema(Question)
    assert schema is not None
    assert schema["required"] == ["topic"]
    assert JSON.schema(int) == {"type": "integer"}
    assert JSON.schema(None) is None
    assert JSON.schema(bytes) is None
    person = JSON.schema(Person)
    assert person is not None
    assert person["title"] == "Person"
    json.dumps(JSON.schema(Everything))


def test_a_schema_has_a_side() -> None:
    written = JSON.schema(Question, mode="serialization")
    assert written is not None
    assert "topic" in written["required"]


def test_no_schema_where_json_schema_has_none() -> None:
    assert JSON.schema(Callable[[], int]) is None


class Stock(BaseModel):
    name: str
    price: decimal.Decimal = decimal.Decimal("1.5")
    tags: list[str] = Field(default_factory=list)
    note: str | None = Field(default=None, exclude_if=lambda value: value is None)
    made: str = Field(default_factory=lambda: "here")


class Loose(TypedDict):
    name: str
    count: NotRequired[int]


def test_what_is_written_has_its_defaults() -> None:
    read, written = JSON.schema(Stock), JSON.schema(Stock, mode="serialization")
    assert read is not None
    assert written is not None
    assert read["required"] == ["name"]
    assert written["required"] == ["name", "price", "tags", "made"]
    for loose in (JSON.schema(Loose), JSON.schema(Loose, mode="serialization")):
        assert loose is not None
        assert loose["required"] == ["name"]


def test_factories_of_empty_collections_are_defaults() -> None:
    schema = JSON.schema(Stock)
    assert schema is not None
    assert schema["properties"]["tags"]["default"] == []
    assert "default" not in schema["properties"]["made"]


def test_decimals_are_told_from_strings() -> None:
    text = {"type": "string", "format": "decimal"}
    assert JSON.schema(decimal.Decimal, mode="serialization") == text
    assert JSON.schema(decimal.Decimal) == {"anyOf": [{"type": "number"}, text]}
