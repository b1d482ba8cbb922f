"""msgspec's Structs as bodies, in JSON and in MessagePack. `foreign` loads this where msgspec is.

A type with a Struct in it is read and written by msgspec alone, by its rules: no conversions (a
text is no number), and nothing is checked when a Struct is made. What natsrpc promises of its
codecs holds here, too: errors name paths and reasons and no values, JSON has no NaN, what msgspec
would pass over in silence is refused when the type is bound. Of the parameters of a handler each
is bound by itself, so those without a Struct keep pydantic's rules.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from math import isfinite
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin

import msgspec

from natsrpc.errors import ConfigTypeError, EncodeError

from .adapter import type_name
from .codec import Bound, Mode
from .fields import Fields
from .foreign import Binds, Format
from .invalid import error_line
from .parts import Parts
from .struct_errors import FORMATS, SPELLED, empty_error, refusal, told
from .struct_fields import StructFields, fields_schema


def has_struct(type_: Any) -> bool:
    """Whether a Struct is a part of the type."""
    return bool(Parts(type_).structs)


def bind(codec: Binds, type_: Any, format_: Format) -> Bound | None:
    """Bind a type with a Struct in it; return None for any other type.

    Raises:
        ConfigTypeError: a part of it is not msgspec's to read.
    """
    parts = Parts(type_)
    if not parts.structs:
        return None
    if isinstance(type_, type) and issubclass(type_, Fields):
        return StructFields(codec, type_, format_).bound()
    _check(type_, parts)
    return Bound(_make_encode(type_, format_), _make_decode(type_, format_))


# what is refused when a type is bound


def _check(type_: Any, parts: Parts) -> None:
    name = type_name(type_)
    for place, model in parts.models:
        struct = parts.structs[0][1].__name__
        raise ConfigTypeError(
            f"cannot make a codec for {name}: {place or 'it'} has the pydantic model "
            f"{model.__name__} beside the Struct {struct}: one value is read by one of the two, "
            "so make both Structs, or both models"
        )
    for place, constraint in parts.constraints:
        raise ConfigTypeError(
            f"cannot make a codec for {name}: {place or 'it'} is annotated with {constraint!r}, "
            "which msgspec passes over: write msgspec.Meta(...)"
        )
    try:
        unknown = [each for each in _nodes(type_) if isinstance(each, msgspec.inspect.CustomType)]
    except Exception as error:
        raise ConfigTypeError(f"cannot make a codec for {name}: {error}") from error
    for each in unknown:
        raise ConfigTypeError(
            f"cannot make a codec for {name}: msgspec does not know {type_name(each.cls)}"
        )


def _nodes(type_: Any) -> Iterator[Any]:
    """All nodes of msgspec's description of a type."""
    todo: list[Any] = [msgspec.inspect.type_info(type_)]
    seen: set[int] = set()
    while todo:
        node = todo.pop()
        if isinstance(node, tuple):
            todo += node
        elif isinstance(node, msgspec.inspect.Field):
            todo.append(node.type)
        elif isinstance(node, msgspec.inspect.Type) and id(node) not in seen:
            seen.add(id(node))
            yield node
            todo += [getattr(node, name) for name in node.__struct_fields__]


# decoding


def _make_decode(type_: Any, format_: Format) -> Callable[[bytes], Any]:
    module, name = FORMATS[format_], type_name(type_)
    read = module.Decoder(type_).decode
    optional = _takes_none(type_)

    def decode(data: bytes) -> Any:
        try:
            return read(data)
        except Exception as error:
            if not data:
                if optional:
                    return None
                raise empty_error(name) from None
            raise refusal(error, name, format_, data) from None

    return decode


def _takes_none(type_: Any) -> bool:
    info = msgspec.inspect.type_info(type_)
    types = info.types if isinstance(info, msgspec.inspect.UnionType) else (info,)
    return any(isinstance(each, msgspec.inspect.NoneType) for each in types)


# encoding

_pack = msgspec.msgpack.Encoder().encode
_NOT_FINITE = re.compile(rb"\xcb[\x7f\xff][\xf0-\xff]").search
"""Finds NaN and the infinities in MessagePack, and now and then the same bytes in a text."""


def _make_encode(type_: Any, format_: Format) -> Callable[[Any], bytes]:
    write = FORMATS[format_].Encoder().encode
    test = _exact_test(type_)
    check = _make_check(type_) if format_ == "json" else None
    name = type_name(type_)

    def encode(value: Any) -> bytes:
        if not test(value):
            value = _converted(value, type_, name)
        try:
            out: bytes = write(value)
        except Exception as error:
            reason = f"cannot encode {name} as {SPELLED[format_]}: {error}"
            raise EncodeError(reason) from error
        if check is not None and b"null" in out:  # what msgspec makes of NaN, and of None
            check(value)
        return out

    return encode


def _converted(value: Any, type_: Any, name: str) -> Any:
    """The value of the type that plain data stands for; a value of it as it is.

    Raises:
        EncodeError: it stands for none.
    """
    try:
        return msgspec.convert(value, type_)
    except Exception as error:
        if isinstance(error, msgspec.ValidationError):
            path, reason = _told_of_value(error, value)
            reason = error_line({"path": path, "reason": reason})
        else:
            reason = type(error).__name__
        what = "None" if value is None else type_name(type(value))
        raise EncodeError(f"cannot encode {what} as {name}: {reason}") from error


def _told_of_value(error: Exception, value: Any) -> tuple[str, str]:
    try:
        data = msgspec.json.encode(value)
    except Exception:
        data = b"null"
    return told(error, "json", data)


_FLOATS = (msgspec.inspect.FloatType, msgspec.inspect.AnyType)


def _make_check(type_: Any) -> Callable[[Any], None] | None:
    """Return the function that refuses NaN in a value; None for a type without floats.

    Of a Struct whose own fields are its only floats these are looked at. Of any other value the
    MessagePack is searched, which tells NaN from None: to make and to search it takes a tenth of
    the time of a walk through the value.
    """
    if not any(isinstance(node, _FLOATS) for node in _nodes(type_)):
        return None
    if _is_struct(type_):
        fields = msgspec.structs.fields(type_)
        names = [field.name for field in fields if field.type in (float, float | None)]
        others = [field.type for field in fields if field.name not in names]
        if not any(isinstance(node, _FLOATS) for each in others for node in _nodes(each)):
            return _make_field_check(names)
    return _check_all


def _make_field_check(names: list[str]) -> Callable[[Any], None]:
    def check(value: Any) -> None:
        for name in names:
            found = getattr(value, name)
            if type(found) is float and not isfinite(found):
                raise EncodeError("NaN and the infinities are not JSON")

    return check


def _check_all(value: Any) -> None:
    if _NOT_FINITE(_pack(value)):
        _refuse_hidden(msgspec.to_builtins(value))


def _refuse_hidden(value: Any) -> None:
    """Raise where plain data holds a NaN, which its JSON no longer shows."""
    if isinstance(value, float) and not isfinite(value):
        raise EncodeError("NaN and the infinities are not JSON")
    if isinstance(value, dict):
        value = value.values()
    elif not isinstance(value, list | tuple | set | frozenset):
        return
    for item in value:
        _refuse_hidden(item)


def _exact_test(type_: Any) -> Callable[[Any], bool]:
    """Return a test that a value has the classes that the type has; of other types, one that
    fails, so that each value is looked through."""
    if _is_struct(type_):
        return lambda value: type(value) is type_
    origin, args = get_origin(type_), get_args(type_)
    if origin is list and _is_struct(args[0]):
        only = frozenset(args)
        return lambda value: type(value) is list and only.issuperset(map(type, value))
    if origin in (Union, UnionType) and all(each is NoneType or _is_struct(each) for each in args):
        choices = frozenset(args)
        return lambda value: type(value) in choices
    return lambda value: False


def _is_struct(type_: Any) -> bool:
    return isinstance(type_, type) and issubclass(type_, msgspec.Struct)


# the JSON Schema


def schema(codec: Binds, type_: Any, mode: Mode) -> dict[str, Any] | None:
    """Return the JSON Schema of a type with a Struct in it.

    Raises:
        ConfigTypeError: a part of it is not msgspec's to read.
    """
    if isinstance(type_, type) and issubclass(type_, Fields):
        return fields_schema(codec, type_, mode)
    parts = Parts(type_)
    _check(type_, parts)
    found: dict[str, Any] = msgspec.json.schema(type_)
    if mode == "serialization":
        for _, struct in parts.structs:
            _require_all(struct, found["$defs"].get(struct.__name__, {}))
    return _with_its_own_on_top(found)


def _require_all(struct: Any, found: dict[str, Any]) -> None:
    """Require the fields with a default in an encoded value, where they always are."""
    if not struct.__struct_config__.omit_defaults and "properties" in found:
        unset = {
            field.encode_name
            for field in msgspec.structs.fields(struct)
            if msgspec.UnsetType in get_args(field.type)
        }
        found["required"] = [name for name in found["properties"] if name not in unset]


def _with_its_own_on_top(found: dict[str, Any]) -> dict[str, Any]:
    """A schema whose top is the type itself, in the place of the only reference to it."""
    reference = found.get("$ref")
    if reference is None or json.dumps(found).count(json.dumps(reference)) > 1:
        return found
    definitions = dict(found["$defs"])
    top = definitions.pop(reference.rpartition("/")[2])
    return {**top, "$defs": definitions} if definitions else top
