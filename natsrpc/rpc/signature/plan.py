"""A handler's signature becomes its call plan: once, at registration.

The rules (documented for users in the guide): `Msg`, `Context`, marked parameters, and those named
like a token of the subject read no body. One other parameter is the whole body; several are fields
of it, by name. A signature that could be read in two ways is refused here, with a `ConfigError`
that names the parameter and its place, so that no message is ever the first to find out.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

from natsrpc import codecs
from natsrpc.errors import ConfigError

from ..contract import Kind
from .aliases import base_of
from .annotations import UNANNOTATED, Parameter, of_instance, parameters
from .callables import Style, style
from .layers import check_wrappers, describe, identity, is_async, layers
from .markers import MISSING, DependsMarker, EmbedMarker
from .places import located, place
from .results import item_type, request_stream, response
from .sources import RAW, Source, outlives_requests, source_of
from .values import alone, beside_tokens, described

Shape = Literal["nothing", "body", "fields", "general"]


@dataclass(frozen=True, slots=True)
class Dependency:
    """One `Depends`, with its own parameters resolved.

    Its value is made once in its `lifetime`. `tokens` are those of the subject. `thread` tells that
    a plain function runs in the handlers' threads.
    """

    function: Callable[..., Any]
    lifetime: Literal["request", "app"]
    tokens: tuple[tuple[str, int], ...]
    sources: tuple[tuple[str, Source], ...]
    dependencies: tuple[tuple[str, Dependency], ...]
    style: Style
    thread: bool = True


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
        raise ConfigError(f"a handler must be callable, not {function!r}{_hint(function)}")
    with located(function):
        return _plan(function, tokens or {})


def _hint(function: object) -> str:
    if isinstance(function, classmethod):
        return ": serve the methods of a class by service.register(instance)"
    if inspect.isawaitable(function):
        return ": name the function without calling it"
    return ": expected a function, a method, or an object with __call__"


def _plan(function: Callable[..., Any], tokens: dict[str, int]) -> CallPlan:
    name = describe(function)
    _check_kind(name, function)
    found, returns = parameters(function)
    sources, dependencies, body = _sort(name, found, tokens)
    stream = request_stream(body, partial(_where, name))
    if stream is not None:
        body = [parameter for parameter in body if parameter is not stream]
    whole = len(body) == 1 and body[0].marker is None
    _check_body(name, function, body, whole)
    body = _describe(name, body, whole)
    _check_aliases(name, body, tokens)
    if whole and any(each.marker is None and each.name in tokens for each in found):
        body = [beside_tokens(body[0])]
    response_type, streams, awaits = response(name, function, returns)
    asynchronous = is_async(function) or awaits
    extras = bool(sources or dependencies or stream) or not asynchronous or streams
    shape = _shape(body, whole, extras)
    _check_call(function, found, shape)
    return CallPlan(
        name=name,
        function=function,
        is_async=asynchronous,
        shape=shape,
        kind=_kind(stream is not None, streams),
        request_type=_request_type(body, whole),
        response_type=response_type,
        body=tuple(body),
        whole=whole,
        sources=tuple(sources),
        dependencies=tuple(dependencies),
        positional_only=tuple(p.name for p in found if p.positional_only),
        stream=stream,
        stream_type=item_type(stream.type) if stream is not None else None,
    )


def _where(name: str, parameter: Parameter) -> str:
    return f"parameter {parameter.name!r} of handler {name!r}"


def _check_kind(name: str, function: Callable[..., Any]) -> None:
    around = list(layers(function))
    if inspect.isclass(function):
        raise ConfigError(
            f"{name!r} is a class: serve a function, or an instance's methods by "
            f"service.register({name}())"
        )
    if any(getattr(each, "__globals__", {}).get("__name__") == "contextlib" for each in around):
        raise ConfigError(
            f"handler {name!r} is a context manager, which cannot be called remotely: remove its "
            "decorator, or name it in Depends(...)"
        )
    if any(hasattr(each, "registry") and hasattr(each, "dispatch") for each in around):
        raise ConfigError(
            f"handler {name!r} is chosen by the class of its argument (singledispatch): annotate a "
            "handler of its own with a union, and call it there"
        )
    if any(inspect.isgeneratorfunction(layer) for layer in around):
        raise ConfigError(
            f"handler {name!r} is a plain generator: a stream is made by `async def` with `yield`"
        )


def _check_call(function: Callable[..., Any], found: list[Parameter], shape: Shape) -> None:
    """Refuse a decorator that would not take the arguments, as they will be passed."""
    by_place = [p.name for p in found if p.positional_only or shape == "body"]
    by_name = [p.name for p in found if p.name not in by_place]
    check_wrappers(function, len(by_place), by_name)


def _sort(
    name: str, found: list[Parameter], tokens: dict[str, int]
) -> tuple[list[tuple[str, Source]], list[tuple[str, Dependency]], list[Parameter]]:
    """Split parameters into those read from the message, dependencies, and the body's."""
    sources: list[tuple[str, Source]] = []
    dependencies: list[tuple[str, Dependency]] = []
    body: list[Parameter] = []
    for parameter in found:
        where = _where(name, parameter)
        marker = parameter.marker
        if isinstance(marker, DependsMarker):
            _check_depends(where, parameter)
            dependencies.append((parameter.name, dependency(marker, tokens)))
        elif (source := source_of(where, parameter, tokens)) is not None:
            sources.append((parameter.name, source))
        else:
            body.append(parameter)
    return sources, dependencies, body


def _check_depends(where: str, parameter: Parameter) -> None:
    if parameter.default is not MISSING:
        raise ConfigError(
            f"{where} has the default {parameter.default!r}, but its dependency always gives a "
            "value: remove the default"
        )


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
    with located(function):
        return _dependency(marker, tokens or {}, path)


def _dependency(marker: DependsMarker, tokens: dict[str, int], path: tuple[Any, ...]) -> Dependency:
    function = marker.function
    name = describe(function)
    if any(identity(function) == identity(each) for each in path):
        raise ConfigError(f"dependency {name!r} depends on itself")
    found, _ = parameters(function)
    sources: list[tuple[str, Source]] = []
    inner: list[tuple[str, Dependency]] = []
    for parameter in found:
        where = f"parameter {parameter.name!r} of dependency {name!r}"
        if isinstance(parameter.marker, DependsMarker):
            _check_depends(where, parameter)
            inner.append((parameter.name, dependency(parameter.marker, tokens, (*path, function))))
        elif (source := source_of(where, parameter, tokens)) is not None:
            sources.append((parameter.name, source))
        else:
            _check_left(where, parameter)
    passed = [each for each, _ in (*sources, *inner)]
    _check_passed(name, found, passed)
    check_wrappers(function, 0, passed)
    types = {each.name: each.type for each in found}
    of_request = [each for each, _ in sources if not outlives_requests(types[each])]
    if marker.scope == "app" and (of_request or any(d.lifetime != "app" for _, d in inner)):
        raise ConfigError(f"dependency {name!r} lives as long as the app: it cannot read a request")
    return Dependency(
        function,
        marker.scope,
        tuple(tokens.items()),
        tuple(sources),
        tuple(inner),
        style(function),
        marker.thread,
    )


def _check_left(where: str, parameter: Parameter) -> None:
    """Refuse a dependency's parameter that nothing gives a value to."""
    if parameter.marker is not None:
        raise ConfigError(
            f"{where} is marked Embed, a field of the body, which dependencies never read: take "
            "it in the handler"
        )
    if parameter.default is MISSING:
        raise ConfigError(
            f"{where} could only be read from the body, which dependencies never read: mark it, or "
            "give it a default"
        )
    if codecs.described(parameter.type, parameter.default).default is not parameter.default:
        raise ConfigError(
            f"{where} has a Field(...) as its default, which describes a field of a body, and "
            "dependencies never read the body: give it a plain default"
        )


def _check_passed(name: str, found: list[Parameter], passed: list[str]) -> None:
    """Refuse what cannot be passed by name, as the values of a dependency's parameters are."""
    for parameter in found:
        if parameter.positional_only and parameter.name in passed:
            raise ConfigError(
                f"parameter {parameter.name!r} of dependency {name!r} is positional only, but is "
                "passed by name: remove the '/'"
            )


def substitute(wanted: Dependency, function: Callable[..., Any]) -> Dependency:
    """`function` in the place of a dependency.

    Raises:
        ConfigError: as for `dependency`.
    """
    marker = DependsMarker(function, wanted.lifetime, wanted.thread)
    return dependency(marker, dict(wanted.tokens))


def all_dependencies(found: tuple[tuple[str, Dependency], ...]) -> Iterator[Dependency]:
    """The dependencies, and theirs."""
    for _, each in found:
        yield each
        yield from all_dependencies(each.dependencies)


_NAMES_OF_OURS = {"client": "natsrpc.Client", "context": "natsrpc.Context", "msg": "natsrpc.Msg"}
"""What a parameter without a type most likely is, by its name."""


def _check_body(
    name: str, function: Callable[..., Any], body: list[Parameter], whole: bool
) -> None:
    for parameter in body:
        where = _where(name, parameter)
        if parameter.type is UNANNOTATED:
            type_ = _NAMES_OF_OURS.get(parameter.name, "int")
            way = f"write its type, as in '{parameter.name}: {type_}'"
            if not place(function):
                way = "wrap it in a function of your own, with annotations"
            elif parameter is body[0] and inspect.isfunction(function) and "." in name:
                way += f"; if it is the instance of a method, {of_instance(name)}"
            raise ConfigError(f"{where} has no annotation: {way}")
        is_raw = base_of(parameter.type) in RAW
        if is_raw and not whole and not isinstance(parameter.marker, EmbedMarker):
            raise ConfigError(
                f"{where}: bytes is the raw payload, and here it would be one field of several; "
                "mark it Annotated[bytes, Embed] if that is meant"
            )


def _describe(name: str, body: list[Parameter], whole: bool) -> list[Parameter]:
    """The parameters with their fields' names, constraints and defaults, checked."""
    found = [described(_where(name, parameter), parameter) for parameter in body]
    if whole:
        return [alone(_where(name, found[0]), found[0])]
    taken: dict[str, str] = {}
    for parameter in found:
        for field in parameter.names or (parameter.name,):
            if field in taken:
                raise ConfigError(
                    f"{_where(name, parameter)} is read from the field {field!r} of the body, as "
                    f"parameter {taken[field]!r} is: give one of them another alias"
                )
            taken[field] = parameter.name
    return found


def _check_aliases(name: str, body: list[Parameter], tokens: dict[str, int]) -> None:
    """Refuse a field that has the name of a token by its alias: it may be the token that is meant,
    and the body must not speak for it."""
    for parameter in body:
        for alias in parameter.names:
            if alias in tokens and not isinstance(parameter.marker, EmbedMarker):
                raise ConfigError(
                    f"{_where(name, parameter)} has the alias {alias!r}, the name of the token "
                    f"{{{alias}}} of its subject: mark it Token({alias!r}) to read that, or Embed "
                    "if a field of the body is meant"
                )


def _request_type(body: list[Parameter], whole: bool) -> Any:
    if not body:
        return None
    if whole:
        return body[0].type
    return codecs.fields(
        {p.name: (p.type, codecs.REQUIRED if p.default is MISSING else p.default) for p in body},
        names={p.name: p.names for p in body if p.names},
    )


def _shape(body: list[Parameter], whole: bool, extras: bool) -> Shape:
    if extras:
        return "general"
    if not body:
        return "nothing"
    parameter = body[0]
    if whole:
        is_plain = parameter.default is MISSING and not parameter.keyword_only
        return "body" if is_plain else "general"
    return "general" if any(p.positional_only for p in body) else "fields"


def _kind(requests: bool, responses: bool) -> Kind:
    if requests:
        return "both_stream" if responses else "request_stream"
    return "response_stream" if responses else "unary"
