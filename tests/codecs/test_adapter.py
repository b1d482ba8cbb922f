"""Types that pydantic takes, refuses, or takes with help."""

from __future__ import annotations

import sys
from typing import Any, TypedDict

import pytest
from pydantic import ConfigDict

from natsrpc import codecs
from natsrpc.errors import ConfigTypeError, DecodeError

JSON = codecs.get("json")


class Config(TypedDict):
    __pydantic_config__ = ConfigDict(extra="forbid")  # type: ignore[misc]  # as pydantic documents
    name: str


class Recursive(TypedDict):
    children: list[Recursive]


class Unknown: ...


def test_a_class_that_pydantic_does_not_know_is_told_what_to_be() -> None:
    with pytest.raises(ConfigTypeError, match=r"codec for Unknown: .*; make it a BaseModel, a"):
        JSON.bind(Unknown)


@pytest.mark.parametrize("type_", [object(), "NotDefined", type("Plain", (), {})])
def test_a_type_pydantic_does_not_know_is_refused_when_bound(type_: Any) -> None:
    with pytest.raises(ConfigTypeError, match="cannot make a codec"):
        JSON.bind(type_)
    with pytest.raises(ConfigTypeError):
        JSON.schema(type_)


def test_a_typed_dict_s_settings_count() -> None:
    bound = JSON.bind(Config)
    assert bound.decode(b'{"name":"x"}') == {"name": "x"}
    with pytest.raises(DecodeError, match="more: Extra inputs"):
        bound.decode(b'{"name":"x","more":1}')


def test_a_recursive_typed_dict_works_or_says_what_to_do() -> None:
    if sys.version_info >= (3, 12):
        assert JSON.bind(Recursive).decode(b'{"children":[]}') == {"children": []}
        return
    with pytest.raises(ConfigTypeError, match="typing_extensions"):
        JSON.bind(Recursive)
