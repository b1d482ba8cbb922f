"""Types seen through their other names: `type X = ...`, `NewType`, `Annotated` in `Annotated`.

`peel` takes the names off the outside of an annotation, so that a marker behind an alias is found.
`parts` looks inside, so that a marker in a place where it would mean nothing is found, too.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Iterator
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from natsrpc.errors import ConfigError

_DEEP = 64
"""Names behind names. More of them are names of themselves."""


class Peeled(NamedTuple):
    """A type without its outer names, and the metadata that they and `Annotated` gave it."""

    type: Any
    metadata: tuple[Any, ...]


def is_alias(type_: Any) -> bool:
    """Whether a type is an alias that a `type` statement or a `TypeAliasType` made."""
    cls = type(type_)
    return cls.__name__ == "TypeAliasType" and cls.__module__ in ("typing", "typing_extensions")


def peel(type_: Any) -> Peeled:
    """Take the outer names off a type. An alias that contains itself stays.

    Raises:
        ConfigError: an alias stands for itself, or for what cannot be resolved.
    """
    metadata: tuple[Any, ...] = ()
    for _ in range(_DEEP):
        if get_origin(type_) is Annotated:
            type_, *inner = get_args(type_)
            metadata = (*inner, *metadata)
            continue
        found = _behind(type_)
        if found is None or _contains(found, type_):
            return Peeled(type_, metadata)
        (type_,) = found
    raise ConfigError(f"{type_!r} stands for itself")


def plain(type_: Any) -> Any:
    """A type without its outer names, and with its metadata.

    Raises:
        ConfigError: as for `peel`.
    """
    found = peel(type_)
    return Annotated[(found.type, *found.metadata)] if found.metadata else found.type


def base_of(type_: Any) -> Any:
    """A type without its constraints, and without None."""
    if get_origin(type_) is Annotated:
        return base_of(get_args(type_)[0])
    if get_origin(type_) in (typing.Union, types.UnionType):
        others = [each for each in get_args(type_) if each is not type(None)]
        return base_of(plain(others[0])) if len(others) == 1 else type_
    return type_


def _behind(type_: Any) -> tuple[Any] | None:
    """What one name stands for; None for a type that is no name of another."""
    if isinstance(type_, typing.NewType):
        return (type_.__supertype__,)
    if is_alias(type_):
        return (_value(type_),)
    alias = get_origin(type_)
    if alias is not None and is_alias(alias):
        return (_substitute(alias, get_args(type_)),)
    return None


def _value(alias: Any) -> Any:
    try:
        value = alias.__value__
    except Exception as error:
        raise ConfigError(f"alias {alias.__name__!r} cannot be resolved: {error}") from error
    if isinstance(value, str):
        raise ConfigError(f"alias {alias.__name__!r} is of the text {value!r}: expected a type")
    return value


def _substitute(alias: Any, arguments: tuple[Any, ...]) -> Any:
    """An alias's type with the arguments of `Alias[...]` in the places of its parameters."""
    value = _value(alias)
    given = dict(zip(alias.__type_params__, arguments, strict=False))
    if isinstance(value, typing.TypeVar):
        return given.get(value, value)
    wanted = getattr(value, "__parameters__", ())
    if not wanted:
        return value
    try:
        return value[tuple(given[each] for each in wanted)]
    except (KeyError, TypeError) as error:
        raise ConfigError(
            f"alias {alias.__name__!r} cannot take {arguments!r}: write the type out"
        ) from error


def _contains(found: tuple[Any], name: Any) -> bool:
    """Whether a name stands for a type that has the name inside it."""
    alias = get_origin(name) if get_origin(name) is not None else name
    if found[0] is alias or not is_alias(alias):
        return False
    return any(part is alias for part, _ in parts(found[0]))


def parts(type_: Any, *, fields: bool = False) -> Iterator[tuple[Any, tuple[Any, ...]]]:
    """A type and all types inside it, each with the metadata that is written there. With `fields`,
    those of the fields of models, too."""
    seen: dict[int, Any] = {}  # it holds them, so that no other has their id
    left = [type_]
    while left:
        each = left.pop()
        if id(each) in seen:
            continue
        seen[id(each)] = each
        if get_origin(each) is Annotated:
            inner, *metadata = get_args(each)
            yield inner, tuple(metadata)
            left.append(inner)
            continue
        yield each, ()
        left += _inside(each)
        if fields:
            left += [annotation for _, annotation, _ in model_fields(get_origin(each) or each)]


def _inside(type_: Any) -> list[Any]:
    if isinstance(type_, (list, tuple)):  # the parameters of a Callable
        return list(type_)
    if isinstance(type_, typing.NewType):
        return [type_.__supertype__]
    if is_alias(type_):
        return [_value(type_)]
    if get_origin(type_) is typing.Literal:
        return []
    origin = get_origin(type_)
    return [*get_args(type_), *([origin] if is_alias(origin) else [])]


def model_fields(type_: Any) -> list[tuple[str, Any, Any]]:
    """The fields of a model of pydantic's, a dataclass, a TypedDict or a NamedTuple: the name, the
    annotation (as far as it is known) and the default of each; none for another type."""
    if not isinstance(type_, type):
        return []
    known = vars(type_).get("__pydantic_fields__") or vars(type_).get("__dataclass_fields__")
    if isinstance(known, dict):
        return [
            (name, getattr(each, "annotation", getattr(each, "type", None)), each.default)
            for name, each in known.items()
        ]
    if not (hasattr(type_, "__total__") or hasattr(type_, "_field_defaults")):
        return []
    defaults = getattr(type_, "_field_defaults", {})
    return [
        (name, annotation, defaults.get(name))
        for name, annotation in getattr(type_, "__annotations__", {}).items()
    ]
