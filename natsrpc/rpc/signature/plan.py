"""A handler's signature becomes its call plan: once, at registration.

The rules (documented for users under "Binding"): `Msg`, `Context` and marked parameters read no
body. One other parameter is the whole body; several are fields of it, by name. A signature that
could be read in two ways is refused here, with a `ConfigError` that names the parameter, so that no
message is ever the first to find out.
"""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from natsrpc import codecs
from natsrpc.errors import ConfigError

from ..contract import Kind
from .annotations import UNANNOTATED, Parameter, describe, is_async, layers, parameters
from .markers import MISSING, DependsMarker, EmbedMarker
from .sources import Source, source_of

Shape = Literal["nothing", "body", "fields", "general"]

STREAMS = (
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
)


@dataclass(frozen=True, slots=True)
class Dependency:
    """One `Depends`, with its own parameters resolved.

    Its value is made once in its `lifetime`. `tokens` are those of the subject.
    """

    function: Callable[..., Any]
    lifetime: Literal["request", "app"]
    tokens: tuple[tuple[str, int], ...]
    sources: tuple[tuple[str, Source], ...]
    dependencies: tuple[tuple[str, Dependency], ...]
    style: Literal["plain", "async", "generator", "async_generator"]


@dataclass(frozen=True, slots=True)
class CallPlan:
    """The plan by which one handler is called: its parameters, and the types it reads and answers.

    `shape` tells the endpoint the shortest way: call it with nothing, with the decoded body, with
    the decoded body's fields, or the general way through `invoke`.
    """

    name: str
    function: Callable[..., Any]
    is_async: bool
    shape: Shape
    kind: Kind
    request_type: Any
    response_type: Any
    body: tuple[Parameter, ...]
    whole: bool
    sources: tuple[tuple[str, Source], ...]
    dependencies: tuple[tuple[str, Dependency], ...]
    positional_only: tuple[str, ...]
    stream: Parameter | None = None
    stream_type: Any = None


def plan(function: Callable[..., Any], tokens: dict[str, int] | None = None) -> CallPlan:
    """Read a handler's signature.

    Args:
        function: any callable.
        tokens: the named wildcards of its subject, with their places.

    Raises:
        ConfigError: a parameter's meaning is missing or ambiguous.
    """
    if not callable(function):
        raise ConfigError(f"a handler must be callable, not {function!r}")
    name = describe(function)
    _check_kind(name, function)
    found, returns = parameters(function)
    sources, dependencies, body = _sort(name, found, tokens or {})
    stream = _request_stream(name, body)
    if stream is not None:
        body = [parameter for parameter in body if parameter is not stream]
    whole = len(body) == 1 and body[0].marker is None
    _check_body(name, body, whole)
    response_type, streams = _response(name, function, returns)
    asynchronous = is_async(function)
    extras = bool(sources or dependencies or stream) or not asynchronous or streams
    return CallPlan(
        name=name,
        function=function,
        is_async=asynchronous,
        shape=_shape(body, whole, extras),
        kind=_kind(stream is not None, streams),
        request_type=_request_type(body, whole),
        response_type=response_type,
        body=tuple(body),
        whole=whole,
        sources=tuple(sources),
        dependencies=tuple(dependencies),
        positional_only=tuple(p.name for p in found if p.positional_only),
        stream=stream,
        stream_type=_item_type(stream.type) if stream is not None else None,
    )


def _check_kind(name: str, function: Callable[..., Any]) -> None:
    if inspect.isclass(function):
        raise ConfigError(f"{name!r} is a class: serve a function, or an instance's methods")
    if any(inspect.isgeneratorfunction(layer) for layer in layers(function)):
        raise ConfigError(
            f"handler {name!r} is a plain generator: a stream is made by `async def` with `yield`"
        )


def _sort(
    name: str, found: list[Parameter], tokens: dict[str, int]
) -> tuple[list[tuple[str, Source]], list[tuple[str, Dependency]], list[Parameter]]:
    """Split parameters into those read from the message, dependencies, and the body's."""
    sources: list[tuple[str, Source]] = []
    dependencies: list[tuple[str, Dependency]] = []
    body: list[Parameter] = []
    for parameter in found:
        marker = parameter.marker
        if isinstance(marker, DependsMarker):
            dependencies.append((parameter.name, dependency(marker, tokens)))
        elif (source := source_of(name, parameter, tokens)) is not None:
            sources.append((parameter.name, source))
        else:
            body.append(parameter)
    return sources, dependencies, body


def dependency(
    marker: DependsMarker, tokens: dict[str, int] | None = None, path: tuple[Any, ...] = ()
) -> Dependency:
    """Read a dependency's own signature.

    Raises:
        ConfigError: it depends on itself, has a parameter it could only read from the body, or
            lives as long as the app and asks for something of one request.
    """
    function = marker.function
    if not callable(function):
        raise ConfigError(f"Depends() needs a callable, not {function!r}")
    name = describe(function)
    if function in path:
        raise ConfigError(f"dependency {name!r} depends on itself")
    found, _ = parameters(function)
    sources: list[tuple[str, Source]] = []
    inner: list[tuple[str, Dependency]] = []
    for parameter in found:
        if isinstance(parameter.marker, DependsMarker):
            inner.append((parameter.name, dependency(parameter.marker, tokens, (*path, function))))
        elif (source := source_of(name, parameter, tokens or {})) is not None:
            sources.append((parameter.name, source))
        elif parameter.default is MISSING:
            raise ConfigError(
                f"parameter {parameter.name!r} of dependency {name!r} could only be read from the "
                "body, which dependencies never read: mark it, or give it a default"
            )
    if marker.scope == "app" and (sources or any(d.lifetime != "app" for _, d in inner)):
        raise ConfigError(f"dependency {name!r} lives as long as the app: it cannot read a request")
    return Dependency(
        function,
        marker.scope,
        tuple((tokens or {}).items()),
        tuple(sources),
        tuple(inner),
        _style(function),
    )


def substitute(wanted: Dependency, function: Callable[..., Any]) -> Dependency:
    """`function` in the place of a dependency.

    Raises:
        ConfigError: as for `dependency`.
    """
    return dependency(DependsMarker(function, wanted.lifetime), dict(wanted.tokens))


def all_dependencies(found: tuple[tuple[str, Dependency], ...]) -> Iterator[Dependency]:
    """The dependencies, and theirs."""
    for _, each in found:
        yield each
        yield from all_dependencies(each.dependencies)


def _style(
    function: Callable[..., Any],
) -> Literal["plain", "async", "generator", "async_generator"]:
    if inspect.isasyncgenfunction(function):
        return "async_generator"
    if inspect.isgeneratorfunction(function):
        return "generator"
    return "async" if is_async(function) else "plain"


def _request_stream(name: str, body: list[Parameter]) -> Parameter | None:
    streams = [p for p in body if typing.get_origin(p.type) in STREAMS or p.type in STREAMS]
    if len(streams) > 1:
        raise ConfigError(
            f"parameter {streams[1].name!r} of handler {name!r} is a second request stream"
        )
    for stream in streams:
        if stream.default is not MISSING or stream.marker is not None:
            raise ConfigError(
                f"parameter {stream.name!r} of handler {name!r} is a request stream: "
                "it takes neither a marker nor a default"
            )
    return streams[0] if streams else None


def _item_type(stream: Any) -> Any:
    arguments = typing.get_args(stream)
    return arguments[0] if arguments else Any


def _check_body(name: str, body: list[Parameter], whole: bool) -> None:
    for parameter in body:
        if parameter.type is UNANNOTATED:
            way = (
                "register methods of an instance, not of the class"
                if parameter.name == "self"
                else f"write its type, as in '{parameter.name}: int'"
            )
            raise ConfigError(
                f"parameter {parameter.name!r} of handler {name!r} has no annotation: {way}"
            )
        if not whole and parameter.type is bytes and not isinstance(parameter.marker, EmbedMarker):
            raise ConfigError(
                f"parameter {parameter.name!r} of handler {name!r}: bytes is the raw payload, "
                "and here it would be one field of several; mark it Annotated[bytes, Embed] if "
                "that is meant"
            )


def _request_type(body: list[Parameter], whole: bool) -> Any:
    if not body:
        return None
    if whole:
        return body[0].type
    return codecs.fields(
        {p.name: (p.type, codecs.REQUIRED if p.default is MISSING else p.default) for p in body}
    )


def _response(name: str, function: Callable[..., Any], returns: Any) -> tuple[Any, bool]:
    """The type of the reply, or of each item of a response stream, and whether it is a stream."""
    if returns is UNANNOTATED:
        return Any, inspect.isasyncgenfunction(function)
    if returns in STREAMS or typing.get_origin(returns) in STREAMS:
        return _item_type(returns), True
    if returns is type(None) or returns in (typing.NoReturn, typing.Never):
        return None, False
    if inspect.isasyncgenfunction(function):
        raise ConfigError(
            f"handler {name!r} yields: its result is to be annotated as AsyncIterator[...]"
        )
    return returns, False


def _shape(body: list[Parameter], whole: bool, extras: bool) -> Shape:
    if extras:
        return "general"
    if not body:
        return "nothing"
    parameter = body[0]
    if whole:
        return "body" if parameter.default is MISSING else "general"
    return "general" if any(p.positional_only for p in body) else "fields"


def _kind(requests: bool, responses: bool) -> Kind:
    if requests:
        return "both_stream" if responses else "request_stream"
    return "response_stream" if responses else "unary"
