"""Several values in one body."""

from __future__ import annotations

from typing import Annotated, Any, TypedDict

import pytest
from pydantic import BaseModel, Field

from natsrpc import codecs
from natsrpc.codecs import REQUIRED, Fields, fields
from natsrpc.errors import DecodeError, EncodeError


class Item(BaseModel):
    sku: str


ARGUMENTS = fields({"a": (int, REQUIRED), "b": (int, 2), "items": (list[Item], [])})
BOTH = pytest.mark.parametrize("codec", [codecs.get("json"), codecs.get("msgpack")])


def natural(codec: codecs.Codec, value: Any) -> bytes:
    return codec.bind(Any).encode(value)


@BOTH
def test_a_body_decodes_to_a_dict_of_arguments(codec: codecs.Codec) -> None:
    decode = codec.bind(ARGUMENTS).decode
    decoded = decode(natural(codec, {"a": 1, "items": [{"sku": "x"}], "unknown": 0}))
    assert decoded == {"a": 1, "b": 2, "items": [Item(sku="x")]}
    assert type(decoded) is dict


@BOTH
def test_a_default_is_not_shared_between_calls(codec: codecs.Codec) -> None:
    decode = codec.bind(ARGUMENTS).decode
    first = decode(natural(codec, {"a": 1}))
    first["items"].append("changed")
    assert decode(natural(codec, {"a": 1}))["items"] == []


@BOTH
def test_what_is_wrong_is_named(codec: codecs.Codec) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.bind(ARGUMENTS).decode(natural(codec, {"b": "x", "items": [{}]}))
    assert [error["path"] for error in caught.value.errors] == ["a", "b", "items.0.sku"]


@BOTH
def test_a_body_that_is_not_an_object_is_refused(codec: codecs.Codec) -> None:
    with pytest.raises(DecodeError) as caught:
        codec.bind(ARGUMENTS).decode(natural(codec, [1, 2]))
    assert not caught.value.malformed


@BOTH
def test_arguments_encode_with_those_left_out_that_have_defaults(codec: codecs.Codec) -> None:
    bound = codec.bind(ARGUMENTS)
    assert bound.decode(bound.encode({"a": 1, "items": [Item(sku="x")]})) == {
        "a": 1,
        "b": 2,
        "items": [Item(sku="x")],
    }
    with pytest.raises(EncodeError, match="a: Field required"):
        bound.encode({"b": 1})
    with pytest.raises(EncodeError, match="a: Input should be a valid integer"):
        bound.encode({"a": "x"})


class Three(BaseModel):
    a: int
    b: int
    items: list[Item]


@BOTH
@pytest.mark.parametrize(
    ("value", "what"), [(Three(a=1, b=2, items=[]), "Three"), ([1, 2], "list"), (None, "None")]
)
def test_what_is_no_mapping_of_arguments_is_told_what_is(
    codec: codecs.Codec, value: Any, what: str
) -> None:
    with pytest.raises(EncodeError) as caught:
        codec.bind(ARGUMENTS).encode(value)
    assert str(caught.value) == f"cannot encode {what}: expected a mapping of 'a', 'b', 'items'"


@BOTH
@pytest.mark.parametrize("type_", [ARGUMENTS, fields({"a": (int, REQUIRED), "b": (int, 2)})])
def test_a_name_that_is_no_argument_is_refused(codec: codecs.Codec, type_: Any) -> None:
    for value in ({"a": 1, "c": 3}, {"a": 1, "b": 2, "c": 3}):
        with pytest.raises(EncodeError, match="there is no parameter 'c': expected a mapping of"):
            codec.bind(type_).encode(value)


@BOTH
@pytest.mark.parametrize(("type_", "inner"), [(Item, {"sku": "x"}), (int, 5), (list[int], [1])])
def test_one_argument_in_a_mapping_is_told_to_go_by_itself(
    codec: codecs.Codec, type_: Any, inner: Any
) -> None:
    bound = codec.bind(type_)
    with pytest.raises(EncodeError, match="the value of 'item' would fit: pass it by itself"):
        bound.encode({"item": inner})
    with pytest.raises(EncodeError) as caught:
        bound.encode({"item": object()})
    assert "would fit" not in str(caught.value)


@BOTH
def test_the_empty_payload_stands_for_defaults(codec: codecs.Codec) -> None:
    assert codec.bind(fields({"a": (int, 1), "b": (str, "x")})).decode(b"") == {"a": 1, "b": "x"}
    with pytest.raises(DecodeError) as caught:
        codec.bind(ARGUMENTS).decode(b"")
    assert caught.value.malformed


@BOTH
def test_any_parameter_name_is_fine(codec: codecs.Codec) -> None:
    names = ("model_config", "schema", "copy", "_private", "json", "type", "self")
    bound = codec.bind(fields(dict.fromkeys(names, (int, REQUIRED))))
    arguments = dict.fromkeys(names, 1)
    assert bound.decode(bound.encode(arguments)) == arguments


SCALARS = fields({"n": (int, REQUIRED), "x": (float, 1.0), "item": (Item, Item(sku="a"))})


@BOTH
def test_arguments_of_plain_types(codec: codecs.Codec) -> None:
    bound = codec.bind(SCALARS)
    full = {"n": 1, "x": 2.5, "item": Item(sku="b")}
    assert bound.decode(bound.encode(full)) == full
    assert bound.decode(bound.encode({"n": 1})) == {"n": 1, "x": 1.0, "item": Item(sku="a")}
    assert bound.decode(bound.encode({**full, "item": {"sku": "c"}}))["item"] == Item(sku="c")
    wrong: list[Any] = [None, [1], {"n": "x"}, {"x": 1.0}, {**full, "n": None}]
    for value in wrong:
        with pytest.raises(EncodeError):
            bound.encode(value)


def test_arguments_hold_no_nan_and_no_surrogate() -> None:
    bound = codecs.get("json").bind(SCALARS)
    with pytest.raises(EncodeError):
        bound.encode({"n": 1, "x": float("nan"), "item": Item(sku="b")})
    with pytest.raises(EncodeError):
        bound.encode({"n": 1, "x": 1.0, "item": Item(sku="\ud800")})


def test_constraints_and_descriptions_of_a_field_count() -> None:
    type_ = fields({"n": (Annotated[int, Field(gt=0, description="how many")], REQUIRED)})
    json = codecs.get("json")
    with pytest.raises(DecodeError, match="n: Input should be greater than 0"):
        json.bind(type_).decode(b'{"n":0}')
    schema = json.schema(type_)
    assert schema is not None
    assert schema["required"] == ["n"]
    assert schema["properties"]["n"]["description"] == "how many"
    assert schema["properties"]["n"]["exclusiveMinimum"] == 0


def test_the_type_says_what_it_is_made_of() -> None:
    type_ = fields({"a": (int, REQUIRED), "b": (str, "x")}, name="AddArguments")
    assert issubclass(type_, Fields)
    assert type_.__name__ == "AddArguments"
    assert type_.parameters == {"a": (int, REQUIRED), "b": (str, "x")}
    assert repr(REQUIRED) == "REQUIRED"


NAMED = fields(
    {"from_": (str, REQUIRED), "size": (int, 5), "item": (Item, Item(sku="x"))},
    names={"from_": ("from",), "size": ("size", "limit")},
)


@BOTH
def test_a_field_is_read_by_its_names_and_written_by_the_first(codec: codecs.Codec) -> None:
    bound, other = codec.bind(NAMED), codec.bind(Any)
    item = Item(sku="x")
    for sent in ({"from": "a", "size": 7}, {"from": "a", "limit": 7}):
        expected = {"from_": "a", "size": 7, "item": item}
        assert bound.decode(natural(codec, sent)) == expected
    with pytest.raises(DecodeError) as caught:
        bound.decode(natural(codec, {"from_": "a"}))
    assert caught.value.errors[0]["path"] == "from"
    for given in ({"from_": "a", "size": 7}, {"from": "a", "limit": 7}):
        assert other.decode(bound.encode(given)) == {"from": "a", "size": 7} | (
            {"item": {"sku": "x"}} if "from" in given else {}
        )
    # an item as a dict has to be validated first
    sent = other.decode(bound.encode({"from_": "a", "item": {"sku": "y"}}))
    assert (sent["from"], sent["item"]) == ("a", {"sku": "y"})
    with pytest.raises(EncodeError, match="no parameter 'to'"):
        bound.encode({"from_": "a", "to": "b"})


@BOTH
def test_a_factory_makes_the_default_anew(codec: codecs.Codec) -> None:
    made = fields(
        {
            "a": (int, REQUIRED),
            "b": (list[int], codecs.Factory(lambda: [1])),
            "c": (int, codecs.Factory(lambda data: data["a"] + 1, takes_data=True)),
        }
    )
    decode = codec.bind(made).decode
    first = decode(natural(codec, {"a": 1}))
    assert first == {"a": 1, "b": [1], "c": 2}
    first["b"].append(2)
    assert decode(natural(codec, {"a": 3, "c": 9})) == {"a": 3, "b": [1], "c": 9}


class Named(TypedDict):
    """One of typing's own, which pydantic refuses before Python 3.12."""

    name: str


@BOTH
def test_a_typed_dict_of_typing_is_a_field(codec: codecs.Codec) -> None:
    made = fields({"a": (list[Named], REQUIRED), "b": (int, 1)}, names={"b": ("B",)})
    found = codec.bind(made).decode(natural(codec, {"a": [{"name": "x"}], "B": 2}))
    assert found == {"a": [{"name": "x"}], "b": 2}
