"""Contracts written by somebody who means harm, or by a generator gone wrong: one error of ours, in
bounded time and memory, or source that loads."""

from __future__ import annotations

import json
import math
import time
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.describe import asyncapi, diff, read_document, stub
from natsrpc.errors import ConfigError, NatsRpcError

LONGEST = 10.0  # seconds of processor time; the bombs would take years


def contract(request: Any, **endpoint: Any) -> dict[str, Any]:
    one = {"name": "e", "subject": "e", "request": request, "response": None, **endpoint}
    return {"name": "x", "version": "1.0.0", "endpoints": [one]}


def chain(node: Any, size: int, last: Any) -> dict[str, Any]:
    """`size` definitions, each made of the next by `node(reference)`."""
    defs = {f"A{i}": node({"$ref": f"#/$defs/A{i + 1}"}) for i in range(size)}
    return {"$ref": "#/$defs/A0", "$defs": {**defs, f"A{size}": last}}


def nested(size: int) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": "string"}
    for _ in range(size):
        schema = {"type": "array", "items": schema}
    return schema


def fields(one: Any) -> dict[str, Any]:
    return {"type": "object", "properties": {"a": one, "b": one}}


TEXT, NUMBER = {"type": "string"}, {"type": "integer"}
BOMBS = {
    "laughs": (chain(lambda one: {"anyOf": [one, one]}, 60, TEXT),) * 2,
    "oneOf": (chain(lambda one: {"oneOf": [one, one, one]}, 40, TEXT),) * 2,
    "laughs with more": (
        chain(lambda one: {"anyOf": [{**one, "minLength": 1}, {**one, "minLength": 2}]}, 40, TEXT),
    )
    * 2,
    "pairs": (chain(lambda one: {"type": "array", "prefixItems": [one, one]}, 40, TEXT),) * 2,
    "objects": (chain(fields, 40, TEXT), chain(fields, 40, NUMBER)),
    "titled objects": (
        chain(lambda one: {**fields(one), "title": "T"}, 40, TEXT),
        chain(lambda one: {**fields(one), "title": "T"}, 40, NUMBER),
    ),
    "many alternatives": (
        {"anyOf": [{"type": "object", "title": f"T{i}"} for i in range(3000)]},
        {"anyOf": [{"type": "object", "title": f"U{i}"} for i in range(3000)]},
    ),
    "many fields": (
        {"type": "object", "properties": {f"a{i}": TEXT for i in range(3000)}},
        {"type": "object", "properties": {f"b{i}": TEXT for i in range(3000)}},
    ),
    "many of one name": (
        {"type": "object", "properties": {f"a{'-' * i}": TEXT for i in range(3000)}},
    )
    * 2,
    "deep": (nested(400),) * 2,
    "very deep": (nested(50_000),) * 2,
    "a long chain": (chain(lambda one: {"type": "array", "items": one}, 5000, TEXT),) * 2,
    "a long chain of aliases": (chain(lambda one: one, 5000, TEXT),) * 2,
    "itself": ({"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}, TEXT]}}},)
    * 2,
    "huge numbers": (
        {"type": "number", "multipleOf": 0.5, "minimum": 10**400},
        {"type": "number", "multipleOf": 10**400, "minimum": math.inf},
    ),
    "NaN": ({"type": "number", "minimum": math.nan}, {"type": "number", "multipleOf": math.nan}),
    "a wide enumeration": (
        {"enum": list(range(50_000))},
        {"enum": [str(i) for i in range(50_000)]},
    ),
}


@pytest.mark.parametrize("what", BOMBS)
@pytest.mark.parametrize("task", ["diff", "stub", "asyncapi"])
@pytest.mark.once
def test_a_contract_that_unfolds_without_end_ends_in_time(what: str, task: str) -> None:
    old, new = (contract(schema) for schema in BOMBS[what])
    begin = time.process_time()
    try:
        if task == "diff":
            diff(old, new)
        elif task == "asyncapi":
            asyncapi(new)
        else:
            compile(stub(new), "stub", "exec")
    except ConfigError as error:
        assert len(str(error)) < 500
        assert error.__context__ is None or isinstance(error.__context__, ConfigError)
    assert time.process_time() - begin < LONGEST


def test_a_contract_of_too_many_endpoints_or_schemas_is_refused() -> None:
    one = {"name": "e", "subject": "e"}
    many = {"name": "x", "version": "1.0.0", "endpoints": [one] * 2001}
    with pytest.raises(ConfigError, match="over 2000 endpoints"):
        read_document(many)
    with pytest.raises(ConfigError, match="over 100000 schemas"):
        read_document(contract({"anyOf": [TEXT] * 100_001}))


@pytest.mark.parametrize("code", [7, 99, 10_000, -1, True, 10**50])
def test_an_error_with_a_code_that_none_can_have_is_refused(code: Any) -> None:
    with pytest.raises(ConfigError, match="expected a number, 100 to 9999"):
        read_document(contract(None, errors=[{"name": "Odd", "code": code}]))


def test_a_version_of_very_many_digits_is_compared() -> None:
    old = contract(None)
    assert diff(old, {**old, "version": "9" * 10_000 + ".0.0"}).old_version == "1.0.0"


def load(source: str) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "stub"}
    exec(compile(source, "stub", "exec"), space)  # what `natsrpc stub` wrote is to load
    return space


@pytest.mark.parametrize(
    "text",
    [
        'ends in """', 'ends in """"', 'ends in "', 'ends in \\"', '"""', '""""""', "ends in \\",
        'a """ within', 'a\n"""\nb', '"' * 50, '\\"""', '\\\\"', "nul \x00 esc \x1b \u2028 \ud800",
        "'''", "\t", "\\N{x}", "\\x", "{braces} %s",
    ],
)  # fmt: skip
def test_a_stub_loads_whatever_its_descriptions_say(text: str) -> None:
    model = {
        "type": "object", "title": "Q", "description": text,
        "properties": {"a": {"type": "string", "description": text, "default": text}},
    }  # fmt: skip
    said = contract(
        model,
        description=text,
        response={"enum": ["a", text], "title": "E", "description": text},
        errors=[{"name": "Odd", "code": 400, "description": text}],
    )
    space = load(stub({**said, "description": text}))
    assert space["X"].__doc__ is not None or not text.strip()
    visible = "".join(letter for letter in text.strip() if letter.isprintable() or letter == "\n")
    if visible and "\n" not in visible and "\t" not in text:
        assert space["Q"].__doc__ == visible.rstrip()


@pytest.mark.parametrize("default", [math.inf, -math.inf, math.nan])
@pytest.mark.parametrize("kind", ["number", "array", "object", "string"])
def test_a_stub_loads_whatever_its_defaults_are(default: float, kind: str) -> None:
    value: Any = {"array": [default], "object": {"a": default}}.get(kind, default)
    field = {"type": kind, "default": value, "enum": [value, 1]} if kind == "string" else {
        "type": kind, "default": value, "minimum": default,
    }  # fmt: skip
    load(stub(contract({"type": "object", "title": "Q", "properties": {"a": field}})))


@pytest.mark.parametrize(
    "data",
    [
        {"$defs": None}, {"$defs": [1]}, {"$defs": {"A": None}}, {"$ref": 7}, {"anyOf": [7]},
        {"anyOf": {}}, {"properties": {"a": {"default": 1}}, "required": [[], {}]},
        {"properties": {"a": 1}, "required": ["a", 1]}, {"title": 7}, {"request": {"title": 7}},
    ],
)  # fmt: skip
def test_a_default_that_looks_like_a_schema_is_data(data: Any) -> None:
    field = {"type": "object", "default": data, "examples": [data]}
    model = {"type": "object", "title": "Q", "properties": {"a": field}, "default": data}
    said = contract(model, response={"enum": [data, 1]}, items={"const": data})
    load(stub(said))
    assert diff(said, said).changes == ()


values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["object", "array", "string", "#/$defs/A", "date-time"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "properties", "items", "anyOf", "oneOf", "allOf", "$ref", "$defs", "A", "enum",
             "const", "default", "title", "description", "required", "additionalProperties",
             "prefixItems", "format", "minimum", "maxItems", "multipleOf", "pattern", "uniqueItems"]
        ) | st.text(max_size=4),
        inner,
        max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@given(values, values, st.text(max_size=8))
def test_any_json_is_a_contract_that_is_read_or_an_error_of_ours(
    one: Any, other: Any, text: str
) -> None:
    documents = [
        contract(one, response=other, description=text, kind=text or "unary"),
        {"name": text or "x", "version": text or "1", "endpoints": [other, one]},
        one,
    ]
    for old in documents:
        for new in documents:
            try:
                diff(old, new)
            except NatsRpcError:
                continue
        try:
            source = stub(old)
        except NatsRpcError:
            continue
        compile(source, "stub", "exec")
        json.dumps(read_document(old))
