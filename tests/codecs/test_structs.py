"""msgspec's Structs: what is read, what is refused, what is written, and their schemas."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any, Generic, Literal, TypedDict, TypeVar

import msgpack
import msgspec
import pytest
from pydantic import BaseModel, Field

import natsrpc
from natsrpc import codecs
from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    DecodeError,
    EncodeError,
    InvalidRequestError,
)

T = TypeVar("T")

JSON = codecs.get("json")
MSGPACK = codecs.get("msgpack")


class Item(msgspec.Struct):
    price: float
    qty: int = 1


class Kind(enum.Enum):
    NEW = "new"


class Order(msgspec.Struct, rename="camel"):
    order_id: str
    items: list[Item] = []
    notes: dict[str, int] = {}
    kind: Kind = Kind.NEW
    at: datetime.datetime | None = None


class Cat(msgspec.Struct, tag="cat"):
    lives: int


class Dog(msgspec.Struct, tag="dog"):
    tricks: int


class Page(msgspec.Struct, Generic[T]):
    items: list[T]


class Checked(msgspec.Struct):
    secret: str

    def __post_init__(self) -> None:
        if self.secret == "quoted":
            raise ValueError(f"{self.secret} is no secret")
        if self.secret == "kept":
            raise ValueError("it must not be told")
        if self.secret == "broken":
            raise KeyError(self.secret)


class Model(BaseModel):
    n: int


@dataclasses.dataclass
class Box:
    item: Item


class Parcel(TypedDict):
    item: Item


class Loose(BaseModel):
    model_config = {"arbitrary_types_allowed": True}

    item: Item


class Pair(msgspec.Struct):
    first: float | None
    second: float = 0.0
    name: str | None = None


class Shelf(msgspec.Struct):
    items: list[Item]
    height: float = 1.0
    name: str | None = None


ORDER = Order("a", [Item(1.5), Item(2.0, 3)], {"x": 1})
AT = datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC)

VALUES: list[tuple[Any, Any]] = [
    (Order, ORDER),
    (Order, Order("b", at=AT)),
    (list[Item], [Item(1.0), Item(2.0)]),
    (list[Item], []),
    (dict[str, Item], {"a": Item(1.0)}),
    (tuple[Item, int], (Item(1.0), 2)),
    (Item | None, None),
    (Item | None, Item(3.0)),
    (Cat | Dog, Dog(2)),
    (list[Cat | Dog], [Cat(9), Dog(1)]),
    (Page[Item], Page([Item(1.0)])),
    (Page[int], Page([1])),
    (Pair, Pair(None, 1.5)),
    (Shelf, Shelf([Item(1.0)])),
    (Box, Box(Item(1.0))),
    (Parcel, {"item": Item(1.0)}),
    (Annotated[Item, "a note"], Item(1.0)),
]


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: str(codec.name))
@pytest.mark.parametrize(("type_", "value"), VALUES, ids=str)
def test_what_is_written_is_read_again(codec: codecs.Codec, type_: Any, value: Any) -> None:
    bound = codec.bind(type_)
    assert bound.decode(bound.encode(value)) == value


def test_what_is_written_is_plain() -> None:
    plain = {"orderId": "a", "items": [{"price": 1.5, "qty": 1}, {"price": 2.0, "qty": 3}],
             "notes": {"x": 1}, "kind": "new", "at": None}  # fmt: skip
    assert json.loads(JSON.bind(Order).encode(ORDER)) == plain
    assert msgpack.unpackb(MSGPACK.bind(Order).encode(ORDER)) == plain
    written = MSGPACK.bind(Order).encode(Order("b", at=AT))
    assert MSGPACK.bind(dict[str, Any]).decode(written)["at"] == AT


REFUSED: list[tuple[Any, str, list[dict[str, str]]]] = [
    (Item, '{"price": "x"}', [{"path": "price", "reason": "Expected `float`, got `str`"}]),
    (Item, "{}", [{"path": "price", "reason": "Field required"}]),
    (Item, '{"price": 1, "qty": true}', [{"path": "qty", "reason": "Expected `int`, got `bool`"}]),
    (Item, "[]", [{"path": "", "reason": "Expected `object`, got `array`"}]),
    (Order, '{"orderId": "a", "items": [{"price": 1}, {}]}',
     [{"path": "items.1.price", "reason": "Field required"}]),
    (Order, '{"orderId": "a", "notes": {"k": "v"}}',
     [{"path": "notes.*", "reason": "Expected `int`, got `str`"}]),
    (Order, '{"orderId": "a", "kind": "sesame"}',
     [{"path": "kind", "reason": "Invalid enum value"}]),
    (Cat | Dog, '{"type": "sesame"}', [{"path": "type", "reason": "Invalid value"}]),
    (list[Item], '[{"price": []}]',
     [{"path": "0.price", "reason": "Expected `float`, got `array`"}]),
    (Checked, '{"secret": "quoted"}',
     [{"path": "", "reason": "Value was refused by its validator"}]),
    (Checked, '{"secret": "kept"}', [{"path": "", "reason": "it must not be told"}]),
    (Checked, '{"secret": "broken"}',
     [{"path": "", "reason": "Value was refused by its validator"}]),
]  # fmt: skip


@pytest.mark.parametrize("codec", [JSON, MSGPACK], ids=lambda codec: str(codec.name))
@pytest.mark.parametrize(("type_", "text", "errors"), REFUSED, ids=str)
def test_what_does_not_fit_is_told_by_path_and_without_its_value(
    codec: codecs.Codec, type_: Any, text: str, errors: list[dict[str, str]]
) -> None:
    data = text.encode() if codec is JSON else msgpack.packb(json.loads(text))
    with pytest.raises(DecodeError) as caught:
        codec.bind(type_).decode(data)
    assert list(caught.value.errors) == errors
    assert not caught.value.malformed
    assert "sesame" not in str(caught.value) and "quoted" not in str(caught.value)


def test_unknown_fields_are_told_where_they_are_forbidden() -> None:
    class Closed(msgspec.Struct, forbid_unknown_fields=True):
        a: int = 0

    with pytest.raises(DecodeError) as caught:
        JSON.bind(Closed).decode(b'{"%s": 1}' % (b"b" * 1000))
    assert list(caught.value.errors) == [{"path": "b" * 200, "reason": "Unknown field"}]


@pytest.mark.parametrize(
    ("codec", "data"),
    [
        (JSON, b"{"),
        (JSON, b"\xff"),
        (JSON, b'{"price": NaN}'),
        (JSON, b'{"price": 1} x'),
        (JSON, b'{"other": ' + b"[" * 100_000),
        (MSGPACK, b"\xc1"),
        (MSGPACK, b"\x81"),
        (MSGPACK, msgpack.packb({"price": 1.0}) + b"\x00"),
        (JSON, b""),
        (MSGPACK, b""),
    ],
)
def test_what_is_malformed_is_told_as_such(codec: codecs.Codec, data: bytes) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.bind(Item).decode(data)
    assert caught.value.malformed


def test_the_empty_payload_is_none_where_none_is_a_value() -> None:
    for codec in (JSON, MSGPACK):
        assert codec.bind(Item | None).decode(b"") is None


NAN = float("nan")


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Item, Item(NAN)),
        (Item, Item(float("inf"))),
        (Shelf, Shelf([Item(1.0), Item(float("-inf"))])),
        (Shelf, Shelf([], NAN)),
        (Pair, Pair(None, NAN)),
        (Pair, Pair(NAN)),
        (list[Item], [Item(1.0), Item(NAN)]),
        (dict[str, Item], {"a": Item(NAN)}),
        (Page[Any], Page([{"a": NAN}])),
        (Any, Item(NAN)),
        (Any, {"a": [Item(NAN)]}),
    ],
    ids=str,
)
def test_json_has_no_nan(type_: Any, value: Any) -> None:
    with pytest.raises(EncodeError):
        JSON.bind(type_).encode(value)
    assert b'"at":null' in JSON.bind(Order).encode(ORDER)  # which is None, and not NaN


def test_plain_data_is_written_for_a_struct_and_another_object_is_not() -> None:
    assert JSON.bind(Item).encode({"price": 1}) == b'{"price":1.0,"qty":1}'
    assert JSON.bind(list[Item]).encode([{"price": 1.0}]) == b'[{"price":1.0,"qty":1}]'
    for type_, value in (
        (Item, Dog(1)),
        (Item, None),
        (Item, {"price": "x"}),
        (list[Item], [Dog(1)]),
        (list[Item], Item(1.0)),
        (Item | None, Dog(1)),
        (tuple[Item, int], (Dog(1), 1)),
        (Item, object()),
        (Item, Model(n=1)),
    ):
        for codec in (JSON, MSGPACK):
            with pytest.raises(EncodeError, match="cannot encode"):
                codec.bind(type_).encode(value)
    with pytest.raises(EncodeError, match="price: Expected `float`"):
        JSON.bind(Item).encode({"price": "x"})


def test_a_struct_where_any_value_may_be_is_written_as_plain_data() -> None:
    for codec in (JSON, MSGPACK):
        bound = codec.bind(Any)
        assert bound.decode(bound.encode(Item(1.0))) == {"price": 1.0, "qty": 1}
        nested = bound.decode(bound.encode({"items": [Item(1.0)]}))
        assert nested == {"items": [{"price": 1.0, "qty": 1}]}


# what is refused when it is registered


class Mixed(msgspec.Struct):
    model: Model


class Constrained(msgspec.Struct):
    n: Annotated[int, Field(gt=0)]


class Strange(msgspec.Struct):
    what: threading.Lock  # type: ignore[name-defined]  # noqa: F821  # a name that is not there


class Opaque(msgspec.Struct):
    what: natsrpc.Policy
    how: type


@pytest.mark.parametrize(
    ("type_", "text"),
    [
        (Mixed, "model has the pydantic model Model beside the Struct Mixed"),
        (list[Mixed], "pydantic model"),
        (Item | Model, "it has the pydantic model Model beside the Struct Item"),
        (Constrained, r"n is annotated with .*msgspec.Meta"),
        (Strange, "threading"),
        (Item | Dog, "(?i)union"),
        (Opaque, "msgspec does not know type"),
        (Loose, "it has the pydantic model Loose beside the Struct Item"),
        (list[Loose], "pydantic model Loose"),
    ],
)
def test_what_is_of_two_libraries_is_refused(type_: Any, text: str) -> None:
    for codec in (JSON, MSGPACK):
        with pytest.raises(ConfigTypeError, match=text):
            codec.bind(type_)
        with pytest.raises(ConfigTypeError, match=text):
            codec.schema(type_)


def test_a_handler_with_such_a_type_is_refused() -> None:
    async def mixed(order: Mixed) -> None: ...

    with pytest.raises(ConfigError, match=r"mixed.*pydantic model"):
        natsrpc.Service("mixed", version="1.0.0").handler("mixed")(mixed)


# a service

service = natsrpc.Service("structs", version="1.0.0")


@service.handler("total")
async def total(order: Order) -> Item:
    return Item(sum(item.price * item.qty for item in order.items))


@service.handler("several")
async def several(
    item: Item, limit: Annotated[int, Field(gt=0)] = 5, more: list[Item] | None = None
) -> list[Item]:
    return [item, *(more or [])][:limit]


THREE = Model(n=3)


@service.handler("named")
async def named(
    item: Annotated[Item, Field(alias="theItem")],
    more: Annotated[list[Item], Field(default_factory=list)],
    model: Model = THREE,
) -> float:
    more.append(item)
    return sum(each.price for each in more) + model.n


@service.handler("split")
async def split(order: Order) -> AsyncIterator[Item]:
    for item in order.items:
        yield item


@service.handler("join")
async def join(items: AsyncIterator[Item]) -> Order:
    return Order("joined", [item async for item in items])


@service.handler("find")
async def find(price: float) -> Item | None:
    return Item(price) if price > 0 else None


@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_service_takes_and_gives_structs(codec: str) -> None:
    async with service.test(codec=codec) as client:
        assert await client.call(total, ORDER) == Item(7.5)
        assert await client.call("total", ORDER, Item) == Item(7.5)
        assert await client.call("total", {"orderId": "a"}, Item) == Item(0.0)
        assert await client.call(several, {"item": Item(1.0)}) == [Item(1.0)]
        found = await client.call(several, {"item": Item(1.0), "limit": 2, "more": [Item(2.0)]})
        assert found == [Item(1.0), Item(2.0)]
        for _ in range(2):  # a default that is made is made anew
            assert await client.call("named", {"theItem": Item(1.0)}, float) == 4.0
        assert await client.call(named, {"item": Item(1.0), "model": Model(n=1)}) == 2.0
        assert await client.call(named, {"theItem": Item(1.0), "more": [Item(2.0)]}) == 6.0
        assert await client.call(find, 0.0) is None
        assert await client.call(find, 1.0) == Item(1.0)
        assert [item async for item in client.stream(split, ORDER)] == ORDER.items

        async def items() -> AsyncIterator[Item]:
            for item in ORDER.items:
                yield item

        assert (await client.upload(join, items())).items == ORDER.items


async def test_what_does_not_fit_is_answered_with_422_and_its_paths() -> None:
    async with service.test() as client:
        with pytest.raises(InvalidRequestError) as caught:
            await client.call("total", {"orderId": "a", "items": [{}]}, Item)
        assert (caught.value.code, caught.value.details) == (
            422,
            [{"path": "items.0.price", "reason": "Field required"}],
        )
        with pytest.raises(InvalidRequestError) as caught:
            await client.call("several", {"item": {"price": "x"}, "limit": 0}, Any)
        assert [each["path"] for each in caught.value.details] == ["item.price", "limit"]
        with pytest.raises(InvalidRequestError) as caught:
            await client.call("several", {"limit": 1}, Any)
        assert caught.value.details == [{"path": "item", "reason": "Field required"}]


async def test_parameters_are_checked_where_they_are_sent() -> None:
    async with service.test() as client:
        for wrong, text in (
            ({"itme": Item(1.0)}, "no parameter 'itme'"),
            ({"limit": 1}, "item: Field required"),
            (3, "a mapping of 'item'"),
            ({"item": Dog(1)}, "Dog"),
        ):
            with pytest.raises(EncodeError, match=text):
                await client.call(several, wrong)  # type: ignore[call-overload,unused-ignore]


def test_schemas_are_those_of_msgspec_with_the_rules_of_ours() -> None:
    schema = JSON.schema(Item)
    assert schema == {
        "title": "Item",
        "type": "object",
        "properties": {"price": {"type": "number"}, "qty": {"type": "integer", "default": 1}},
        "required": ["price"],
    }
    written = JSON.schema(Item, mode="serialization")
    assert written is not None and written["required"] == ["price", "qty"]
    nested = JSON.schema(Order)
    assert nested is not None
    assert nested["properties"]["items"]["items"] == {"$ref": "#/$defs/Item"}
    assert nested["$defs"].keys() == {"Item", "Kind"}
    assert JSON.schema(codecs.fields({"item": (Item, codecs.REQUIRED), "n": (int, 5)})) == {
        "title": "Arguments",
        "type": "object",
        "properties": {"item": schema, "n": {"type": "integer", "default": 5}},
        "required": ["item"],
    }


def test_the_schema_of_parameters_has_their_names_and_defaults() -> None:
    (contract,) = [each for each in service.contract.endpoints if each.name == "named"]
    schema = JSON.schema(contract.request_type)
    assert schema is not None
    assert schema["required"] == ["theItem"]
    assert schema["properties"]["more"]["default"] == []
    assert schema["properties"]["model"]["default"] == {"n": 3}


def test_a_tree_keeps_the_reference_to_itself() -> None:
    schema = JSON.schema(Tree)
    assert schema is not None and schema["$ref"] == "#/$defs/Tree"
    bound = JSON.bind(Tree)
    tree = Tree([Tree([]), Tree([Tree([])])])
    assert bound.decode(bound.encode(tree)) == tree


class Tree(msgspec.Struct):
    branches: list[Tree]


def test_literals_and_limits_of_msgspec_hold() -> None:
    class Limited(msgspec.Struct):
        n: Annotated[int, msgspec.Meta(gt=0)]
        kind: Literal["a", "b"] = "a"

    with pytest.raises(DecodeError, match="n: Expected `int` >= 1"):
        JSON.bind(Limited).decode(b'{"n": 0}')
    with pytest.raises(DecodeError, match="kind: Invalid enum value"):
        JSON.bind(Limited).decode(b'{"n": 1, "kind": "sesame"}')


def test_without_a_struct_msgspec_is_not_loaded() -> None:
    program = """
import sys
from pydantic import BaseModel
from natsrpc import codecs
class Order(BaseModel):
    n: int
for name in ("json", "msgpack"):
    codec = codecs.get(name)
    bound = codec.bind(Order)
    assert bound.decode(bound.encode(Order(n=1))) == Order(n=1)
    codec.schema(Order)
    try:
        codec.bind(object).encode(object())
    except Exception:
        pass
print("msgspec" in sys.modules, "natsrpc.codecs.structs" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("False False\n", "")
