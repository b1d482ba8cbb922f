"""`Requests`: what `sync.Client.request` is, with its types."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from natsrpc import codecs
from natsrpc.errors import RpcError
from natsrpc.rpc import NOTHING, Context, EndpointContract, Policy, Reply

from .portal import Portal

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from natsrpc.rpc import (
        Anything,
        CallOptions,
        First,
        Handler,
        RequestDoesNotFit,
        Second,
        Third,
        UseStream,
        UseUpload,
    )

T = TypeVar("T")
A = TypeVar("A")


class Requests:
    """The part of a blocking client whose calls give all of a reply. It is called itself."""

    def __init__(self, portal: Portal) -> None:
        self._portal = portal

    # fmt: off
    @overload
    def __call__(self, target: str, request: Any, returns: TypeForm[T],
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: str, request: Any = ..., *, returns: TypeForm[T],
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: str, request: Any = ...,
                 **options: Unpack[CallOptions]) -> Reply[Any]: ...
    @overload
    def __call__(self, target: First[Anything, Awaitable[T]], request: Any = ...,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # it is more particular
                 self, target: First[AsyncIterator[Any], Awaitable[Any]], request: Any = ...,
                 **options: Unpack[CallOptions]) -> UseUpload: ...
    @overload
    def __call__(self, target: Handler[Awaitable[T]], request: Mapping[str, Any] = ...,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: First[A, Awaitable[T]], request: A,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: Second[Anything, Awaitable[T]], request: Any,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(  # type: ignore[overload-overlap]  # it is more particular
                 self, target: Handler[AsyncIterable[Any]], request: Any = ...,
                 **options: Unpack[CallOptions]) -> UseStream: ...
    @overload
    def __call__(self, target: Handler[T], request: Mapping[str, Any] = ...,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: First[A, T], request: A,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: Second[Context, Any], request: Any,
                 **options: Unpack[CallOptions]) -> RequestDoesNotFit: ...
    @overload
    def __call__(self, target: Second[A, Awaitable[T]], request: A,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: Third[Any, Awaitable[T]], request: Any,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: Second[A, T], request: A,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: Third[Any, T], request: Any,
                 **options: Unpack[CallOptions]) -> Reply[T]: ...
    @overload
    def __call__(self, target: EndpointContract, request: Any = ..., returns: Any = ...,
                 **options: Unpack[CallOptions]) -> Reply[Any]: ...
    # fmt: on
    def __call__(  # pyright: ignore[reportInconsistentOverload]
        self, target: Any, request: Any = NOTHING, returns: Any = NOTHING, *,
        timeout: float | None = 5.0, headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None, tokens: Mapping[str, str] | None = None,
        errors: tuple[type[RpcError], ...] = (), policy: Policy | None = None,
    ) -> Reply[Any]:  # fmt: skip
        """Call a subject, or a handler, and wait for its answer with all that comes with it.

        The arguments and errors are those of `call`.
        """
        session = self._portal.session or self._portal.open()
        reply: Reply[Any] = session.run(
            session.client.request, target, request, returns, timeout=timeout, headers=headers,
            codec=codec, tokens=tokens, errors=errors, policy=policy)  # fmt: skip
        return reply
