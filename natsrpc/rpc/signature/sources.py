"""The parameters that are read from the message and not from its body: their readers.

A reader is a function of the request's `Context`, made once at registration. `Msg`, `Context` and
the markers `Header` and `Token` have theirs here. A class from above that a signature may name
(a client, say) brings its own: its class attribute `__natsrpc_source__` is the reader.
"""

from __future__ import annotations

import json
import types
import typing
from collections.abc import Callable
from typing import Any, TypeAlias

from natsrpc import codecs
from natsrpc.core import Msg
from natsrpc.errors import ConfigError, DecodeError, InvalidRequestError

from ..contract import Context, check_text
from .annotations import UNANNOTATED, Parameter
from .markers import MISSING, HeaderMarker, TokenMarker

Source: TypeAlias = Callable[[Context], Any]
"""Reads one parameter, per request."""

ATTRIBUTE = "__natsrpc_source__"
"""The class attribute by which a class says how a parameter of its type is read."""


def _read_msg(context: Context) -> Msg:
    return context.msg


def _read_context(context: Context) -> Context:
    return context


SPECIAL: dict[type, Source] = {Msg: _read_msg, Context: _read_context}
"""The classes of this floor and below. Those above carry `ATTRIBUTE`."""


def special(type_: Any) -> Source | None:
    """The reader of a parameter that is annotated with exactly this class; None for other types."""
    if not isinstance(type_, type) or isinstance(type_, types.GenericAlias):
        return None
    if ATTRIBUTE in vars(type_):
        reader: Source = getattr(type_, ATTRIBUTE)
        return reader
    return SPECIAL.get(type_)


def special_class(type_: Any) -> type | None:
    """The class with a reader that a type is, or is derived from; None for other types."""
    if not isinstance(type_, type) or isinstance(type_, types.GenericAlias):
        return None
    return next((each for each in type_.__mro__ if special(each) is not None), None)


def source_of(name: str, parameter: Parameter, tokens: dict[str, int]) -> Source | None:
    """The reader of a parameter; None for one that is read from the body.

    Raises:
        ConfigError: it is marked, annotated or given a default in a way that has no meaning.
    """
    marker, type_ = parameter.marker, parameter.type
    if isinstance(marker, HeaderMarker):
        return _header_source(name, parameter, marker)
    if isinstance(marker, TokenMarker):
        return _token_source(name, parameter, marker, tokens)
    inside = map(special_class, (type_, *typing.get_args(type_)))
    found = next((each for each in inside if each is not None), None)
    if found is None:
        return None
    if type_ is not found:
        raise ConfigError(
            f"parameter {parameter.name!r} of handler {name!r} mixes {found.__name__} with "
            f"something else: annotate it as plain {found.__name__}"
        )
    if marker is not None or parameter.default is not MISSING:
        raise ConfigError(
            f"parameter {parameter.name!r} of handler {name!r} is a {found.__name__}: "
            "it takes neither a marker nor a default"
        )
    return special(found)


def _converter(type_: Any, path: str) -> Callable[[str], Any] | None:
    """Text to a type, by the JSON codec's rules for strings; None where it stays text."""
    if type_ in (str, UNANNOTATED, Any):
        return None
    decode = codecs.get("json").bind(type_).decode

    def convert(text: str) -> Any:
        try:
            return decode(json.dumps(text).encode())
        except DecodeError as error:
            reason = error.errors[0]["reason"] if error.errors else "cannot be read"
            raise InvalidRequestError(
                f"{path}: {reason}", details=[{"path": path, "reason": reason}]
            ) from None

    return convert


def _text_converter(name: str, parameter: Parameter, path: str) -> Callable[[str], Any] | None:
    try:
        return _converter(parameter.type, path)
    except ConfigError as error:
        raise ConfigError(
            f"parameter {parameter.name!r} of handler {name!r} cannot be read from text: {error}"
        ) from error


def _takes_none(type_: Any) -> bool:
    union = typing.get_origin(type_) in (typing.Union, types.UnionType)
    return union and type(None) in typing.get_args(type_)


def _header_source(name: str, parameter: Parameter, marker: HeaderMarker) -> Source:
    header, path = marker.name, f"header.{marker.name}"
    if (
        not isinstance(header, str)
        or not header
        or not header.isascii()
        or not header.isprintable()
    ):
        raise ConfigError(
            f"parameter {parameter.name!r} of handler {name!r}: bad header {header!r}"
        )
    default = marker.default if marker.default is not MISSING else parameter.default
    if default is MISSING and _takes_none(parameter.type):
        default = None
    convert = _text_converter(name, parameter, path)

    def read(context: Context) -> Any:
        text = context.msg.headers.get(header)
        if text is None:
            if default is not MISSING:
                return default
            reason = "is required"
            raise InvalidRequestError(
                f"{path}: {reason}", details=[{"path": path, "reason": reason}]
            )
        text = check_text(f"header {header!r}", text)
        return text if convert is None else convert(text)

    return read


def _token_source(
    name: str, parameter: Parameter, marker: TokenMarker, tokens: dict[str, int]
) -> Source:
    token = marker.name or parameter.name
    if token not in tokens:
        known = ", ".join(sorted(tokens)) or "none"
        raise ConfigError(
            f"parameter {parameter.name!r} of handler {name!r} reads token {token!r}, which its "
            f"subject does not have (it has: {known})"
        )
    index = tokens[token]
    convert = _text_converter(name, parameter, f"token.{token}")
    if convert is None:
        return lambda context: context.token(index)
    return lambda context: convert(context.token(index))
