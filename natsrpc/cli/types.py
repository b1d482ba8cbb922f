"""JSON Schema as a person reads types: `{topic: str, tags: list[str]}`, `Answer`, `int | None`.

Schemas come from services of strangers: what is deep or long is cut, not followed.
"""

from __future__ import annotations

import reprlib
from collections.abc import Mapping
from typing import Any

__all__ = ["in_words"]

_DEPTH = 4
_LONGEST = 160
_MOST = 8  # alternatives, or places of a tuple, that are told
_NAMES = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "None"}
_repr = reprlib.Repr()  # that of a stranger's constant may be as deep and long as it likes
_repr.maxlevel, _repr.maxstring, _repr.maxother = _DEPTH, _LONGEST, _LONGEST


def in_words(schema: Any, *, empty: str = "nothing") -> str:
    """A schema in words of Python's types; `empty` where there is no body."""
    if schema is None:
        return empty
    told = _word(schema, _DEPTH, whole=True)
    return told if len(told) <= _LONGEST else told[: _LONGEST - 1] + "…"


def _word(schema: Any, depth: int, *, whole: bool = False) -> str:
    if not isinstance(schema, Mapping) or not schema:
        return "any"
    if depth == 0:
        return "…"
    if isinstance(schema.get("$ref"), str):
        return str(schema["$ref"]).rpartition("/")[2]
    if "const" in schema:
        return _repr.repr(schema["const"])
    if values := _some(schema, "enum"):
        return " | ".join(map(_repr.repr, values))
    if choices := _some(schema, "anyOf") or _some(schema, "oneOf"):
        return " | ".join(dict.fromkeys(_word(each, depth - 1) for each in choices))
    if kinds := _some(schema, "type"):
        return " | ".join(dict.fromkeys(_word({**schema, "type": k}, depth - 1) for k in kinds))
    kind = schema.get("type")
    if kind == "array":
        return _array(schema, depth)
    if kind == "object" or "properties" in schema:
        return _object(schema, depth, whole=whole)
    if kind == "string" and schema.get("contentMediaType") == "application/octet-stream":
        return "bytes"
    if kind == "string" and isinstance(schema.get("format"), str):
        return str(schema["format"])
    return _NAMES.get(str(kind), "any")


def _some(schema: Mapping[str, Any], key: str) -> list[Any]:
    """The first members of a list in a schema; none where there is none."""
    found = schema.get(key)
    return found[:_MOST] if isinstance(found, list) else []


def _array(schema: Mapping[str, Any], depth: int) -> str:
    places = _some(schema, "prefixItems")
    if places:
        return f"tuple[{', '.join(_word(each, depth - 1) for each in places)}]"
    return f"list[{_word(schema.get('items'), depth - 1)}]"


def _object(schema: Mapping[str, Any], depth: int, *, whole: bool) -> str:
    fields = schema.get("properties")
    title = schema.get("title")
    if not isinstance(fields, Mapping) or not fields:
        values = schema.get("additionalProperties")
        return f"dict[str, {_word(values, depth - 1)}]" if isinstance(values, Mapping) else "dict"
    if not whole and isinstance(title, str):
        return title
    required = schema.get("required")
    names = required if isinstance(required, list) else []
    needed = {each for each in names if isinstance(each, str)}
    told = [
        f"{name}{'' if name in needed else '?'}: {_word(each, depth - 1)}"
        for name, each in list(fields.items())[:20]
    ]
    return "{" + ", ".join(told) + "}"
