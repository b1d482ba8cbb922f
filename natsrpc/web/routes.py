"""From the path of a request to the endpoint that it calls.

`Routes` are made of a snapshot, in a thread, and replaced as a whole. What can be settled for an
endpoint is settled in its `Route`, so that a request looks up little more than that.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import unquote

from natsrpc.describe import VALUE, HttpOperation, http_operation, is_raw, is_token
from natsrpc.rpc import EndpointContract, Kind, gives_stream

from .passing import Item, PassingCodec, codec_for
from .problems import Where, invalid
from .queries import QueryReader

__all__ = ["Route", "Routes", "Target"]


@dataclass(frozen=True, slots=True)
class Target:
    """The endpoint that a request calls, as an auth hook sees it.

    `subject` has the path's parameters filled in.
    """

    service: str
    version: str
    endpoint: str
    subject: str


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """An endpoint that is called over HTTP: how, and what its bodies are."""

    service: str
    version: str
    operation: HttpOperation
    contract: EndpointContract
    codec: PassingCodec
    query: QueryReader | None
    takes_items: bool
    takes_raw: bool
    takes_nothing: bool
    items_raw: bool
    gives_raw: bool
    gives_stream: bool
    methods: tuple[str, ...]

    def aim(
        self, tokens: Mapping[str, str] | None
    ) -> tuple[EndpointContract, Mapping[str, str] | None]:
        """What to call with these values of the path's parameters: the contract, and its tokens."""
        if tokens is None or not self.operation.has_rest:
            return self.contract, tokens
        subject = self.target(tokens).subject  # the last one is several parts of it
        return replace(self.contract, template=subject), {}

    def where(self, method: str) -> Where:
        """Where the fields of a request by this method are."""
        operation = self.operation
        if method == "POST" and not self.takes_items:
            return Where("body")
        query = (
            {"": VALUE} if operation.has_value else {each: each for each in operation.query or ()}
        )
        return Where("body" if self.takes_items else "query", query)

    def target(self, tokens: Mapping[str, str] | None) -> Target:
        """The endpoint, for an auth hook."""
        subject = self.contract.template
        for name, value in (tokens or {}).items():
            subject = subject.replace(f"{{{name}}}", value)
        return Target(self.service, self.version, self.contract.name, subject)


def route_of(service: str, version: str, endpoint: Mapping[str, Any]) -> Route | None:
    """The route of an endpoint of a document; None if nobody outside may call it."""
    operation = http_operation(endpoint)
    if operation is None:
        return None
    request, items, response = endpoint["request"], endpoint["items"], endpoint["response"]
    names = iter(operation.tokens)
    template = ".".join(f"{{{next(names)}}}" if p is None else p for p in operation.parts)
    contract = EndpointContract(
        name=endpoint["name"],
        subject=endpoint["subject"],
        queue_group=endpoint["queue_group"],
        request_type=bytes,
        response_type=bytes,
        kind=endpoint["kind"],
        stream_type=None if items is None else Item,
        template=template,
        idempotent=endpoint["idempotent"],
        service=service,
    )
    return Route(
        service,
        version,
        operation,
        contract,
        codec_for(endpoint["content_type"], request, items, response),
        _reader(operation),
        takes_items=items is not None,
        takes_raw=is_raw(request),
        takes_nothing=request is None,
        items_raw=is_raw(items),
        gives_raw=is_raw(response),
        gives_stream=gives_stream(endpoint["kind"]),
        methods=_methods(operation, endpoint["kind"]),
    )


def _methods(operation: HttpOperation, kind: Kind) -> tuple[str, ...]:
    """The methods of HTTP; HEAD where GET has one answer."""
    if "GET" in operation.methods and kind == "unary":
        return "GET", "HEAD", "POST"
    return operation.methods


def _reader(operation: HttpOperation) -> QueryReader | None:
    if operation.query is None:
        return None
    return QueryReader(operation.query, has_value=operation.has_value)


@dataclass(slots=True)
class _Node:
    """The routes below one part of a path."""

    literal: dict[str, _Node] = field(default_factory=dict)
    param: _Node | None = None
    rest: Route | None = None
    route: Route | None = None


class Routes:
    """All routes of a snapshot. Where two have one path, that of the newest version is taken."""

    def __init__(self, routes: Iterable[Route] = ()) -> None:
        self._whole: dict[str, Route] = {}
        self._root = _Node()
        for route in routes:
            self._add(route)

    def _add(self, route: Route) -> None:
        operation = route.operation
        if not operation.tokens:
            self._whole.setdefault(operation.path, route)
        node = self._root
        for part in operation.parts[:-1] if operation.has_rest else operation.parts:
            if part is None:
                node.param = node.param or _Node()
                node = node.param
            else:
                node = node.literal.setdefault(part, _Node())
        if operation.has_rest:
            node.rest = node.rest or route
        else:
            node.route = node.route or route

    def find(self, path: str) -> tuple[Route, Mapping[str, str] | None] | None:
        """The route of a path, as it came with its `%`s, and the values of its parameters."""
        route = self._whole.get(path)
        if route is not None:
            return route, None
        parts = [unquote(part, errors="surrogateescape") for part in path.split("/")[1:]]
        found = _walk(self._root, parts, 0, [])
        if found is None:
            return None
        route, values = found
        return route, _tokens(route, values) if route.operation.tokens else None


def _walk(
    node: _Node, parts: list[str], place: int, values: list[str]
) -> tuple[Route, list[str]] | None:
    if place == len(parts):
        return None if node.route is None else (node.route, values)
    inner = node.literal.get(parts[place])
    found = None if inner is None else _walk(inner, parts, place + 1, values)
    if found is None and node.param is not None:
        found = _walk(node.param, parts, place + 1, [*values, parts[place]])
    if found is None and node.rest is not None:
        found = node.rest, [*values, *parts[place:]]
    return found


def _tokens(route: Route, values: list[str]) -> dict[str, str]:
    """The values of a path's parameters, by name.

    Raises:
        Problem: one cannot be part of a subject.
    """
    names = route.operation.tokens
    if route.operation.parts[0] is None and values[0][:1] in ("$", "_"):
        raise invalid("path", names[0], "what begins with '$' or '_' is no service's own")
    for place, value in enumerate(values):
        if not is_token(value):
            name = names[min(place, len(names) - 1)]
            detail = "expected one part of a subject: no '.', '*', '>', white space, or nothing"
            raise invalid("path", name, detail)
    last = len(names) - 1
    if route.operation.has_rest:
        values = [*values[:last], ".".join(values[last:])]
    return dict(zip(names, values, strict=True))
