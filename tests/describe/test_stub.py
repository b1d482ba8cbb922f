"""Client modules: what is written for which schema. That they work, the command's tests show."""

from __future__ import annotations

import ast
import asyncio
import sys
from types import ModuleType
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.describe import document, stub
from natsrpc.errors import ConfigError
from natsrpc.rpc import EndpointContract, Service

from .wide import service


def contract(**endpoint: Any) -> dict[str, Any]:
    given = {"name": "do", "subject": "do", **endpoint}
    return {"name": "desk", "version": "1.0.0", "endpoints": [given]}


def written(schema: Any) -> str:
    return stub(contract(request=schema))


def annotation(schema: Any) -> str:
    """The type of the method's parameter."""
    for node in ast.walk(ast.parse(written(schema))):
        if isinstance(node, ast.AsyncFunctionDef):
            found = node.args.args[1].annotation
            assert found is not None
            return ast.unparse(found)
    raise AssertionError("no method")


def loaded(source: str) -> ModuleType:
    module = ModuleType("stub_under_test")
    sys.modules[module.__name__] = module
    exec(compile(source, "stub_under_test.py", "exec"), vars(module))
    return module


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({}, "Any"),
        ({"type": "strange"}, "Any"),
        ({"type": "null"}, "None"),
        ({"type": ["string", "null"]}, "str | None"),
        ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, "int | None"),
        ({"anyOf": [{}, {"type": "integer"}]}, "Any"),
        ({"anyOf": []}, "Any"),
        ({"oneOf": [{"type": "string"}, {"type": "string"}]}, "str"),
        ({"allOf": [{"type": "string"}], "minLength": 2}, "Annotated[str, Field(min_length=2)]"),
        ({"const": "a"}, "Literal['a']"),
        ({"const": None}, "None"),
        ({"enum": ["a", 1, None, True]}, "Literal['a', 1, None, True]"),
        ({"enum": [1.5]}, "Any"),
        ({"type": "string", "format": "binary"}, "bytes"),
        ({"type": "string", "format": "email"}, "str"),
        ({"type": "string", "format": "decimal"}, "Decimal"),
        ({"type": "string", "contentMediaType": "application/octet-stream"}, "bytes"),
        ({"type": "string", "format": "date", "minLength": 3}, "dt.date"),
        ({"type": "number", "exclusiveMinimum": 0}, "Annotated[float, Field(gt=0)]"),
        ({"type": "array"}, "list[Any]"),
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, "set[int]"),
        ({"type": "array", "items": {"enum": ["a"]}, "uniqueItems": True}, "set[Literal['a']]"),
        ({"type": "array", "items": {}, "uniqueItems": True}, "list[Any]"),
        ({"type": "array", "items": {"type": "integer"}, "maxItems": 0}, "tuple[()]"),
        ({"type": "array", "prefixItems": [], "maxItems": 0}, "tuple[()]"),
        ({"type": "array", "prefixItems": [{"type": "integer"}], "maxItems": 1}, "tuple[int]"),
        ({"type": "array", "prefixItems": [{}], "items": {"type": "integer"}}, "list[Any]"),
        (
            {"type": "array", "items": {"type": "string"}, "minItems": 1},
            "Annotated[list[str], Field(min_length=1)]",
        ),
        ({"type": "object"}, "dict[str, Any]"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "dict[str, float]"),
        ({"$ref": "#/$defs/Missing"}, "Any"),
        ({"$ref": "#/$defs/A", "$defs": {"A": True}}, "Any"),
        (
            {
                "$ref": "#/$defs/Json",
                "$defs": {
                    "Json": {
                        "anyOf": [
                            {"type": "integer"},
                            {"type": "array", "items": {"$ref": "#/$defs/Json"}},
                        ]
                    }
                },
            },
            "int | list[Any]",
        ),
        ({"enum": ["a"], "title": "Kind"}, "Kind"),
        ({"type": "object", "title": "Order", "properties": {}}, "Order"),
    ],
)
def test_annotations(schema: Any, expected: str) -> None:
    assert annotation(schema) == expected


def test_inline_objects_are_named_by_where_they_are() -> None:
    inner = {"type": "object", "title": "Its Title", "properties": {"a": {"type": "integer"}}}
    schema = {"type": "object", "title": "Outer", "properties": {"in-ner": inner, "b": True}}
    module = loaded(written(schema))
    assert module.Outer(in_ner=module.InNer(a=1)).model_dump(by_alias=True) == {"in-ner": {"a": 1}}
    assert module.Outer.model_validate({"in-ner": {"a": 1}, "b": 2}).b == 2


def test_fields_that_become_one_name_stay_apart() -> None:
    properties = {name: {"type": "integer"} for name in ("a-b", "a_b", "model_dump_x", "copy")}
    schema = {"type": "object", "title": "T", "properties": properties, "required": [*properties]}
    module = loaded(written(schema))
    assert list(module.T.model_fields) == ["a_b", "a_b_", "field_model_dump_x", "copy_"]
    value = module.T.model_validate(dict.fromkeys(properties, 1))
    assert value.model_dump(by_alias=True) == dict.fromkeys(properties, 1)


@pytest.mark.parametrize(
    ("schema", "default", "expected"),
    [
        ({"type": "string"}, "x", 'f: str = "x"'),
        ({"type": "array", "items": {"type": "string"}}, ["x"], 'f: list[str] = ["x"]'),
        ({"type": "array", "items": {"type": "string"}}, [], "f: list[str] = []"),
        ({"type": "array", "items": {"type": "integer"}, "uniqueItems": True}, [], "factory=set"),
        ({"type": "object"}, {}, "f: dict[str, Any] = {}"),
        ({"$ref": "#/$defs/E"}, "a", 'default_factory=lambda: E("a")'),
        ({"$ref": "#/$defs/M"}, {"a": 1}, 'lambda: M.model_validate({"a": 1})'),
        ({"type": "string", "format": "uuid"}, "0" * 32, "TypeAdapter[UUID](UUID)"),
    ],
)
def test_defaults(schema: Any, default: Any, expected: str) -> None:
    definitions = {
        "E": {"enum": ["a"]},
        "M": {"type": "object", "properties": {"a": {"type": "integer"}}},
    }
    field = {**schema, "default": default}
    model = {"type": "object", "title": "T", "properties": {"f": field}, "$defs": definitions}
    source = written(model)
    assert expected in source
    module = loaded(source)
    assert module.T().model_dump(mode="json")["f"] in (
        default,
        "0" * 8 + "-0000" * 3 + "-" + "0" * 12,
    )


def test_one_model_is_one_class_both_ways_and_two_are_two() -> None:
    source = stub(document(service.contract))
    classes = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert classes.count("Node") == 1
    assert {"Everything", "EverythingReply"} <= set(classes)  # what a factory makes is not told
    assert "NodeReply" not in classes
    assert len(classes) == len(set(classes))


def test_other_definitions_of_one_name_are_numbered() -> None:
    def endpoint(name: str, kind: str) -> dict[str, Any]:
        properties = {"a": {"type": kind}}
        schema = {"type": "object", "title": "Order", "properties": properties}
        return {"name": name, "subject": name, "request": schema}

    kinds = ("integer", "string", "number", "boolean")
    endpoints = [endpoint(f"e{place}", kind) for place, kind in enumerate(kinds)]
    source = stub({"name": "desk", "version": "1.0.0", "endpoints": endpoints})
    for name in ("Order", "OrderReply", "Order2", "Order3"):
        assert f"class {name}(BaseModel):" in source


def test_endpoints_of_one_name_are_told_apart_by_their_subjects() -> None:
    places = [("get", "users.get"), ("get", "orders.{id}.get"), ("get_", "x"), ("list", "list")]
    endpoints = [{"name": n, "subject": s.replace("{id}", "*"), "template": s} for n, s in places]
    module = loaded(stub({"name": "desk", "version": "1.0.0", "endpoints": endpoints}))
    called: dict[str, str] = {}

    class Client:
        def call(self, contract: EndpointContract, **_: Any) -> Any:
            called[name] = contract.template or contract.subject
            return asyncio.sleep(0)

    desk = module.Desk(Client())
    methods = [name for name in vars(module.Desk) if not name.startswith("__")]
    for name in methods:
        tokens = {"id": "7"} if name == "orders_id_get" else {}
        asyncio.run(getattr(desk, name)(**tokens))
    assert called == {
        "get": "users.get",
        "orders_id_get": "orders.{id}.get",
        "x": "x",
        "list_": "list",
    }


def test_a_service_without_endpoints_is_a_module_too() -> None:
    module = loaded(stub(document(Service("empty", version="1.0.0").contract)))
    assert module.Empty.__doc__ == "Calls to empty."


def test_a_service_named_like_one_of_its_models() -> None:
    found = contract(request={"type": "object", "title": "Desk", "properties": {}})
    module = loaded(stub(found))
    assert hasattr(module.Desk, "do")
    assert module.DeskReply


def test_own_errors_of_natsrpc_are_not_written_again() -> None:
    error = {"name": "NotFoundError", "code": 404, "fields": None}
    source = stub(contract(errors=[error]))
    assert "errors=(natsrpc.NotFoundError,)" in source
    assert "class NotFoundError" not in source


def test_an_error_s_fields_keep_their_names() -> None:
    fields = {
        "type": "object",
        "properties": {"sku": {"type": "string"}, "not a name": {}, "class": {}},
    }
    error = {"name": "Bad", "code": 409, "description": "Bad.", "fields": fields}
    module = loaded(stub(contract(errors=[error])))
    assert module.Bad.fields() == {"sku": str}


@pytest.mark.parametrize(
    "bad",
    [
        {"template": 3},
        {"errors": [3]},
        {"errors": [{"name": "A", "code": "4"}]},
        {"errors": [{"name": "A", "code": 4, "fields": 3}]},
        {"response": "x"},
        {"kind": None},
    ],
)
def test_what_is_no_contract_is_refused(bad: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="this is no contract"):
        stub(contract(**bad))


evil = st.text() | st.sampled_from(
    ['"""\nimport os\n"""', '"', "\\", "'); import os; (", "x\x00y", "a\nb", "#", "{}", "${x}"]
)


@given(st.data())
def test_no_text_of_a_contract_becomes_code(data: st.DataObject) -> None:
    text = st.shared(evil)

    def some() -> str:
        return data.draw(evil)

    model = {
        "type": "object",
        "title": some(),
        "description": some(),
        "properties": {
            some(): {"type": "string", "default": some(), "description": some(), "pattern": some()},
            some(): {"enum": [some(), 1]},
            some(): {"$ref": "#/$defs/x"},
        },
        "$defs": {"x": {"enum": [some(), some()], "title": some(), "description": some()}},
    }
    error = {
        "name": some(),
        "code": 409,
        "description": some(),
        "fields": {"properties": {some(): {"type": some()}}},
    }
    found = contract(
        name=some() or "x",
        subject=some() or "x",
        template=some(),
        queue_group=some(),
        kind=some(),
        description=some(),
        request=model,
        response={"const": some()},
        errors=[error],
    )
    found |= {"name": some() or "x", "version": some() or "1", "description": data.draw(text)}
    tree = ast.parse(stub(found))
    kinds = {type(node) for node in tree.body}
    assert kinds <= {ast.Expr, ast.ImportFrom, ast.Import, ast.ClassDef, ast.Assign}
    modules = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    assert modules <= {"natsrpc", "datetime"}
    calls = {
        ast.unparse(node.func).partition("[")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    assert {call.rpartition(".")[2] for call in calls} <= {
        "Field",
        "ConfigDict",
        "EndpointContract",
        "call",
        "upload",
        "stream",
        "model_validate",
        "validate_python",
        "TypeAdapter",
    } | {node.name for node in tree.body if isinstance(node, ast.ClassDef)}
