"""Values whose class alone tells that they are right."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Annotated, Any, NotRequired, Optional

import pytest
from pydantic import BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from natsrpc import codecs
from natsrpc.codecs.exact import exact_test, is_exact_class, model_test
from natsrpc.errors import EncodeError


class Item(BaseModel):
    sku: str


class Special(Item):
    more: str = ""


class Loose(TypedDict):
    sku: str


def test_scalars_and_models_are_exact_classes() -> None:
    for type_ in (int, str, bool, float, Item):
        assert is_exact_class(type_)
    others: list[Any] = [bytes, Loose, list, list[int], None, Any, int | None]
    for type_ in others:
        assert not is_exact_class(type_)


ARGUMENTS = codecs.fields({"a": (int, codecs.REQUIRED), "item": (Item, None)})
ITEM = Item(sku="x")


@pytest.mark.parametrize(
    ("type_", "right", "wrong"),
    [
        (list[int], [[], [1, 2]], [None, (1,), [1, "x"], [True], [None]]),
        (list[Item], [[ITEM]], [[Special(sku="x")], [{"sku": "x"}]]),
        (dict[str, float], [{}, {"a": 1.0}], [{"a": 1}, {1: 1.0}, [("a", 1.0)]]),
        (int | None, [1, None], [True, "x"]),
        (Optional[Item], [ITEM, None], [{"sku": "x"}]),  # noqa: UP045 - the old spelling is meant
        (int | str, [1, "x"], [1.0]),
        (ARGUMENTS, [{"a": 1, "item": ITEM}], [{"a": 1}, {"a": "x", "item": ITEM}, [1]]),
    ],
)
def test_only_values_of_the_very_classes_pass(
    type_: Any, right: list[Any], wrong: list[Any]
) -> None:
    test = exact_test(type_)
    assert test is not None
    assert all(test(value) for value in right)
    assert not any(test(value) for value in wrong)
    for codec in (codecs.get("json"), codecs.get("msgpack")):
        bound = codec.bind(type_)
        for value in right:
            assert bound.decode(bound.encode(value)) == value


@pytest.mark.parametrize(
    "type_",
    [
        Loose,
        list[Loose],
        list[list[int]],
        dict[int, int],
        tuple[int, ...],
        Item | bytes,
        codecs.fields({"a": (list[int], codecs.REQUIRED)}),
        Any,
        list,
        None,
    ],
)
def test_other_types_are_for_the_serializer_to_judge(type_: Any) -> None:
    assert exact_test(type_) is None


class Other(BaseModel):
    number: int


class Alike:
    """Not a model, though it has the attributes of one."""

    def __init__(self) -> None:
        self.sku = "x"


@pytest.mark.parametrize("codec", [codecs.get("json"), codecs.get("msgpack")])
@pytest.mark.parametrize("wrong", [Other(number=1), Alike(), ValueError("x"), lambda: None])
@pytest.mark.parametrize(
    ("type_", "wrap"),
    [
        (Item, lambda value: value),
        (Annotated[Item, Field(description="sold")], lambda value: value),
        (Item | None, lambda value: value),
        (int | list[Item], lambda value: [ITEM, value]),
        (list[Item], lambda value: [ITEM, value]),
        (dict[str, list[Item]], lambda value: {"a": [value]}),
        (ARGUMENTS, lambda value: {"a": 1, "item": value}),
    ],
)
def test_another_object_is_no_model(
    codec: codecs.Codec, type_: Any, wrap: Callable[[Any], Any], wrong: Any
) -> None:
    """The serializer would write `{}`."""
    bound = codec.bind(type_)
    with pytest.raises(EncodeError, match="valid dictionary or instance of Item"):
        bound.encode(wrap(wrong))
    for right in (ITEM, Special(sku="x"), {"sku": "x"}):
        assert bound.decode(bound.encode(wrap(right))) == wrap(ITEM)


@dataclasses.dataclass
class Order:
    item: Item
    count: int = 1
    rest: list[Order] = dataclasses.field(default_factory=list)


class Line(TypedDict):
    item: Item
    note: NotRequired[str]


@pytest.mark.parametrize("codec", [codecs.get("json"), codecs.get("msgpack")])
@pytest.mark.parametrize(
    ("type_", "wrap"),
    [
        (Line, lambda value: {"item": value}),
        (dict[int, Item], lambda value: {1: value}),
        (tuple[Item, ...], lambda value: (ITEM, value)),
        (tuple[int, Item], lambda value: (1, value)),
        (Item | None | str, lambda value: value),
    ],
)
def test_another_object_is_no_model_wherever_it_stands(
    codec: codecs.Codec, type_: Any, wrap: Callable[[Any], Any]
) -> None:
    bound = codec.bind(type_)
    with pytest.raises(EncodeError, match="valid dictionary or instance of Item"):
        bound.encode(wrap(Other(number=1)))
    for right in (ITEM, Special(sku="x"), {"sku": "x"}):
        assert bound.decode(bound.encode(wrap(right))) == wrap(ITEM)


@pytest.mark.parametrize("codec", [codecs.get("json"), codecs.get("msgpack")])
def test_another_object_in_a_dataclass_is_no_model(codec: codecs.Codec) -> None:
    bound = codec.bind(Order)
    wrong: Any = Other(number=1)
    with pytest.raises(EncodeError, match="cannot encode Order as Order: a model in it is none"):
        bound.encode(Order(wrong))
    for right in (Order(ITEM), Order(ITEM, rest=[Order(ITEM)])):
        assert bound.decode(bound.encode(right)) == right
    assert bound.decode(bound.encode({"item": {"sku": "x"}})) == Order(ITEM)


def test_types_without_models_and_unions_that_no_class_tells_are_not_looked_into() -> None:
    types: list[Any] = [Item | list[int], int | str, dict[int, str], tuple[int, str], Loose, Any]
    for type_ in types:
        schema: Any = TypeAdapter(type_).core_schema
        assert model_test(schema) is None


@pytest.mark.parametrize("codec", [codecs.get("json"), codecs.get("msgpack")])
def test_other_collections_of_models_are_written_as_the_one_asked_for(codec: codecs.Codec) -> None:
    bound = codec.bind(list[Item])
    for given in ((ITEM,), {"a": ITEM}.values(), iter([ITEM])):
        assert bound.decode(bound.encode(given)) == [ITEM]
