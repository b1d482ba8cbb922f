"""Calls that stream, and calls to everybody."""

from __future__ import annotations

import contextlib
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
)
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Concatenate, TypeAlias, TypeVar, Unpack, overload

from natsrpc import codecs
from natsrpc.core import Headers
from natsrpc.errors import ConfigError, ConfigTypeError, ContractError, RpcError

from ..contract import Context, EndpointContract, Next
from .binding import NOTHING, Errors
from .bound import GRACE, BoundCall, Call
from .outgoing import Outgoing, stream_items
from .policy import Policy
from .sender import Sender

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from .arguments import GatherOptions, OpeningOptions, Options, StreamOptions

T = TypeVar("T")
R = TypeVar("R")

Failure: TypeAlias = "RpcError | ContractError"
"""What an instance may answer to `gather` instead of a value."""

_END: Any = object()


class Streamer(Sender):
    """The part of a client that calls with streams, and gathers."""

    @overload
    def stream(
        self, target: str, request: Any, returns: TypeForm[T], **options: Unpack[StreamOptions]
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(
        self,
        target: str,
        request: Any = ...,
        *,
        returns: TypeForm[T],
        **options: Unpack[StreamOptions],
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(
        self, target: str, request: Any = ..., **options: Unpack[StreamOptions]
    ) -> AsyncGenerator[Any, None]: ...
    @overload
    def stream(
        self, target: Callable[[], AsyncIterator[T]], **options: Unpack[StreamOptions]
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(
        self,
        target: Callable[[AsyncIterator[R]], AsyncIterator[T]],
        *,
        items: AsyncIterable[R],
        **options: Unpack[OpeningOptions],
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(
        self, target: Callable[[R], AsyncIterator[T]], request: R, **options: Unpack[StreamOptions]
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(
        self,
        target: Callable[Concatenate[Any, Any, ...], AsyncIterator[T]],
        request: Any,
        **options: Unpack[StreamOptions],
    ) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(
        self,
        target: EndpointContract,
        request: Any = ...,
        returns: Any = ...,
        **options: Unpack[StreamOptions],
    ) -> AsyncGenerator[Any, None]: ...

    def stream(
        self,
        target: Any,
        request: Any = NOTHING,
        returns: Any = NOTHING,
        *,
        timeout: float | None = None,
        idle_timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None,
        tokens: Mapping[str, str] | None = None,
        errors: Errors = (),
        items: AsyncIterable[Any] | None = None,
        policy: Policy | None = None,
    ) -> AsyncGenerator[Any, None]:
        """Call a handler that answers with a stream, and iterate over its items.

        The handler is held while this side reads more slowly than it yields. Leaving the loop,
        cancelling it, or the death of this process closes the handler's generator.

        Args:
            target, request, returns, headers, codec, tokens, errors: as for `call`; `returns` is
                the type of one item. A request that is an async iterable is taken for `items`.
            timeout: seconds for the whole stream; None for no limit but an inherited deadline.
            idle_timeout: seconds without an item after which the stream is given up.
            items: what to send, for a handler that reads a stream of requests.
            policy: how it is repeated until its first item; not hedged, and not with `items`.

        Raises:
            RpcError: what the stream ended with, after the items before it; `UnavailableError` if
                the worker is gone or items were lost.
            NoRespondersError, NatsTimeoutError, ContractError, ConnectionClosedError: as `call`.
        """
        if items is None and isinstance(request, AsyncIterable):
            items, request = request, NOTHING
        call = Call(
            target,
            request,
            returns,
            kind="stream",
            timeout=timeout,
            headers=headers,
            codec=codec,
            tokens=tokens,
            errors=errors,
            policy=policy,
            items=items,
            idle_timeout=idle_timeout,
        )
        return self._stream(call) if self._call is None else _through(self._call, call)

    def _stream(self, call: Call) -> AsyncGenerator[Any, None]:
        """The items of a stream, which is opened with the first one."""
        bound = self._find(call, streams=True)
        policy = self._chosen(call.policy)
        if policy is None or call.items is not None:
            return stream_items(partial(self._open, bound, call, call.timeout))
        return self._opened_by(policy, bound, call)

    async def _opened_by(
        self, policy: Policy, bound: BoundCall, call: Call
    ) -> AsyncGenerator[Any, None]:
        """The items of a stream that is tried again until its first one."""
        policy = replace(policy, hedge_after=None, attempt_timeout=None)
        idempotent = bound.idempotent if policy.idempotent is None else policy.idempotent

        async def attempt(seconds: float | None) -> tuple[AsyncGenerator[Any, None], Any]:
            found = stream_items(partial(self._open, bound, call, seconds))
            try:
                return found, await anext(found, _END)
            except BaseException:
                await found.aclose()
                raise

        rest, item = await self._attempts.run(
            policy, attempt, timeout=call.timeout, idempotent=idempotent
        )
        async with contextlib.aclosing(rest):
            if item is _END:
                return
            yield item
            async for item in rest:
                yield item

    @overload
    async def upload(
        self,
        target: Callable[[AsyncIterator[R]], Awaitable[T]],
        items: AsyncIterable[R],
        **options: Unpack[Options],
    ) -> T: ...
    @overload
    async def upload(
        self,
        target: Callable[Concatenate[Any, Any, ...], Awaitable[T]],
        items: AsyncIterable[Any],
        request: Any = ...,
        **options: Unpack[Options],
    ) -> T: ...
    @overload
    async def upload(
        self,
        target: str,
        items: AsyncIterable[Any],
        request: Any = ...,
        *,
        returns: TypeForm[T],
        **options: Unpack[Options],
    ) -> T: ...
    @overload
    async def upload(
        self,
        target: str | EndpointContract,
        items: AsyncIterable[Any],
        request: Any = ...,
        returns: Any = ...,
        **options: Unpack[Options],
    ) -> Any: ...

    async def upload(
        self,
        target: Any,
        items: AsyncIterable[Any],
        request: Any = NOTHING,
        returns: Any = NOTHING,
        *,
        timeout: float | None = None,
        headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None,
        tokens: Mapping[str, str] | None = None,
        errors: Errors = (),
    ) -> Any:
        """Send a stream of requests to a handler that reads one, and wait for its answer.

        `items` is read only as fast as the handler takes them.

        Args:
            target, request, returns, headers, codec, tokens, errors: as for `call`.
            items: what to send.
            timeout: seconds for the whole of it.

        Raises:
            RpcError, NoRespondersError, NatsTimeoutError, ContractError, ConnectionClosedError: as
                for `stream`; and whatever `items` raises.
        """
        call = Call(
            target,
            request,
            returns,
            kind="upload",
            timeout=timeout,
            headers=headers,
            codec=codec,
            tokens=tokens,
            errors=errors,
            items=items,
        )
        return await (self._upload(call) if self._call is None else self._call(call))

    async def _upload(self, call: Call) -> Any:
        return await self._open(self._find(call, streams=True), call, call.timeout).answer()

    def _open(self, bound: BoundCall, call: Call, timeout: float | None) -> Outgoing:
        data, block, wait = self._prepare(bound, call.request, timeout, call.headers)
        if call.items is not None and not isinstance(call.items, AsyncIterable):
            raise ConfigTypeError(
                f"items are {type(call.items).__name__}: expected an async iterable, "
                "such as an `async def` with `yield` makes"
            )
        outgoing = Outgoing(self.connection, bound, timeout=wait, idle_timeout=call.idle_timeout)
        outgoing.open(data, block, call.items)
        return outgoing

    @overload
    async def gather(
        self, target: str, request: Any, returns: TypeForm[T], **options: Unpack[GatherOptions]
    ) -> list[T | Failure]: ...
    @overload
    async def gather(
        self,
        target: str,
        request: Any = ...,
        *,
        returns: TypeForm[T],
        **options: Unpack[GatherOptions],
    ) -> list[T | Failure]: ...
    @overload
    async def gather(
        self, target: Callable[[], Awaitable[T]], **options: Unpack[GatherOptions]
    ) -> list[T | Failure]: ...
    @overload
    async def gather(
        self, target: Callable[[R], Awaitable[T]], request: R, **options: Unpack[GatherOptions]
    ) -> list[T | Failure]: ...
    @overload
    async def gather(
        self,
        target: Callable[Concatenate[Any, Any, ...], Awaitable[T]],
        request: Any,
        **options: Unpack[GatherOptions],
    ) -> list[T | Failure]: ...
    @overload
    async def gather(
        self,
        target: Callable[Concatenate[Context, ...], Awaitable[T]],
        request: Any = ...,
        **options: Unpack[GatherOptions],
    ) -> list[T | Failure]: ...
    @overload
    async def gather(
        self,
        target: str | EndpointContract,
        request: Any = ...,
        returns: Any = ...,
        **options: Unpack[GatherOptions],
    ) -> list[Any]: ...

    async def gather(
        self,
        target: Any,
        request: Any = NOTHING,
        returns: Any = NOTHING,
        *,
        timeout: float = 1.0,
        stall: float | None = None,
        max_responses: int | None = None,
        headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None,
        tokens: Mapping[str, str] | None = None,
        errors: Errors = (),
    ) -> list[Any]:
        """Call every instance of an endpoint that is in no queue group, and collect their answers.

        The list holds, for each instance that answered, its value, or the `RpcError` or
        `ContractError` that its answer stands for.

        Args:
            target, request, returns, headers, codec, tokens, errors: as for `call`.
            timeout: seconds to wait in all; less inside a handler whose deadline is sooner.
            stall: seconds since the last answer after which no more are waited for.
            max_responses: how many to wait for at most.

        Raises:
            NoRespondersError: nobody serves the subject.
            ConnectionClosedError: the connection is, or was meanwhile, closed.
        """
        call = Call(
            target,
            request,
            returns,
            kind="gather",
            timeout=timeout,
            headers=headers,
            codec=codec,
            tokens=tokens,
            errors=errors,
            stall=stall,
            max_responses=max_responses,
        )
        return await (self._gather(call) if self._call is None else self._call(call))

    async def _gather(self, call: Call) -> list[Any]:
        bound = self._find(call)
        data, block, wait = self._prepare(bound, call.request, call.timeout, call.headers)
        if wait is None:
            raise ConfigError("gather needs a timeout")
        found: list[Any] = []
        async for msg in self.connection.request_many(
            bound.subject.decode(),
            data,
            timeout=wait - GRACE,
            stall=call.stall,
            max_msgs=call.max_responses,
            headers=Headers.decode(block),
        ):
            try:
                found.append(await self._read(bound, msg, wait))
            except (RpcError, ContractError) as error:
                found.append(error)
        return found


async def _through(call_next: Next[Call], call: Call) -> AsyncGenerator[Any, None]:
    """The items of a stream that middleware sees first."""
    async with contextlib.aclosing(await call_next(call)) as items:
        async for item in items:
            yield item
