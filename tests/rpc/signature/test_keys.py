"""The key of an event: checked where it is declared, read from what is enqueued."""

from __future__ import annotations

import copy
import datetime
import decimal
import enum
import pickle
import uuid
from dataclasses import dataclass
from typing import Annotated, Any, NamedTuple, NewType, Protocol, TypedDict

import msgspec
import pytest
from pydantic import BaseModel, Field

from natsrpc import Event
from natsrpc.errors import ConfigError, EncodeError
from natsrpc.rpc.signature import key_reader

OrderId = NewType("OrderId", str)


class Color(enum.Enum):
    RED = "red"


class Inner(BaseModel):
    id: uuid.UUID
    tags: list[str] = []


class Model(BaseModel):
    order_id: Annotated[OrderId, Field(min_length=1)]
    number: int = 0
    inner: Inner | None = None
    ratio: float = 0.0
    paid: bool = False
    color: Color = Color.RED
    named: str = Field(default="x", validation_alias="otherName")


@dataclass
class Data:
    order_id: str
    inner: Inner


class Typed(TypedDict):
    order_id: int


class Pair(NamedTuple):
    order_id: decimal.Decimal
    day: datetime.date


class Struct(msgspec.Struct):
    order_id: int
    items: list[int]


class Shape(Protocol):
    order_id: str


@pytest.mark.parametrize(
    ("type_", "key"),
    [
        (Model, "order_id"),
        (Model, "number"),
        (Model, "inner.id"),
        (Model, "color"),
        (Model, "named"),
        (Data, "order_id"),
        (Data, "inner.id"),
        (Typed, "order_id"),
        (Pair, "order_id"),
        (Pair, "day"),
        (Struct, "order_id"),
        (Shape, "order_id"),
        (dict[str, str], "order_id"),
        (Any, "order_id"),
        (Annotated[Model, "said"], "inner.id"),
    ],
)
def test_a_key_of_the_type_is_taken(type_: Any, key: str) -> None:
    event: Event[Any] = Event("shop.placed", type_, key=key)
    assert event.key == key
    for again in (copy.deepcopy(event), pickle.loads(pickle.dumps(Event("a", int)))):
        assert again.key in (key, "")


def test_an_event_has_no_key_unless_told() -> None:
    assert Event("shop.placed", Model).key == ""


@pytest.mark.parametrize(
    ("type_", "key", "told"),
    [
        (Model, "id", "Model has no field 'id'; it has: order_id, number, inner"),
        (Model, "inner.uid", "Inner.* has no field 'uid'; it has: id, tags"),
        (Model, "order_id.x", "has no field 'x'; it has: none"),
        (Model, "otherName", "has no field 'otherName'"),
        (Model, "inner", "is of type Inner; expected a str, int, UUID"),
        (Model, "ratio", "is of type float"),
        (Model, "paid", "is of type bool"),
        (Data, "id", "Data has no field 'id'; it has: order_id, inner"),
        (Typed, "id", "has no field 'id'; it has: order_id"),
        (Struct, "id", "has no field 'id'; it has: order_id, items"),
        (int, "id", "int has no field 'id'; it has: none"),
        (Model, "", "expected a field"),
        (Model, "inner.", "expected a field"),
        (Model, 5, "expected the name of a field"),
    ],
)
def test_a_key_that_the_type_has_not_is_refused(type_: Any, key: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        Event("shop.placed", type_, key=key)


@pytest.mark.parametrize(
    ("value", "key", "text"),
    [
        (Model(order_id=OrderId("a")), "order_id", "a"),
        (Model(order_id=OrderId("a"), number=7), "number", "7"),
        (Model(order_id=OrderId("a")), "color", "red"),
        ({"order_id": 0}, "order_id", "0"),
        ({"inner": {"id": "x"}}, "inner.id", "x"),
        (Pair(decimal.Decimal("1.50"), datetime.date(2030, 1, 2)), "order_id", "1.50"),
        (Pair(decimal.Decimal(1), datetime.date(2030, 1, 2)), "day", "2030-01-02"),
        (Struct(5, []), "order_id", "5"),
        (Inner(id=uuid.UUID(int=1)), "id", "00000000-0000-0000-0000-000000000001"),
    ],
)
def test_the_key_of_a_value(value: Any, key: str, text: str) -> None:
    assert key_reader("shop.placed", key)(value) == text


@pytest.mark.parametrize(
    ("value", "key", "told"),
    [
        (Model(order_id=OrderId("a")), "inner.id", "'inner.id' of event 'shop.placed'.* no 'id'"),
        ({}, "order_id", "dict has no 'order_id'"),
        ({"order_id": None}, "order_id", "is None: expected"),
        ({"order_id": ""}, "order_id", "is empty: expected"),
        ({"order_id": True}, "order_id", "is bool: expected"),
        ({"order_id": [1]}, "order_id", "is list: expected"),
    ],
)
def test_a_value_without_its_key_is_an_error(value: Any, key: str, told: str) -> None:
    with pytest.raises(EncodeError, match=told):
        key_reader("shop.placed", key)(value)
