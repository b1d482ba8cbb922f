"""The parameters that are read from the message and not from its body: their readers.

A reader is a function of the request's `Context`, made once at registration. `Msg`, `Context`, the
markers `Header` and `Token`, and the names of the subject's tokens have theirs here. A class from
above that a signature may name (a client, say) brings its own: its class attribute
`__natsrpc_source__` is the reader.
"""

from __future__ import annotations

import base64
import collections.abc
import json
import types
import typing
from collections.abc import Callable
from typing import Any, TypeAlias, cast, get_args, get_origin

from natsrpc import codecs
from natsrpc.core import Msg
from natsrpc.errors import ConfigError, DecodeError, InvalidRequestError

from ..contract import PASSING, Context, check_text
from .aliases import base_of, parts, plain
from .annotations import UNANNOTATED, Parameter
from .markers import MISSING, HeaderMarker, TokenMarker
from .values import alone, described

Source: TypeAlias = Callable[[Context], Any]
"""Reads one parameter, per request."""

RAW = (bytes, bytearray, memoryview)
"""Types of values that are as they came."""

ATTRIBUTE = "__natsrpc_source__"
"""The class attribute by which a class says how a parameter of its type is read."""


LIFETIME = "__natsrpc_lifetime__"
"""The class attribute that is "app" where values are those of the running service, and so may be
asked for by what lives as long as the app; their reader is then called with a context that has
nothing but them."""


OF_LIST = "__natsrpc_source_of_list__"
"""The class attribute by which a class says how a parameter that is a list of it is read."""


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


def outlives_requests(type_: Any) -> bool:
    """Whether a parameter of this type is there as long as the service runs."""
    return isinstance(type_, type) and bool(vars(type_).get(LIFETIME) == "app")


def special_class(type_: Any) -> type | None:
    """The class with a reader that a type is, or is derived from; None for other types."""
    if not isinstance(type_, type) or isinstance(type_, types.GenericAlias):
        return None
    return next((each for each in type_.__mro__ if special(each) is not None), None)


def source_of(where: str, parameter: Parameter, tokens: dict[str, int]) -> Source | None:
    """The reader of a parameter; None for one that is read from the body.

    Args:
        where: the parameter and its function, in words.
        parameter: the parameter.
        tokens: the named wildcards of the subject. A parameter of such a name is that token.

    Raises:
        ConfigError: it is marked, annotated or given a default in a way that has no meaning.
    """
    marker = parameter.marker
    if isinstance(marker, HeaderMarker):
        return _header_source(where, parameter, marker)
    if isinstance(marker, TokenMarker):
        return _marked_token_source(where, parameter, marker, tokens)
    found = _special_source(where, parameter)
    if found is None and marker is None and parameter.name in tokens:
        return _token_source(where, parameter, parameter.name, tokens)
    return found


def token_of(parameter: Parameter, tokens: dict[str, int]) -> str | None:
    """The token of the subject that a parameter is, if it is one."""
    if isinstance(parameter.marker, TokenMarker):
        return parameter.marker.name or parameter.name
    if parameter.marker is not None or parameter.name not in tokens:
        return None
    return None if any(special_class(each) for each, _ in parts(parameter.type)) else parameter.name


def token_text(type_: Any) -> Callable[[Any], str]:
    """From a value to the token that is read as it: what `source_of` reads, the other way round."""
    if base_of(type_) in RAW:
        return lambda value: bytes(value).decode("utf-8", "surrogateescape")
    encode = codecs.get("json").bind(type_).encode

    def convert(value: Any) -> str:
        found = json.loads(encode(value))
        return found if isinstance(found, str) else json.dumps(found)

    return convert


def _special_source(where: str, parameter: Parameter) -> Source | None:
    type_ = parameter.type
    inside = (special_class(each) for each, _ in parts(type_))
    found = next((each for each in inside if each is not None), None)
    if found is None:
        return None
    if get_origin(type_) is typing.Annotated:  # metadata of others' means nothing here
        type_ = get_args(type_)[0]
    several = vars(found).get(OF_LIST)
    if several is not None and get_origin(type_) is list and get_args(type_) == (found,):
        type_, reader = found, getattr(found, OF_LIST)
    else:
        reader = special(found)
    if type_ is not found:
        raise ConfigError(
            f"{where} mixes {found.__name__} with something else: annotate it as plain "
            f"{found.__name__}"
        )
    if parameter.marker is not None or parameter.default is not MISSING:
        raise ConfigError(f"{where} is a {found.__name__}: it takes neither a marker nor a default")
    return cast("Source | None", reader)


def _refused(path: str, reason: str) -> InvalidRequestError:
    return InvalidRequestError(f"{path}: {reason}", details=[{"path": path, "reason": reason}])


def _raw(text: str) -> bytes:
    """The bytes of a text, as they came."""
    return text.encode("utf-8", "surrogateescape")


def _converter(where: str, type_: Any, path: str) -> Callable[[str], Any] | None:
    """Text to a type; None where it stays text, which the caller then has to check.

    Raises:
        ConfigError: no text can become a value of the type.
    """
    if type_ in (str, UNANNOTATED, Any):
        return None
    base = base_of(type_)
    if base in RAW and not _has_constraints(type_):
        return _raw if base is bytes else lambda text: base(_raw(text))
    decode = _decoder(where, type_, path)
    if base in RAW:
        return lambda text: decode(base64.b64encode(_raw(text)).decode())
    if any(each in RAW for each, _ in parts(type_)) or not codecs.reads_text(type_):
        raise ConfigError(
            f"{where} cannot be read from text, and headers and tokens are text: expected bytes, "
            f"str, or a type that can be made of one, not {_spell(type_)}; a parameter that is to "
            "be read from the body has neither a marker nor the name of a token"
        )
    return lambda text: decode(check_text(path, text))


def _has_constraints(type_: Any) -> bool:
    if get_origin(type_) is typing.Annotated:
        return True
    return any(map(_has_constraints, get_args(type_)))


def _spell(type_: Any) -> str:
    return getattr(type_, "__name__", None) or repr(type_).replace("typing.", "")


def _decoder(where: str, type_: Any, path: str) -> Callable[[Any], Any]:
    """Text, or a list of texts, to a type, by the JSON codec's rules for strings."""
    try:
        decode = codecs.get("json").bind(type_).decode
    except ConfigError as error:
        raise ConfigError(f"{where} cannot be read from text: {error}") from error

    def convert(value: Any) -> Any:
        try:
            return decode(json.dumps(value).encode())
        except DecodeError as error:
            reason = error.errors[0]["reason"] if error.errors else "cannot be read"
            raise _refused(path, reason) from None

    return convert


_LISTS = (
    list,
    tuple,
    set,
    frozenset,
    collections.abc.Sequence,
    collections.abc.Collection,
    collections.abc.Iterable,
)


def _is_list(type_: Any) -> bool:
    """Whether a type is a list of items, and no validator of its own makes that of one text."""
    base = base_of(type_)
    if base not in _LISTS and get_origin(base) not in _LISTS:
        return False
    return not codecs.reads_text(type_)


def _list_converter(where: str, type_: Any, path: str) -> Callable[[list[str]], Any]:
    """All values of a header to a list-like type."""
    decode = _decoder(where, type_, path)
    items = [plain(each) for each in get_args(base_of(type_))]
    if any(base_of(each) in RAW for each in items):
        return lambda texts: decode([base64.b64encode(_raw(text)).decode() for text in texts])
    for item in items:
        if item is not ...:
            _converter(where, item, path)  # refuses what no text can be
    return lambda texts: decode([check_text(path, text) for text in texts])


def _takes_none(type_: Any) -> bool:
    if get_origin(type_) is typing.Annotated:
        return _takes_none(get_args(type_)[0])
    union = get_origin(type_) in (typing.Union, types.UnionType)
    return union and type(None) in get_args(type_)


def _header_source(where: str, parameter: Parameter, marker: HeaderMarker) -> Source:
    header, path = marker.name, f"header.{marker.name}"
    if marker.default is not MISSING:
        if parameter.default is not MISSING:
            raise ConfigError(
                f"{where} has two defaults, in Header({header!r}, ...) and after '=': remove one"
            )
        parameter = parameter._replace(default=marker.default)
    parameter = alone(where, described(where, parameter))
    if parameter.default is MISSING and _takes_none(parameter.type):
        parameter = parameter._replace(default=None)
    if _is_list(parameter.type):
        return _list_reader(where, parameter, header, path)
    convert = _converter(where, parameter.type, path)
    default, is_required = parameter.default, parameter.default is MISSING
    is_made = isinstance(default, codecs.Factory)

    is_shared = header.lower() not in PASSING

    def read(context: Context) -> Any:
        headers = context.shared_headers if is_shared else context.headers
        text = headers.get(header)
        if text is None:
            if is_required:
                raise _refused(path, "is required")
            return default.make() if is_made else default
        return check_text(f"header {header!r}", text) if convert is None else convert(text)

    return read


def _list_reader(where: str, parameter: Parameter, header: str, path: str) -> Source:
    convert = _list_converter(where, parameter.type, path)
    is_required = parameter.default is MISSING

    is_shared = header.lower() not in PASSING

    def read(context: Context) -> Any:
        headers = context.shared_headers if is_shared else context.headers
        texts = headers.get_all(header)
        if texts:
            return convert(texts)
        if is_required:
            raise _refused(path, "is required")
        return parameter.fresh()

    return read


def _marked_token_source(
    where: str, parameter: Parameter, marker: TokenMarker, tokens: dict[str, int]
) -> Source:
    token = marker.name or parameter.name
    if token not in tokens:
        known = ", ".join(sorted(tokens)) or "none"
        raise ConfigError(
            f"{where} reads token {token!r}, which its subject does not have (it has: {known}): "
            f"write {{{token}}} in the subject, as in 'orders.{{{token}}}.get'"
        )
    if parameter.default is not MISSING:
        raise ConfigError(
            f"{where} has the default {parameter.default!r}, but every subject has the token "
            f"{token!r}: remove the default"
        )
    return _token_source(where, parameter, token, tokens)


def _token_source(where: str, parameter: Parameter, token: str, tokens: dict[str, int]) -> Source:
    index, where = tokens[token], f"{where}, which is the token {{{token}}} of its subject,"
    parameter = alone(where, described(where, parameter))
    convert = _converter(where, parameter.type, f"token.{token}")
    if convert is None:
        return lambda context: context.token(index)
    if convert is _raw:
        return lambda context: context.msg.raw_subject.split(b".")[index]
    return lambda context: convert(context.token(index))
