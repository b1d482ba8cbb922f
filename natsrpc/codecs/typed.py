"""Any type to a pydantic schema that keeps natsrpc's rules, and pydantic's errors to ours.

The codecs use pydantic's own schema of a type with three changes, made once at bind time, so that a
message costs nothing extra:

- a boolean is not an integer. Integers are strict; when that fails, a second validator decides,
  one that takes what pydantic takes elsewhere ("5", 5.0) but no booleans;
- JSON: NaN and the infinities are written as such, to be found and refused, instead of as null;
- JSON: nested bytes are base64, in the alphabet that Go and JavaScript read.

Settings of a user's own `model_config` win.
"""

from __future__ import annotations

import base64
import contextlib
import functools
import inspect
import operator
import sys
import types
from collections.abc import Callable, Mapping
from typing import Annotated, Any, TypeAlias, cast, get_args, get_origin, get_type_hints

import typing_extensions
from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter, ValidationError
from pydantic.errors import PydanticSchemaGenerationError
from pydantic_core import (
    CoreConfig,
    CoreSchema,
    PydanticCustomError,
    SchemaSerializer,
    SchemaValidator,
    core_schema,
)

from natsrpc.errors import ConfigTypeError, DecodeError, EncodeError

from .exact import model_test
from .fields import Fields

_Node: TypeAlias = dict[str, Any]

_JSON_CONFIG: dict[str, Any] = {
    "ser_json_inf_nan": "constants",
    "ser_json_bytes": "base64",
    "val_json_bytes": "base64",
}
_INNER_KEYS = (
    "schema items_schema values_schema choices fields definitions steps lax_schema strict_schema "
    "json_schema python_schema extras_schema"
)
_INNER = frozenset(_INNER_KEYS.split())
_CONFIGURED = frozenset({"model", "dataclass", "typed-dict"})
# Node types that cannot hold a float. With any other, what was encoded is searched for NaN.
_FINITE_KINDS = (
    "int str bool bytes none date time datetime timedelta uuid url multi-host-url literal model "
    "model-fields model-field dataclass dataclass-args dataclass-field typed-dict typed-dict-field "
    "list dict tuple set frozenset nullable default union tagged-union definitions definition-ref "
    "function-before function-after function-wrap chain lax-or-strict json-or-python"
)
_FINITE = frozenset(_FINITE_KINDS.split())
_CONTAINERS = {"list": "items_schema", "set": "items_schema", "dict": "values_schema"}
_OPTIONAL = frozenset({"any", "none", "nullable"})
# The validators that the classes in a schema already have would be used in place of what it says.
# From pydantic 2.13 on that can be switched off; a pydantic that cannot keeps its own rules there.
_REBUILD: dict[str, Any] = (
    {"_use_prebuilt": False}
    if "_use_prebuilt" in inspect.signature(SchemaValidator).parameters
    else {}
)

MAX_ERRORS = 50
_MAX_ERRORS_READ = 1000  # beyond, listing them would cost more than the request is worth
_MAX_PATH = 200


class Typed:
    """A type with its validators and serializer, made by `typed`.

    `validator` is the hot one; `lenient()` is the second opinion. `optional` tells that None is a
    value of the type, `keys` that a mapping in it has keys other than strings, `required` what keys
    a typed dict must have, `strict` that its author wants strict validation somewhere in it.
    """

    def __init__(self, type_: Any, *, json: bool) -> None:
        self.type = type_
        self.name: str = type_name(type_)
        self.adapter: TypeAdapter[Any] = make_adapter(type_)
        self._source = cast(_Node, self.adapter.core_schema)
        self._config = cast(CoreConfig, _JSON_CONFIG if json else {})
        self._json = json
        self.kinds: set[str] = set()
        self.custom: bool = False
        self.strict: bool = False
        self.keys: bool = False
        self.by_alias: bool = True
        schema = self._rewrite(self._source, self._config, _strict_int)
        self.outer: _Node = _outermost(schema)
        self.optional: bool = _takes_none(schema)
        self.required: frozenset[str] = _required_keys(self.outer)
        is_fields = isinstance(type_, type) and issubclass(type_, Fields)
        self._parameters = type_.parameters.keys() if is_fields else None
        self._models = model_test(self._source)
        self.validator: SchemaValidator = self._validator(schema)
        self.serializer: SchemaSerializer = SchemaSerializer(
            cast(CoreSchema, schema), self._config, **_REBUILD
        )
        self.finite: bool = not self.custom and self.kinds <= _FINITE
        self._lenient: SchemaValidator | None = None

    def lenient(self) -> SchemaValidator | None:
        """Return the validator that converts to int whatever is not a boolean; None if no int."""
        if self._lenient is None and "int" in self.kinds:
            self._lenient = self._validator(self._rewrite(self._source, self._config, _lenient_int))
        return self._lenient

    def decode_again(
        self, error: ValidationError, validate: Callable[[SchemaValidator], Any]
    ) -> Any:
        """Give an integer refused by the strict validator its second chance, or raise.

        Raises:
            DecodeError: it is refused for good.
        """
        if error.error_count() <= _MAX_ERRORS_READ and any(
            found["type"] == "int_type" for found in error.errors(include_url=False)
        ):
            lenient = self.lenient()
            if lenient is not None:
                try:
                    return validate(lenient)
                except ValidationError as again:
                    error = again
        raise decode_error(error, self.name) from None

    def coerce(self, value: Any, reason: Exception) -> Any:
        """Make a value of the type out of one the serializer refused, as a dict for a model.

        Raises:
            EncodeError: the value does not fit; caused by `reason`, the serializer's error.
        """
        self._check_parameters(value)
        try:
            made = self.validator.validate_python(value)
        except ValidationError as error:
            found = decode_error(error, self.name)
            where = "; ".join(_line(line) for line in found.errors) or str(found)
            hint = self._hint(value)
            text = f"cannot encode {_class_name(value)} as {self.name}: {where}{hint}"
            raise EncodeError(text) from reason
        except Exception as error:
            text = f"cannot encode {_class_name(value)} as {self.name}: {type(error).__name__}"
            raise EncodeError(text) from error
        if not self._has_its_models(made):  # the validator takes a dataclass as it is
            text = f"cannot encode {_class_name(value)} as {self.name}: a model in it is none"
            raise EncodeError(text) from reason
        return made

    def _has_its_models(self, value: Any) -> bool:
        return self._models is None or self._models(value)

    def _check_parameters(self, value: Any) -> None:
        """Refuse what cannot be the parameters of a handler, and names that are none of them."""
        if self._parameters is None:
            return
        names = ", ".join(map(repr, self._parameters))
        if not isinstance(value, Mapping):
            what = _class_name(value)
            raise EncodeError(f"cannot encode {what}: expected a mapping of {names}")
        for name in value.keys() - self._parameters:
            raise EncodeError(f"there is no parameter {name!r}: expected a mapping of {names}")

    def _hint(self, value: Any) -> str:
        """What to pass instead of a mapping of the one parameter to its value."""
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, inner),) = value.items()
            with contextlib.suppress(Exception):
                self.validator.validate_python(inner)
                return f"; the value of {name!r} would fit: pass it by itself"
        return ""

    def check_presence(self, value: Any) -> None:
        """Look for what serializers let pass: a None where none belongs, a key missing or unknown.

        Raises:
            TypeError, AttributeError: it must be validated before it is written.
        """
        if value is None:
            if not self.optional:
                raise TypeError(f"None is not a {self.name}")
        elif self.required and not self.required <= value.keys():
            raise TypeError(f"keys of {self.name} are missing")
        elif self._parameters is not None and (
            None in value.values() or not value.keys() <= self._parameters
        ):
            raise TypeError(f"None, or a name that is unknown, is among {self.name}")
        if not self._has_its_models(value):
            raise TypeError(f"a model in {self.name} is another object")

    def _validator(self, schema: _Node) -> SchemaValidator:
        return SchemaValidator(cast(CoreSchema, schema), self._config, **_REBUILD)

    def _rewrite(self, node: Any, config: Mapping[str, Any], integer: _IntRule) -> Any:
        """Copy a schema with the changes of this module's docstring, noting what is in it."""
        if isinstance(node, list | tuple):
            return type(node)(self._rewrite(item, config, integer) for item in node)
        if not isinstance(node, dict):
            return node
        kind = node.get("type")
        if not isinstance(kind, str):
            return {key: self._rewrite(value, config, integer) for key, value in node.items()}
        return self._rewrite_node(node, kind, config, integer)

    def _rewrite_node(
        self, node: _Node, kind: str, config: Mapping[str, Any], integer: _IntRule
    ) -> _Node:
        self.kinds.add(kind)
        self.strict = self.strict or bool(node.get("strict"))
        if "serialization" in node or node.get("computed_fields"):
            self.custom = True
        if node.get("extra_behavior") == "allow" or _CONTAINERS.get(kind, "type") not in node:
            self.kinds.add("any")
        copy = dict(node)
        if kind in _CONFIGURED:
            config = {**self._config, **node.get("config", {})}
            copy["config"] = config
            self.strict = self.strict or bool(config.get("strict"))
            if config.get("extra_fields_behavior") == "allow":
                self.kinds.add("any")
            if config.get("validate_by_alias") is False:
                self.by_alias = False
        elif kind == "dict":
            self.keys = self.keys or _other_keys(node)
        for key in _INNER & copy.keys():
            copy[key] = self._rewrite(copy[key], config, integer)
        if kind == "int":
            return integer(copy)
        if kind == "bytes" and self._json and config.get("ser_json_bytes") == "base64":
            copy.setdefault("serialization", _BASE64)
        return copy


_IntRule: TypeAlias = Callable[[_Node], _Node]
_BASE64 = core_schema.plain_serializer_function_ser_schema(
    lambda value: base64.b64encode(value).decode(),
    return_schema=core_schema.str_schema(),
    when_used="json",
)


def _strict_int(node: _Node) -> _Node:
    node.setdefault("strict", True)
    return node


def _lenient_int(node: _Node) -> _Node:
    outer = {"ref": node.pop("ref")} if "ref" in node else {}
    wrapped = core_schema.no_info_before_validator_function(_no_bool, cast(CoreSchema, node))
    return {**cast(_Node, wrapped), **outer}


def _no_bool(value: Any) -> Any:
    if isinstance(value, bool):
        raise PydanticCustomError("int_type", "Input should be a valid integer")
    return value


def _other_keys(node: _Node) -> bool:
    keys = node.get("keys_schema")
    return keys is not None and keys.get("type") not in ("str", "any")


def _outermost(node: _Node) -> _Node:
    return _outermost(node["schema"]) if node["type"] == "definitions" else node


def _required_keys(node: _Node) -> frozenset[str]:
    """Return the keys a typed dict must have, which its serializer does not look at."""
    if node["type"] != "typed-dict":
        return frozenset()
    total = node.get("total", True)
    return frozenset(name for name, field in node["fields"].items() if field.get("required", total))


def _takes_none(node: _Node) -> bool:
    kind = node["type"]
    if kind == "union":
        choices = (item[0] if isinstance(item, tuple) else item for item in node["choices"])
        return any(map(_takes_none, choices))
    if kind in ("default", "definitions"):
        return _takes_none(node["schema"])
    return kind in _OPTIONAL


def _class_name(value: Any) -> str:
    return "None" if value is None else type_name(type(value))


def type_name(type_: Any) -> str:
    """Return what to call a type in a message."""
    if isinstance(type_, type) and not isinstance(type_, types.GenericAlias):
        return type_.__qualname__
    if get_origin(type_) is Annotated:
        return type_name(get_args(type_)[0])
    return repr(type_).replace("typing.", "")


def make_adapter(type_: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter for a type.

    Raises:
        ConfigTypeError: pydantic cannot make one.
    """
    try:
        adapter: TypeAdapter[Any] = TypeAdapter(_portable(type_))
        adapter.core_schema["type"]  # raises where the definition is incomplete
    except (
        PydanticSchemaGenerationError,
        PydanticUndefinedAnnotation,
        PydanticUserError,
        NameError,
        TypeError,
    ) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, PydanticSchemaGenerationError):
            reason = "pydantic does not know it; make it a BaseModel, a dataclass or a TypedDict"
        raise ConfigTypeError(f"cannot make a codec for {type_name(type_)}: {reason}") from error
    return adapter


def decode_error(error: ValidationError, what: str) -> DecodeError:
    """Turn pydantic's error into ours: paths and reasons, and never a value that came in."""
    count = error.error_count()
    if count > _MAX_ERRORS_READ:
        reason = f"{count} values are invalid"
        return DecodeError(
            f"cannot decode {what}: {reason}", errors=[{"path": "", "reason": reason}]
        )
    found = error.errors(include_url=False, include_context=False)
    if found[0]["type"] == "json_invalid" and not found[0]["loc"]:
        reason = found[0]["msg"].removeprefix("Invalid JSON: ")
        return DecodeError(f"not JSON: {reason}", malformed=True)
    errors = [
        {
            "path": ".".join(str(part)[:_MAX_PATH] for part in item["loc"])[:_MAX_PATH],
            "reason": _reason(cast(_Node, item)),
        }
        for item in found[:MAX_ERRORS]
    ]
    more = "" if count == 1 else f" (and {count - 1} more)"
    return DecodeError(f"cannot decode {what}: {_line(errors[0])}{more}", errors=errors)


def _line(error: Mapping[str, str]) -> str:
    return f"{error['path']}: {error['reason']}" if error["path"] else error["reason"]


def _reason(item: _Node) -> str:
    text = str(item["msg"])
    if item["type"] in ("value_error", "assertion_error") and _repeats(text, item["input"]):
        return "Value was refused by its validator"
    return text


def _repeats(text: str, value: Any, depth: int = 3) -> bool:
    """Tell whether a validator's own text quotes the value it was given."""
    if isinstance(value, Mapping):
        value = list(value.values())
    if isinstance(value, list | tuple):
        return depth > 0 and any(_repeats(text, item, depth - 1) for item in value)
    if value is None or isinstance(value, bool):
        return False
    return bool(spelling := str(value)) and spelling in text


def _portable(type_: Any) -> Any:
    """Let `typing.TypedDict` pass: before Python 3.12 pydantic only takes typing_extensions'."""
    if sys.version_info >= (3, 12):
        return type_
    if type(type_).__module__ == "typing" and typing_extensions.is_typeddict(type_):
        return _portable_typed_dict(type_)
    origin, args = get_origin(type_), get_args(type_)
    if not args or not any(_is_or_has_typed_dict(arg) for arg in args):
        return type_
    if origin is Annotated:
        return Annotated[(_portable(args[0]), *type_.__metadata__)]
    new = tuple(_portable(arg) for arg in args)
    if origin is types.UnionType:
        return functools.reduce(operator.or_, new)
    return type_.copy_with(new) if hasattr(type_, "copy_with") else origin[new]


def _is_or_has_typed_dict(type_: Any) -> bool:
    return typing_extensions.is_typeddict(type_) or any(map(_is_or_has_typed_dict, get_args(type_)))


_being_made: set[Any] = set()


@functools.lru_cache(maxsize=1024)
def _portable_typed_dict(type_: Any) -> Any:
    if type_ in _being_made:
        raise ConfigTypeError(
            f"{type_.__name__} contains itself: before Python 3.12, "
            "take TypedDict from typing_extensions"
        )
    _being_made.add(type_)
    try:
        return _make_typed_dict(type_)
    finally:
        _being_made.discard(type_)


def _make_typed_dict(type_: Any) -> Any:
    hints = get_type_hints(type_, include_extras=True)
    required = type_.__required_keys__
    annotations = {
        name: _portable(hint)
        if name in required
        else typing_extensions.NotRequired[_portable(hint)]
        for name, hint in hints.items()
    }
    make: Any = typing_extensions.TypedDict
    made = make(type_.__name__, annotations)
    made.__doc__ = type_.__doc__
    made.__module__ = type_.__module__
    config = getattr(type_, "__pydantic_config__", None)
    if config is not None:
        made.__pydantic_config__ = config
    return made
