"""The options of `call`, `stream`, `upload` and `gather`, for type checkers.

The package imports this under `TYPE_CHECKING` alone: nothing makes these classes when it runs.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Callable, Mapping
from typing import Any, Concatenate, Protocol, TypeAlias, TypedDict, TypeVar

from natsrpc import codecs
from natsrpc.errors import RpcError

from .policy import Policy

T = TypeVar("T")
A = TypeVar("A")

Handler: TypeAlias = Callable[..., T]
"""A handler with this result."""

First: TypeAlias = Callable[Concatenate[A, ...], T]
"""A handler with this first parameter and this result."""

Second: TypeAlias = Callable[Concatenate[Any, A, ...], T]
"""A handler with this second parameter."""

Third: TypeAlias = Callable[Concatenate[Any, Any, A, ...], T]
"""A handler with this third parameter."""


class Anything:
    """Only a parameter of type `Any` or `object` takes it."""


class UseStream(Protocol):
    """What checkers see `call` give for a handler that answers with a stream: nothing to await."""


class UseUpload(Protocol):
    """What checkers see `call` give for a handler that reads a stream: nothing to await."""


class RequestDoesNotFit(Protocol):
    """What checkers see `call` give for a request of another type: nothing to await."""


class CommonOptions(TypedDict, total=False):
    """Options of every way to call; all that `upload` takes."""

    timeout: float | None
    headers: Mapping[str, str] | None
    codec: str | codecs.Codec | None
    tokens: Mapping[str, str] | None
    errors: tuple[type[RpcError], ...]


class CallOptions(CommonOptions, total=False):
    """Options of `call`."""

    policy: Policy | None


class OpeningOptions(CommonOptions, total=False):
    """Options of `stream`, but for its items."""

    idle_timeout: float | None
    policy: Policy | None


class StreamOptions(OpeningOptions, total=False):
    """Options of `stream`."""

    items: AsyncIterable[Any] | None


class GatherOptions(TypedDict, total=False):
    """Options of `gather`."""

    timeout: float
    headers: Mapping[str, str] | None
    codec: str | codecs.Codec | None
    tokens: Mapping[str, str] | None
    errors: tuple[type[RpcError], ...]
    stall: float | None
    max_responses: int | None
