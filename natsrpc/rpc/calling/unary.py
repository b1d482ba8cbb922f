"""Typed calls over one connection: by subject, by handler, by contract."""

from __future__ import annotations

import asyncio
from collections.abc import (
    Awaitable,
    Callable,
    Mapping,
)
from typing import TYPE_CHECKING, Any, Concatenate, TypeVar, Unpack, overload

from natsrpc import codecs
from natsrpc.core import Reply, is_no_responders
from natsrpc.errors import DecodeError, MaxPayloadError, NatsTimeoutError, NoRespondersError

from ..contract import Context, EndpointContract, Middleware, compose
from ..headers import inherited
from .binding import NOTHING, Errors
from .bound import BoundCall, Call
from .outgoing import Outgoing
from .policy import ONCE, Policy, scoped
from .streams import Streamer

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from .arguments import CallOptions

T = TypeVar("T")
R = TypeVar("R")
M = TypeVar("M", bound=Middleware[Call])


class Caller(Streamer):
    """The calling half of a client."""

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
            policy: what is done when it fails; that of the scope (`Policy.scope`) or the client's
                (`self.policy`) if not given.

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
        if policy is not None or bound.idempotent or self.policy is not None or scoped():
            return await self._with_policy(bound, request, timeout, headers, policy)
        begin, outer = self._begin, inherited.get()
        if begin is None or outer is not None or headers or self.connection.congested:
            return await self._attempt(bound, request, timeout, headers)
        # As `_attempt` does, in place.
        data = bound.encode(None if request is NOTHING else request)
        block, wait = bound.blocks.get(timeout) or bound.block(timeout)
        try:
            reply = begin(bound.subject, data, block, wait)
        except MaxPayloadError as error:
            return await self._call_large(bound, data, block, wait, error)
        try:
            await reply
        except NatsTimeoutError as error:
            raise bound.late(error, wait) from None
        except BaseException as error:
            self._abandon(bound, reply, error)
            raise
        msg = reply.msg
        if msg.raw_headers:
            if is_no_responders(msg):
                raise NoRespondersError(bound.subject.decode())
            return await self._read(bound, msg, wait)
        try:
            return bound.decode(msg.data)
        except DecodeError as error:
            raise bound.misfit(error) from None

    def _abandon(self, bound: BoundCall, reply: Reply, error: BaseException) -> None:
        """Forget a request that nobody waits for any more; its worker too, if it was canceled."""
        self.connection.mux.abandon(reply)
        if isinstance(error, asyncio.CancelledError):
            bound.abandoned(reply.inbox)

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

    async def _perform(self, call: Call) -> Any:
        """The innermost of the middleware: the call itself."""
        if call.kind == "stream":
            return self._stream(call)
        if call.kind == "upload":
            return await self._upload(call)
        if call.kind == "gather":
            return await self._gather(call)
        bound = self._find(call)
        options = call.request, call.timeout, call.headers
        if bound.idempotent or self._chosen(call.policy) is not None:
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
            return await self._read(bound, msg, wait)
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
        chosen = self._chosen(policy) or ONCE
        idempotent = bound.idempotent if chosen.idempotent is None else chosen.idempotent

        def attempt(seconds: float | None) -> Awaitable[Any]:
            return self._attempt(bound, request, seconds, headers)

        return await self._attempts.run(chosen, attempt, timeout=timeout, idempotent=idempotent)

    def middleware(self, function: M) -> M:
        """Put `async def mw(call, call_next)` around all calls; the first is outermost."""
        self._middleware.append(function)
        self._call = compose(self._middleware, self._perform)
        return function
