"""TypeScript modules: what is written for which schema. `tests/interop` compiles and runs them."""

from __future__ import annotations

import re
import time
from typing import Any

import pytest

from natsrpc.describe import document, typescript
from natsrpc.errors import ConfigError

from .lexical import check
from .test_hostile import BOMBS, LONGEST
from .wide import service


def contract(**endpoint: Any) -> dict[str, Any]:
    given = {"name": "do", "subject": "do", **endpoint}
    return {"name": "desk", "version": "1.0.0", "endpoints": [given]}


def kind(schema: Any) -> str:
    """The type of the method's parameter."""
    source = typescript(contract(request=schema))
    check(source)
    found = re.search(r"async do\(request: (.*), options: CallOptions", source)
    assert found is not None
    return found[1]


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "unknown"),
        ({"type": "strange"}, "unknown"),
        ({"type": "null"}, "null"),
        ({"type": "integer"}, "number"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "number | null"),
        ({"anyOf": [{}, {"type": "integer"}]}, "unknown"),
        ({"anyOf": []}, "unknown"),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "string"),
        ({"allOf": [{"type": "string"}], "minLength": 2}, "string"),
        ({"const": "a"}, '"a"'),
        ({"enum": ["a", 1, None, True, 1.5]}, '"a" | 1 | null | true | 1.5'),
        ({"enum": ["a", {"b": 1}]}, '"a" | unknown'),
        ({"const": float("nan")}, "number"),
        ({"const": '"\u2028*/'}, '"\\"\\u2028*/"'),
        ({"type": "string", "format": "date-time"}, "string"),
        ({"type": "string", "contentMediaType": "application/octet-stream"}, "Uint8Array"),
        ({"type": "array"}, "Array<unknown>"),
        ({"type": "array", "items": {"type": "string"}}, "string[]"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "Array<string | null>"),
        ({"type": "array", "maxItems": 0}, "[]"),
        ({"type": "array", "prefixItems": [{"type": "string"}, {}]}, "[string, unknown]"),
        ({"type": "object"}, "Record<string, unknown>"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "Record<string, number>"),
        ({"type": "object", "additionalProperties": False}, "Record<string, never>"),
        ({"type": "object", "properties": {"a": {}}}, "DoRequest"),
        ({"type": "object", "title": "a thing", "properties": {"a": {}}}, "AThing"),
        ({"$ref": "#/$defs/Nowhere"}, "unknown"),
        ({"$ref": "#/$defs/A", "$defs": {"A": {"anyOf": [{"$ref": "#/$defs/A"}]}}}, "unknown"),
        ({"$ref": "#/$defs/Kind", "$defs": {"Kind": {"enum": ["x"]}}}, "Kind"),
    ],
)
def test_types(schema: Any, expected: str) -> None:
    found = kind(schema)
    assert found == expected.replace("Array<unknown>", "unknown[]")


def test_a_model_of_both_directions_is_two_where_it_differs() -> None:
    properties = {"a": {"type": "string"}, "b": {"type": "integer", "default": 1}}
    model = {"type": "object", "title": "Note", "properties": properties}
    sent, answered = {**model, "required": ["a"]}, {**model, "required": ["a", "b"]}
    source = typescript(contract(request=sent, response=answered))
    assert "(request: Note, options: CallOptions = {}): Promise<NoteReply>" in source
    assert "export interface Note {\n  a: string;\n  b?: number;\n}" in source
    assert "export interface NoteReply {\n  a: string;\n  b: number;\n}" in source
    same = typescript(contract(request=sent, response=sent))
    assert "(request: Note, options: CallOptions = {}): Promise<Note>" in same
    assert same.count("export interface Note") == 1


def test_a_model_may_contain_itself() -> None:
    inner = {"type": "array", "items": {"$ref": "#/$defs/Node"}}
    node = {"type": "object", "title": "Node", "properties": {"children": inner}}
    source = typescript(contract(request={"$ref": "#/$defs/Node", "$defs": {"Node": node}}))
    assert "export interface Node {\n  children?: Node[];\n}" in source


@pytest.mark.parametrize(
    "name", ["RpcError", "Promise", "CallOptions", "Conversation", "Map", "Msg", "ReadonlyArray"]
)
def test_no_type_takes_a_name_that_the_module_needs(name: str) -> None:
    model = {"type": "object", "title": name, "properties": {"a": {}}}
    source = typescript({**contract(request=model), "name": name})
    check(source)
    assert f"(request: {name}Reply" in source
    assert source.count(f"interface {name} {{") == (name == "CallOptions")


@pytest.mark.parametrize(
    "name", ["then", "constructor", "to_string", "__proto__", "9", "é", "import"]
)
def test_methods_have_names_that_an_object_can_have(name: str) -> None:
    source = typescript(contract(name=name, subject="s.t"))
    check(source)
    found = re.search(r"async (\w+)\(options", source)
    assert found is not None
    assert found[1] not in ("then", "constructor", "toString")
    assert not found[1][0].isdigit()


def test_methods_of_one_name_are_told_apart() -> None:
    two = [{"name": "do_it", "subject": f"s.{n}"} for n in ("one", "two")]
    source = typescript({"name": "desk", "version": "1.0.0", "endpoints": two})
    assert re.findall(r"async (\w+)\(options", source) == ["doIt", "sTwo"]


def test_a_service_that_nobody_can_call_is_an_empty_module() -> None:
    source = typescript(contract(name="any", subject="any.*"))
    assert "Left out, because a call or an event needs one subject: any.*" in source
    assert source.endswith("\n\nexport {};\n")


@pytest.mark.parametrize("text", ["*/", "**/", "*\\/", "/*", "a */ b", "\n*/\n", "\u2028*/", "//"])
def test_no_description_ends_its_comment(text: str) -> None:
    model: dict[str, Any] = {"type": "object", "title": "Q", "description": text}
    model["properties"] = {text: {"type": "string", "description": text}}
    error = {"name": "Odd", "code": 400, "description": text, "fields": model}
    said = contract(request=model, response=model, description=text, errors=[error])
    said["publishes"] = [{"subject": "a.b", "description": text, "payload": model}]
    check(typescript({**said, "description": text, "version": text}))


def test_every_kind_of_endpoint_is_well_formed() -> None:
    check(typescript(document(service.contract)))


@pytest.mark.parametrize("what", BOMBS)
def test_a_contract_that_unfolds_without_end_ends(what: str) -> None:
    schema = BOMBS[what][-1]
    begin = time.process_time()
    try:
        check(typescript(contract(request=schema, response=schema)))
    except ConfigError as error:
        assert len(str(error)) < 500
    assert time.process_time() - begin < LONGEST
