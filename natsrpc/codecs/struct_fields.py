"""The parameters of a handler of which one has a Struct in it: each is bound by itself.

So those with a Struct have msgspec's rules, and all others those of pydantic, as ever.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from typing import Any

import msgspec
from pydantic_core import to_jsonable_python

from natsrpc.errors import DecodeError, EncodeError

from .adapter import type_name
from .codec import Bound, Mode
from .fields import REQUIRED, Factory, Fields
from .foreign import Binds, Format, plain_struct
from .invalid import error_line
from .struct_errors import FORMATS, empty_error, refusal


class StructFields:
    """Several values in one body, of which one is msgspec's.

    Args:
        codec: binds each of them.
        type_: the fields.
        format_: the format of the body.
    """

    def __init__(self, codec: Binds, type_: type[Fields], format_: Format) -> None:
        self._format: Format = format_
        self._name = type_.__name__
        self._write = FORMATS[format_].Encoder().encode
        self._read = FORMATS[format_].Decoder(dict[str, msgspec.Raw]).decode
        self._bounds = {
            name: codec.bind_nested(part) for name, (part, _) in type_.parameters.items()
        }
        self._defaults = _defaults(type_)
        self._names = {name: type_.names.get(name, (name,)) for name in self._bounds}

    def bound(self) -> Bound:
        """Return the two functions."""
        return Bound(self._encode, self._decode)

    def _decode(self, data: bytes) -> dict[str, Any]:
        if not data and len(self._defaults) < len(self._bounds):
            raise empty_error(self._name)
        try:
            raw: dict[str, Any] = self._read(data) if data else {}
        except Exception as error:
            raise refusal(error, self._name, self._format, data) from None
        return self._values(raw)

    def _values(self, raw: Mapping[str, Any]) -> dict[str, Any]:
        """Decode the fields.

        Raises:
            DecodeError: fields are missing or do not fit; all of them are named.
        """
        values: dict[str, Any] = {}
        errors: list[dict[str, str]] = []
        for name, bound in self._bounds.items():
            names = self._names[name]
            part = next((raw[each] for each in names if each in raw), None)
            try:
                if part is not None:
                    values[name] = bound.decode(bytes(part))
                elif name in self._defaults:
                    values[name] = _made(self._defaults[name], values)
                else:
                    errors.append({"path": names[0], "reason": "Field required"})
            except DecodeError as error:
                errors += _within(names[0], error)
        if errors:
            more = "" if len(errors) == 1 else f" (and {len(errors) - 1} more)"
            text = f"cannot decode {self._name}: {error_line(errors[0])}{more}"
            raise DecodeError(text, errors=errors)
        return values

    def _encode(self, value: Any) -> bytes:
        parts = {
            self._names[name][0]: msgspec.Raw(self._bounds[name].encode(part))
            for name, part in self._given(value).items()
        }
        out: bytes = self._write(parts)
        return out

    def _given(self, value: Any) -> dict[str, Any]:
        """What a caller passed, by the parameters' own names. It may go by those of the body, too.

        Raises:
            EncodeError: it is no mapping, or a name is missing or unknown.
        """
        names = ", ".join(map(repr, self._bounds))
        what = "None" if value is None else type_name(type(value))
        if not isinstance(value, Mapping):
            raise EncodeError(f"cannot encode {what}: expected a mapping of {names}")
        own = {alias: name for name, aliases in self._names.items() for alias in aliases}
        own |= {name: name for name in self._bounds}
        passed: Mapping[str, Any] = value
        for key in passed.keys() - own.keys():
            raise EncodeError(f"there is no parameter {key!r}: expected a mapping of {names}")
        given = {own[key]: part for key, part in passed.items()}
        for key in self._bounds.keys() - given.keys() - self._defaults.keys():
            raise EncodeError(f"cannot encode {what} as {self._name}: {key}: Field required")
        return given


def _defaults(type_: type[Fields]) -> dict[str, Any]:
    return {
        name: default for name, (_, default) in type_.parameters.items() if default is not REQUIRED
    }


def _made(default: Any, values: dict[str, Any]) -> Any:
    if not isinstance(default, Factory):
        return default
    return default.make(dict(values)) if default.takes_data else default.make()


def _within(name: str, error: DecodeError) -> list[dict[str, str]]:
    """The lines of an error of one field."""
    lines = error.errors or ({"path": "", "reason": str(error)},)
    return [
        {"path": f"{name}.{line['path']}".rstrip("."), "reason": line["reason"]} for line in lines
    ]


def fields_schema(codec: Binds, type_: type[Fields], mode: Mode) -> dict[str, Any]:
    """Return the JSON Schema of the body.

    Raises:
        ConfigTypeError: a part of it is neither pydantic's nor msgspec's to read.
    """
    properties: dict[str, Any] = {}
    definitions: dict[str, Any] = {}
    required: list[str] = []
    for name, (part, default) in type_.parameters.items():
        key = type_.names.get(name, (name,))[0]
        found = dict(codec.schema(part, mode=mode) or {})
        definitions.update(found.pop("$defs", {}))
        if default is REQUIRED:
            required.append(key)
        elif not isinstance(default, Factory) or default.make in (list, dict, set, tuple):
            with contextlib.suppress(ValueError):  # it has no form in JSON
                plain = _made(default, {})
                found["default"] = to_jsonable_python(plain, fallback=plain_struct)
        properties[key] = found
    out: dict[str, Any] = {"properties": properties, "title": type_.__name__, "type": "object"}
    if required:
        out["required"] = required
    return {"$defs": definitions, **out} if definitions else out
