"""One type bound through pydantic: its validators, its serializer, and the errors of both as ours.

`JsonCodec` and `MsgpackCodec` make a `Typed` when a type is bound, and build their two functions
around it. The schema is pydantic's own with the rules of `rules`; the errors are made by `invalid`.
Also here: the parts that both codecs share, which are their base class, the encoder for values that
a quick test does not settle, and the empty payload.
"""

from __future__ import annotations

import abc
import contextlib
import inspect
from collections.abc import Callable, Mapping
from typing import Any, ClassVar, TypeVar, cast

from pydantic import ValidationError
from pydantic_core import CoreConfig, CoreSchema, SchemaSerializer, SchemaValidator

from natsrpc.errors import ConfigTypeError, DecodeError, EncodeError

from .adapter import make_adapter, type_name
from .building import BUILDING
from .codec import BindCache, Bound, Mode
from .exact import model_test
from .fields import REQUIRED, Fields
from .foreign import Format, bind_struct, plain_struct, struct_schema
from .invalid import MAX_ERRORS_READ, decode_error, error_line
from .raw import bind_plain
from .rules import (
    JSON_CONFIG,
    Node,
    Rewriter,
    impossible_key,
    lenient_int,
    outermost,
    required_keys,
    strict_int,
    takes_none,
)
from .schema import json_schema

Written = TypeVar("Written")

# A validator made of a schema uses, for each class in it, the validator that the class has already,
# and so ignores the rules written into the schema. From pydantic 2.13 on this option switches that
# off; an older pydantic keeps its own rules inside models.
_REBUILD: dict[str, Any] = (
    {"_use_prebuilt": False}
    if "_use_prebuilt" in inspect.signature(SchemaValidator).parameters
    else {}
)


class PydanticCodec(abc.ABC):
    """The codecs that work through pydantic: each type is bound once and has pydantic's schema.

    Types with a Struct of msgspec's in them are bound through msgspec, and have its schema.
    """

    format: ClassVar[Format]

    def __init__(self) -> None:
        self._cache = BindCache()
        # pydantic looks for its plugins at the first type that it sees, which takes 10 ms: now, and
        # not while the first message waits
        self.bind(Any)

    def bind(self, type_: Any) -> Bound:
        """Bind any type that pydantic or msgspec understands. What was bound is remembered.

        Raises:
            ConfigTypeError: neither can make a schema of the type.
        """
        known = self._cache.find(type_)
        return known or self._cache.keep(type_, bind_plain(type_) or self.bind_nested(type_))

    def bind_nested(self, type_: Any) -> Bound:
        """Bind a type as it is within another value, where `bytes` are no raw payload.

        Raises:
            ConfigTypeError: neither pydantic nor msgspec can make a schema of the type.
        """
        with BUILDING:
            return bind_struct(self, type_, self.format) or self._bind(type_)

    def schema(self, type_: Any, *, mode: Mode = "validation") -> dict[str, Any] | None:
        """Return the JSON Schema (2020-12) of the values; None for `None`, `bytes` and types
        without one.

        Raises:
            ConfigTypeError: pydantic cannot make a schema of the type.
        """
        if bind_plain(type_) is not None:
            return None
        has_struct, found = struct_schema(self, type_, mode)
        return found if has_struct else json_schema(type_, mode)

    @abc.abstractmethod
    def _bind(self, type_: Any) -> Bound:
        """Bind a type other than those of `bind_plain`."""


class Typed:
    """The validators and the serializer of one type.

    Args:
        type_: any type that pydantic understands.
        json: whether values are written as JSON, not as Python objects for MessagePack.
        finite: whether NaN and the infinities are refused when they are read.

    `validator` is the strict one, which every message meets first. `optional` tells that None is a
    value of the type. `finite`, `constants`, `strict`, `keys`, `kinds`, `custom` and `by_alias` are
    those of `Rewriter`.

    Raises:
        ConfigTypeError: pydantic cannot make a schema of the type, or the format cannot carry it: a
            function, or a map with keys of a kind that the format has not.
    """

    def __init__(self, type_: Any, *, json: bool, finite: bool = False) -> None:
        self.type = type_
        self.name: str = type_name(type_)
        self._source = make_adapter(type_).core_schema
        self._config = cast(CoreConfig, JSON_CONFIG if json else {})
        self._finite_only = finite
        rewriter = Rewriter(self._config, strict_int, finite_only=finite)
        schema = rewriter.rewrite(self._source)
        self._check_keys(rewriter, "JSON" if json else "MessagePack")
        self.kinds: set[str] = rewriter.kinds
        self.custom: bool = rewriter.custom
        self.strict: bool = rewriter.strict
        self.keys: bool = rewriter.keys
        self.by_alias: bool = rewriter.by_alias
        self.finite: bool = rewriter.finite
        # an older pydantic keeps its own rules inside models
        self.constants: bool = rewriter.constants or not (_REBUILD or self.finite)
        self.outer: Node = outermost(schema)
        self.optional: bool = takes_none(schema)
        if self.outer["type"] in ("callable", "is-subclass"):
            raise ConfigTypeError(f"cannot make a codec for {self.name}: no message carries code")
        self.validator: SchemaValidator = self._validator(schema)
        self.serializer: SchemaSerializer = SchemaSerializer(
            cast(CoreSchema, schema), self._config, **_REBUILD
        )
        is_fields = isinstance(type_, type) and issubclass(type_, Fields)
        self._parameters = type_.parameters.keys() if is_fields else None
        self._aliases = (
            {name for each in type_.names.values() for name in each} if is_fields else set()
        )
        self._required = required_keys(self.outer)
        self._models = model_test(self._source)
        self._lenient: SchemaValidator | None = None

    def decode_again(
        self, error: ValidationError, validate: Callable[[SchemaValidator], Any]
    ) -> Any:
        """Give a value that the strict validator refused its second chance.

        Args:
            error: the strict validator's error. Without a refused integer in it, it is final.
            validate: validates the value anew, by the validator that it is given.

        Raises:
            DecodeError: the value is refused for good.
        """
        if error.error_count() <= MAX_ERRORS_READ and any(
            found["type"] == "int_type" for found in error.errors(include_url=False)
        ):
            lenient = self._lenient_validator()
            if lenient is not None:
                try:
                    return validate(lenient)
                except ValidationError as again:
                    error = again
        raise decode_error(error, self.name) from None

    def coerce(self, value: Any, reason: Exception) -> Any:
        """Return a value of the type made out of one that the serializer refused: of a dict, say,
        where a model is expected.

        Raises:
            EncodeError: the value does not fit; caused by `reason`, the serializer's error.
        """
        self._check_parameters(value)
        try:
            made = self._validate_given(value)
        except ValidationError as error:
            found = decode_error(error, self.name)
            where = "; ".join(error_line(line) for line in found.errors) or str(found)
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

    def _check_keys(self, rewriter: Rewriter, format_name: str) -> None:
        """Refuse maps with keys that the format cannot carry.

        Raises:
            ConfigTypeError: there is one.
        """
        source = cast(Node, self._source)
        definitions: dict[str, Node] = {each["ref"]: each for each in source.get("definitions", ())}
        json = format_name == "JSON"
        kind = impossible_key(rewriter.key_nodes, definitions, json=json)
        if kind:
            raise ConfigTypeError(
                f"cannot make a codec for {self.name}: {format_name} has no keys of kind {kind!r}; "
                "send a list of pairs, or keys that are text or numbers"
            )

    def _validate_given(self, value: Any) -> Any:
        """Validate what a caller passed. Parameters may go by their own names, or by those that
        they have in the body."""
        if not self._aliases:
            return self.validator.validate_python(value)
        return self.validator.validate_python(value, by_alias=True, by_name=True)

    def check_presence(self, value: Any) -> None:
        """Refuse the mistakes that a serializer passes over: a None where none belongs, a key
        missing or unknown, another object in the place of a model. The caller must then validate
        the value before it is written.

        Raises:
            TypeError: there is such a mistake.
            AttributeError: the value is no mapping, where the type is one.
        """
        if value is None:
            if not self.optional:
                raise TypeError(f"None is not a {self.name}")
        elif self._required and not self._required <= value.keys():
            raise TypeError(f"keys of {self.name} are missing")
        elif self._parameters is not None and (
            None in value.values() or not value.keys() <= self._parameters
        ):
            raise TypeError(f"None, or a name that is unknown, is among {self.name}")
        if not self._has_its_models(value):
            raise TypeError(f"a model in {self.name} is another object")

    def _has_its_models(self, value: Any) -> bool:
        return self._models is None or self._models(value)

    def _check_parameters(self, value: Any) -> None:
        """Refuse a value that cannot be the parameters of a handler, and unknown names in one."""
        if self._parameters is None:
            return
        names = ", ".join(map(repr, self._parameters))
        if not isinstance(value, Mapping):
            what = _class_name(value)
            raise EncodeError(f"cannot encode {what}: expected a mapping of {names}")
        for name in value.keys() - self._parameters - self._aliases:
            raise EncodeError(f"there is no parameter {name!r}: expected a mapping of {names}")

    def _hint(self, value: Any) -> str:
        """Advise to pass a single parameter by itself where its mapping was passed."""
        if isinstance(value, Mapping) and len(value) == 1:
            ((name, inner),) = value.items()
            with contextlib.suppress(Exception):
                self.validator.validate_python(inner)
                return f"; the value of {name!r} would fit: pass it by itself"
        return ""

    def _lenient_validator(self) -> SchemaValidator | None:
        """The validator that converts to int, made when first needed; None where no int is."""
        if self._lenient is None and "int" in self.kinds:
            schema = Rewriter(self._config, lenient_int, finite_only=self._finite_only).rewrite(
                self._source
            )
            self._lenient = self._validator(schema)
        return self._lenient

    def _validator(self, schema: Node) -> SchemaValidator:
        with BUILDING:
            return SchemaValidator(cast(CoreSchema, schema), self._config, **_REBUILD)


def make_careful(
    typed: Typed, write: Callable[..., Written], format_name: str
) -> Callable[[Any], tuple[Any, Written]]:
    """Make the encoder for values that no quick test settles: a codec's slow path.

    It has the serializer raise on a wrong value, and then tries the value that validation makes of
    it. It returns the value that was written and the serializer's output, and raises `EncodeError`.

    Args:
        typed: the type.
        write: the serializer's `to_json` or `to_python`.
        format_name: the format in the error's text.
    """
    check_presence, by_alias = typed.check_presence, typed.by_alias or None

    def careful(value: Any) -> tuple[Any, Written]:
        try:
            check_presence(value)
            return value, write(value, by_alias=by_alias, warnings="error")
        except Exception as error:
            value = typed.coerce(value, error)
            try:
                return value, write(
                    value, by_alias=by_alias, warnings="error", fallback=plain_struct
                )
            except Exception as again:
                raise EncodeError(f"cannot encode {typed.name} as {format_name}") from again

    return careful


def nested_too_deeply(name: str) -> DecodeError:
    """The error for a value that Python itself has no room to read as `name`."""
    return DecodeError(f"cannot decode {name}: it is nested too deeply", malformed=True)


def empty(typed: Typed, from_nothing: Callable[[], Any]) -> Any:
    """Decode the empty payload: to None where the type allows that, to the defaults where all
    fields have one. `from_nothing` decodes an object without fields.

    Raises:
        DecodeError: the type needs a value.
    """
    if typed.optional:
        return None
    if _all_have_defaults(typed.type):
        return from_nothing()
    raise DecodeError(
        f"empty payload where {typed.name} is expected",
        errors=[{"path": "", "reason": f"it is empty, and {typed.name} is expected"}],
        malformed=True,
    )


def _all_have_defaults(cls: Any) -> bool:
    return (
        isinstance(cls, type)
        and issubclass(cls, Fields)
        and all(default is not REQUIRED for _, default in cls.parameters.values())
    )


def _class_name(value: Any) -> str:
    return "None" if value is None else type_name(type(value))
