"""The codec "text": scalars as plain text, compatible with the default encoder of the Go client.

Each of the two reads what the other writes. A number is decimal ASCII, a boolean `true` or `false`,
a string its UTF-8 bytes, `None` the empty payload. A value that text cannot carry faithfully (a
list, a model, an integer beyond 64 bits) is refused; Go writes such values in a debugging form.

Ref: nats.go encoders/builtin/default_enc.go
"""

from __future__ import annotations

import math
import re
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

from natsrpc.errors import ConfigTypeError, DecodeError, EncodeError

from .codec import BindCache, Bound, Decode, Encode, Mode
from .named import nameless
from .raw import bind_plain, unchanged

_INT = re.compile(rb"[+-]?[0-9]+")
_FLOAT = re.compile(rb"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")
_INF = re.compile(rb"[+-]?inf(inity)?", re.IGNORECASE)
_MAX_DIGITS = 19  # of a 64-bit integer, leading zeros aside
_BOOLS: dict[bytes, bool] = {
    **dict.fromkeys((b"1", b"t", b"T", b"true", b"TRUE", b"True"), True),
    **dict.fromkeys((b"0", b"f", b"F", b"false", b"FALSE", b"False"), False),
}


class TextCodec:
    """The codec "text", also registered as "default": scalars as text."""

    name = "text"
    content_type = "text/plain"

    def __init__(self) -> None:
        self._cache = BindCache()

    def bind(self, type_: Any) -> Bound:
        """Bind `str`, `int`, `float`, `bool`, each of these or None, or `Any`.

        `Any` encodes by the value's type and decodes to bytes. Any other type binds, too, and is
        refused when it is used: its `encode` raises `EncodeError`, its `decode` `DecodeError`. So a
        connection encoded as text can be made before the types of its calls are known.
        """
        return self._cache.find(type_) or self._cache.keep(type_, _bind(type_))

    def check(self, type_: Any) -> None:
        """Refuse a type that text cannot carry. Services ask it when a handler is registered.

        Raises:
            ConfigTypeError: it is none of those of `bind`.
        """
        type_ = nameless(type_)
        inner = _optional(type_) or type_
        if bind_plain(type_) is None and inner not in (*_SCALARS, Any, object):
            raise ConfigTypeError(f"text cannot carry {_name(inner)}: use the 'json' codec")

    def schema(self, type_: Any, *, mode: Mode = "validation") -> dict[str, Any] | None:
        """Return None: text has no JSON Schema."""
        return None


def _bind(type_: Any) -> Bound:
    type_ = nameless(type_)
    bound = bind_plain(type_)
    if bound is not None:
        return bound
    if type_ is Any or type_ is object:
        return Bound(_encode_any, unchanged)
    inner = _optional(type_)
    if inner is None:
        return _bind_scalar(type_)
    bound = _bind_scalar(inner)
    encode, decode = bound.encode, bound.decode
    return Bound(
        lambda value: b"" if value is None else encode(value),
        lambda data: decode(data) if data else None,
    )


def _bind_scalar(type_: Any) -> Bound:
    known = _SCALARS.get(type_) if isinstance(type_, type) else None
    if known is not None:
        return Bound(*known)
    what = _name(type_)

    def encode(value: Any) -> bytes:
        raise EncodeError(f"text cannot carry {what}: use the 'json' codec")

    def decode(data: bytes) -> Any:
        raise DecodeError(f"text cannot be decoded into {what}: use the 'json' codec")

    return Bound(encode, decode)


def _name(type_: Any) -> str:
    return getattr(type_, "__qualname__", None) or repr(type_)


def _optional(type_: Any) -> Any:
    """Return X for the type `X | None`; None for any other type."""
    if get_origin(type_) not in (Union, UnionType):
        return None
    args = get_args(type_)
    others = [arg for arg in args if arg is not NoneType]
    return others[0] if len(others) == 1 and len(args) == 2 else None


def _encode_any(value: Any) -> bytes:
    if value is None:
        return b""
    if isinstance(value, bytes | bytearray | memoryview):
        return bytes(value)
    if isinstance(value, bool):  # before int, which it is too
        return _encode_bool(value)
    for kind, encode in ((str, _encode_str), (int, _encode_int), (float, _encode_float)):
        if isinstance(value, kind):
            return encode(value)
    raise EncodeError(
        f"text carries strings, bytes, numbers and booleans, not {type(value).__name__}: "
        "use the 'json' codec"
    )


def _encode_str(value: Any) -> bytes:
    if not isinstance(value, str):
        raise _wrong("a string", value)
    try:
        return value.encode()
    except UnicodeEncodeError:
        raise EncodeError("a string with a lone surrogate is not UTF-8") from None


def _encode_int(value: Any) -> bytes:
    if not isinstance(value, int) or isinstance(value, bool):
        raise _wrong("an integer", value)
    if not -(2**63) <= value < 2**63:
        raise EncodeError("integer does not fit 64 bits")
    return int.__repr__(value).encode()


def _encode_float(value: Any) -> bytes:
    if not isinstance(value, float | int) or isinstance(value, bool):
        raise _wrong("a number", value)
    try:
        number = float(value)
    except OverflowError:
        raise EncodeError("integer is too large for a float") from None
    if math.isfinite(number):
        return float.__repr__(number).removesuffix(".0").encode()
    return b"NaN" if math.isnan(number) else b"+Inf" if number > 0 else b"-Inf"


def _encode_bool(value: Any) -> bytes:
    if not isinstance(value, bool):
        raise _wrong("a boolean", value)
    return b"true" if value else b"false"


def _decode_str(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        raise DecodeError("not UTF-8 text", malformed=True) from None


def _decode_int(data: bytes) -> int:
    if not _INT.fullmatch(data):
        raise DecodeError("not a decimal integer", malformed=True)
    digits = data.lstrip(b"+-").lstrip(b"0")
    if len(digits) <= _MAX_DIGITS:
        number = int(digits or b"0") * (-1 if data.startswith(b"-") else 1)
        if -(2**63) <= number < 2**63:
            return number
    raise DecodeError("integer does not fit 64 bits", malformed=True)


def _decode_float(data: bytes) -> float:
    if _FLOAT.fullmatch(data):
        number = float(data)
        if math.isfinite(number):
            return number
        raise DecodeError("number does not fit a 64-bit float", malformed=True)
    if _INF.fullmatch(data) or data.lower() == b"nan":
        return float(data)
    raise DecodeError("not a decimal number", malformed=True)


def _decode_bool(data: bytes) -> bool:
    found = _BOOLS.get(data)
    if found is None:
        raise DecodeError("not a boolean: expected true or false", malformed=True)
    return found


def _wrong(expected: str, value: object) -> EncodeError:
    return EncodeError(f"expected {expected}, not a value of type {type(value).__name__}")


_SCALARS: dict[type, tuple[Encode, Decode]] = {
    str: (_encode_str, _decode_str),
    int: (_encode_int, _decode_int),
    float: (_encode_float, _decode_float),
    bool: (_encode_bool, _decode_bool),
}
