"""MessagePack with pydantic's validation: compact, and bytes stay bytes.

A value that MessagePack has no form for (a date, a UUID, a decimal, an enum, a path) is written as
in JSON, so that every MessagePack library can read it. The format's own timestamps are read, all
other extension types refused. The payload's size bounds that of every value; the msgpack library
bounds the nesting, at 1024 levels when reading and 511 when writing.

Ref: https://github.com/msgpack/msgpack/blob/master/spec.md
"""

from __future__ import annotations

import functools
from collections import deque
from collections.abc import Callable
from typing import Any, ClassVar

import msgpack
from msgpack import Packer, unpackb
from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json, to_jsonable_python

from natsrpc.errors import DecodeError, EncodeError

from .codec import Bound, Decode, Encode
from .exact import exact_test, is_exact_class
from .foreign import Format, is_struct, plain_struct
from .typed import PydanticCodec, Typed, empty, make_careful, nested_too_deeply


class MsgpackCodec(PydanticCodec):
    """The codec "msgpack": MessagePack, with pydantic's validation and serialization.

    Any type binds that pydantic understands. `Any` encodes bytes as they are, other values by their
    class, and decodes to plain data.
    """

    name = "msgpack"
    format: ClassVar[Format] = "msgpack"
    content_type = "application/msgpack"

    def _bind(self, type_: Any) -> Bound:
        typed = Typed(type_, json=False)
        encode = _make_encode(typed)
        if typed.outer["type"] == "any":
            encode = _by_value(encode)
        elif type_ is int:
            encode = _without_bool(encode)
        return Bound(encode, _make_decode(typed))


def _by_value(encode: Encode) -> Encode:
    def encode_any(value: Any) -> bytes:
        if type(value) in (bytes, bytearray, memoryview):
            return bytes(value)
        return encode(value)

    return encode_any


def _without_bool(encode: Encode) -> Encode:
    def encode_int(value: Any) -> bytes:
        return encode(int(value) if isinstance(value, bool) else value)  # JSON writes 1 as well

    return encode_int


def _other(value: Any) -> Any:
    """Return a plain value for one that msgpack cannot write. The packer calls it."""
    if isinstance(value, set | frozenset | deque):
        return list(value)
    return to_jsonable_python(value, by_alias=True, bytes_mode="base64", fallback=_by_class)


def _by_class(value: Any) -> Any:
    if is_struct(value):
        return plain_struct(value)
    # its class is known to pydantic, but no field of the type told of it: a dataclass in `Any`, say
    return _adapter(value.__class__).dump_python(value, mode="json")


@functools.lru_cache(maxsize=256)
def _adapter(cls: type) -> TypeAdapter[Any]:
    return TypeAdapter(cls)


def _make_encode(typed: Typed) -> Encode:
    to_python, by_alias = typed.serializer.to_python, typed.by_alias or None
    careful = _make_careful(typed)
    test, cls = exact_test(typed.type), typed.type
    if test is None and not is_exact_class(cls):
        return careful

    def encode(value: Any) -> bytes:
        if type(value) is cls if test is None else test(value):
            try:
                # A packer kept between calls would be 0.09 µs faster, and wrong in two threads.
                packed: bytes = Packer(default=_other).pack(to_python(value, by_alias=by_alias))
                return packed
            except Exception:
                return careful(value)
        return careful(value)

    return encode


def _make_careful(typed: Typed) -> Encode:
    write = make_careful(typed, typed.serializer.to_python, "MessagePack")

    def careful(value: Any) -> bytes:
        _, plain = write(value)
        try:
            packed: bytes = Packer(default=_other).pack(plain)
        except Exception as error:
            raise EncodeError(f"cannot encode {typed.name} as MessagePack: {error}") from error
        return packed

    return careful


def _refuse_extension(code: int, data: bytes) -> Any:
    raise ValueError(f"extension type {code} is not supported")


def _make_decode(typed: Typed) -> Decode:
    validate = typed.validator.validate_python
    strict = not typed.keys
    validate_as_json = _make_json_validator(typed) if typed.strict else None

    def decode(data: bytes) -> Any:
        try:
            value = unpackb(data, timestamp=3, strict_map_key=strict, ext_hook=_refuse_extension)
        except Exception as error:
            return _failed(typed, data, error)
        try:
            try:
                return validate(value)
            except ValidationError as error:
                if validate_as_json is not None:
                    return validate_as_json(value)
                return typed.decode_again(error, lambda validator: validator.validate_python(value))
        except RecursionError:  # a list in a list, and so on, where an enum's value should be
            raise nested_too_deeply(typed.name) from None

    return decode


def _make_json_validator(typed: Typed) -> Callable[[Any], Any]:
    """Make a validator that reads plain values as JSON, for types that want strict validation.

    A strict date must be a date object, and not its text. pydantic makes an exception for JSON
    alone, but MessagePack has no dates either.
    """
    as_json = Typed(typed.type, json=True)

    def validate(value: Any) -> Any:
        try:
            data = to_json(value, bytes_mode="base64", inf_nan_mode="constants")
        except ValueError:
            raise DecodeError(f"cannot decode {typed.name}: no JSON form", malformed=True) from None
        try:
            return as_json.validator.validate_json(data)
        except ValidationError as error:
            return as_json.decode_again(error, lambda validator: validator.validate_json(data))

    return validate


def _failed(typed: Typed, data: bytes, error: Exception) -> Any:
    if not data:
        return empty(typed, lambda: typed.validator.validate_python({}))
    raise DecodeError(f"not MessagePack: {_REASONS.get(type(error), 'malformed')}", malformed=True)


_REASONS: dict[type[Exception], str] = {
    msgpack.ExtraData: "data after the value",
    msgpack.StackError: "nested too deeply",
    UnicodeDecodeError: "a string is not UTF-8",
}
