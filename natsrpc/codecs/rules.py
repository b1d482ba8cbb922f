"""natsrpc's own rules in the pydantic schema of a type. `Typed` rewrites it when a type is bound.

A message costs nothing extra, because the rules are part of the schema that pydantic compiles:

- A boolean is not an integer. pydantic's lax mode takes `true` for 1. There is no switch for that
  alone, so integers are strict first (`strict_int`); when that fails, a second validator decides,
  made with `lenient_int`: it takes what pydantic takes elsewhere ("5", 5.0) but no booleans. The
  strict one is the common one and stays in compiled code; the check for booleans calls Python.
- JSON: NaN and the infinities are written as `NaN` and `Infinity`, to be found and refused by the
  encoder. pydantic's default is `null`, which no reader could tell from a missing value.
- JSON: a float that is read is finite, also where it comes as text: NaN is no JSON.
- JSON: nested bytes are base64 in the standard alphabet (RFC 4648, section 4), as Go and JavaScript
  read them. pydantic's own writer uses the alphabet for URLs (section 5).

Settings of a user's own `model_config` win.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias, cast

from pydantic_core import CoreSchema, PydanticCustomError, core_schema

Node: TypeAlias = dict[str, Any]
IntRule: TypeAlias = Callable[[Node], Node]

JSON_CONFIG: Mapping[str, Any] = {
    "ser_json_inf_nan": "constants",
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
}
"""The configuration of validator and serializer for JSON."""

# Keys of a node whose value is a node, or a collection of them.
_INNER_KEYS = (
    "schema items_schema values_schema choices fields definitions steps lax_schema strict_schema "
    "json_schema python_schema extras_schema"
)
_INNER = frozenset(_INNER_KEYS.split())
_CONFIGURED = frozenset({"model", "dataclass", "typed-dict"})
# Node types that cannot hold a float; of any other type, the encoded text is searched for NaN. It
# is a list of the safe ones, so that a node type which pydantic adds later is searched, too.
_FINITE_KINDS = (
    "int str bool bytes none date time datetime timedelta uuid url multi-host-url literal model "
    "model-fields model-field dataclass dataclass-args dataclass-field typed-dict typed-dict-field "
    "list dict tuple set frozenset nullable default union tagged-union definitions definition-ref "
    "function-before function-after function-wrap chain lax-or-strict json-or-python"
)
_FINITE = frozenset(_FINITE_KINDS.split())
# A container without this key holds values of any type.
_CONTAINERS = {"list": "items_schema", "set": "items_schema", "dict": "values_schema"}
_BASE64 = core_schema.plain_serializer_function_ser_schema(
    lambda value: base64.b64encode(value).decode(),
    return_schema=core_schema.str_schema(),
    when_used="json",
)


# Kinds of nodes that take no string.
_NO_TEXT_KINDS = (
    "list tuple set frozenset dict generator dataclass typed-dict model-fields dataclass-args none "
    "is-instance is-subclass call callable arguments tagged-union"
)
_NO_TEXT = frozenset(_NO_TEXT_KINDS.split())
# Kinds of nodes whose values are made of several: no key of a map in any format.
_NO_KEY = frozenset(
    ["list", "tuple", "set", "frozenset", "dict", "dataclass", "typed-dict", "model"]
)
_STRICT = frozenset({"int", "float", "bool"})
_TEXT_BY_FUNCTION = frozenset({"function-before", "function-wrap", "function-plain", "json"})
# Where the node is that JSON or text meets first, inside another.
_FIRST = ("json_schema", "lax_schema", "schema", "steps")


class Rewriter:
    """Copies one schema with the rules in it, and notes facts about the type on the way.

    Args:
        config: the configuration that holds where a model has none of its own: `JSON_CONFIG` or {}.
        integer: the rule for integers: `strict_int` or `lenient_int`.
        finite_only: floats take neither NaN nor the infinities, unless their author says otherwise.

    `constants` tells that a value may hold them all the same: its text must be searched.
    `kinds` are the types of all nodes, with "any" where values of any type can be. `custom` tells
    that something is written by a function of the user, `strict` that the author wants strict
    validation somewhere, `keys` that a mapping may have keys other than strings (`key_nodes` are
    theirs). `by_alias` is
    False where a model is read by its field names alone: then pydantic's settings alone decide by
    which names values are written.
    """

    def __init__(
        self, config: Mapping[str, Any], integer: IntRule, *, finite_only: bool = False
    ) -> None:
        self.kinds: set[str] = set()
        self.custom: bool = False
        self.strict: bool = False
        self.keys: bool = False
        self.key_nodes: list[Node] = []
        self.by_alias: bool = True
        self._config = config
        self._integer = integer
        self._finite_only = finite_only
        self._takes_constants = False

    @property
    def finite(self) -> bool:
        """Whether no value of the type can hold a float, so that none needs a search for NaN."""
        return not self.custom and self.kinds <= _FINITE

    @property
    def constants(self) -> bool:
        """Whether NaN can be read as a value, or as a part of one, though the rules refuse it."""
        return self._takes_constants or not self.kinds <= _FINITE | {"float"}

    def rewrite(self, schema: Mapping[str, Any]) -> Node:
        """Return the copy."""
        return cast(Node, self._rewrite(schema, self._config))

    def _rewrite(self, node: Any, config: Mapping[str, Any]) -> Any:
        if isinstance(node, list | tuple):
            return type(node)(self._rewrite(item, config) for item in node)
        if not isinstance(node, dict):
            return node
        kind = node.get("type")
        if not isinstance(kind, str):  # a dict of nodes: the fields of a model, say
            return {key: self._rewrite(value, config) for key, value in node.items()}
        return self._rewrite_node(node, kind, config)

    def _rewrite_node(self, node: Node, kind: str, config: Mapping[str, Any]) -> Node:
        self._note(node, kind)
        copy = dict(node)
        if kind in _CONFIGURED:
            config = {**self._config, **node.get("config", {})}
            copy["config"] = config
            self._note_config(config)
        for key in _INNER & copy.keys():
            copy[key] = self._rewrite(copy[key], config)
        if kind == "int":
            return self._integer(copy)
        if kind == "float" and self._finite_only:
            as_text = config.get("ser_json_inf_nan") == "strings"
            allowed = config.get("allow_inf_nan", as_text)
            self._takes_constants |= bool(copy.setdefault("allow_inf_nan", allowed))
        # a model's own setting counts for JSON alone: MessagePack has bytes, and no base config
        if kind == "bytes" and self._config and config.get("ser_json_bytes") == "base64":
            copy.setdefault("serialization", _BASE64)
        return copy

    def _note(self, node: Node, kind: str) -> None:
        self.kinds.add(kind)
        self.strict = self.strict or bool(node.get("strict"))
        if "serialization" in node or node.get("computed_fields"):
            self.custom = True
        if node.get("extra_behavior") == "allow" or _CONTAINERS.get(kind, "type") not in node:
            self.kinds.add("any")
        if "keys_schema" in node:  # of a dict, or of a Counter
            self._note_keys(node)

    def _note_keys(self, node: Node) -> None:
        if _has_other_keys(node):
            self.keys = True
            self.key_nodes.append(node["keys_schema"])

    def _note_config(self, config: Mapping[str, Any]) -> None:
        self.strict = self.strict or bool(config.get("strict"))
        if config.get("extra_fields_behavior") == "allow":
            self.kinds.add("any")
        if config.get("validate_by_alias") is False:
            self.by_alias = False


def strict_int(node: Node) -> Node:
    """Have an integer take integers alone, unless its author says otherwise."""
    node.setdefault("strict", True)
    return node


def lenient_int(node: Node) -> Node:
    """Have an integer take what pydantic converts to one, but no booleans."""
    # other nodes refer to this one by its `ref`, so the wrapper must carry it
    outer = {"ref": node.pop("ref")} if "ref" in node else {}
    wrapped = core_schema.no_info_before_validator_function(_no_bool, cast(CoreSchema, node))
    return {**cast(Node, wrapped), **outer}


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


def _has_other_keys(node: Node) -> bool:
    keys = node.get("keys_schema")
    return keys is not None and keys.get("type") not in ("str", "any")


def outermost(node: Node) -> Node:
    """Return the node that describes the type itself, below its table of definitions."""
    return outermost(node["schema"]) if node["type"] == "definitions" else node


def required_keys(node: Node) -> frozenset[str]:
    """Return the keys that a typed dict must have; none for another type."""
    if node["type"] != "typed-dict":
        return frozenset()
    total = node.get("total", True)
    return frozenset(name for name, field in node["fields"].items() if field.get("required", total))


def takes_none(node: Node) -> bool:
    """Whether None is a value of the type."""
    kind = node["type"]
    if kind == "union":
        choices = (item[0] if isinstance(item, tuple) else item for item in node["choices"])
        return any(map(takes_none, choices))
    if kind in ("default", "definitions"):
        return takes_none(node["schema"])
    return kind in ("any", "none", "nullable")


def takes_text(node: Node, definitions: Mapping[str, Node] | None = None) -> bool:
    """Whether some string can become a value of the type. `definitions` are those known by now."""
    kind, known = node["type"], definitions or {}
    if kind in _TEXT_BY_FUNCTION:
        return True
    if kind in _NO_TEXT or (kind == "model" and not node.get("root_model")):
        return False
    if kind in _STRICT and node.get("strict"):
        return False
    if kind == "literal":
        return any(isinstance(each, str) for each in node["expected"])
    if kind == "enum":
        values = (each.value for each in node["members"])
        return bool(
            node.get("sub_type") or node.get("missing") or any(isinstance(v, str) for v in values)
        )
    if kind == "definitions":
        known = {**known, **{each["ref"]: each for each in node["definitions"]}}
    if kind == "definition-ref":
        # without the definition itself, so that a type that contains itself ends here
        rest = {name: each for name, each in known.items() if name != node["schema_ref"]}
        inner = known.get(node["schema_ref"])
        return inner is None or takes_text(inner, rest)
    if kind == "union":
        choices = (each[0] if isinstance(each, tuple) else each for each in node["choices"])
        return any(takes_text(each, known) for each in choices)
    inner = next((node[key] for key in _FIRST if key in node), None)
    if isinstance(inner, list | tuple):
        inner = inner[0]
    return inner is None or takes_text(cast(Node, inner), known)


def impossible_key(nodes: list[Node], definitions: Mapping[str, Node], *, json: bool) -> str:
    """Return the kind of the first node that no map can have as its key; empty if there is none.

    A key is a string in JSON; in MessagePack it is anything but a collection.
    """
    for node in nodes:
        kind: str = node["type"]
        inner = definitions.get(node["schema_ref"], node) if kind == "definition-ref" else node
        if "serialization" in inner:
            continue
        has_none = json and inner["type"] == "nullable"  # it is written as the text "None"
        if inner["type"] in _NO_KEY or has_none or (json and not takes_text(inner, definitions)):
            found: str = inner["type"]
            return found
    return ""
