"""The schemas that a document shares, each under one name: JSON Schemas become components.

What several contracts define alike is one component. Two definitions of one name that differ get
two names. Contracts come from the network, so only what a schema may say is taken: references to
definitions beside it, to no other place, and no deeper and no more than any honest one has.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from typing import Any

from natsrpc.errors import ConfigError

from .budget import WORK, Budget
from .schemas import Node

__all__ = ["Components"]

MAX_DEPTH = 60

_DEFINITIONS = "#/$defs/"
_not_in_name = re.compile(r"[^A-Za-z0-9_-]+")

# The keywords of JSON Schema whose value is a schema, a list of schemas, schemas by name.
_INNER = frozenset(
    (
        "additionalProperties",
        "contains",
        "else",
        "if",
        "items",
        "not",
        "propertyNames",
        "then",
        "unevaluatedItems",
        "unevaluatedProperties",
    )
)
_LISTS = frozenset(("allOf", "anyOf", "oneOf", "prefixItems"))
_NAMED = frozenset(("dependentSchemas", "patternProperties", "properties"))


TOTAL = 10 * WORK
"""The work of all contracts together."""


class Components:
    """Named schemas, in `schemas`. What work one contract may cause is bounded, and all of it."""

    def __init__(self) -> None:
        self.schemas: dict[str, Any] = {}
        self._budget = Budget()
        self._total = Budget(TOTAL)
        self._names: dict[str, str] = {}
        self._told: dict[str, str] = {}

    def begin(self) -> None:
        """Begin with the next contract."""
        self._total.spend(WORK - self._budget.left)
        self._budget = Budget(min(WORK, self._total.left))

    def take(self, service: str, side: str, schema: Node) -> dict[str, Any]:
        """Return a schema for a place in the document; what it defines becomes components.

        Args:
            service: the name of the service that it is of.
            side: what it is there, as in "request", to tell apart schemas of one title.
            schema: the schema.

        Raises:
            ConfigError: it is too large or too deep.
        """
        definitions = schema.get("$defs")
        known = definitions if isinstance(definitions, Mapping) else {}
        names = {name: self._name(service, side, name, each, known) for name, each in known.items()}
        for name, each in known.items():
            if names[name] not in self.schemas:
                self.schemas[names[name]] = self._copied(each, names, 0)
        title = schema.get("title")
        if not isinstance(title, str) or "properties" not in schema:
            found: dict[str, Any] = self._copied(schema, names, 0)
            return found
        name = self._name(service, side, title, schema, known)
        if name not in self.schemas:
            self.schemas[name] = self._copied(schema, names, 0)
        return {"$ref": f"#/components/schemas/{name}"}

    def add(self, name: str, schema: dict[str, Any]) -> dict[str, Any]:
        """Add a schema of the document's own under a name, and return a reference to it."""
        told = json.dumps(schema, sort_keys=True)
        found = self._free(_spelled(name), "", "", told)
        self.schemas[found] = schema
        return {"$ref": f"#/components/schemas/{found}"}

    def _name(self, service: str, side: str, name: str, node: Any, known: Mapping[str, Any]) -> str:
        """The name of a definition: the one that an equal definition has already."""
        inner = {each: known[each] for each in self._reached(node, known)}
        told = json.dumps([_without(node), inner], sort_keys=True)
        self._budget.spend(1 + len(told) // 200)
        spelled = _spelled(name)
        return self._names.get(f"{spelled} {told}") or self._free(spelled, service, side, told)

    def _free(self, name: str, service: str, side: str, told: str) -> str:
        """Give a name to a schema, `told` as text: one that no schema of another text has."""
        known = self._names.get(f"{name} {told}")
        if known is not None:
            return known
        tries = [name]
        if service:
            tries += [f"{name}-{side}", f"{_spelled(service)}.{name}"]
        number = 2
        while self._told.get(found := tries.pop(0), told) != told:
            self._budget.spend()
            if not tries:
                tries.append(f"{name}-{number}")
                number += 1
        self._told[found] = told
        self._names[f"{name} {told}"] = found
        return found

    def _reached(self, node: Any, known: Mapping[str, Any]) -> list[str]:
        """The definitions that a schema refers to, and those that these refer to."""
        found: set[str] = set()
        todo = [node]
        while todo:
            for name in self._references(todo.pop()):
                if name in known and name not in found:
                    found.add(name)
                    todo.append(known[name])
        return sorted(found)

    def _references(self, node: Any) -> Iterator[str]:
        todo = [node]
        while todo:
            each = todo.pop()
            self._budget.spend()
            if not isinstance(each, Mapping):
                continue
            reference = each.get("$ref")
            if isinstance(reference, str):
                yield reference.removeprefix(_DEFINITIONS)
            todo += _inner(each)

    def _copied(self, node: Any, names: Mapping[str, str], depth: int) -> Any:
        """A schema whose references are to components. What is not a keyword's own stays out."""
        self._budget.spend()
        if depth > MAX_DEPTH:
            raise ConfigError("this contract is nested too deeply")
        if not isinstance(node, Mapping):
            return node if isinstance(node, bool) else {}
        found: dict[str, Any] = {}
        for key, value in node.items():
            if key in _INNER:
                found[key] = self._copied(value, names, depth + 1)
            elif key in _LISTS and isinstance(value, list):
                found[key] = [self._copied(each, names, depth + 1) for each in value]
            elif key in _NAMED and isinstance(value, Mapping):
                found[key] = {k: self._copied(v, names, depth + 1) for k, v in value.items()}
            elif key == "$ref":
                found.update(_pointed(value, names))
            elif key == "discriminator" and isinstance(value, Mapping):
                found[key] = _discriminator(value, names)
            elif not key.startswith("$"):
                found[key] = value
        return found


def _inner(node: Mapping[str, Any]) -> Iterator[Any]:
    """The schemas right within a schema."""
    for key, value in node.items():
        if key in _INNER:
            yield value
        elif key in _LISTS and isinstance(value, list):
            yield from value
        elif key in _NAMED and isinstance(value, Mapping):
            yield from value.values()


def _pointed(reference: Any, names: Mapping[str, str]) -> dict[str, str]:
    """A reference to a component; nothing, which allows everything, for one to another place."""
    name = names.get(str(reference).removeprefix(_DEFINITIONS))
    return {} if name is None else {"$ref": f"#/components/schemas/{name}"}


def _discriminator(value: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    """Which field tells the schemas of a union apart, and by which values."""
    mapping = value.get("mapping")
    pairs = mapping.items() if isinstance(mapping, Mapping) else ()
    pointed = {key: _pointed(each, names).get("$ref") for key, each in pairs}
    found = {key: each for key, each in pointed.items() if each is not None}
    return {
        "propertyName": str(value.get("propertyName", "")),
        **({"mapping": found} if found else {}),
    }


def _without(node: Any) -> Any:
    if not isinstance(node, Mapping):
        return node
    return {key: value for key, value in node.items() if key != "$defs"}


def _spelled(name: str) -> str:
    return _not_in_name.sub("_", name[:100]).strip("_") or "Schema"
