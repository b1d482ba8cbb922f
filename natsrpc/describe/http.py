"""An endpoint over HTTP: its path, its methods, and which of its fields a query may carry.

The gateway serves by it, and the OpenAPI document says it. The rules:

- dots are slashes: `orders.place` is `/orders/place`, and `orders.{user}.get` has a path parameter;
- POST calls every endpoint; GET those that are idempotent and whose request is flat;
- an endpoint that reads a stream has its items as the body, so its request must be flat;
- what begins with `$` or `_` is NATS's own or ours, and never has a path, whatever a contract says.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from .schemas import Node, allowed_values

__all__ = ["VALUE", "HttpOperation", "http_operation", "is_raw", "is_token", "local_definition"]

VALUE = "value"
"""The query parameter of a request that is one plain value, and so has no field with a name."""

MAX_PARTS = 32
MAX_SUBJECT = 512
MAX_FIELDS = 64
"""Fields of a request that a query may carry."""

_SCALARS = frozenset(("string", "integer", "number", "boolean", "null"))
_part = re.compile(r"[^\s.*>{}\x00-\x20\x7f]+").fullmatch
_named = re.compile(r"\{([A-Za-z_][A-Za-z0-9_]*)\}").fullmatch


@dataclass(frozen=True, slots=True)
class HttpOperation:
    """How one endpoint is called over HTTP.

    `path` has its parameters in braces. `parts` are the parts of the subject: a text, or None for
    one that a path parameter fills; `tokens` are the parameters' names, in their order. `has_rest`
    tells that the last one takes all parts that are left. `query` holds the schema of each
    field that a query may carry, None where the request cannot be written so; `has_value` tells
    that the request is no object, but the one value of the parameter `value`.
    """

    path: str
    parts: tuple[str | None, ...]
    tokens: tuple[str, ...]
    methods: tuple[str, ...]
    query: Mapping[str, Node] | None
    has_value: bool = False
    has_rest: bool = False


def http_operation(endpoint: Mapping[str, Any]) -> HttpOperation | None:
    """Return how an endpoint of a document is called.

    None for what nobody outside may call: a subscriber, a worker, a subject that is not a service's
    own, an upload with a request that is not flat.
    """
    if endpoint["kind"] not in ("unary", "response_stream", "request_stream", "both_stream"):
        return None
    subject, template = endpoint["subject"], endpoint["template"]
    spelled = ".".join("*" if _named(part) else part for part in template.split("."))
    places = _places(template if spelled == subject else subject)
    if places is None:
        return None
    parts, tokens = places
    query, has_value = _query(endpoint["request"])
    if query is None and endpoint["items"] is not None:  # the body is the items
        return None
    path = _path(parts, tokens)
    return HttpOperation(
        path=path,
        parts=tuple(parts),
        tokens=tuple(tokens),
        methods=("GET", "POST") if _has_get(endpoint, query) else ("POST",),
        query=query,
        has_value=has_value,
        has_rest=subject.endswith(".>"),
    )


def _has_get(endpoint: Mapping[str, Any], query: Mapping[str, Node] | None) -> bool:
    return bool(endpoint["idempotent"]) and endpoint["items"] is None and query is not None


def _places(template: str) -> tuple[list[str | None], list[str]] | None:
    """The parts of a subject, and the names of those that a path fills; None if it has no path."""
    written = template.split(".")
    if len(template) > MAX_SUBJECT or len(written) > MAX_PARTS or template[:1] in ("$", "_", ">"):
        return None
    parts: list[str | None] = []
    tokens: list[str] = []
    for place, part in enumerate(written):
        named = _named(part)
        last = place == len(written) - 1
        if named or part == "*" or (part == ">" and last):
            name = named[1] if named else ("rest" if part == ">" else f"token{place + 1}")
            tokens.append(name if name not in tokens else f"{name}_{place + 1}")
            parts.append(None)
        elif is_token(part):
            parts.append(part)
        else:
            return None
    return parts, tokens


def is_token(text: str) -> bool:
    """Whether a text can be one part of a service's subject."""
    if not _part(text) or text == "_NATSRPC":
        return False
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True


def _path(parts: list[str | None], tokens: list[str]) -> str:
    names = iter(tokens)
    return "".join(f"/{{{next(names)}}}" if p is None else f"/{quote(p, safe='')}" for p in parts)


def _query(request: Node | None) -> tuple[Mapping[str, Node] | None, bool]:
    """The schema of each field of a request that a query can carry, None if there is one it cannot;
    and whether that is no field, but the request itself.

    Flat are texts, numbers, booleans, enumerations, and lists of them.
    """
    if request is None:
        return {}, False
    if is_raw(request):
        return None, False
    whole = local_definition(request, request)
    if _is_flat(whole, request, lists=True):
        return {VALUE: whole}, True
    return _fields(whole, request), False


def _fields(whole: Node, request: Node) -> Mapping[str, Node] | None:
    fields = whole.get("properties")
    if whole.get("type") != "object" or not isinstance(fields, Mapping) or len(fields) > MAX_FIELDS:
        return None
    found = {name: local_definition(field, request) for name, field in fields.items()}
    return found if all(_is_flat(each, request, lists=True) for each in found.values()) else None


def is_raw(node: Node | None) -> bool:
    """Whether a body is bytes as they are."""
    return node is not None and node.get("contentMediaType") == "application/octet-stream"


def local_definition(node: Any, whole: Node) -> Node:
    """A schema, or the definition that it is a reference to; `{}` if there is none."""
    for _ in range(8):  # a reference to a reference; a circle of them ends, too
        if not isinstance(node, Mapping):
            return {}
        name = node.get("$ref")
        if not isinstance(name, str):
            return node
        definitions = whole.get("$defs")
        known = definitions if isinstance(definitions, Mapping) else {}
        node = known.get(name.removeprefix("#/$defs/"), {})
    return {}


def _is_flat(node: Node, whole: Node, *, lists: bool) -> bool:
    kind = node.get("type")
    values = allowed_values(node)
    if values is not None:
        return all(value is None or isinstance(value, str | int | float) for value in values)
    if kind == "array" and lists and "prefixItems" not in node:
        return _is_flat(local_definition(node.get("items"), whole), whole, lists=False)
    either = node.get("anyOf")
    if isinstance(either, list) and 0 < len(either) <= 8:
        inner = [local_definition(each, whole) for each in either]
        # asked in this order: a schema may be one of its own variants
        return all("anyOf" not in each and _is_flat(each, whole, lists=lists) for each in inner)
    kinds = kind if isinstance(kind, list) else [kind]
    return bool(kinds) and all(isinstance(each, str) and each in _SCALARS for each in kinds)
