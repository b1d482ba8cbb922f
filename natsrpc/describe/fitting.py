"""Why a value would be refused by who reads it by a schema. `natsrpc publish` asks before it sends.

Only what a reader surely refuses is told: pydantic reads `"7"` as a number, and other languages
read other things. The schema may be a stranger's, so the steps taken are bounded.

Ref: https://json-schema.org/draft/2020-12/json-schema-validation
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from .budget import Budget, bounded

__all__ = ["misfits"]

_MOST = 20  # misfits that are told
_HOPS = 20  # references to references that are followed

Node = Mapping[str, Any]


@bounded
def misfits(schema: Any, value: Any, budget: Budget | None = None) -> list[str]:
    """What of a value does not fit, in words; empty if nothing surely does not.

    Raises:
        ConfigError: the schema unfolds without end, or is nested too deeply.
    """
    definitions = schema.get("$defs") if isinstance(schema, Mapping) else None
    check = _Check(definitions if isinstance(definitions, Mapping) else {}, budget or Budget())
    found = check.node(schema, value, "")
    return [text for text, _ in zip(found, range(_MOST), strict=False)]


class _Check:
    """Compares values with the nodes of one schema."""

    def __init__(self, definitions: Node, budget: Budget) -> None:
        self._definitions = definitions
        self._budget = budget

    def _resolve(self, node: Any) -> Node:
        for _ in range(_HOPS):
            if not isinstance(node, Mapping):
                return {}
            reference = node.get("$ref")
            if not isinstance(reference, str):
                return node
            node = self._definitions.get(reference.rpartition("/")[2])
        return {}

    def node(self, node: Any, value: Any, path: str) -> Iterator[str]:
        """The misfits of a value at a place."""
        self._budget.spend()
        found = self._resolve(node)
        for key in ("anyOf", "oneOf"):
            choices = found.get(key)
            if isinstance(choices, list) and choices:
                yield from self._choice(choices, value, path)
                return
        allowed = [found["const"]] if "const" in found else found.get("enum")
        if isinstance(allowed, list) and allowed and _is_none_of(value, allowed):
            yield _at(path, f"expected {' or '.join(map(repr, allowed[:8]))}")
        elif (expected := _misfit(found, value)) is not None:
            yield _at(path, f"expected {expected}, not {_kind(value)}")
        elif isinstance(value, dict):
            yield from self._fields(found, value, path)
        elif isinstance(value, list):
            for number, item in enumerate(value):
                yield from self.node(found.get("items"), item, f"{path}[{number}]")

    def _choice(self, choices: list[Any], value: Any, path: str) -> Iterator[str]:
        first: list[str] = []
        for choice in choices:
            told = [text for text, _ in zip(self.node(choice, value, path), "1", strict=False)]
            if not told:
                return
            # of an optional model the misfits of the model are of more use than "not null"
            if not first or (isinstance(value, dict) and _is_object(self._resolve(choice))):
                first = told
        yield from first

    def _fields(self, node: Node, value: dict[str, Any], path: str) -> Iterator[str]:
        fields = node.get("properties")
        fields = fields if isinstance(fields, Mapping) else {}
        required = node.get("required")
        for name in required if isinstance(required, list) else ():
            if name not in value:
                yield _at(f"{path}.{name}".lstrip("."), "field required")
        more = node.get("additionalProperties")
        for name, item in value.items():
            place = f"{path}.{name}".lstrip(".")
            if name in fields:
                yield from self.node(fields[name], item, place)
            elif more is False:
                yield _at(place, "there is no such field")
            elif isinstance(more, Mapping):
                yield from self.node(more, item, place)


def _misfit(node: Node, value: Any) -> str | None:
    """The type that a node asks for, if the value can surely not be read as one."""
    kind = node.get("type")
    if kind == "object":
        return None if isinstance(value, dict) else "an object"
    if kind == "array":
        return None if isinstance(value, list) else "an array"
    if kind == "null":
        return None if value is None else "null"
    if kind not in ("string", "integer", "number", "boolean"):
        return None
    if value is None or isinstance(value, dict | list):
        return f"a {kind}" if kind != "integer" else "an integer"
    if kind == "string" and not isinstance(value, str):
        return None if "format" in node else "a string"  # a moment may be a number
    if kind in ("integer", "number") and isinstance(value, str) and not _is_number(value):
        return "an integer" if kind == "integer" else "a number"
    return None


def _is_none_of(value: Any, allowed: list[Any]) -> bool:
    """Whether a value is of the type of all those allowed, and none of them."""
    return all(type(each) is type(value) and each != value for each in allowed)


def _is_object(node: Node) -> bool:
    return node.get("type") == "object"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _kind(value: Any) -> str:
    if value is None:
        return "null"
    names = {dict: "an object", list: "an array", str: "a string", bool: "a boolean"}
    return names.get(type(value), "a number")


def _at(path: str, text: str) -> str:
    return f"{path}: {text}" if path else text
