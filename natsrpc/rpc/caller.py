"""Typed calls over one connection: by subject, by handler, by contract."""

from __future__ import annotations

from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
)
from typing import TYPE_CHECKING, Any, Concatenate, TypedDict, TypeVar, Unpack, overload

from natsrpc import codecs
from natsrpc.core import Connection, Headers, Msg
from natsrpc.errors import (
    DecodeError,
    MaxPayloadError,
    NatsTimeoutError,
    NoRespondersError,
    RpcError,
)

from .binder import NOTHING, Binder, Errors
from .calls import GRACE, BoundCall, Call
from .context import Context
from .contract import EndpointContract
from .deadline import scope
from .large import is_head, take_reply
from .middleware import Middleware, Next, compose
from .policy import ONCE, Attempts, Policy
from .stream import MAX_BODY
from .streaming import Outgoing

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=Middleware[Call])


class Options(TypedDict, total=False):
    """What every way to call takes beside target, request and response type."""

    timeout: float | None
    headers: Mapping[str, str] | None
    codec: str | codecs.Codec | None
    tokens: Mapping[str, str] | None
    errors: tuple[type[RpcError], ...]


class CallOptions(Options, total=False):
    """What `call` takes besides."""

    policy: Policy | None


class StreamOptions(Options, total=False):
    """What `stream` takes besides."""

    idle_timeout: float | None
    items: AsyncIterable[Any] | None


class Caller:
    """The calling half of a client."""

    def __init__(
        self,
        connection: Connection,
        *,
        codec: str | codecs.Codec = "json",
        max_body: int = MAX_BODY,
    ) -> None:
        self.connection = connection
        self.codec = codecs.get(codec)
        self._binder = Binder(connection, self.codec, max_body)
        self._bound = self._binder.calls
        old_style = connection.options.old_style_requests
        self._request = self._request_alone if old_style else connection.mux.request
        self._time = connection.loop.time
        self._middleware: list[Middleware[Call]] = []
        self._call: Next[Call] | None = None
        self._attempts = Attempts(connection)
        self.policy: Policy | None = None

    @overload
    async def call(
        self, target: str, request: Any, returns: TypeForm[T], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def call(
        self,
        target: str,
        request: Any = ...,
        *,
        returns: TypeForm[T],
        **options: Unpack[CallOptions],
    ) -> T: ...
    @overload
    async def call(
        self, target: str, request: Any = ..., **options: Unpack[CallOptions]
    ) -> Any: ...
    @overload
    async def call(
        self, target: Callable[[], Awaitable[T]], **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def call(
        self, target: Callable[[R], Awaitable[T]], request: R, **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def call(
        self,
        target: Callable[Concatenate[R, Any, ...], Awaitable[T]],
        request: R | Mapping[str, Any],
        **options: Unpack[CallOptions],
    ) -> T: ...
    @overload
    async def call(
        self,
        target: Callable[Concatenate[Context, ...], Awaitable[T]],
        request: Any = ...,
        **options: Unpack[CallOptions],
    ) -> T: ...
    @overload
    async def call(self, target: Callable[[], T], **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(
        self, target: Callable[[R], T], request: R, **options: Unpack[CallOptions]
    ) -> T: ...
    @overload
    async def call(
        self,
        target: Callable[Concatenate[R, Any, ...], T],
        request: R | Mapping[str, Any],
        **options: Unpack[CallOptions],
    ) -> T: ...
    @overload
    async def call(
        self,
        target: EndpointContract,
        request: Any = ...,
        returns: Any = ...,
        **options: Unpack[CallOptions],
    ) -> Any: ...

    async def call(
        self,
        target: Any,
        request: Any = NOTHING,
        returns: Any = NOTHING,
        *,
        timeout: float | None = 5.0,
        headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None,
        tokens: Mapping[str, str] | None = None,
        errors: Errors = (),
        policy: Policy | None = None,
    ) -> Any:
        """Call a subject, or a handler, and wait for its answer.

        Inside a handler the call inherits that handler's deadline (see `no_deadline`). Cancelling
        the call cancels the handler at the worker.

        Args:
            target: a subject, or a registered handler (or an endpoint's contract), whose types
                are then known.
            request: the value to send; several body parameters are given as a mapping.
            returns: the type to read the response as; plain data if not given.
            timeout: seconds the answer may take; None for no limit but an inherited deadline.
            headers: more headers for the request.
            codec: another codec for this call.
            tokens: values for the named wildcards of a handler's subject.
            errors: classes to raise, where others of their names are known here, too.
            policy: what is done when it fails; `self.policy` if not given.

        Raises:
            RpcError: the service answered with an error: the class its handler raised, where that
                is known here.
            NoRespondersError: nobody serves the subject.
            NatsTimeoutError: no answer came, not even that the deadline passed.
            EncodeError: the request cannot be written.
            ContractError: the response is not of the type expected; its fields are named.
            MaxPayloadError: the request does not fit one message, and nobody takes it in frames.
            ConnectionClosedError: the connection is closed.
        """
        if self._call is not None:
            call = Call(
                target,
                request,
                returns,
                timeout=timeout,
                headers=headers,
                codec=codec,
                tokens=tokens,
                errors=errors,
                policy=policy,
            )
            return await self._call(call)
        try:
            bound = self._bound.get((target, type(request), returns, codec))
        except TypeError:  # a type that cannot be hashed
            bound = None
        if bound is None or tokens is not None or errors:
            bound = self._binder.find(target, request, returns, codec, tokens, errors=errors)
        if policy is not None or bound.idempotent or self.policy is not None:
            return await self._with_policy(bound, request, timeout, headers, policy)
        data = bound.encode(None if request is NOTHING else request)
        inherited = scope.get()
        if inherited is None:
            block, wait = bound.block(timeout)
        else:
            block, wait = bound.inherited(timeout, inherited, self._time())
        if headers:
            block = bound.with_headers(block, headers)
        try:
            msg = await self._request(bound.subject, data, block, wait, bound.abandoned)
        except MaxPayloadError as error:
            return await self._call_large(bound, data, block, wait, error)
        except NatsTimeoutError as error:
            raise bound.late(error, wait) from None
        if msg.raw_headers:
            return await self._read(bound, msg)
        try:
            return bound.decode(msg.data)
        except DecodeError as error:
            raise bound.misfit(error) from None

    async def _read(self, bound: BoundCall, msg: Msg) -> Any:
        """The value of a reply with headers, or its error; the whole of it if it is large."""
        if is_head(msg.raw_headers):
            msg = await take_reply(self.connection, msg, bound.max_body, bound.error, GRACE)
        return bound.read(msg)

    async def _call_large(
        self,
        bound: BoundCall,
        data: bytes,
        block: bytes,
        wait: float | None,
        refused: MaxPayloadError,
    ) -> Any:
        """Send a request that does not fit one message in frames, if its service takes it so."""
        outgoing = Outgoing(self.connection, bound, timeout=wait, idle_timeout=None)
        outgoing.open_large(data, block)
        try:
            return await outgoing.answer()
        except NoRespondersError:
            raise refused from None

    async def _request_alone(
        self,
        subject: bytes,
        data: bytes,
        block: bytes,
        wait: float | None,
        abandoned: Callable[[bytes], None],
    ) -> Msg:
        """A request with an inbox of its own, on a connection that was opened so."""
        headers = Headers.decode(block)
        return await self.connection.request(subject.decode(), data, timeout=wait, headers=headers)

    async def _perform(self, call: Call) -> Any:
        """The innermost of the middleware: the call itself."""
        args = call.request, call.returns, call.codec, call.tokens
        bound = self._binder.find(call.target, *args, errors=call.errors)
        options = call.request, call.timeout, call.headers
        if call.policy is not None or bound.idempotent or self.policy is not None:
            return await self._with_policy(bound, *options, call.policy)
        return await self._attempt(bound, *options)

    async def _attempt(
        self,
        bound: BoundCall,
        request: Any,
        timeout: float | None,
        headers: Mapping[str, str] | None,
    ) -> Any:
        data, block, wait = self._prepare(bound, request, timeout, headers)
        try:
            msg = await self._request(bound.subject, data, block, wait, bound.abandoned)
        except MaxPayloadError as error:
            return await self._call_large(bound, data, block, wait, error)
        except NatsTimeoutError as error:
            raise bound.late(error, wait) from None
        if msg.raw_headers:
            return await self._read(bound, msg)
        try:
            return bound.decode(msg.data)
        except DecodeError as error:
            raise bound.misfit(error) from None

    async def _with_policy(
        self,
        bound: BoundCall,
        request: Any,
        timeout: float | None,
        headers: Mapping[str, str] | None,
        policy: Policy | None,
    ) -> Any:
        chosen = policy or self.policy or ONCE
        idempotent = bound.idempotent if chosen.idempotent is None else chosen.idempotent

        def attempt(seconds: float | None) -> Awaitable[Any]:
            return self._attempt(bound, request, seconds, headers)

        return await self._attempts.run(chosen, attempt, timeout=timeout, idempotent=idempotent)

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

    async def stream(
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
    ) -> AsyncGenerator[Any, None]:
        """Call a handler that answers with a stream, and iterate over its items.

        The handler is held when this side reads more slowly than it yields. Leaving the loop
        early, cancelling it, or the death of this process closes the handler's generator.

        Args:
            target, request, returns, headers, codec, tokens, errors: as for `call`; `returns` is
                the type of one item. A request that is an async iterable is taken for `items`.
            timeout: seconds for the whole stream; None for no limit but an inherited deadline.
            idle_timeout: seconds without an item after which the stream is given up.
            items: what to send, for a handler that reads a stream of requests.

        Raises:
            RpcError: what the stream ended with, after the items before it; `UnavailableError` if
                the worker is gone or items were lost.
            NoRespondersError, NatsTimeoutError, ContractError, ConnectionClosedError: as for
                `call`.
        """
        if items is None and isinstance(request, AsyncIterable):
            items, request = request, NOTHING
        bound = self._binder.find(
            target, request, returns, codec, tokens, streams=True, errors=errors
        )
        outgoing = self._open(bound, request, items, timeout, idle_timeout, headers)
        async for item in outgoing.items():
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
        bound = self._binder.find(
            target, request, returns, codec, tokens, streams=True, errors=errors
        )
        return await self._open(bound, request, items, timeout, None, headers).answer()

    def _open(
        self,
        bound: BoundCall,
        request: Any,
        items: AsyncIterable[Any] | None,
        timeout: float | None,
        idle_timeout: float | None,
        headers: Mapping[str, str] | None,
    ) -> Outgoing:
        data, block, wait = self._prepare(bound, request, timeout, headers)
        outgoing = Outgoing(self.connection, bound, timeout=wait, idle_timeout=idle_timeout)
        outgoing.open(data, block, items)
        return outgoing

    def _prepare(
        self,
        bound: BoundCall,
        request: Any,
        timeout: float | None,
        headers: Mapping[str, str] | None,
    ) -> tuple[bytes, bytes, float | None]:
        """The body and header block to send, and how long to wait; as `call` does in place."""
        data = bound.encode(None if request is NOTHING else request)
        inherited = scope.get()
        if inherited is None:
            block, wait = bound.block(timeout)
        else:
            block, wait = bound.inherited(timeout, inherited, self._time())
        return data, bound.with_headers(block, headers), wait

    def middleware(self, function: M) -> M:
        """Put `async def mw(call, call_next)` around all calls; the first is outermost."""
        self._middleware.append(function)
        self._call = compose(self._middleware, self._perform)
        return function
