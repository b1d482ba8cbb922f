"""Schemas that are compared: what pydantic seldom writes, and what others may."""

from __future__ import annotations

from typing import Any

import pytest

from natsrpc.describe.compare import compare, spelled
from natsrpc.describe.differences import Difference


def told(old: Any, new: Any) -> list[tuple[str, bool, bool]]:
    return [(each.text, each.breaks_request, each.breaks_response) for each in compare(old, new)]


def fields(required: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


STRING, INTEGER = {"type": "string"}, {"type": "integer"}


@pytest.mark.parametrize(
    ("old", "new", "text", "request_breaks", "response_breaks"),
    [
        (STRING, {**STRING, "minLength": 1}, "minLength none became 1", True, False),
        ({**STRING, "maxLength": 3}, {**STRING, "maxLength": 2}, "maxLength 3", True, False),
        ({**STRING, "maxLength": 3}, STRING, "maxLength 3 became none", False, True),
        (STRING, {**STRING, "pattern": "a"}, 'pattern none became "a"', True, False),
        ({**STRING, "pattern": "a"}, STRING, 'pattern "a" became none', False, True),
        ({**STRING, "format": "date"}, {**STRING, "format": "time"}, "format", True, True),
        ({"type": ["string", "null"]}, STRING, "null is no longer allowed", True, False),
        ({"const": 1}, {"enum": [1, 2]}, "may now also be 2", False, True),
        ({"enum": ["a"]}, INTEGER, '"a" became integer', False, True),
        ({"enum": ["a"], "type": "string"}, INTEGER, '"a" became integer', True, True),
        (
            {"type": "object", "propertyNames": {"pattern": "a"}},
            {"type": "object"},
            "propertyNames",
            False,
            True,
        ),
        (
            {"type": "object"},
            {"type": "object", "additionalProperties": False},
            "other fields are refused now",
            True,
            False,
        ),
        (
            {"type": "object", "additionalProperties": False},
            {"type": "object"},
            "may now have other fields",
            False,
            True,
        ),
        ({"minimum": 0, "type": "integer"}, INTEGER, "minimum 0 became none", False, True),
        (
            {"minimum": 0, "exclusiveMinimum": 0, "type": "integer"},
            {"minimum": 0, "type": "integer"},
            "minimum 0 and 0 excluded became 0",
            False,
            True,
        ),
    ],
)
def test_one_difference(
    old: Any, new: Any, text: str, request_breaks: bool, response_breaks: bool
) -> None:
    ((found, *breaks),) = told(old, new)
    assert text in found
    assert breaks == [request_breaks, response_breaks]


def test_alternatives_that_others_cover_are_no_loss() -> None:
    several = {"anyOf": [{"enum": ["a"]}, INTEGER, {"type": "null"}]}
    fewer = {"anyOf": [STRING, INTEGER]}
    assert told(several, fewer) == [
        ("null is no longer allowed", True, False),
        ("may now also be string", False, True),
    ]
    assert told(fewer, several) == [
        ("string is no longer allowed", True, False),
        ("may now also be null", False, True),
    ]
    other = {"anyOf": [INTEGER, {"type": "array"}]}
    assert told(fewer, other) == [("string became array of anything", True, True)]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ({}, {"title": "Anything", "description": "x"}),
        ({"anyOf": [{}, STRING]}, {"anyOf": [{}, INTEGER]}),
        ({"allOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": STRING}}, STRING),
        ({"$ref": "#/$defs/A", "minLength": 1, "$defs": {"A": STRING}}, {**STRING, "minLength": 1}),
        ({"$ref": "#/$defs/Missing"}, {}),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"$ref": "#/$defs/A"}}},) * 2,
        ({"anyOf": [{"$ref": "#/$defs/A"}], "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}},)
        * 2,
        (fields(a=STRING, b=INTEGER), fields(b=INTEGER, a=STRING)),
        ({"type": "array", "items": True}, {"type": "array"}),
        ({"type": "array", "prefixItems": [STRING], "items": False},) * 2,
        (
            {"type": "array", "prefixItems": [STRING], "maxItems": 1},
            {"type": "array", "items": STRING, "maxItems": 1},
        ),
        ({"anyOf": [STRING, {**STRING, "format": "uuid"}]},) * 2,
    ],
)
def test_same_meaning(old: Any, new: Any) -> None:
    assert compare(old, new) == []


def test_a_type_of_several_and_a_recursive_one_end() -> None:
    node: dict[str, Any] = {"type": ["object", "null"], "properties": {"a": {"$ref": "#/$defs/N"}}}
    old = {"$ref": "#/$defs/N", "$defs": {"N": node}}
    other = {**node, "properties": {**node["properties"], "b": STRING}}
    assert told(old, {**old, "$defs": {"N": other}}) == [("added, optional", False, False)]


def test_a_rename_is_told_only_where_it_is_plain() -> None:
    texts = [each.text for each in compare(fields(a=STRING, b=STRING), fields(c=STRING, d=STRING))]
    assert texts == ["removed", "removed", "added, optional", "added, optional"]
    texts = [each.text for each in compare(fields(a=STRING), fields(("b",), b=STRING))]
    assert texts == ["removed", "added, required"]
    old, new = fields(a=STRING, b=INTEGER), fields(c=STRING, d=INTEGER)
    assert {each.text for each in compare(old, new)} == {"renamed to 'c'", "renamed to 'd'"}
    assert {each.text for each in compare(fields(a=STRING, b=STRING), fields(c=STRING))} == {
        "removed",
        "added, optional",
    }


def test_words_and_deprecation_break_nothing() -> None:
    old = fields(a={**STRING, "description": "x"})
    new = {**fields(a={**STRING, "description": "y", "deprecated": True}), "description": "z"}
    assert compare(old, new) == [
        Difference("a", "described in other words", talk=True),
        Difference("a", "deprecated"),
        Difference("", "described in other words", talk=True),
    ]


def test_a_property_may_be_true() -> None:
    assert told(fields(a=True), fields(a=STRING)) == [("anything became string", True, False)]


@pytest.mark.parametrize(
    ("schema", "text"),
    [
        ({}, "anything"),
        ({"enum": ["a", 1]}, '"a" | 1'),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": "string", "format": "uuid"}, "string (uuid)"),
        ({"type": "array", "items": INTEGER}, "array of integer"),
        ({"type": "array", "prefixItems": [INTEGER, STRING]}, "tuple of 2"),
        ({"type": "object", "title": "Order"}, "Order"),
        ({"type": "object", "additionalProperties": STRING}, "object of string"),
        ({"type": "object"}, "object"),
        ({"anyOf": [INTEGER, INTEGER, STRING]}, "integer | string"),
        (
            {
                "$ref": "#/$defs/A",
                "$defs": {"A": {"type": "array", "items": {"$ref": "#/$defs/A"}}},
            },
            "array of array of array of …",
        ),
    ],
)
def test_a_schema_in_a_few_words(schema: Any, text: str) -> None:
    assert spelled(schema) == text
