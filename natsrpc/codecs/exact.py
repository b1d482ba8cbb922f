"""Tests of a value by classes alone. The JSON and MessagePack codecs run them before they write.

pydantic's serializer writes a wrong value, too, with a warning. To have it raise instead costs
about a microsecond a value; a test of the class costs a tenth of that. There are two kinds:

- `exact_test` is for the fast path. It settles scalars, models (which were validated when they were
  made), and lists, dicts, unions and arguments of those. A value that passes is right. One that
  fails may still be right: then the serializer decides, told to raise.
- `model_test` closes a gap of the serializer, which takes any object for a model and writes those
  attributes that it finds: often `{}`. It is for the slow path, before the serializer is called.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import NoneType, UnionType
from typing import Any, TypeAlias, Union, get_args, get_origin

from pydantic import BaseModel

from .fields import Fields

Test: TypeAlias = Callable[[Any], bool]
Node: TypeAlias = Mapping[str, Any]
"""A node of pydantic's core schema."""

_SCALARS = (int, str, bool, float)
_STR = frozenset({str})
_CLASSES: dict[str, Any] = {
    "int": int,
    "str": str,
    "bool": bool,
    "float": (int, float),
    "none": NoneType,
}
_ABSENT: Any = object()


def is_exact_class(type_: Any) -> bool:
    """Whether a value of exactly this class is valid. A subclass is not: `True` is no `int` here,
    and a model's subclass may have more fields."""
    return isinstance(type_, type) and (type_ in _SCALARS or issubclass(type_, BaseModel))


def exact_test(type_: Any) -> Test | None:
    """Return the test for a composite type; None for a type that classes do not settle."""
    if isinstance(type_, type) and issubclass(type_, Fields):
        return _fields_test(type_)
    origin, args = get_origin(type_), get_args(type_)
    if origin is list and is_exact_class(args[0]):
        return _list_test(args[0])
    if origin is dict and args[0] is str and is_exact_class(args[1]):
        return _dict_test(args[1])
    if origin in (Union, UnionType) and all(arg is NoneType or is_exact_class(arg) for arg in args):
        return _union_test(args)
    return None


def _fields_test(type_: type[Fields]) -> Test | None:
    classes = tuple((name, cls) for name, (cls, _) in type_.parameters.items())
    if not all(is_exact_class(cls) for _, cls in classes):
        return None

    def test(value: Any) -> bool:
        if type(value) is not dict or len(value) != len(classes):
            return False
        for name, cls in classes:  # noqa: SIM110 - a generator would cost as much as the loop
            if type(value.get(name)) is not cls:
                return False
        return True

    return test


def _list_test(cls: type) -> Test:
    only = frozenset({cls})
    return lambda value: type(value) is list and only.issuperset(map(type, value))


def _dict_test(cls: type) -> Test:
    only = frozenset({cls})
    return lambda value: (
        type(value) is dict
        and _STR.issuperset(map(type, value))
        and only.issuperset(map(type, value.values()))
    )


def _union_test(classes: tuple[type, ...]) -> Test:
    only = frozenset(classes)
    return lambda value: type(value) in only


def model_test(schema: Node) -> Test | None:
    """Return a test that the value has a model wherever its type has one; None for a type without
    models.

    Args:
        schema: pydantic's core schema of the type.

    The test ends at a model, because the fields of a model were validated when it was made. It also
    ends where a type contains itself, and at a union whose other choices cannot be told by class.
    """
    definitions = {each["ref"]: each for each in schema.get("definitions", ())}
    return _model_test(schema, definitions)


def _model_test(node: Node, definitions: Mapping[str, Node]) -> Test | None:
    kind = node["type"]
    if kind == "definition-ref":
        name = node["schema_ref"]
        # without the definition itself, so that a type that contains itself ends here
        rest = {key: each for key, each in definitions.items() if key != name}
        return _model_test(definitions[name], rest) if name in definitions else None
    if kind == "model":
        cls = node["cls"]
        return lambda value: isinstance(value, cls)
    if kind in ("definitions", "default", "function-before", "function-after", "function-wrap"):
        return _model_test(node["schema"], definitions)
    if kind == "nullable":
        inner = _model_test(node["schema"], definitions)
        return inner and (lambda value: value is None or inner(value))
    if kind == "list":
        return _items_test(list, node.get("items_schema"), definitions)
    if kind == "dict":
        return _items_test(dict, node.get("values_schema"), definitions)
    if kind == "tuple":
        return _tuple_test(node, definitions)
    if kind in ("typed-dict", "dataclass"):
        return _named_test(node, definitions)
    return _choices_test(node, definitions) if kind == "union" else None


def _items_test(
    kind: type[Any], inner: Node | None, definitions: Mapping[str, Node]
) -> Test | None:
    test = None if inner is None else _model_test(inner, definitions)
    if test is None:
        return None
    if kind is dict:
        return lambda value: isinstance(value, dict) and all(map(test, value.values()))
    return lambda value: isinstance(value, kind) and all(map(test, value))


def _tuple_test(node: Node, definitions: Mapping[str, Node]) -> Test | None:
    items = node["items_schema"]
    if node.get("variadic_item_index") == 0 and len(items) == 1:
        return _items_test(tuple, items[0], definitions)
    tests = [_model_test(each, definitions) for each in items]
    if not any(tests) or "variadic_item_index" in node:
        return None

    def test(value: Any) -> bool:
        if not isinstance(value, tuple) or len(value) != len(tests):
            return False
        return all(test is None or test(each) for test, each in zip(tests, value, strict=True))

    return test


def _named_test(node: Node, definitions: Mapping[str, Node]) -> Test | None:
    """The test for a typed dict or a dataclass. Neither is validated when it is made (a dataclass
    of pydantic's own is, but its fields may be set anew)."""
    cls: Any
    read: Any
    if node["type"] == "dataclass":
        cls, read = node["cls"], getattr
        fields = [(each["name"], each) for each in node["schema"].get("fields", ())]
    else:
        cls, read = dict, dict.get
        fields = list(node["fields"].items())
    found = ((name, _model_test(each["schema"], definitions)) for name, each in fields)
    tests = [(name, test) for name, test in found if test is not None]
    if not tests:
        return None

    def test(value: Any) -> bool:
        if not isinstance(value, cls):
            return False
        parts = ((test, read(value, name, _ABSENT)) for name, test in tests)
        return all(part is _ABSENT or test(part) for test, part in parts)

    return test


def _choices_test(node: Node, definitions: Mapping[str, Node]) -> Test | None:
    choices = [each[0] if isinstance(each, tuple) else each for each in node["choices"]]
    found = [_model_test(each, definitions) for each in choices]
    tests = [test for test in found if test is not None]
    kinds = [each["type"] for each, test in zip(choices, found, strict=True) if test is None]
    if not tests or not all(kind in _CLASSES for kind in kinds):
        return None
    classes = tuple(_CLASSES[kind] for kind in kinds)
    return lambda value: isinstance(value, classes) or any(test(value) for test in tests)
