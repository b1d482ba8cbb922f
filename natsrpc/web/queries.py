"""A query string as the JSON body of a request.

A text that stands where the schema wants a number or a boolean becomes one, if it is written like
one. Any other stays a text, and the service says what it thinks of that: it knows its types better.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

from natsrpc.describe import VALUE, Node

from .problems import invalid

__all__ = ["QueryReader"]

MAX_FIELDS = 256
"""Parameters of one query."""

_integer = re.compile(r"-?(0|[1-9][0-9]{0,30})").fullmatch
_number = re.compile(r"-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,4})?").fullmatch
_CONSTANTS = {"true": True, "false": False}


class QueryReader:
    """Reads the queries of one endpoint.

    Args:
        fields: the schema of each field by name.
        has_value: whether the request is no object, but the one value of `VALUE`.
    """

    def __init__(self, fields: Mapping[str, Node], *, has_value: bool = False) -> None:
        self._kinds = {name: _kinds(node) for name, node in fields.items()}
        self._is_value = has_value
        self._is_empty = not fields

    def body(self, query: bytes) -> bytes:
        """The body that a query says.

        Raises:
            Problem: it cannot be read, or a parameter comes twice that is no list.
        """
        pairs = self._pairs(query)
        if self._is_empty and not pairs:
            return b""
        fields: dict[str, Any] = {}
        for name, text in pairs:
            kinds, is_list = self._kinds.get(name, (frozenset(), False))
            value = _value(text, kinds)
            if is_list:
                fields.setdefault(name, []).append(value)
            elif name in fields:
                raise invalid("query", name, "it comes twice, and is no list")
            else:
                fields[name] = value
        if self._is_value:
            return json.dumps(fields[VALUE]).encode() if VALUE in fields else b""
        return json.dumps(fields).encode()

    def _pairs(self, query: bytes) -> list[tuple[str, str]]:
        if not query:
            return []
        try:
            return parse_qsl(
                query.decode("ascii"),
                keep_blank_values=True,
                errors="strict",
                max_num_fields=MAX_FIELDS,
            )
        except ValueError:
            detail = f"the query cannot be read: expected UTF-8, at most {MAX_FIELDS} parameters"
            raise invalid("query", "", detail) from None


def _kinds(node: Node) -> tuple[frozenset[str], bool]:
    """The types that a field may have, or each of its items, and whether it is a list."""
    if node.get("type") == "array":
        items = node.get("items")
        return (_kinds(items)[0] if isinstance(items, Mapping) else frozenset()), True
    either = node.get("anyOf")
    if isinstance(either, list):
        inner = [_kinds(each) for each in either if isinstance(each, Mapping)]
        return frozenset().union(*(kinds for kinds, _ in inner)), any(lists for _, lists in inner)
    kind = node.get("type")
    return frozenset([kind] if isinstance(kind, str) else kind or ()), False


def _value(text: str, kinds: frozenset[str]) -> Any:
    if "boolean" in kinds and text in _CONSTANTS:
        return _CONSTANTS[text]
    if "integer" in kinds and _integer(text):
        return int(text)
    if "number" in kinds and _number(text):
        return float(text)
    if "null" in kinds and text in ("", "null") and "string" not in kinds:
        return None
    return text
