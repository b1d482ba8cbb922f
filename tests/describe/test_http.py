"""Endpoints over HTTP: paths of subjects, methods, and what a query may carry."""

from __future__ import annotations

from typing import Any

import pytest

from natsrpc.describe import HttpOperation, http_operation

ENDPOINT: dict[str, Any] = {
    "name": "x", "kind": "unary", "idempotent": True, "request": None, "items": None,
    "response": {}, "errors": [], "queue_group": "q", "description": "",
}  # fmt: skip

TEXT = {"type": "string"}


def operation(subject: str, template: str = "", **changes: Any) -> HttpOperation | None:
    return http_operation(
        {**ENDPOINT, "subject": subject, "template": template or subject, **changes}
    )


@pytest.mark.parametrize(
    ("subject", "template", "path", "tokens"),
    [
        ("orders.place", "", "/orders/place", ()),
        ("help", "", "/help", ()),
        ("orders.*.get", "orders.{user}.get", "/orders/{user}/get", ("user",)),
        ("orders.*.*", "", "/orders/{token2}/{token3}", ("token2", "token3")),
        ("files.>", "", "/files/{rest}", ("rest",)),
        ("*.get", "{tenant}.get", "/{tenant}/get", ("tenant",)),
        ("a/b.c%d.é", "", "/a%2Fb/c%25d/%C3%A9", ()),
        ("a.*.*", "a.{x}.{x}", "/a/{x}/{x_3}", ("x", "x_3")),
        ("orders.*.get", "others.{user}.get", "/orders/{token2}/get", ("token2",)),
    ],
)
def test_dots_are_slashes(subject: str, template: str, path: str, tokens: tuple[str]) -> None:
    found = operation(subject, template)
    assert found is not None
    assert (found.path, found.tokens) == (path, tokens)


@pytest.mark.parametrize("kind", ["event", "worker", "something"])
def test_what_is_not_called_has_no_path(kind: str) -> None:
    assert operation("orders.placed", kind=kind) is None


@pytest.mark.parametrize(
    ("request_", "query"),
    [
        (None, set()),
        ({"type": "object", "properties": {}}, set()),
        ({"type": "object", "properties": {"a": TEXT, "b": {"type": "array", "items": TEXT}}},
         {"a", "b"}),
        ({"type": "object", "properties": {"a": {"anyOf": [TEXT, {"type": "null"}]}}}, {"a"}),
        ({"type": "object", "properties": {"a": {"$ref": "#/$defs/State"}},
          "$defs": {"State": {"enum": ["open", "done"]}}}, {"a"}),
        ({"$ref": "#/$defs/Order", "$defs": {
            "Order": {"type": "object", "properties": {"sku": TEXT}}}}, {"sku"}),
        ({"type": "integer"}, {"value"}),
        ({"type": "array", "items": {"type": "integer"}}, {"value"}),
        ({"type": "object", "properties": {"a": {"type": "object"}}}, None),
        ({"type": "array", "items": {"type": "array"}}, None),
        ({"enum": [{"a": 1}]}, None),
        ({"type": "string", "contentMediaType": "application/octet-stream"}, None),
        ({}, None),
        ({"$ref": "#/$defs/a", "$defs": {"a": {"$ref": "#/$defs/a"}}}, None),
    ],
)  # fmt: skip
def test_flat_requests_have_a_query(request_: Any, query: set[str] | None) -> None:
    found = operation("x.y", request=request_)
    assert found is not None
    assert (None if found.query is None else set(found.query)) == query
    assert found.methods == (("POST",) if query is None else ("GET", "POST"))


def test_what_is_not_idempotent_or_reads_a_stream_has_no_get() -> None:
    for changes in ({"idempotent": False}, {"items": TEXT, "kind": "request_stream"}):
        found = operation("x.y", **changes)
        assert found is not None
        assert found.methods == ("POST",)


def test_an_upload_with_a_request_that_is_not_flat_has_no_path() -> None:
    request = {"type": "object", "properties": {"a": {"type": "object"}}}
    assert operation("x.y", items=TEXT, kind="request_stream", request=request) is None
