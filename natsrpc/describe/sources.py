"""JSON Schema to Python source: annotations, and the models and enums that they name. Pure.

What is read is what pydantic writes. Where a schema says more than Python can (a property name's
pattern, say) the wider type is written; what is not understood is `Any`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from .names import Names, class_name, docstring, identifier, literal

Node: TypeAlias = Mapping[str, Any]
Parts: TypeAlias = tuple[str, ...]
"""An annotation: the sources of a union's members, or of the one type it is."""

INDENT = "    "
WIDTH = 88
"""Lines up to this length are left whole: what formatters do unless told otherwise."""

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
_OF_TYPE = {
    "string": ("minLength", "maxLength", "pattern"),
    "integer": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "number": ("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum", "multipleOf"),
    "array": ("minItems", "maxItems"),
    "object": ("minProperties", "maxProperties"),
}
_WORDS = (
    "bool bytes dict dt float int list self set str tuple "
    "construct copy from_orm json parse_file parse_obj parse_raw schema schema_json "
    "update_forward_refs validate model_config model_fields model_computed_fields model_extra "
    "model_fields_set model_construct model_copy model_json_schema model_parametrized_name "
    "model_post_init model_rebuild Annotated Any BaseModel ConfigDict Decimal Enum Field Literal "
    "TypeAdapter UUID natsrpc"
)
_RESERVED = frozenset(_WORDS.split())
"""Names that a field of a model must not hide or override."""

RESERVED_CLASSES = frozenset(name for name in _RESERVED if name[0].isupper()) | {
    "AsyncGenerator",
    "AsyncIterable",
    "Mapping",
}


class FieldSource(NamedTuple):
    """One field of a model: the parts that its line, or a parameter, is made of."""

    name: str
    alias: str
    annotation: str
    default: str
    """A plain default, "" if there is none."""
    options: tuple[str, ...] = ()
    """What `Field` is given."""


class Types:
    """The classes of one module.

    Equal definitions are one class, whichever endpoint they come from. `imports` and `classes` are
    filled as annotations are asked for. `titles` are names that classes may have: a field or method
    of such a name would hide the class.
    """

    def __init__(self, names: Names, titles: Iterable[str] = ()) -> None:
        self.imports: set[str] = set()
        self.classes: list[str] = []
        self._names = names
        self._known: dict[str, str] = {}
        self.enums: set[str] = set()
        self.models: set[str] = set()
        self.hidden: frozenset[str] = _RESERVED.union(titles)

    def annotation(self, schema: Any, hint: str) -> str:
        """Return the annotation of a whole document; `hint` is the name of what has none."""
        return " | ".join(_Document(self, schema).annotation(schema, class_name(hint), named=True))

    def arguments(self, schema: Node, name: str) -> tuple[str, list[FieldSource]]:
        """Make a model of a request that is an object of arguments: its name and its fields.

        An argument that may be left out and whose default is no plain value is `None`, which sends
        nothing.
        """
        chosen = self._names.take(class_name(name))
        fields = _Document(self, schema).fields(schema, plain=True)
        self.classes.append(self.model(chosen, "", fields, extra=False))
        return chosen, fields

    def need(self, *lines: str) -> None:
        """Note imports."""
        self.imports.update(line for line in lines if line)

    def found(self, key: str) -> str | None:
        """The class of a definition that is known."""
        return self._known.get(key)

    def keep(self, key: str, name: str) -> str:
        """Choose a free name for a definition, and remember it."""
        chosen = self._known[key] = self._names.take(name, f"{name}Reply")
        return chosen

    def model(self, name: str, doc: str, fields: list[FieldSource], *, extra: bool) -> str:
        """Return the source of a model."""
        self.need("from pydantic import BaseModel")
        self.models.add(name)
        config = ['extra="allow"'] if extra else []
        if any(field.alias for field in fields):
            config += ["validate_by_name=True", "validate_by_alias=True"]
        lines = docstring(doc, INDENT)
        if config:
            self.need("from pydantic import ConfigDict")
            lines += [
                *([""] if lines else []),
                f"{INDENT}model_config = ConfigDict({', '.join(config)})",
            ]
        if lines and fields:
            lines.append("")
        for field in fields:
            lines += _field_lines(field)
        return "\n".join([f"class {name}(BaseModel):", *(lines or [f"{INDENT}pass"])])

    def enum(self, name: str, doc: str, values: list[Any]) -> str:
        """Return the source of an enum."""
        self.need("from enum import Enum")
        self.enums.add(name)
        members = Names({"mro", "name", "value"})
        lines = docstring(doc, INDENT)
        if lines:
            lines.append("")
        for value in values:
            member = members.take(identifier(str(value), "value").upper())
            lines.append(f"{INDENT}{member} = {literal(value)}")
        return "\n".join([f"class {name}(Enum):", *lines])


class _Document:
    """One schema with its own definitions."""

    def __init__(self, types: Types, root: Any) -> None:
        self._types = types
        self._definitions: Mapping[str, Any] = (
            root.get("$defs", {}) if isinstance(root, Mapping) else {}
        )
        self._open: list[str] = []  # references being written in place

    def annotation(self, node: Any, hint: str, *, named: bool = False) -> Parts:
        """The annotation of a node. `named` where a title is the name of a type, not of a field."""
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
        values = _values(node)
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
            self._types.need(line)
            return name
        return _SCALARS.get(str(kind)) or self._any()

    def _any(self) -> str:
        self._types.need("from typing import Any")
        return "Any"

    def _reference(self, name: str, hint: str) -> Parts:
        target = self._definitions.get(name)
        if target is None or name in self._open:  # an alias of itself cannot be written
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
        self._types.need("from typing import Literal")
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
        hashable = unique and (single.get("type") in _SCALARS or _values(single) is not None)
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
        self._types.need("from typing import Annotated", "from pydantic import Field")
        return f"Annotated[{name}, Field({', '.join(limits)})]"

    # classes

    def _enum(self, node: Node, values: list[Any], name: str) -> str:
        key = self._key(node)
        found = self._types.found(key)
        if found is None:
            found = self._types.keep(key, name)
            doc = str(node.get("description", ""))
            self._types.classes.append(self._types.enum(found, doc, values))
        return found

    def _model(self, node: Node, name: str) -> str:
        key = self._key(node)
        found = self._types.found(key)
        if found is not None:
            return found
        found = self._types.keep(key, name)
        place = len(self._types.classes)
        opened, self._open = self._open, []  # inside a class everything may be named again
        self._types.models.add(found)
        fields = self.fields(node)
        self._open = opened
        doc = str(node.get("description", ""))
        extra = node.get("additionalProperties", False) is not False
        self._types.classes.insert(place, self._types.model(found, doc, fields, extra=extra))
        return found

    def _key(self, node: Node) -> str:
        """What makes two definitions one class: all that is reached from them.

        A field with a default is not required of who writes it, and always there for who reads it.
        """
        reached: dict[str, Any] = {}
        todo = [node]
        while todo:
            for name in _references(todo.pop()):
                if name not in reached and name in self._definitions:
                    reached[name] = self._definitions[name]
                    todo.append(self._definitions[name])
        return json.dumps([_alike(node), _alike(reached)], sort_keys=True)

    def fields(self, node: Node, *, plain: bool = False) -> list[FieldSource]:
        """The fields of a model; `plain` where their defaults are also those of parameters."""
        names = Names(self._types.hidden)
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
            if plain and (
                factory or default[:1] in ("[", "{")
            ):  # one for all calls would be shared
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
            self._types.need("from pydantic import Field")
        alias = key if name != key else ""
        return FieldSource(name, alias, " | ".join(parts), default, tuple(options))

    def _default(self, value: Any, parts: Parts) -> tuple[str, str]:
        """A default as a plain value, or as the factory that makes it."""
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
        if text in self._types.enums:
            return "", f"lambda: {text}({literal(value)})"
        if text in self._types.models:
            return "", f"lambda: {text}.model_validate({literal(value)})"
        self._types.need("from pydantic import TypeAdapter")
        return "", f"lambda: TypeAdapter[{text}]({text}).validate_python({literal(value)})"


_PLAIN = frozenset({"str", "int", "float", "bool", "None", "Any"})
_PLAIN_LISTS = frozenset(f"list[{name}]" for name in _PLAIN)


def _values(node: Node) -> list[Any] | None:
    if "const" in node:
        return [node["const"]]
    values = node.get("enum")
    return values if isinstance(values, list) and values else None


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
    """A schema without what does not make another class of it."""
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
    if isinstance(properties, Mapping) and isinstance(value.get("required", []), list):
        with_default = {
            k for k, v in properties.items() if isinstance(v, Mapping) and "default" in v
        }
        copy["required"] = sorted(set(value.get("required", [])) - with_default)
    return copy


def _field_lines(field: FieldSource) -> list[str]:
    line = f"{INDENT}{field.name}: {field.annotation}"
    if not field.options:
        return [f"{line} = {field.default}" if field.default else line]
    options = [f"default={field.default}"] if field.default else []
    return called(f"{line} = Field", [*options, *field.options], INDENT)


def called(what: str, given: Sequence[str], indent: str = "") -> list[str]:
    """Return the lines of a call, broken as a formatter breaks it."""
    inner = ", ".join(given)
    if len(what) + len(inner) + 2 <= WIDTH:
        return [f"{what}({inner})"]
    if len(indent) + len(INDENT) + len(inner) <= WIDTH:
        return [f"{what}(", f"{indent}{INDENT}{inner}", f"{indent})"]
    return [f"{what}(", *(f"{indent}{INDENT}{each}," for each in given), f"{indent})"]
