"""`Client`: typed calls over one connection, and services served on it.

The ways to call stand here with their types; the parts that carry them out are in `calling`. Only
`call` does its work in place (see `calling/unary.py`).
"""

from __future__ import annotations

import asyncio
import copy
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Mapping,
    Sequence,
)
from datetime import datetime
from operator import attrgetter
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar, Unpack, overload

from natsrpc import codecs
from natsrpc.core import Connection, Opening, is_no_responders
from natsrpc.errors import (
    ConfigError,
    DecodeError,
    MaxPayloadError,
    NatsTimeoutError,
    NoRespondersError,
)

from .calling import (
    NOTHING,
    Call,
    CallObserver,
    Enqueuer,
    Errors,
    Failure,
    Pipeline,
    Policy,
    Publisher,
    Requests,
    make_proxy,
    scoped,
)
from .contract import Context, EndpointContract, Middleware, check_inbox_prefix
from .created import created
from .headers import DeadlineClock, inherited
from .serving import Servable, Server
from .settling import Settling
from .signature import Event
from .streams import MAX_BODY, PATIENCE, Patience

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from natsrpc.jetstream import PubAck

    from .calling import (
        Anything,
        CallOptions,
        CommonOptions,
        First,
        GatherOptions,
        Handler,
        OpeningOptions,
        RequestDoesNotFit,
        Second,
        StreamOptions,
        Third,
        UseStream,
        UseUpload,
    )

T = TypeVar("T")
A = TypeVar("A")
M = TypeVar("M", bound=Middleware[Call])


class Client:
    """Typed calls over a connection, and services on it.

    A call cancelled by its caller leaves nothing behind, here or at the worker.

    Handlers, functions in `Depends` and methods that name it as the type of a parameter are given
    the client of the connection that they are served on.
    """

    __natsrpc_source__: ClassVar[Callable[[Any], Any]] = staticmethod(attrgetter("client"))
    __natsrpc_lifetime__: ClassVar[str] = "app"

    def __init__(
        self,
        connection: Connection,
        *,
        codec: str | codecs.Codec = "json",
        max_body: int = MAX_BODY,
        open_timeout: float = PATIENCE.opening,
        presence_timeout: float = PATIENCE.presence,
        progress_timeout: float = PATIENCE.progress,
        deadline_clock: DeadlineClock = "relative",
        settling: Settling | None = None,
    ) -> None:
        patience = Patience(open_timeout, presence_timeout, progress_timeout)
        check_inbox_prefix(connection.options.inbox_prefix)
        self.connection = connection
        self.codec: codecs.Codec = codecs.get(codec)
        self._pipeline = Pipeline(connection, self.codec, max_body, patience, deadline_clock)
        self._publisher = Publisher(connection, self.codec)
        self._enqueuer = Enqueuer(connection, self._publisher)
        self.request: Requests = Requests(self._pipeline.perform)
        """As `call`, with all that came with the answer: a `Reply`, with `value` and `headers`."""
        self._servers: list[Server] = []
        self._settling = settling
        self._is_lent = False
        # for the fast path of `call`
        link = connection.link
        self._direct = self._pipeline.binder.direct
        self._outbound = link.outbound
        self._abandon = link.requests.abandon
        self._begin = link.requests.begin
        created(self)

    @property
    def policy(self) -> Policy | None:
        """The policy of calls that name none and are made in the scope of none."""
        return self._pipeline.policy

    @policy.setter
    def policy(self, policy: Policy | None) -> None:
        self._pipeline.policy = policy

    # fmt: off
    @overload
    async def call(self, target: str, request: Any, returns: TypeForm[T],
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(self, target: str, request: Any = ..., *, returns: TypeForm[T],
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(self, target: str, request: Any = ...,
                   **options: Unpack[CallOptions]) -> Any: ...
    @overload
    async def call(self, target: First[Anything, Awaitable[T]], request: Any = ...,
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(  # type: ignore[overload-overlap]  # it is more particular
             self, target: First[AsyncIterator[Any], Awaitable[Any]], request: Any = ...,
             **options: Unpack[CallOptions]) -> UseUpload: ...
    @overload
    async def call(self, target: Handler[Awaitable[T]], request: Mapping[str, Any] = ...,
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(self, target: First[A, Awaitable[T]], request: A,
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(self, target: Second[Anything, Awaitable[T]], request: Any,
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(  # type: ignore[overload-overlap]  # it is more particular
             self, target: Handler[AsyncIterable[Any]], request: Any = ...,
             **options: Unpack[CallOptions]) -> UseStream: ...
    @overload
    async def call(self, target: Handler[T], request: Mapping[str, Any] = ...,
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(self, target: First[A, T], request: A, **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: Second[Context, Any], request: Any,
             **options: Unpack[CallOptions]) -> RequestDoesNotFit: ...
    @overload
    async def call(self, target: Second[A, Awaitable[T]], request: A,
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(self, target: Third[Any, Awaitable[T]], request: Any,
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(self, target: Second[A, T], request: A, **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(self, target: Third[Any, T], request: Any,
                   **options: Unpack[CallOptions]) -> T: ...
    @overload
    async def call(self, target: EndpointContract, request: Any = ..., returns: Any = ...,
                   **options: Unpack[CallOptions]) -> Any: ...
    # fmt: on
    async def call(  # pyright: ignore[reportInconsistentOverload]
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
        bound = None
        if policy is None and tokens is None and not errors:
            try:
                bound = self._direct.get((target, type(request), returns, codec))
            except TypeError:  # a type that cannot be hashed
                bound = None
        if bound is None or scoped():
            call = Call(target, request, returns, timeout=timeout, headers=headers, codec=codec,
                        tokens=tokens, errors=errors, policy=policy)  # fmt: skip
            return await self._pipeline.perform(call)
        if headers or self._outbound.congested or inherited.get() is not None:
            return await self._pipeline.unary.attempt(bound, request, timeout, headers)
        # As `Unary.attempt` does, with `RequestMux.request` in the place of its call.
        data = bound.encode(None if request is NOTHING else request)
        block, wait = bound.blocks.get(timeout) or bound.block(timeout)
        try:
            reply = self._begin(bound.subject, data, block, wait)
            try:
                await reply
            except BaseException as error:
                self._abandon(reply)
                if isinstance(error, (asyncio.CancelledError, NatsTimeoutError)):
                    bound.abandoned(reply, error)
                raise
            msg = reply.msg
            if msg.raw_headers and is_no_responders(msg):
                raise NoRespondersError(bound.subject.decode())
        except MaxPayloadError as error:
            return await self._pipeline.unary.send_large(bound, data, block, wait, error)
        except NatsTimeoutError as error:
            raise bound.late(error, wait) from None
        if msg.raw_headers:
            return await bound.receive(msg, wait)
        try:
            return bound.decode(msg.data)
        except DecodeError as error:
            raise bound.misfit(error, msg.data) from None

    # fmt: off
    @overload
    def stream(self, target: str, request: Any, returns: TypeForm[T],
               **options: Unpack[StreamOptions]) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(self, target: str, request: Any = ..., *, returns: TypeForm[T],
               **options: Unpack[StreamOptions]) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(self, target: str, request: Any = ...,
               **options: Unpack[StreamOptions]) -> AsyncGenerator[Any, None]: ...
    @overload
    def stream(self, target: Handler[AsyncIterator[T]], request: Mapping[str, Any] = ...,
               **options: Unpack[OpeningOptions]) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(self, target: First[A, AsyncIterator[T]], request: A,
               **options: Unpack[OpeningOptions]) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(self, target: Second[Any, AsyncIterator[T]], request: Any,
               **options: Unpack[OpeningOptions]) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(self, target: First[AsyncIterator[A], AsyncIterator[T]], request: Any = ..., *,
               items: AsyncIterable[A],
               **options: Unpack[OpeningOptions]) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(self, target: Second[AsyncIterator[A], AsyncIterator[T]], request: Any = ..., *,
               items: AsyncIterable[A],
               **options: Unpack[OpeningOptions]) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(self, target: Third[AsyncIterator[A], AsyncIterator[T]], request: Any = ..., *,
               items: AsyncIterable[A],
               **options: Unpack[OpeningOptions]) -> AsyncGenerator[T, None]: ...
    @overload
    def stream(self, target: EndpointContract, request: Any = ..., returns: Any = ...,
               **options: Unpack[StreamOptions]) -> AsyncGenerator[Any, None]: ...
    # fmt: on
    def stream(self, target: Any, request: Any = NOTHING, returns: Any = NOTHING, *,
               timeout: float | None = None, idle_timeout: float | None = None,
               headers: Mapping[str, str] | None = None, codec: str | codecs.Codec | None = None,
               tokens: Mapping[str, str] | None = None, errors: Errors = (),
               items: AsyncIterable[Any] | None = None,
               policy: Policy | None = None) -> AsyncGenerator[Any, None]:  # fmt: skip
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
        call = Call(target, request, returns, kind="stream", timeout=timeout, headers=headers,
                    codec=codec, tokens=tokens, errors=errors, policy=policy, items=items,
                    idle_timeout=idle_timeout)  # fmt: skip
        return self._pipeline.stream(call)

    # fmt: off
    @overload
    async def upload(self, target: First[AsyncIterator[A], Awaitable[T]], items: AsyncIterable[A],
                     request: Any = ..., **options: Unpack[CommonOptions]) -> T: ...
    @overload
    async def upload(self, target: Second[AsyncIterator[A], Awaitable[T]], items: AsyncIterable[A],
                     request: Any = ..., **options: Unpack[CommonOptions]) -> T: ...
    @overload
    async def upload(self, target: Third[AsyncIterator[A], Awaitable[T]], items: AsyncIterable[A],
                     request: Any = ..., **options: Unpack[CommonOptions]) -> T: ...
    @overload
    async def upload(self, target: str, items: AsyncIterable[Any], request: Any = ..., *,
                     returns: TypeForm[T], **options: Unpack[CommonOptions]) -> T: ...
    @overload
    async def upload(self, target: str | EndpointContract, items: AsyncIterable[Any],
                     request: Any = ..., returns: Any = ...,
                     **options: Unpack[CommonOptions]) -> Any: ...
    # fmt: on
    async def upload(self, target: Any, items: AsyncIterable[Any], request: Any = NOTHING,
                     returns: Any = NOTHING, *, timeout: float | None = None,
                     headers: Mapping[str, str] | None = None,
                     codec: str | codecs.Codec | None = None,
                     tokens: Mapping[str, str] | None = None,
                     errors: Errors = ()) -> Any:  # fmt: skip
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
        call = Call(target, request, returns, kind="upload", timeout=timeout, headers=headers,
                    codec=codec, tokens=tokens, errors=errors, items=items)  # fmt: skip
        return await self._pipeline.perform(call)

    # fmt: off
    @overload
    async def gather(self, target: str, request: Any, returns: TypeForm[T],
                     **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    async def gather(self, target: str, request: Any = ..., *, returns: TypeForm[T],
                     **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    async def gather(self, target: Handler[Awaitable[T]], request: Mapping[str, Any] = ...,
                     **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    async def gather(self, target: First[A, Awaitable[T]], request: A,
                     **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    async def gather(self, target: Second[Any, Awaitable[T]], request: Any,
                     **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    def gather(  # type: ignore[overload-overlap]  # it is more particular
             self, target: Handler[AsyncIterable[Any]], request: Any = ...,
               **options: Unpack[GatherOptions]) -> UseStream: ...
    @overload
    async def gather(self, target: Handler[T], request: Mapping[str, Any] = ...,
                     **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    async def gather(self, target: First[A, T], request: A,
                     **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    async def gather(self, target: Second[Any, T], request: Any,
                     **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    async def gather(self, target: str | EndpointContract, request: Any = ..., returns: Any = ...,
                     **options: Unpack[GatherOptions]) -> list[Any]: ...
    # fmt: on
    async def gather(  # pyright: ignore[reportInconsistentOverload]
                     self, target: Any, request: Any = NOTHING, returns: Any = NOTHING, *,
                     timeout: float = 1.0, stall: float | None = None,
                     max_responses: int | None = None, headers: Mapping[str, str] | None = None,
                     codec: str | codecs.Codec | None = None,
                     tokens: Mapping[str, str] | None = None,
                     errors: Errors = ()) -> list[Any]:  # fmt: skip
        """Call every instance of an endpoint that is in no queue group, and collect their answers.

        The list holds, for each instance that answered, its value or the error that stands for it:
        the `RpcError` it answered with, a `ContractError` for what does not fit, and for a large
        answer that did not come whole an `UnavailableError` or `NatsTimeoutError`. Answers are in
        the order in which they began to come.

        Args:
            target, request, returns, headers, codec, tokens, errors: as for `call`.
            timeout: seconds to wait in all, for large answers too; less inside a handler whose
                deadline is sooner.
            stall: seconds since the last answer after which no more are waited for.
            max_responses: how many to wait for at most.

        Raises:
            NoRespondersError: nobody serves the subject.
            NatsTimeoutError: there is no connection, or it was lost before an answer came.
            PermissionsError: the server denied the request, or the subscription to its answers.
            ConnectionClosedError: the connection is, or was meanwhile, closed.
        """
        call = Call(target, request, returns, kind="gather", timeout=timeout, headers=headers,
                    codec=codec, tokens=tokens, errors=errors, stall=stall,
                    max_responses=max_responses)  # fmt: skip
        found: list[Any] = await self._pipeline.perform(call)
        return found

    def bind(
        self,
        api: Callable[..., T],
        prefix: str = "",
        *,
        timeout: float | None = 5.0,
        errors: Errors = (),
    ) -> T:
        """A typed proxy: its methods are those of a Protocol or class, their names the subjects.

        Args:
            api: the Protocol or class.
            prefix: stands before the methods' names.
            timeout: seconds for each call through the proxy; those that stream have no limit.
            errors: as for `call`.

        Raises:
            ConfigError: a method's signature cannot be called remotely.
        """
        if not inspect.isclass(api):
            raise ConfigError(f"bind takes a Protocol or a class, not {api!r}")
        proxy: T = make_proxy(self, api, prefix, timeout, errors)
        return proxy

    # fmt: off
    @overload
    async def publish(self, subject: str, value: Any = ..., *,
                      headers: Mapping[str, str] | None = ...,
                      codec: str | codecs.Codec | None = ...) -> None: ...
    @overload
    async def publish(self, subject: Event[T], value: T, *,
                      tokens: Mapping[str, str] | None = ...,
                      headers: Mapping[str, str] | None = ...,
                      codec: str | codecs.Codec | None = ...) -> None: ...
    # fmt: on
    async def publish(
        self,
        subject: str | Event[Any],
        value: Any = None,
        *,
        tokens: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None,
    ) -> None:
        """Send a value to a subject, or as an event, without asking for an answer.

        Waits only while the connection's output is congested.

        Args:
            subject: a subject, or an `Event`, which has a subject and a type.
            value: what is sent; of an event, a value of its type.
            tokens: values for the tokens of an event's subject.
            headers: more headers.
            codec: another codec than the client's.

        Raises:
            EncodeError: the value cannot be written, or is not of the event's type.
            ConfigError: a token is missing, is one too many, or is no token of a subject.
            BadSubjectError, MaxPayloadError, ConnectionClosedError: as `Connection.publish`.
        """
        await self._publisher.publish(subject, value, headers=headers, codec=codec, tokens=tokens)

    # fmt: off
    @overload
    async def enqueue(self, subject: str, value: Any = ..., *, msg_id: str | None = ...,
                      delay: float | None = ..., at: datetime | None = ...,
                      headers: Mapping[str, str] | None = ...,
                      codec: str | codecs.Codec | None = ...,
                      timeout: float | None = ...) -> PubAck: ...
    @overload
    async def enqueue(self, subject: Event[T], value: T, *, msg_id: str | None = ...,
                      delay: float | None = ..., at: datetime | None = ...,
                      tokens: Mapping[str, str] | None = ...,
                      headers: Mapping[str, str] | None = ...,
                      codec: str | codecs.Codec | None = ...,
                      timeout: float | None = ...) -> PubAck: ...
    # fmt: on
    async def enqueue(
        self,
        subject: str | Event[Any],
        value: Any = None,
        *,
        msg_id: str | None = None,
        delay: float | None = None,
        at: datetime | None = None,
        tokens: Mapping[str, str] | None = None,
        headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None,
        timeout: float | None = None,
    ) -> PubAck:
        """Have a stream store a value, or an event, and wait for its word that it did.

        What is stored survives a crash, and workers are given it until one has done it. Within a
        handler the wait ends with the handler's deadline. Cancelled, it may be stored or not.

        Args:
            subject: a subject, or an `Event`, which has a subject and a type.
            value: what is stored; of an event, a value of its type.
            msg_id: the stream stores it once within its `duplicate_window`, so that it can be
                enqueued again where it is not known whether it is stored. That of an event with a
                `key` is made of the subject and the key, if none is given.
            delay: seconds after which it is due. It is stored at once, and nobody is given it
                before. Needs nats-server 2.12, and a stream that declares subjects for schedules.
            at: the time at which it is due, with a zone; one that has passed is now.
            tokens: values for the tokens of an event's subject.
            headers: more headers.
            codec: another codec than the client's.
            timeout: seconds in all; 5 if not given.

        Raises:
            NoStreamResponseError: no stream has the subject; or its stream had no leader until the
                timeout. Nothing was stored.
            JetStreamNotEnabledError: there is no JetStream.
            StreamFullError: its stream is full, and takes nothing more.
            JetStreamError: the stream refused it otherwise; or it, or the server, cannot keep a
                message until it is due.
            NatsTimeoutError: no answer: it may be stored or not.
            DeadlineExceededError: nothing is left of the deadline of the handler that enqueues.
            EncodeError: the value cannot be written, is not of the event's type, or has no key.
            ConfigError: an argument cannot be.
            BadSubjectError, BadHeaderError, BadTimeoutError, MaxPayloadError, PermissionsError,
                ConnectionClosedError: as `Connection.request`.

        Ref: ADR-22; ADR-51 for schedules.
        """
        return await self._enqueuer.enqueue(
            subject, value, msg_id=msg_id, delay=delay, at=at, tokens=tokens, headers=headers,
            codec=codec, timeout=timeout)  # fmt: skip

    def middleware(self, function: M) -> M:
        """Put `async def mw(call, call_next)` around all calls; the first is outermost."""
        self._pipeline.add(function)
        return function

    def observe(self, observer: CallObserver | None) -> None:
        """Have an observer see all calls and all that is published, outside of all middleware and
        in the place of the one that there was. `observer` is the one that there is.

        `natsrpc.observe.otel` gives spans by it.
        """
        self._pipeline.observe(observer)
        self._publisher.observe(observer)

    @property
    def observer(self) -> CallObserver | None:
        """The observer that sees all calls; None for none."""
        return self._pipeline.observer

    def serve(self, *services: Servable) -> Opening[Server]:
        """Serve services on this connection: await it, or enter it with `async with`.

        Once it is awaited or entered every request sent reaches a handler, and the services are
        visible to discovery. Leaving the block drains them. Their handlers, dependencies and
        lifespans are given this client, which they cannot close or drain.
        """

        async def start() -> Server:
            server = unstarted(self, services)
            await server.start()
            self._servers.append(server)
            return server

        return Opening(start, "client.serve(...)")

    async def settled(self, timeout: float = 1.0) -> list[BaseException]:
        """In a test: wait until every event is handled, and every message of a stream that a worker
        was given; those published before, those that handlers publish meanwhile, and so on. Nothing
        sleeps: it returns as soon as the last handler has ended.

        Events that were dropped, or whose handlers raised, are handled, too. What became of them is
        returned, in order: the exceptions of handlers as they were raised, each with a note that
        names its subscriber or worker and the subject, and our own errors for those that were not
        read (422) or not run. A test that expects none says `assert await client.settled() == []`.
        Each is returned once.

        A message that is to be tried again later is not waited for: a `natsrpc.testing.Clock` makes
        it come. Nor are calls and streams that are still open.

        Raises:
            NatsTimeoutError: some still run or wait after `timeout` seconds; they are named.
            ConnectionClosedError: the client, or the services, are closed.
            ConfigError: the client is none of a test: those are given by `Service.test` and
                `natsrpc.testing.serve_in_memory`.
        """
        if self._settling is None:
            raise ConfigError(
                "settled() waits for services that a test serves in memory: this client is not "
                "from `async with service.test() as client`, nor from serve_in_memory"
            )
        return await self._settling.settle(self.connection, timeout)

    async def drain(self) -> None:
        """Stop serving after all that was delivered is answered, then close the connection.

        Raises:
            ConfigError: a service was given this client, which is not its own to end.
        """
        self._check_own("drain()")
        await self.connection.drain()

    async def close(self) -> None:
        """Close the connection now: calls in flight fail, requests being served get 503.

        Raises:
            ConfigError: as for `drain`.
        """
        self._check_own("close()")
        servers, self._servers = self._servers, []
        for server in servers:
            await server.close()
        self._pipeline.attempts.stop()
        await self.connection.close()

    def _check_own(self, what: str) -> None:
        if self._is_lent:
            raise ConfigError(
                f"{what} of the client that a service was given: it is that of the connection "
                "which the service is served on, and ends with that; use it as it is, without "
                "`async with`, or make one by natsrpc.connect"
            )

    async def __aenter__(self) -> Client:
        self._check_own("async with")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            await self.connection.link.drained()
        await self.close()

    def __repr__(self) -> str:
        return f"<Client codec={self.codec.name} connection={self.connection!r}>"


def unstarted(client: Client, services: Sequence[Servable]) -> Server:
    """What `Client.serve` starts."""
    return Server(client.connection, services, client=_lent(client))


def _lent(client: Client) -> Client:
    """The same client, for those who must not end it: all of its parts are shared."""
    lent = copy.copy(client)
    lent._is_lent = True  # noqa: SLF001 — of our own class
    return lent
