"""Protocol Buffers: generated classes in, generated classes out."""

from __future__ import annotations

import builtins
import sys
from typing import Any

import pytest

from natsrpc import codecs
from natsrpc.errors import ConfigError, ConfigTypeError, DecodeError, EncodeError

PROTOBUF = codecs.get("protobuf")


@pytest.mark.parity("N13")
def test_a_message_travels() -> None:
    struct_pb2 = pytest.importorskip("google.protobuf.struct_pb2", reason="protobuf is an extra")
    message = struct_pb2.Struct()
    message.update({"name": "derek", "age": 22})
    bound = PROTOBUF.bind(struct_pb2.Struct)
    data = bound.encode(message)
    assert data == message.SerializeToString()
    assert bound.decode(data) == message
    assert PROTOBUF.schema(struct_pb2.Struct) is None


@pytest.mark.parity("N13", "Z7")
def test_untyped_takes_any_message_and_decodes_nothing() -> None:
    wrappers_pb2 = pytest.importorskip("google.protobuf.wrappers_pb2", reason="an extra")
    bound = PROTOBUF.bind(Any)
    data = bound.encode(wrappers_pb2.StringValue(value="x"))
    assert bound.decode(data) is data
    assert bound.encode(None) == b""
    with pytest.raises(EncodeError):
        bound.encode({"not": "a message"})


@pytest.mark.parity("N13")
def test_a_wrong_value_is_refused_and_the_next_one_sent() -> None:
    wrappers_pb2 = pytest.importorskip("google.protobuf.wrappers_pb2", reason="an extra")
    bound = PROTOBUF.bind(wrappers_pb2.StringValue)
    for wrong in ("text", None, wrappers_pb2.Int32Value(value=1)):
        with pytest.raises(EncodeError, match="StringValue"):
            bound.encode(wrong)
    assert bound.decode(bound.encode(wrappers_pb2.StringValue(value="x"))).value == "x"


def test_garbage_is_a_decode_error() -> None:
    wrappers_pb2 = pytest.importorskip("google.protobuf.wrappers_pb2", reason="an extra")
    with pytest.raises(DecodeError) as caught:
        PROTOBUF.bind(wrappers_pb2.StringValue).decode(b"\xff\xff\xff")
    assert caught.value.malformed


def test_required_fields_are_named() -> None:
    descriptor_pb2 = pytest.importorskip("google.protobuf.descriptor_pb2", reason="an extra")
    option = descriptor_pb2.UninterpretedOption.NamePart
    with pytest.raises(EncodeError):
        PROTOBUF.bind(option).encode(option())
    with pytest.raises(DecodeError):
        PROTOBUF.bind(option).decode(b"")


def test_other_types_are_refused_when_bound() -> None:
    pytest.importorskip("google.protobuf", reason="protobuf is an extra")
    with pytest.raises(ConfigTypeError, match="messages only"):
        PROTOBUF.bind(str)


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.startswith("google"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.delitem(sys.modules, "google.protobuf.message", raising=False)
    with pytest.raises(ConfigError, match=r"natsrpc\[protobuf\]"):
        PROTOBUF.bind(dict)
