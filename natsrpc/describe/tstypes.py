"""JSON Schema to types in TypeScript source. `typescript` calls it for each body of an endpoint.

The subset of JSON Schema that pydantic writes is read; what is not understood becomes `unknown`.
Types are those of the wire: a date is a `string`, base64 too, and raw bytes are a `Uint8Array`.

The rule kept here: equal definitions are one interface, and no two share a name. A model that
differs between what is sent and what is answered (a field with a default) is two. Whatever the
texts of a contract say, the result is valid source: they come from somebody else.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from math import isfinite
from typing import Any, TypeAlias

from .budget import Budget
from .names import Names, class_name
from .schemas import Node, allowed_values

Parts: TypeAlias = tuple[str, ...]
"""The members of a union, or the one type."""

INDENT = "  "

_SCALARS = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean"}
_is_plain = re.compile(r"[A-Za-z][A-Za-z0-9_]*").fullmatch


class Types:
    """The interfaces and aliases of one module, collected as types are asked for.

    Args:
        names: the names of the module's top level.

    `declarations` are the sources. `budget` is the work that is left.
    """

    def __init__(self, names: Names) -> None:
        self.declarations: list[str] = []
        self.budget: Budget = Budget()
        self._names = names
        self._known: dict[str, str] = {}

    def type(self, schema: Any, hint: str) -> str:
        """Return the type for a whole schema with its own `$defs`.

        Args:
            schema: the schema.
            hint: the text of which an interface without a title gets its name.
        """
        return joined(_Document(self, schema).parts(schema, class_name(hint), named=True))

    def found(self, key: str) -> str | None:
        """Return the name of the definition with this key; None if it has none yet."""
        return self._known.get(key)

    def keep(self, key: str, name: str) -> str:
        """Choose a free name for a definition, remember it, and return it."""
        chosen = self._known[key] = self._names.take(name, f"{name}Reply")
        return chosen


class _Document:
    """One schema with its own definitions: turns its nodes into types."""

    def __init__(self, types: Types, root: Any) -> None:
        self._types = types
        found = root.get("$defs", {}) if isinstance(root, Mapping) else {}
        self._definitions: Mapping[str, Any] = found
        # The definitions that are being written in place: one that is met again within itself
        # cannot be written so, and becomes `unknown`.
        self._open: list[str] = []

    def parts(self, node: Any, hint: str, *, named: bool = False) -> Parts:
        """Return the type of a node; `named` is whether its title is the name of a type."""
        self._types.budget.spend()
        if not isinstance(node, Mapping):
            return ("unknown",)
        if len(node.get("allOf", ())) == 1:
            inner = node["allOf"][0] if isinstance(node["allOf"][0], Mapping) else {}
            rest = {key: value for key, value in node.items() if key != "allOf"}
            return self.parts({**inner, **rest}, hint, named=named)
        if "$ref" in node:
            return self._reference(str(node["$ref"]).rpartition("/")[2], hint)
        for key in ("anyOf", "oneOf"):
            if key in node:
                return _union(self.parts(each, hint) for each in node[key])
        values = allowed_values(node)
        if values is not None:
            return self._enumeration(node, values, hint, named=named)
        kind = node.get("type")
        if isinstance(kind, list):
            return _union(self.parts({**node, "type": each}, hint) for each in kind)
        if kind == "object" and node.get("properties"):
            name = node["title"] if named and "title" in node else hint
            return (self._interface(node, class_name(name, hint)),)
        return (self._plain(node, kind, hint),)

    def _text(self, node: Any, hint: str) -> str:
        return joined(self.parts(node, hint))

    def _plain(self, node: Node, kind: Any, hint: str) -> str:
        if kind == "array":
            return self._array(node, hint)
        if kind == "object":
            values = node.get("additionalProperties", True)
            inner = "never" if values is False else self._text(values, hint)
            return f"Record<string, {inner}>"
        if kind == "null":
            return "null"
        if kind == "string" and node.get("contentMediaType") == "application/octet-stream":
            return "Uint8Array"
        return _SCALARS.get(str(kind), "unknown")

    def _array(self, node: Node, hint: str) -> str:
        prefix = node.get("prefixItems")
        if prefix is None:
            return "[]" if node.get("maxItems") == 0 else _array(self.parts_of_items(node, hint))
        inner = ", ".join(self._text(each, hint) for each in prefix)
        if node.get("items", False) is not False and node.get("maxItems") != len(prefix):
            rest = f"...{_array(self.parts_of_items(node, hint))}"
            inner = f"{inner}, {rest}" if inner else rest
        return f"[{inner}]"

    def parts_of_items(self, node: Node, hint: str) -> Parts:
        """Return the type of the items of an array."""
        return self.parts(node.get("items", True), hint)

    def _reference(self, name: str, hint: str) -> Parts:
        target = self._definitions.get(name)
        if target is None or name in self._open:
            return ("unknown",)
        self._open.append(name)
        try:
            titled = {"title": name, **target} if isinstance(target, Mapping) else target
            return self.parts(titled, class_name(name, hint), named=True)
        finally:
            self._open.pop()

    def _enumeration(self, node: Node, values: list[Any], hint: str, *, named: bool) -> Parts:
        members = tuple(dict.fromkeys(map(_literal, values)))
        if not (named and "title" in node and "enum" in node):
            return members
        key = f"type {self._key(node)}"
        name = self._types.found(key)
        if name is None:
            name = self._types.keep(key, class_name(node["title"], hint))
            lines = [*comment(node.get("description", ""), ""), f"export type {name} ="]
            body = [f"{INDENT}| {each}" for each in members]
            self._types.declarations.append("\n".join([*lines, *body]) + ";")
        return (name,)

    def _interface(self, node: Node, name: str) -> str:
        key = self._key(node)
        found = self._types.found(key)
        if found is not None:
            return found
        found = self._types.keep(key, name)
        place = len(self._types.declarations)
        opened, self._open = self._open, []  # inside an interface every definition may be named
        lines = [*comment(node.get("description", ""), ""), f"export interface {found} {{"]
        required = node.get("required", ())
        for field, inner in node["properties"].items():
            given = inner if isinstance(inner, Mapping) else {}
            lines += comment(given.get("description", ""), INDENT)
            mark = "" if field in required else "?"
            lines.append(f"{INDENT}{_key_of(field)}{mark}: {self._text(inner, class_name(field))};")
        if node.get("additionalProperties", False) is not False:
            lines.append(f"{INDENT}[key: string]: unknown;")
        self._open = opened
        self._types.declarations.insert(place, "\n".join([*lines, "}"]))
        return found

    def _key(self, node: Node) -> str:
        """Return the text that two definitions share if they are one: the definition, and all that
        it reaches."""
        reached: dict[str, Any] = {}
        todo = [node]
        while todo:
            for name in _references(todo.pop()):
                if name not in reached and name in self._definitions:
                    reached[name] = self._definitions[name]
                    todo.append(self._definitions[name])
        rest = {key: value for key, value in node.items() if key != "$defs"}
        key = json.dumps([rest, reached], sort_keys=True, default=str)
        self._types.budget.spend(len(key) // 200)
        return key


def joined(parts: Parts) -> str:
    """Return a union as source."""
    return " | ".join(parts)


def text(value: str) -> str:
    """Return a string as a literal."""
    return json.dumps(value)


def comment(value: Any, indent: str) -> list[str]:
    """Return the lines of a comment for readers; no lines for an empty text."""
    shown = "".join(each for each in str(value) if each.isprintable() or each in "\n\t")
    lines = [line.rstrip() for line in shown.strip().replace("*/", "*\\/").splitlines()]
    if not lines:
        return []
    if len(lines) == 1:
        return [f"{indent}/** {lines[0]} */"]
    return [f"{indent}/**", *(f"{indent} * {line}".rstrip() for line in lines), f"{indent} */"]


def _key_of(field: str) -> str:
    return field if _is_plain(field) else text(field)


def _union(members: Iterable[Parts]) -> Parts:
    flat = dict.fromkeys(part for parts in members for part in parts)
    if "unknown" in flat or not flat:
        return ("unknown",)
    none = [flat.pop("null", "null")] if "null" in flat else []
    return (*flat, *("null" for _ in none))


def _array(parts: Parts) -> str:
    inner = joined(parts)
    return f"{inner}[]" if _is_plain(inner) else f"Array<{inner}>"


def _literal(value: Any) -> str:
    match value:
        case None:
            return "null"
        case bool():
            return "true" if value else "false"
        case str():
            return text(value)
        case int() | float():
            return repr(value) if isfinite(value) else "number"
        case _:
            return "unknown"


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)
