"""JSON through pydantic: bytes to the model in one step, the model to bytes in one step.

Decoding takes what pydantic takes in its lax mode, except a boolean for an integer, and NaN and the
infinities, which are not JSON (RFC 8259, section 6). A whole body
of type `str` may also be text that is not JSON. Encoding refuses NaN and the infinities; nested
bytes are base64. pydantic's parser bounds the nesting, at about 200 levels.

Encoding has three speeds. A value that a quick test of its class settles (see `exact`) is written
at once. Any other goes to `careful`, which has the serializer raise on a wrong value. And where
the type can hold a float, what was written is searched for NaN: one test for a byte where there is
none, which is nearly always.
"""

from __future__ import annotations

import contextlib
import json
import math
from collections.abc import Callable
from typing import Any, ClassVar, TypeAlias

from pydantic import BaseModel, ValidationError

from natsrpc.errors import DecodeError, EncodeError

from .codec import Bound, Decode, Encode
from .exact import Test, exact_test, is_exact_class
from .foreign import Format
from .typed import PydanticCodec, Typed, empty, make_careful, nested_too_deeply

_Check: TypeAlias = Callable[[Any, bytes], bytes]

# The bytes that `NaN` and `Infinity` begin with: without one of them in it, no JSON has a constant.
_N, _I = b"NI"

# A number of JSON that is larger than a float has three digits of exponent or 200 digits in a row.
# Where all digits are made `0`, both can be looked for as texts, which is ten times as quick as a
# pattern. What is found so may be of any string.
_SHAPES = bytes.maketrans(b"0123456789E", b"0000000000e")
_LONG = b"0" * 200


class JsonCodec(PydanticCodec):
    """The codec "json": JSON, with pydantic's validation and serialization.

    Any type binds that pydantic understands. `Any` encodes a model by the model's own type, bytes
    as they are, and decodes to plain data.
    """

    name = "json"
    format: ClassVar[Format] = "json"
    content_type = "application/json"

    def _bind(self, type_: Any) -> Bound:
        typed = Typed(type_, json=True, finite=True)
        encode = _make_encode(typed)
        if typed.outer["type"] == "any":
            encode = self._by_value(encode)
        return Bound(encode, _make_decode(typed))

    def _by_value(self, encode: Encode) -> Encode:
        """Encode an untyped value by its own type, where that is a model or bytes: the serializer
        of `Any` writes NaN inside a model as null, and knows no raw payload."""

        def encode_any(value: Any) -> bytes:
            cls = type(value)
            if cls is bytes or cls is bytearray or cls is memoryview:
                return bytes(value)
            if isinstance(value, BaseModel):
                return self.bind(cls).encode(value)
            return encode(value)

        return encode_any


def _make_encode(typed: Typed) -> Encode:
    to_json, by_alias = typed.serializer.to_json, typed.by_alias or None
    hides = _hides_constants(typed)
    check = None if typed.finite else _make_check(typed, hides=hides)
    careful = _make_careful(typed, check)
    test = exact_test(typed.type)
    if test is not None:
        return _make_encode_tested(typed, test, careful, check)
    cls = typed.type
    if not is_exact_class(cls):
        return careful

    def encode(value: Any) -> bytes:
        if type(value) is cls:
            try:
                return to_json(value, by_alias=by_alias)
            except Exception:
                return careful(value)
        return careful(value)

    def encode_checked(value: Any) -> bytes:
        if type(value) is cls:
            try:
                out = to_json(value, by_alias=by_alias)
            except Exception:
                return careful(value)
            if hides or _N in out or _I in out:
                return check(value, out)  # type: ignore[misc]  # chosen only where there is one
            return out
        return careful(value)

    return encode_checked if check else encode


def _make_encode_tested(typed: Typed, test: Test, careful: Encode, check: _Check | None) -> Encode:
    to_json, by_alias = typed.serializer.to_json, typed.by_alias or None

    def encode(value: Any) -> bytes:
        if not test(value):
            return careful(value)
        try:
            out = to_json(value, by_alias=by_alias)
        except Exception:
            return careful(value)
        return check(value, out) if check else out

    return encode


def _make_careful(typed: Typed, check: _Check | None) -> Encode:
    write = make_careful(typed, typed.serializer.to_json, "JSON")

    def careful(value: Any) -> bytes:
        value, out = write(value)
        return check(value, out) if check else out

    return careful


def _hides_constants(typed: Typed) -> bool:
    """Whether NaN may be written as null: by a model in an untyped place, which keeps its own
    serializer and so pydantic's default."""
    return "any" in typed.kinds or typed.custom


def _make_check(typed: Typed, *, hides: bool) -> _Check:
    to_python = typed.serializer.to_python

    def check(value: Any, out: bytes) -> bytes:
        # A letter N or I may be of any string: only the constants themselves are worth a parse.
        # Looking for one byte costs 0.03 µs, for several 0.15: most values stop here.
        if (_N in out or _I in out) and (b"NaN" in out or b"Infinity" in out):
            _refuse_constants(out)
        if hides and b"null" in out:
            _refuse_hidden(to_python(value))
        return out

    return check


def _refuse_constants(text: bytes) -> None:
    def refuse(constant: str) -> None:
        raise EncodeError(f"{constant} is not JSON")

    json.loads(text, parse_constant=refuse)


def _may_be_infinite(text: bytes) -> bool:
    """Whether a body may have a constant, or a number that a float takes for infinite."""
    if (_N in text or _I in text) and (b"NaN" in text or b"Infinity" in text):
        return True
    shapes = text.translate(_SHAPES, b"+")
    return b"0e000" in shapes or _LONG in shapes


def _refuse_infinite(text: bytes) -> None:
    """Raise where a body that pydantic took has such a number, and not just a string that looks
    so."""

    def refuse(constant: str) -> None:
        raise DecodeError(f"not JSON: {constant} is no number", malformed=True)

    def finite(number: str) -> float:
        found = float(number)
        if not math.isfinite(found):
            reason = f"{number[:20]}{'…' * (len(number) > 20)} is larger than a number can be"
            raise DecodeError(reason, malformed=True)
        return found

    # a body of type str may be text that is not JSON at all
    with contextlib.suppress(ValueError, RecursionError):
        json.loads(text, parse_constant=refuse, parse_float=finite)


def _refuse_hidden(value: Any) -> None:
    """Raise where a value that was written holds a NaN, which its text no longer shows."""
    if isinstance(value, float) and not math.isfinite(value):
        raise EncodeError("NaN and the infinities are not JSON")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return
    for item in value:
        _refuse_hidden(item)


def _make_decode(typed: Typed) -> Decode:
    validate_json = typed.validator.validate_json
    failed = _failed_text if typed.outer["type"] == "str" else _failed

    def decode_checked(data: bytes) -> Any:
        value = decode(data)
        if _may_be_infinite(data):
            _refuse_infinite(data)
        return value

    def decode(data: bytes) -> Any:
        try:
            try:
                return validate_json(data)
            except ValidationError as error:
                return failed(typed, data, error)
        except RecursionError:  # of what the type is made of: a pattern, say
            raise nested_too_deeply(typed.name) from None

    return decode_checked if typed.constants else decode


def _failed(typed: Typed, data: bytes, error: ValidationError) -> Any:
    if not data:
        return empty(typed, lambda: typed.validator.validate_json(b"{}"))
    return typed.decode_again(error, lambda validator: validator.validate_json(data))


def _failed_text(typed: Typed, data: bytes, error: ValidationError) -> Any:
    """Take a body that is not a JSON string as plain text."""
    try:
        if type(json.loads(data)) is str:  # a string that breaks the type's own constraints
            return _failed(typed, data, error)
    except (ValueError, RecursionError):
        pass
    try:
        text = data.decode()
    except UnicodeDecodeError:
        raise DecodeError("not UTF-8 text", malformed=True) from None
    try:
        return typed.validator.validate_python(text)
    except ValidationError as again:
        return typed.decode_again(again, lambda validator: validator.validate_python(text))
