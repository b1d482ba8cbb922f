"""JSON through pydantic: bytes to the model in one step, the model to bytes in one step.

Decoding takes what pydantic takes in its lax mode, except a boolean for an integer. A whole body
of type `str` may also be text that is not JSON. NaN and the infinities are refused when encoding,
nested bytes are base64. Nesting is bounded by pydantic's parser, at about 200 levels.
"""

from __future__ import annotations

import abc
import json
import math
from collections.abc import Callable
from typing import Any, TypeAlias

from pydantic import BaseModel, ValidationError
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, JsonSchemaWarningKind
from pydantic_core import core_schema

from natsrpc.errors import ConfigTypeError, DecodeError, EncodeError

from .codec import BindCache, Bound, Decode, Encode, Mode
from .exact import Test, exact_test, is_exact_class
from .fields import REQUIRED, Fields
from .raw import bind_plain
from .typed import Typed, make_adapter


class PydanticCodec(abc.ABC):
    """What codecs on pydantic share: a type is bound once, and has pydantic's schema."""

    def __init__(self) -> None:
        self._cache = BindCache()
        # pydantic looks for its plugins at the first type it sees, for 10 ms: now, and not while
        # the first message waits
        self.bind(Any)

    def bind(self, type_: Any) -> Bound:
        """Bind any type that pydantic understands.

        Raises:
            ConfigTypeError: pydantic cannot make a schema of it.
        """
        known = self._cache.find(type_)
        return known or self._cache.keep(type_, bind_plain(type_) or self._bind(type_))

    def schema(self, type_: Any, *, mode: Mode = "validation") -> dict[str, Any] | None:
        """Return the JSON Schema (2020-12) of the values; None for `None`, `bytes` and types
        without one.

        Raises:
            ConfigTypeError: pydantic cannot make a schema of it.
        """
        if bind_plain(type_) is not None:
            return None
        return json_schema(type_, mode)

    @abc.abstractmethod
    def _bind(self, type_: Any) -> Bound:
        """Bind a type that is not plain bytes or nothing."""


class JsonCodec(PydanticCodec):
    """JSON, with pydantic's validation and serialization."""

    name = "json"
    content_type = "application/json"

    def _bind(self, type_: Any) -> Bound:
        typed = Typed(type_, json=True)
        encode = _make_encode(typed)
        if typed.outer["type"] == "any":
            encode = self._by_value(encode)
        return Bound(encode, _make_decode(typed))

    def _by_value(self, encode: Encode) -> Encode:
        """Encode an untyped value by its own type where that says more."""

        def encode_any(value: Any) -> bytes:
            cls = type(value)
            if cls is bytes or cls is bytearray or cls is memoryview:
                return bytes(value)
            if isinstance(value, BaseModel):
                return self.bind(cls).encode(value)
            return encode(value)

        return encode_any


_EMPTY: tuple[Callable[[], Any], ...] = (list, dict, set, frozenset, tuple)


class _Generate(GenerateJsonSchema):
    def emit_warning(self, kind: JsonSchemaWarningKind, detail: str) -> None:
        """Stay silent: a default that JSON cannot express is left out, which the schema shows."""

    def field_is_required(
        self,
        field: core_schema.ModelField | core_schema.DataclassField | core_schema.TypedDictField,
        total: bool,
    ) -> bool:
        """Say of a field with a default that it is there in what is written, as it always is."""
        if self.mode == "serialization" and field["type"] != "typed-dict-field":
            return not field.get("serialization_exclude_if")
        return super().field_is_required(field, total)

    def get_default_value(self, schema: core_schema.WithDefaultSchema) -> Any:
        """Tell the default where a factory makes an empty collection, too."""
        factory = schema.get("default_factory")
        for empty in _EMPTY:
            if factory is empty:
                return empty()
        return super().get_default_value(schema)

    def decimal_schema(self, schema: core_schema.DecimalSchema) -> JsonSchemaValue:
        """Tell decimals from other strings."""
        found = super().decimal_schema(schema)
        text = found["anyOf"][1] if "anyOf" in found else found
        text["format"] = "decimal"
        return found

    def bytes_schema(self, schema: core_schema.BytesSchema) -> JsonSchemaValue:
        return {"type": "string", "contentEncoding": "base64"}


def json_schema(type_: Any, mode: Mode) -> dict[str, Any] | None:
    """Return pydantic's JSON Schema of a type, or None if it has none."""
    try:
        return make_adapter(type_).json_schema(mode=mode, schema_generator=_Generate)
    except ConfigTypeError:
        raise
    except (PydanticUserError, ValueError):  # no JSON Schema of a callable, say, or of a default
        return None


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
    to_json, by_alias = typed.serializer.to_json, typed.by_alias or None
    check_presence = typed.check_presence

    def careful(value: Any) -> bytes:
        try:
            check_presence(value)
            out = to_json(value, by_alias=by_alias, warnings="error")
        except Exception as error:
            value = typed.coerce(value, error)
            try:
                out = to_json(value, by_alias=by_alias, warnings="error")
            except Exception as again:
                raise EncodeError(f"cannot encode {typed.name} as JSON") from again
        return check(value, out) if check else out

    return careful


_N, _I = b"NI"
_Check: TypeAlias = Callable[[Any, bytes], bytes]


def _hides_constants(typed: Typed) -> bool:
    """Whether NaN may come out as null: from a model in an untyped place, by its own serializer."""
    return "any" in typed.kinds or typed.custom


def _make_check(typed: Typed, *, hides: bool) -> _Check:
    to_python = typed.serializer.to_python

    def check(value: Any, out: bytes) -> bytes:
        # Looking for one byte costs 0.03 µs, for several 0.15: most values stop here.
        if (_N in out or _I in out) and (b"NaN" in out or b"Infinity" in out):
            _refuse_constants(out)
        if hides and b"null" in out:
            _refuse_hidden(to_python(value))
        return out

    return check


def _refuse_constants(out: bytes) -> None:
    def refuse(constant: str) -> None:
        raise EncodeError(f"{constant} is not JSON")

    json.loads(out, parse_constant=refuse)


def _refuse_hidden(value: Any) -> None:
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

    def decode(data: bytes) -> Any:
        try:
            return validate_json(data)
        except ValidationError as error:
            return failed(typed, data, error)

    return decode


def _failed(typed: Typed, data: bytes, error: ValidationError) -> Any:
    if not data:
        return empty(typed, lambda: typed.validator.validate_json(b"{}"))
    return typed.decode_again(error, lambda validator: validator.validate_json(data))


def _failed_text(typed: Typed, data: bytes, error: ValidationError) -> Any:
    """Take what is not a JSON string as the text it is."""
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


def empty(typed: Typed, from_nothing: Callable[[], Any]) -> Any:
    """Decode the empty payload: None where the type allows it, fields that all have defaults.

    Raises:
        DecodeError: the type needs a value.
    """
    if typed.optional:
        return None
    if _all_have_defaults(typed.type):
        return from_nothing()
    raise DecodeError(
        f"empty payload where {typed.name} is expected",
        errors=[{"path": "", "reason": f"it is empty, and {typed.name} is expected"}],
        malformed=True,
    )


def _all_have_defaults(cls: Any) -> bool:
    return (
        isinstance(cls, type)
        and issubclass(cls, Fields)
        and all(default is not REQUIRED for _, default in cls.parameters.values())
    )
