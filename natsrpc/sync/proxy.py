"""The blocking proxy: an object with a Protocol's methods, each of which calls and waits.

The methods are read by the rules of the async client's proxies. There a stream is an
`AsyncIterator`; here a method is written as it is called, with `Iterator` and `Iterable`.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Any, Protocol, TypeAlias

from natsrpc.errors import RpcError
from natsrpc.rpc import EndpointContract, Proxy, gives_stream, hints, remote_methods

from .stream import Stream

Tokens: TypeAlias = dict[str, str] | None
"""Values for the tokens of a subject; None where a method takes none."""


class Calls(Protocol):
    """The ways to call that a proxy uses: those of a blocking client."""

    def call(
        self, target: EndpointContract, request: Any, *, timeout: float | None, tokens: Tokens
    ) -> Any:
        """Call an endpoint that answers with one message."""

    def upload(
        self, target: EndpointContract, items: Iterable[Any], request: Any, *, tokens: Tokens
    ) -> Any:
        """Call an endpoint that reads a stream, and answers with one message."""

    def stream(
        self,
        target: EndpointContract,
        request: Any,
        *,
        items: Iterable[Any] | None,
        tokens: Tokens,
    ) -> Stream[Any]:
        """Call an endpoint that answers with a stream."""
        ...


def make_proxy(
    calls: Calls,
    api: type,
    prefix: str,
    timeout: float | None,
    errors: tuple[type[RpcError], ...],
) -> Any:
    """A proxy over `api`.

    Raises:
        ConfigError: it has no public methods, or one of them cannot be called remotely.
    """

    def caller(split: Callable[..., Any], contract: EndpointContract) -> Callable[..., Any]:
        def unary(*args: Any, **kwargs: Any) -> Any:
            request, _, tokens = split(args, kwargs)
            return calls.call(contract, request, timeout=timeout, tokens=tokens)

        def upload(*args: Any, **kwargs: Any) -> Any:
            request, items, tokens = split(args, kwargs)
            return calls.upload(contract, items, request, tokens=tokens)

        def stream(*args: Any, **kwargs: Any) -> Any:
            request, items, tokens = split(args, kwargs)
            return calls.stream(contract, request, items=items, tokens=tokens)

        if gives_stream(contract.kind):
            return stream
        return upload if contract.kind == "request_stream" else unary

    methods = remote_methods(api, prefix, errors, _as_async)
    return Proxy(
        api.__qualname__,
        {name: caller(remote.split, remote.contract) for name, remote in methods.items()},
    )


_RESULTS = (
    collections.abc.Iterator,
    collections.abc.Iterable,
    collections.abc.Generator,
    Stream,
)
_PARAMETERS = (collections.abc.Iterator, collections.abc.Iterable)


def _as_async(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function like this one, whose plain streams are async ones."""
    if not isinstance(function, types.FunctionType):
        return function
    found = hints(function)
    copy = types.FunctionType(
        function.__code__,
        function.__globals__,
        function.__name__,
        function.__defaults__,
        function.__closure__,
    )
    copy.__kwdefaults__ = function.__kwdefaults__
    copy.__qualname__, copy.__module__ = function.__qualname__, function.__module__
    copy.__annotations__ = {
        name: _stream_type(type_, _RESULTS if name == "return" else _PARAMETERS)
        for name, type_ in found.items()
    }
    return copy


def _stream_type(type_: Any, streams: tuple[type, ...]) -> Any:
    """`AsyncIterator[T]` for a plain stream of `T`; any other type as it is."""
    if typing.get_origin(type_) in streams:
        return AsyncIterator[typing.get_args(type_)[0]]  # type: ignore[misc]  # of a type found
    return type_
