"""Bytes and nothing, in every codec."""

from __future__ import annotations

from typing import Any, Optional

import pytest

from natsrpc import codecs
from natsrpc.errors import ConfigTypeError, EncodeError

EVERY = ["json", "msgpack", "raw", "text", "protobuf"]


@pytest.mark.parametrize("name", EVERY)
def test_bytes_are_the_payload_itself(name: str) -> None:
    bound = codecs.get(name).bind(bytes)
    data = b'\x00\xff"{'
    assert bound.encode(data) is data
    assert bound.decode(data) is data
    assert bound.encode(memoryview(data)) == data
    with pytest.raises(EncodeError, match="expected bytes, not a value of type str"):
        bound.encode("text")


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("type_", [None, type(None)])
def test_none_is_the_empty_payload(name: str, type_: Any) -> None:
    bound = codecs.get(name).bind(type_)
    assert bound.encode(None) == b""
    assert bound.decode(b"whatever") is None
    with pytest.raises(EncodeError, match="expected None"):
        bound.encode(0)


@pytest.mark.parametrize("name", EVERY)
@pytest.mark.parametrize("type_", [bytes | None, Optional[bytes]])  # noqa: UP045 - both spellings
def test_optional_bytes_are_none_when_empty(name: str, type_: Any) -> None:
    bound = codecs.get(name).bind(type_)
    assert bound.encode(None) == b""
    assert bound.encode(b"x") == b"x"
    assert bound.decode(b"") is None
    assert bound.decode(b"x") == b"x"


@pytest.mark.parametrize("type_", [bytearray, memoryview])
def test_other_bytes_types_come_as_themselves(type_: Any) -> None:
    bound = codecs.get("json").bind(type_)
    assert bound.encode(type_(b"xy")) == b"xy"
    decoded = bound.decode(b"xy")
    assert type(decoded) is type_
    assert decoded == b"xy"


def test_raw_carries_nothing_else() -> None:
    codec = codecs.get("raw")
    assert codec.bind(Any).decode(b"x") == b"x"
    assert codec.bind(object).encode(b"x") == b"x"
    assert codec.schema(bytes) is None
    others: list[Any] = [str, int, list[int], {}]
    for type_ in others:
        with pytest.raises(ConfigTypeError, match="bytes only"):
            codec.bind(type_)
