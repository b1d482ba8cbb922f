"""pydantic's `TypeAdapter` of a type, and a type's name for messages. For `typed` and `schema`.

One thing is added to pydantic: before Python 3.12 it refuses `typing.TypedDict`, so each such class
is replaced by an equal one made with `typing_extensions`, wherever in the type it is nested.
"""

from __future__ import annotations

import functools
import operator
import sys
import types
from typing import Annotated, Any, get_args, get_origin, get_type_hints

import typing_extensions
from pydantic import PydanticUndefinedAnnotation, PydanticUserError, TypeAdapter
from pydantic.errors import PydanticSchemaGenerationError

from natsrpc.errors import ConfigTypeError

from .fields import Fields, fields


def make_adapter(type_: Any) -> TypeAdapter[Any]:
    """Return pydantic's adapter for a type.

    Raises:
        ConfigTypeError: pydantic cannot make a schema of the type.
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


def type_name(type_: Any) -> str:
    """Return the name of a type for a message, as in "Order" or "list[int]"."""
    if isinstance(type_, type) and not isinstance(type_, types.GenericAlias):
        return type_.__qualname__.rpartition("<locals>.")[2]
    if get_origin(type_) is Annotated:
        return type_name(get_args(type_)[0])
    return repr(type_).replace("typing.", "")


def _portable(type_: Any) -> Any:
    """Replace each `typing.TypedDict` in a type; from Python 3.12 on, return the type itself."""
    if sys.version_info >= (3, 12):
        return type_
    if isinstance(type_, type) and issubclass(type_, Fields):
        made = {
            name: (_portable(each), default) for name, (each, default) in type_.parameters.items()
        }
        return fields(made, names=type_.names, name=type_.__name__)
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


# Typed dicts whose replacement is under way. A second request for one of them means that it
# contains itself, which the eager replacement of its fields cannot resolve.
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
