"""Whether a default has its parameter's type, and whether a text can become a value of a type."""

from __future__ import annotations

import collections
import dataclasses
import enum
import math
from collections.abc import Sequence
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Annotated, Any, Literal, Protocol

import pytest
from pydantic import BaseModel, BeforeValidator, Field, Json, RootModel, SecretStr
from typing_extensions import TypedDict

from natsrpc import codecs
from natsrpc.errors import ConfigTypeError


class Item(BaseModel):
    sku: str


class Key(RootModel[str]):
    """A model that is one text."""


class Color(enum.Enum):
    RED = "red"


class Level(enum.IntEnum):
    LOW = 1


class Odd(enum.Enum):
    ONE = 1


class Perhaps(TypedDict, total=False):
    a: int


class Surely(TypedDict):
    a: int


class Sized(Protocol):
    size: int


@dataclasses.dataclass
class Point:
    x: int


class Thing:
    """A class that pydantic does not know."""


Words = Annotated[list[str], BeforeValidator(str.split)]


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, 1),
        (float, 1),
        (float, math.nan),
        (Any, object()),
        (object, 1),
        (None, None),
        (int | None, None),
        (Item, Item(sku="a")),
        (Point, Point(1)),
        (Color, Color.RED),
        (Literal["a"] | None, "a"),
        (list[float], [1, 2.5]),
        (dict[str, Item], {"a": Item(sku="a")}),
        (tuple[int, ...], ()),
        (tuple[int, str], (1, "a")),
        (Sequence[int], (1,)),
        (Perhaps, {}),
        (Surely, {"a": 1}),
        (Annotated[int, Field(ge=5)], 1),  # constraints are not the type's
        (Words, []),
        (list[Words], [["a"]]),
        (Path, Path()),
        (Decimal, Decimal(1)),
        (timedelta | date, timedelta(1)),
        (Key, Key("a")),
        (Thing, Thing()),
        (list[Thing], 5),  # no schema can be made of it: the codec decides
    ],
)
def test_a_default_of_the_type_is_held(type_: Any, value: Any) -> None:
    assert codecs.holds(type_, value)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (int, "1"),
        (int, None),
        (str, 1),
        (bool, 1),
        (bytes, "a"),
        (Item, {"sku": "a"}),
        (Item | None, "a"),
        (Point, {"x": 1}),
        (Color, "red"),
        (Literal["a"], "b"),
        (Literal["a"] | None, "b"),
        (list[int], ["a"]),
        (list[int], (1,)),
        (tuple[int, str], (1,)),
        (dict[str, int], {"a": "b"}),
        (Surely, {}),
        (Perhaps, {"a": "b"}),
        (Words, "a b"),
        (Decimal, 0),
        (date, date.today),
        (SecretStr, "a"),
        (Key, "a"),
        (int, ...),
    ],
)
def test_a_default_of_another_type_is_not(type_: Any, value: Any) -> None:
    assert not codecs.holds(type_, value)


class Tree(BaseModel):
    left: Tree | None = None


@pytest.mark.parametrize(
    "type_",
    [
        *(str, int, bool, Decimal, date, bytes, Any, Key, Color, Level, Words, Json[list[int]]),
        *(int | None, Item | str, Literal["a", 1], Annotated[int, Field(ge=1)]),
    ],
)
def test_what_a_text_can_become(type_: Any) -> None:
    assert codecs.reads_text(type_)


@pytest.mark.parametrize(
    "type_",
    [
        *(None, Item, Tree, Point, Surely, list[str], tuple[int, ...], set[str], dict[str, int]),
        *(Odd, Literal[1], Item | list[str], Annotated[int, Field(strict=True)]),
    ],
)
def test_what_no_text_can_become(type_: Any) -> None:
    assert not codecs.reads_text(type_)


@pytest.mark.parametrize("name", ["json", "msgpack"])
@pytest.mark.parametrize("key", [tuple[int, int], frozenset[int], Item])
def test_keys_that_are_collections_are_refused(name: str, key: Any) -> None:
    for type_ in (dict[key, int], list[dict[key, int]], collections.Counter[key]):
        with pytest.raises(ConfigTypeError, match=r"has no keys of kind"):
            codecs.get(name).bind(type_)


@pytest.mark.parametrize("key", [Odd, Literal[1], str | None])
def test_keys_that_are_no_text_are_refused_in_json(key: Any) -> None:
    with pytest.raises(ConfigTypeError, match=r"JSON has no keys of kind"):
        codecs.get("json").bind(dict[key, int])
    codecs.get("msgpack").bind(dict[key, int])


@pytest.mark.parametrize("key", [str, int, float, Decimal, date, Color, Level, bytes, int | str])
def test_keys_that_are_text_or_numbers_are_taken(key: Any) -> None:
    for name in ("json", "msgpack"):
        codecs.get(name).bind(dict[key, int])


def test_text_says_what_it_cannot_carry() -> None:
    text: Any = codecs.get("text")
    for type_ in (str, int | None, bytes, None, Any, object):
        text.check(type_)
    for other in (list[int], Item | None, codecs.fields({"a": (int, codecs.REQUIRED)})):
        with pytest.raises(ConfigTypeError, match="use the 'json' codec"):
            text.check(other)
