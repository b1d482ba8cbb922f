"""Contracts as an OpenAPI 3.1 document, of the services as they are called over HTTP.

The gateway serves it at `/openapi.json`. Contracts come from the network: one that cannot be
written is left out, and named in the description.

Ref: https://spec.openapis.org/oas/v3.1.0
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from natsrpc.errors import ConfigError

from .components import Components
from .http import HttpOperation, http_operation, is_raw
from .names import Names
from .schemas import Node

__all__ = ["openapi"]

JSON, NDJSON, EVENTS = "application/json", "application/x-ndjson", "text/event-stream"
RAW, PROBLEM = "application/octet-stream", "application/problem+json"

MAX_TEXT = 10_000

# A subject may have other letters, too: not those that mean something in a subject or a path.
_TOKEN = {"type": "string", "minLength": 1, "pattern": "^[A-Za-z0-9_~!@$&'()+,;=:-]+$"}

_Place = tuple[tuple[str | None, ...], bool]
"""A path without the names of its parameters: its parts, and whether the last takes the rest."""

_PROBLEM: dict[str, Any] = {
    "type": "object",
    "title": "Problem",
    "description": "What is wrong (RFC 9457).",
    "properties": {
        "type": {"type": "string", "description": "A URI of the kind of problem."},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong with this request."},
        "error": {"type": "string", "description": "The error's name, if a service answered it."},
        "code": {"type": "integer", "description": "The error's code, if a service answered it."},
        "details": {"description": "The error's fields."},
        "errors": {
            "type": "array",
            "description": "What does not fit of the request.",
            "items": {
                "type": "object",
                "properties": {
                    "in": {"type": "string", "enum": ["body", "header", "path", "query"]},
                    "name": {"type": "string"},
                    "pointer": {"type": "string", "description": "Its place in the body."},
                    "detail": {"type": "string"},
                },
                "required": ["in", "name", "detail"],
            },
        },
        "request_id": {"type": "string"},
    },
    "required": ["type", "title", "status", "detail"],
}

_PARAMETERS: dict[str, Any] = {
    "RequestId": {
        "name": "X-Request-Id",
        "in": "header",
        "description": "Names the request in the logs of all services. One is made where it is "
        "missing, or is anything but 1 to 128 visible characters of ASCII.",
        "schema": {"type": "string"},
    },
}


def openapi(
    contracts: Iterable[Mapping[str, Any]],
    *,
    title: str = "NATS services",
    version: str = "1",
    description: str = "",
    server: str = "/",
) -> dict[str, Any]:
    """Return the OpenAPI document of services, as plain data, ready for JSON.

    Args:
        contracts: the documents of the services, as `read_document` gives them. Where two have one
            path, the first is taken.
        title: the name of it all.
        version: of the document.
        description: what it is about, as Markdown.
        server: the path where the gateway is mounted.
    """
    writer = _Writer()
    left_out = []
    for contract in contracts:
        try:
            writer.add(contract)
        except (ConfigError, RecursionError) as error:
            left_out.append(f"{contract['name']} {contract['version']}: {error}")
    if left_out:
        description += "\n\nLeft out:\n\n" + "\n".join(f"- {each}" for each in left_out[:50])
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version, "description": description.strip()},
        "servers": [{"url": server}],
        "tags": list(writer.tags.values()),
        "paths": dict(sorted(writer.paths.items())),
        "components": {"schemas": writer.components.schemas, "parameters": _PARAMETERS},
    }


class _Writer:
    """The parts of the document, as contracts are added to it."""

    def __init__(self) -> None:
        self.paths: dict[str, dict[str, Any]] = {}
        self.tags: dict[str, dict[str, Any]] = {}
        self.components: Components = Components()
        self._problem = self.components.add("Problem", _PROBLEM)
        self._names = Names()
        self._taken: set[_Place] = set()

    def add(self, contract: Mapping[str, Any]) -> None:
        """Add a contract: all of it, or nothing but components.

        Raises:
            ConfigError: it is too large or too deep.
        """
        self.components.begin()
        found: dict[_Place, tuple[str, dict[str, Any]]] = {}
        for endpoint in contract["endpoints"]:
            operation = http_operation(endpoint)
            # how a parameter is called makes no other path of it
            place = operation and (operation.parts, operation.has_rest)
            if operation and place and place not in self._taken and place not in found:
                found[place] = operation.path, self._item(contract["name"], endpoint, operation)
        self.paths.update(found.values())
        self._taken.update(found)
        if found:
            tag = {"name": contract["name"], "description": contract["description"][:MAX_TEXT]}
            self.tags.setdefault(contract["name"], tag)

    def _item(
        self, service: str, endpoint: Mapping[str, Any], operation: HttpOperation
    ) -> dict[str, Any]:
        item: dict[str, Any] = {}
        if operation.tokens:
            item["parameters"] = [_token(operation, name) for name in operation.tokens]
        whole = self._whole(service, endpoint)
        if "GET" in operation.methods:
            item["get"] = {
                **self._named(service, endpoint, "_get"),
                "parameters": [*self._query(service, endpoint, operation), *_headers()],
                "responses": whole["responses"],
            }
        is_upload = endpoint["items"] is not None
        query = self._query(service, endpoint, operation) if is_upload else []
        item["post"] = {
            **self._named(service, endpoint, ""),
            "parameters": [*query, *_headers()],
            **whole,
        }
        return item

    def _named(self, service: str, endpoint: Mapping[str, Any], suffix: str) -> dict[str, Any]:
        text = endpoint["description"].strip()[:MAX_TEXT]
        return {
            "operationId": self._names.take(f"{service}_{endpoint['name']}{suffix}"[:200]),
            "tags": [service],
            "summary": text.partition("\n")[0] or endpoint["name"],
            "description": text,
        }

    def _whole(self, service: str, endpoint: Mapping[str, Any]) -> dict[str, Any]:
        """The body and the responses of a POST."""
        found: dict[str, Any] = {"responses": self._responses(service, endpoint)}
        body = self._body(service, endpoint)
        return found if body is None else {"requestBody": body, **found}

    def _body(self, service: str, endpoint: Mapping[str, Any]) -> dict[str, Any] | None:
        request, items = endpoint["request"], endpoint["items"]
        if items is not None:
            if is_raw(items):
                return {"required": True, "content": {RAW: {}}}
            schema = self.components.take(service, "item", items)
            return {
                "required": True,
                "description": "One item on each line.",
                "content": {NDJSON: {"schema": schema}},
            }
        if request is None:
            return None
        if is_raw(request):
            return {"required": True, "content": {RAW: {}}}
        schema = self.components.take(service, "request", request)
        return {"required": _is_required(request), "content": {JSON: {"schema": schema}}}

    def _query(
        self, service: str, endpoint: Mapping[str, Any], operation: HttpOperation
    ) -> list[dict[str, Any]]:
        request = endpoint["request"] or {}
        required = request.get("required", ())
        definitions = {"$defs": request["$defs"]} if "$defs" in request else {}
        return [
            {
                "name": name,
                "in": "query",
                "required": operation.has_value or name in required,
                "schema": self.components.take(service, "query", {**node, **definitions}),
            }
            for name, node in (operation.query or {}).items()
        ]

    def _responses(self, service: str, endpoint: Mapping[str, Any]) -> dict[str, Any]:
        response = endpoint["response"]
        is_stream = endpoint["kind"] in ("response_stream", "both_stream")
        found: dict[str, Any] = {}
        if response is None:
            found["204"] = {"description": "Done; there is nothing to answer."}
        elif is_raw(response):
            types = (RAW, EVENTS) if is_stream else (RAW,)
            found["200"] = {"description": "The answer.", "content": {type_: {} for type_ in types}}
        else:
            schema = self.components.take(service, "response", response)
            types = (NDJSON, EVENTS) if is_stream else (JSON,)
            text = "The items, one by one." if is_stream else "The answer."
            content = {type_: {"schema": schema} for type_ in types}
            found["200"] = {"description": text, "content": content}
        found.update(self._errors(service, endpoint["errors"]))
        found["default"] = _problem("Any other problem.", self._problem)
        return found

    def _errors(self, service: str, errors: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """The responses of the errors that an endpoint declares, by status."""
        by_status: dict[str, list[Mapping[str, Any]]] = {}
        for error in errors:
            if 400 <= error["code"] <= 599:
                by_status.setdefault(str(error["code"]), []).append(error)
        return {
            status: _problem(
                " · ".join(
                    each["description"].partition("\n")[0] or each["name"] for each in found
                ),
                _any_of([self._error(service, each) for each in found], self._problem),
            )
            for status, found in by_status.items()
        }

    def _error(self, service: str, error: Mapping[str, Any]) -> dict[str, Any]:
        fields: dict[str, Any] = {"error": {"const": error["name"]}}
        if error["fields"] is not None:
            fields["details"] = self.components.take(service, "error", error["fields"])
        schema = {
            "allOf": [self._problem, {"type": "object", "properties": fields}],
            "title": error["name"][:200],
            "description": error["description"][:MAX_TEXT],
        }
        return self.components.add(error["name"], schema)


def _any_of(schemas: list[dict[str, Any]], problem: dict[str, Any]) -> dict[str, Any]:
    """One of these errors, or what natsrpc itself answers with the same status."""
    return {"anyOf": [*schemas, problem]}


def _problem(text: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": text[:MAX_TEXT], "content": {PROBLEM: {"schema": schema}}}


def _headers() -> list[dict[str, str]]:
    return [{"$ref": f"#/components/parameters/{name}"} for name in _PARAMETERS]


def _token(operation: HttpOperation, name: str) -> dict[str, Any]:
    found = {"name": name, "in": "path", "required": True, "schema": _TOKEN}
    if operation.has_rest and name == operation.tokens[-1]:
        found["description"] = "All parts of the path that are left, with slashes between them."
    return found


def _is_required(request: Node) -> bool:
    """Whether a body must come: not where it is an object whose fields all have defaults."""
    return request.get("type") != "object" or bool(request.get("required"))
