"""Streams and results of a handler: told by its annotations, held against what its code does."""

from __future__ import annotations

import collections.abc
import inspect
import typing
from collections.abc import Callable
from typing import Any

from natsrpc.errors import ConfigError

from .aliases import parts, plain
from .annotations import UNANNOTATED, Parameter
from .layers import is_async, layers
from .markers import MISSING

STREAMS = (
    collections.abc.AsyncIterator,
    collections.abc.AsyncIterable,
    collections.abc.AsyncGenerator,
)
PLAIN_STREAMS = (collections.abc.Iterator, collections.abc.Generator)
AWAITABLES = (collections.abc.Awaitable, collections.abc.Coroutine)


def _is(type_: Any, classes: tuple[Any, ...]) -> bool:
    """Whether a type is one of these classes, bare or with arguments."""
    if typing.get_origin(type_) is typing.Annotated:
        return _is(typing.get_args(type_)[0], classes)
    return type_ in classes or typing.get_origin(type_) in classes


def request_stream(body: list[Parameter], where: Callable[[Parameter], str]) -> Parameter | None:
    """The parameter that reads a stream of requests; None without one. `where` names a parameter
    in errors.

    Raises:
        ConfigError: there are two, or one looks like a stream and is none.
    """
    for parameter in body:
        _check_stream(where(parameter), parameter.type)
    streams = [p for p in body if _is(p.type, STREAMS)]
    if len(streams) > 1:
        raise ConfigError(f"{where(streams[1])} is a second request stream: expected one")
    for stream in streams:
        if stream.default is not MISSING or stream.marker is not None:
            raise ConfigError(
                f"{where(stream)} is a request stream: it takes neither a marker nor a default"
            )
    return streams[0] if streams else None


def _check_stream(where: str, type_: Any) -> None:
    """Refuse what looks like a stream, and is none."""
    if _is(type_, PLAIN_STREAMS):
        raise ConfigError(
            f"{where} is a plain iterator: annotate a stream as AsyncIterator[...] (it is made by "
            "`async def` with `yield`), and several values in one body as list[...]"
        )
    if not _is(type_, STREAMS) and any(_is(inner, STREAMS) for inner, _ in parts(type_)):
        raise ConfigError(
            f"{where} has a stream inside another type: annotate it as plain AsyncIterator[...]"
        )


def item_type(stream: Any) -> Any:
    """The type of the items of a stream, by the stream's annotation."""
    if typing.get_origin(stream) is typing.Annotated:
        return item_type(typing.get_args(stream)[0])
    arguments = typing.get_args(stream)
    return plain(arguments[0]) if arguments else Any


def response(name: str, function: Callable[..., Any], returns: Any) -> tuple[Any, bool, bool]:
    """The type of the reply, or of each item of a response stream; whether it is a stream; and
    whether it is an awaitable by its annotation.

    Raises:
        ConfigError: there is no annotation, or it does not say what the function gives.
    """
    found = list(layers(function))
    # of several layers the outermost is what is called
    outermost = next(filter(inspect.isfunction, found), function)
    waits = inspect.iscoroutinefunction(outermost)
    yields = not waits and any(map(inspect.isasyncgenfunction, found))
    if returns is UNANNOTATED:
        way = "AsyncIterator[int]" if yields else "int"
        raise ConfigError(
            f"the result of handler {name!r} has no annotation: write its type, as in "
            f"'-> {way}'; '-> None' is an empty reply, '-> Any' one of any type"
        )
    if _is(returns, STREAMS):
        if waits or (is_async(function) and not yields):
            raise ConfigError(
                f"handler {name!r} is annotated as a stream, and returns one instead of yielding: "
                "write `async def` with `yield`, or plain `def` that returns the async iterator"
            )
        return item_type(returns), True, False
    if yields:
        raise ConfigError(
            f"handler {name!r} yields: its result is to be annotated as AsyncIterator[...]"
        )
    _check_stream(f"the result of handler {name!r}", returns)
    awaits = not is_async(function) and _is(returns, AWAITABLES)
    if awaits:
        returns = plain((typing.get_args(returns) or (Any,))[-1])
    if returns in (None, type(None), typing.NoReturn, typing.Never):
        return None, False, awaits
    return returns, False, awaits
