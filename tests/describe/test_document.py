"""Contracts as documents that can be kept."""

from __future__ import annotations

import ast
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.describe import diff, document, read_document, stub
from natsrpc.errors import ConfigError
from natsrpc.rpc import Service

service = Service("shop", version="1.0.0", description="sells")


@service.handler("shop.buy", name="buy")
async def buy(sku: str, count: int = 1) -> float:
    """Buy something."""
    return 1.0


def test_a_document_is_json_and_reads_as_it_is() -> None:
    found = document(service.contract)
    assert read_document(json.loads(json.dumps(found))) == found
    assert (found["type"], found["name"]) == ("io.natsrpc.v1.contract", "shop")
    (endpoint,) = found["endpoints"]
    assert (endpoint["subject"], endpoint["queue_group"]) == ("shop.buy", "q")


def test_what_changes_from_start_to_start_is_not_in_it() -> None:
    live = {**document(service.contract), "id": "X1", "metadata": {"host": "a"}, "started": "now"}
    assert read_document(live) == document(service.contract)


def test_missing_fields_have_defaults() -> None:
    found = read_document(
        {"name": "a", "version": "1.0.0", "endpoints": [{"name": "b", "subject": "c"}]}
    )
    assert found["description"] == ""
    assert found["endpoints"][0]["template"] == "c"
    assert found["endpoints"][0]["kind"] == "unary"


def test_nonsense_is_refused() -> None:
    with pytest.raises(ConfigError, match="no contract"):
        read_document("x")


def with_request(schema: Any) -> dict[str, Any]:
    endpoint = {"name": "b", "subject": "c", "request": schema, "response": schema}
    return {"name": "a", "version": "1.0.0", "endpoints": [endpoint]}


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({"type": 3}, "bad 'type' in request of endpoint 'b'"),
        ({"type": ["string", 3]}, "bad 'type'"),
        ({"required": [3]}, "bad 'required'"),
        ({"minimum": "0"}, "bad 'minimum'"),
        ({"maxLength": True}, "bad 'maxLength'"),
        ({"properties": {"a": 3}}, "is no schema"),
        ({"properties": []}, "bad 'properties'"),
        ({"items": {"anyOf": {}}}, "bad 'anyOf'"),
        ({"$defs": {"A": {"enum": "a"}}}, "bad 'enum'"),
    ],
)
def test_schemas_that_cannot_be_read_are_refused(schema: Any, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        read_document(with_request(schema))


texts = st.sampled_from(["a", "b", "string", "object", "array", "integer", "null", "#/$defs/a"])
numbers = st.integers(0, 3) | st.floats(0, 3)
schemas = st.recursive(
    st.booleans() | st.just({}) | st.builds(lambda kind: {"type": kind}, texts),
    lambda inner: st.fixed_dictionaries(
        {},
        optional={
            "type": texts | st.lists(texts, max_size=2),
            "$ref": texts,
            "title": texts,
            "anyOf": st.lists(inner, max_size=2),
            "allOf": st.lists(inner, max_size=2),
            "enum": st.lists(texts | st.none() | st.integers(0, 1) | st.booleans(), max_size=3),
            "properties": st.dictionaries(texts, inner, max_size=2),
            "required": st.lists(texts, max_size=2),
            "items": inner,
            "prefixItems": st.lists(inner, max_size=2),
            "additionalProperties": inner,
            "maxItems": st.integers(0, 2),
            "minimum": numbers,
            "exclusiveMinimum": numbers,
            "multipleOf": numbers,
            "default": texts | st.integers() | st.lists(texts, max_size=2) | st.none(),
            "uniqueItems": st.booleans(),
            "$defs": st.dictionaries(st.just("a"), inner, max_size=1),
        },
    ),
    max_leaves=6,
)


@given(schemas, schemas)
def test_schemas_of_any_shape_are_compared_and_written(old: Any, new: Any) -> None:
    try:
        before, after = (read_document(with_request(each)) for each in (old, new))
    except ConfigError:  # `true` and `false` are no objects
        assert isinstance(old, bool) or isinstance(new, bool)
        return
    assert diff(before, before).changes == ()
    diff(before, after)
    ast.parse(stub(after))
