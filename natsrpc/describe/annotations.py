"""JSON Schema to annotations in Python source. `stub` calls it for each body of an endpoint.

The subset of JSON Schema that pydantic writes is read. Where a schema says more than an annotation
can (a pattern for property names, say), the wider type is written, and a schema that is not
understood becomes `Any`: a caller should rather be told by the service than be refused by its stub.

The traps: each endpoint's schema has its own copy of a definition, and all copies must become one
class, while two definitions of one title must become two (`_key`). A definition may contain itself:
a model can, by its name; a plain alias cannot, and becomes `Any` (`_open`). And a field must not
have the name of a type, which Python looks up in the class's own body first (`Classes.hidden`).
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

from .classes import Classes, FieldSource
from .names import Names, class_name, identifier, literal
from .schemas import Node, allowed_values

Parts: TypeAlias = tuple[str, ...]
"""An annotation: the source of each member of a union, or of the one type."""

_FORMATS = {
    "date-time": ("import datetime as dt", "dt.datetime"),
    "date": ("import datetime as dt", "dt.date"),
    "time": ("import datetime as dt", "dt.time"),
    "duration": ("import datetime as dt", "dt.timedelta"),
    "uuid": ("from uuid import UUID", "UUID"),
    "decimal": ("from decimal import Decimal", "Decimal"),
    "binary": ("", "bytes"),
}
_SCALARS = {"string": "str", "integer": "int", "number": "float", "boolean": "bool", "null": "None"}
# Keyword -> argument of pydantic's `Field`.
_LIMITS = {
    "minimum": "ge",
    "maximum": "le",
    "exclusiveMinimum": "gt",
    "exclusiveMaximum": "lt",
    "multipleOf": "multiple_of",
    "minLength": "min_length",
    "maxLength": "max_length",
    "minItems": "min_length",
    "maxItems": "max_length",
    "minProperties": "min_length",
    "maxProperties": "max_length",
    "pattern": "pattern",
}
# The keywords that mean something for each type. JSON Schema ignores the others, pydantic fails.
_OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}


def annotation(classes: Classes, schema: Any, hint: str) -> str:
    """Return the annotation for a whole schema with its own `$defs`.

    Args:
        classes: the module's classes; those that the annotation needs are added.
        schema: the schema.
        hint: the text of which a class without a title gets its name.
    """
    return " | ".join(_Document(classes, schema).annotation(schema, class_name(hint), named=True))


def arguments(classes: Classes, schema: Node, name: str) -> tuple[str, list[FieldSource]]:
    """Make a model of a request that is an object of a handler's parameters.

    Returns its name and its fields, for a method to take as parameters. The default of a parameter
    that may be left out is its own if all calls may share it, or else `None`, which is not sent.
    """
    chosen = classes.take(class_name(name))
    fields = _Document(classes, schema).fields(schema, plain=True)
    classes.classes.append(classes.model(chosen, "", fields, extra=False))
    return chosen, fields


class _Document:
    """One schema with its own definitions: turns its nodes into annotations."""

    def __init__(self, classes: Classes, root: Any) -> None:
        self._classes = classes
        self._definitions: Mapping[str, Any] = (
            root.get("$defs", {}) if isinstance(root, Mapping) else {}
        )
        # The definitions that are being written in place, not as a class. One that is met again
        # within itself cannot be written so, and becomes `Any`.
        self._open: list[str] = []

    def annotation(self, node: Any, hint: str, *, named: bool = False) -> Parts:
        """Return the annotation of a node.

        Args:
            node: the node.
            hint: the class name for a node without a title.
            named: whether the node's title is the name of a type. pydantic also titles each field,
                by the field's name.
        """
        self._classes.budget.spend()
        if not isinstance(node, Mapping):
            return (self._any(),)
        if len(node.get("allOf", ())) == 1:
            inner = node["allOf"][0] if isinstance(node["allOf"][0], Mapping) else {}
            rest = {key: value for key, value in node.items() if key != "allOf"}
            return self.annotation({**inner, **rest}, hint, named=named)
        if "$ref" in node:
            return self._reference(str(node["$ref"]).rpartition("/")[2], hint)
        for key in ("anyOf", "oneOf"):
            if key in node:
                members = _decimals(node[key])
                return self._union([self.annotation(each, hint) for each in members])
        values = allowed_values(node)
        if values is not None:
            if named and "title" in node:
                return (self._enum(node, values, class_name(node["title"], hint)),)
            return (self._literal(values),)
        kind = node.get("type")
        if isinstance(kind, list):
            return self._union([self.annotation({**node, "type": each}, hint) for each in kind])
        if kind == "object" and "properties" in node:
            name = node["title"] if named and "title" in node else hint
            return (self._model(node, class_name(name, hint)),)
        return (self._limited(node, self._plain(node, kind, hint)),)

    def _text(self, node: Any, hint: str) -> str:
        return " | ".join(self.annotation(node, hint))

    def _plain(self, node: Node, kind: Any, hint: str) -> str:
        if kind == "array":
            return self._array(node, hint)
        if kind == "object":
            values = node.get("additionalProperties", True)
            return f"dict[str, {self._text(values, hint)}]"
        if kind == "string":
            raw = node.get("contentMediaType") == "application/octet-stream"
            if raw or node.get("contentEncoding") == "base64":
                return "bytes"
            line, name = _FORMATS.get(str(node.get("format")), ("", "str"))
            self._classes.need(line)
            return name
        return _SCALARS.get(str(kind)) or self._any()

    def _any(self) -> str:
        self._classes.need("from typing import Any")
        return "Any"

    def _reference(self, name: str, hint: str) -> Parts:
        target = self._definitions.get(name)
        if target is None or name in self._open:
            return (self._any(),)
        self._open.append(name)
        try:
            titled = {"title": name, **target} if isinstance(target, Mapping) else target
            return self.annotation(titled, class_name(name, hint), named=True)
        finally:
            self._open.pop()

    def _union(self, members: Iterable[Parts]) -> Parts:
        flat = dict.fromkeys(part for parts in members for part in parts)
        if "Any" in flat or not flat:
            return (self._any(),)
        none = [flat.pop("None", "None")] if "None" in flat else []
        return (*flat, *("None" for _ in none))

    def _literal(self, values: list[Any]) -> str:
        if values == [None]:
            return "None"
        if not all(value is None or isinstance(value, str | int | bool) for value in values):
            return self._any()
        self._classes.need("from typing import Literal")
        return f"Literal[{', '.join(map(literal, values))}]"

    def _array(self, node: Node, hint: str) -> str:
        prefix = node.get("prefixItems")
        if prefix is not None:
            if node.get("items", False) is not False and node.get("maxItems") != len(prefix):
                return f"list[{self._any()}]"
            return f"tuple[{', '.join(self._text(each, hint) for each in prefix) or '()'}]"
        if node.get("maxItems") == 0:
            return "tuple[()]"
        item = self._text(node.get("items", True), hint)
        single = node.get("items", {})
        unique = node.get("uniqueItems") and isinstance(single, Mapping)
        hashable = unique and (single.get("type") in _SCALARS or allowed_values(single) is not None)
        return f"set[{item}]" if hashable else f"list[{item}]"

    def _limited(self, node: Node, name: str) -> str:
        if name.startswith("tuple["):
            return name
        keys = _OF_TYPE.get(str(node.get("type")), ())
        if name not in ("str", "int", "float") and not name.startswith(("list", "set", "dict")):
            keys = ()
        limits = [f"{_LIMITS[key]}={literal(node[key])}" for key in keys if key in node]
        if not limits:
            return name
        self._classes.need("from typing import Annotated", "from pydantic import Field")
        return f"Annotated[{name}, Field({', '.join(limits)})]"

    # classes

    def _enum(self, node: Node, values: list[Any], name: str) -> str:
        key = self._key(node)
        found = self._classes.found(key)
        if found is None:
            found = self._classes.keep(key, name)
            doc = str(node.get("description", ""))
            self._classes.classes.append(self._classes.enum(found, doc, values))
        return found

    def _model(self, node: Node, name: str) -> str:
        key = self._key(node)
        found = self._classes.found(key)
        if found is not None:
            return found
        found = self._classes.keep(key, name)
        place = len(self._classes.classes)
        # inside a class every definition may be named again: a class may refer to itself
        opened, self._open = self._open, []
        self._classes.models.add(found)
        fields = self.fields(node)
        self._open = opened
        doc = str(node.get("description", ""))
        extra = node.get("additionalProperties", False) is not False
        self._classes.classes.insert(place, self._classes.model(found, doc, fields, extra=extra))
        return found

    def _key(self, node: Node) -> str:
        """Return the text that two definitions share if they are one class: the definition, and all
        definitions that it reaches.

        Compared is the schema without its direction: a field with a default is optional in a
        request and required in a response, but is the same field of the same class.
        """
        reached: dict[str, Any] = {}
        todo = [node]
        while todo:
            for name in _references(todo.pop()):
                if name not in reached and name in self._definitions:
                    reached[name] = self._definitions[name]
                    todo.append(self._definitions[name])
        key = json.dumps([_alike(node), _alike(reached)], sort_keys=True)
        self._classes.budget.spend(len(key) // 200)
        return key

    def fields(self, node: Node, *, plain: bool = False) -> list[FieldSource]:
        """Return the fields of a model. `plain` is whether they become parameters, too, so that a
        default must be one that all calls may share."""
        names = Names(self._classes.hidden)
        required = node.get("required", ())
        return [
            self._field(names, key, inner, required=key in required, plain=plain)
            for key, inner in node["properties"].items()
        ]

    def _field(
        self, names: Names, key: str, node: Any, *, required: bool, plain: bool
    ) -> FieldSource:
        name = identifier(key, "field")
        if name.startswith(("model_dump", "model_validate")):  # pydantic keeps these for itself
            name = f"field_{name}"
        name = names.take(name, f"{name}_")
        given = node if isinstance(node, Mapping) else {}
        parts = self.annotation(node, class_name(key))
        default, factory = "", ""
        if "default" in given:
            default, factory = self._default(given["default"], parts)
            # a list or dict as a parameter's default would be one object for all calls
            if plain and (factory or default[:1] in ("[", "{")):
                default, factory, required = "", "", False
        options = [f"default_factory={factory}"] if factory else []
        if not default and not factory and not required:
            parts = self._union([parts, ("None",)])
            default = "None"
            options.append("exclude_if=lambda value: value is None")
        if name != key:
            options += [f"{side}_alias={literal(key)}" for side in ("validation", "serialization")]
        if given.get("description"):
            options.append(f"description={literal(given['description'])}")
        if options:
            self._classes.need("from pydantic import Field")
        alias = key if name != key else ""
        return FieldSource(name, alias, " | ".join(parts), default, tuple(options))

    def _default(self, value: Any, parts: Parts) -> tuple[str, str]:
        """Return a default as an expression, or else the factory that makes it: one of the two."""
        bare = [part.removeprefix("Annotated[").partition(", Field(")[0] for part in parts]
        plain = all(part in _PLAIN or part.startswith("Literal[") for part in bare)
        if value is None or (plain and isinstance(value, str | int | float)):
            return literal(value), ""
        if value == [] and bare[0].startswith("set["):
            return "", "set"
        if isinstance(value, list | dict) and (
            bare[0] in _PLAIN_LISTS or (not value and bare[0].startswith(("list[", "dict[")))
        ):
            return literal(value), ""  # pydantic copies it for each object
        text = " | ".join(parts)
        if text in self._classes.enums:
            return "", f"lambda: {text}({literal(value)})"
        if text in self._classes.models:
            return "", f"lambda: {text}.model_validate({literal(value)})"
        self._classes.need("from pydantic import TypeAdapter")
        return "", f"lambda: TypeAdapter[{text}]({text}).validate_python({literal(value)})"


_PLAIN = frozenset({"str", "int", "float", "bool", "None", "Any"})
_PLAIN_LISTS = frozenset(f"list[{name}]" for name in _PLAIN)


def _decimals(members: Sequence[Any]) -> Sequence[Any]:
    """The alternatives without the number that a decimal may also be written as."""
    if not any(isinstance(each, Mapping) and each.get("format") == "decimal" for each in members):
        return members
    return [each for each in members if isinstance(each, Mapping) and each.get("type") != "number"]


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, Mapping):
        if isinstance(value.get("$ref"), str):
            yield value["$ref"].rpartition("/")[2]
        value = list(value.values())
    if isinstance(value, list):
        for item in value:
            yield from _references(item)


def _alike(value: Any) -> Any:
    """A schema without the parts that make no difference for its class: definitions, which are
    compared by their content, and the direction, which shows in `required` and in decimals."""
    if isinstance(value, list):
        return [_alike(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    copy = {key: _alike(item) for key, item in value.items() if key != "$defs"}
    if isinstance(copy.get("anyOf"), list):
        members = _decimals(copy.pop("anyOf"))
        if len(members) == 1 and isinstance(members[0], dict):
            copy |= members[0]
        else:
            copy["anyOf"] = members
    properties = value.get("properties")
    required = value.get("required", [])
    if (
        isinstance(properties, Mapping)
        and isinstance(required, list)  # a default of any shape may be among what is looked at
        and all(isinstance(name, str) for name in required)
    ):
        with_default = {
            k for k, v in properties.items() if isinstance(v, Mapping) and "default" in v
        }
        copy["required"] = sorted(set(required) - with_default)
    return copy
