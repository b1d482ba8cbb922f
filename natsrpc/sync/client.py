"""`Client`: the blocking client. Each way to call is the async client's, waited for.

The signatures are those of `natsrpc.Client`, which a test holds equal; what they do is done by the
async client of the session (see `portal`).
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Mapping,
)
from datetime import datetime
from queue import SimpleQueue
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from natsrpc import codecs
from natsrpc.core import Opening
from natsrpc.errors import ConfigError, RpcError
from natsrpc.rpc import (
    NOTHING,
    Call,
    CallObserver,
    Context,
    EndpointContract,
    Event,
    Middleware,
    Policy,
)
from natsrpc.rpc import Client as AsyncClient

from .items import Feed, Items
from .job import Inbox, Job
from .portal import Portal
from .proxy import make_proxy
from .requests import Requests
from .stream import Stream

if TYPE_CHECKING:
    from typing_extensions import TypeForm

    from natsrpc.jetstream import PubAck
    from natsrpc.rpc import (
        Anything,
        CallOptions,
        CommonOptions,
        Failure,
        First,
        GatherOptions,
        Handler,
        OpeningOptions,
        RequestDoesNotFit,
        Second,
        Third,
        UseStream,
        UseUpload,
    )

    from .arguments import StreamOptions

T = TypeVar("T")
A = TypeVar("A")
M = TypeVar("M", bound=Middleware[Call])


class Client:
    """Typed calls that block, for programs without an event loop of their own.

    Any number of threads may use one client at once. The async client that does the work lives in a
    thread of its own, which this client starts. Context variables hold as in async calls: within a
    handler that runs in a thread, a call inherits its deadline. KeyboardInterrupt in a call cancels
    it, here and at the worker.

    After a fork, and after its connection was lost for good, the next use connects anew.
    """

    def __init__(self, opening: Callable[[], Opening[AsyncClient]]) -> None:
        self._portal = Portal(opening)
        self.request: Requests = Requests(self._portal)
        """As `call`, with all that came with the answer: a `Reply`, with `value` and `headers`."""

    @property
    def policy(self) -> Policy | None:
        """The policy of calls that name none and are made in the scope of none."""
        return self._portal.policy

    @policy.setter
    def policy(self, policy: Policy | None) -> None:
        self._portal.policy = policy

    # fmt: off
    @overload
    def call(self, target: str, request: Any, returns: TypeForm[T],
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: str, request: Any = ..., *, returns: TypeForm[T],
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: str, request: Any = ...,
             **options: Unpack[CallOptions]) -> Any: ...
    @overload
    def call(self, target: First[Anything, Awaitable[T]], request: Any = ...,
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: First[AsyncIterator[Any], Awaitable[Any]], request: Any = ...,
             **options: Unpack[CallOptions]) -> UseUpload: ...
    @overload
    def call(self, target: Handler[Awaitable[T]], request: Mapping[str, Any] = ...,
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: First[A, Awaitable[T]], request: A,
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: Second[Anything, Awaitable[T]], request: Any,
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: Handler[AsyncIterable[Any]], request: Any = ...,
             **options: Unpack[CallOptions]) -> UseStream: ...
    @overload
    def call(self, target: Handler[T], request: Mapping[str, Any] = ...,
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: First[A, T], request: A, **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: Second[Context, Any], request: Any,
             **options: Unpack[CallOptions]) -> RequestDoesNotFit: ...
    @overload
    def call(self, target: Second[A, Awaitable[T]], request: A,
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: Third[Any, Awaitable[T]], request: Any,
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: Second[A, T], request: A, **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: Third[Any, T], request: Any,
             **options: Unpack[CallOptions]) -> T: ...
    @overload
    def call(self, target: EndpointContract, request: Any = ..., returns: Any = ...,
             **options: Unpack[CallOptions]) -> Any: ...
    # fmt: on
    def call(
        self, target: Any, request: Any = NOTHING, returns: Any = NOTHING, *,
        timeout: float | None = 5.0, headers: Mapping[str, str] | None = None,
        codec: str | codecs.Codec | None = None, tokens: Mapping[str, str] | None = None,
        errors: tuple[type[RpcError], ...] = (), policy: Policy | None = None,
    ) -> Any:  # fmt: skip
        """Call a subject, or a handler, and wait for its answer.

        Args:
            target, request, returns, timeout, headers, codec, tokens, errors, policy: as for
                `natsrpc.Client.call`.

        Raises:
            RpcError, NoRespondersError, NatsTimeoutError, EncodeError, ContractError,
                MaxPayloadError, ConnectionClosedError: as there.
            ConnectionClosedError: also if this client is closed.
            NoServersError, AuthorizationError: there is no connection yet, and none can be made.
            ConfigError: also for a call in one of the client's own callbacks.
        """
        session = self._portal.session or self._portal.open()
        return session.run(session.client.call, target, request, returns, timeout=timeout,
                           headers=headers, codec=codec, tokens=tokens, errors=errors,
                           policy=policy)  # fmt: skip

    # fmt: off
    @overload
    def stream(self, target: str, request: Any, returns: TypeForm[T],
               **options: Unpack[StreamOptions]) -> Stream[T]: ...
    @overload
    def stream(self, target: str, request: Any = ..., *, returns: TypeForm[T],
               **options: Unpack[StreamOptions]) -> Stream[T]: ...
    @overload
    def stream(self, target: str, request: Any = ...,
               **options: Unpack[StreamOptions]) -> Stream[Any]: ...
    @overload
    def stream(self, target: Handler[AsyncIterator[T]], request: Mapping[str, Any] = ...,
               **options: Unpack[OpeningOptions]) -> Stream[T]: ...
    @overload
    def stream(self, target: First[A, AsyncIterator[T]], request: A,
               **options: Unpack[OpeningOptions]) -> Stream[T]: ...
    @overload
    def stream(self, target: Second[Any, AsyncIterator[T]], request: Any,
               **options: Unpack[OpeningOptions]) -> Stream[T]: ...
    @overload
    def stream(self, target: First[AsyncIterator[A], AsyncIterator[T]], request: Any = ..., *,
               items: Iterable[A],
               **options: Unpack[OpeningOptions]) -> Stream[T]: ...
    @overload
    def stream(self, target: Second[AsyncIterator[A], AsyncIterator[T]], request: Any = ..., *,
               items: Iterable[A],
               **options: Unpack[OpeningOptions]) -> Stream[T]: ...
    @overload
    def stream(self, target: Third[AsyncIterator[A], AsyncIterator[T]], request: Any = ..., *,
               items: Iterable[A],
               **options: Unpack[OpeningOptions]) -> Stream[T]: ...
    @overload
    def stream(self, target: EndpointContract, request: Any = ..., returns: Any = ...,
               **options: Unpack[StreamOptions]) -> Stream[Any]: ...
    # fmt: on
    def stream(self, target: Any, request: Any = NOTHING, returns: Any = NOTHING, *,
               timeout: float | None = None, idle_timeout: float | None = None,
               headers: Mapping[str, str] | None = None, codec: str | codecs.Codec | None = None,
               tokens: Mapping[str, str] | None = None, errors: tuple[type[RpcError], ...] = (),
               items: Iterable[Any] | None = None,
               policy: Policy | None = None) -> Stream[Any]:  # fmt: skip
        """Call a handler that answers with a stream, and iterate over its items.

        The handler is held while this side reads more slowly than it yields. Leaving the loop,
        `close`, and dropping the stream close the handler's generator; so does the end of a `with`
        block around it.

        Args:
            target, request, returns, timeout, idle_timeout, headers, codec, tokens, errors,
                policy: as for `natsrpc.Client.stream`.
               items: what to send, for a handler that reads a stream of requests. A thread of the
                stream's own reads it, so it may wait for what the loop over the answers finds.

        Raises:
            RpcError, NoRespondersError, NatsTimeoutError, ContractError, ConnectionClosedError,
                ConfigError: as `call`, most of them from the loop.
        """
        feed = None if items is None else Feed(items)
        session = self._portal.session or self._portal.open()
        found = session.run(_started, session.client.stream, target, request, returns,
                            timeout=timeout, idle_timeout=idle_timeout, headers=headers,
                            codec=codec, tokens=tokens, errors=errors, items=feed,
                            policy=policy)  # fmt: skip
        return Stream(self, session.background, found, feed)

    # fmt: off
    @overload
    def upload(self, target: First[AsyncIterator[A], Awaitable[T]], items: Iterable[A],
               request: Any = ..., **options: Unpack[CommonOptions]) -> T: ...
    @overload
    def upload(self, target: Second[AsyncIterator[A], Awaitable[T]], items: Iterable[A],
               request: Any = ..., **options: Unpack[CommonOptions]) -> T: ...
    @overload
    def upload(self, target: Third[AsyncIterator[A], Awaitable[T]], items: Iterable[A],
               request: Any = ..., **options: Unpack[CommonOptions]) -> T: ...
    @overload
    def upload(self, target: str, items: Iterable[Any], request: Any = ..., *,
               returns: TypeForm[T], **options: Unpack[CommonOptions]) -> T: ...
    @overload
    def upload(self, target: str | EndpointContract, items: Iterable[Any],
               request: Any = ..., returns: Any = ...,
               **options: Unpack[CommonOptions]) -> Any: ...
    # fmt: on
    def upload(self, target: Any, items: Iterable[Any], request: Any = NOTHING,
               returns: Any = NOTHING, *, timeout: float | None = None,
               headers: Mapping[str, str] | None = None, codec: str | codecs.Codec | None = None,
               tokens: Mapping[str, str] | None = None,
               errors: tuple[type[RpcError], ...] = ()) -> Any:  # fmt: skip
        """Send a stream of requests to a handler that reads one, and wait for its answer.

        `items` is read in this thread, and only as fast as the handler takes them. While a read of
        it blocks, this call cannot end.

        Args:
            target, request, returns, timeout, headers, codec, tokens, errors: as for
                `natsrpc.Client.upload`.
               items: what to send.

        Raises:
            RpcError, NoRespondersError, NatsTimeoutError, ContractError, ConnectionClosedError,
                ConfigError: as `call`; and whatever `items` raises.
        """
        inbox: Inbox = SimpleQueue()
        options = {"timeout": timeout, "headers": headers, "codec": codec, "tokens": tokens,
                   "errors": errors}  # fmt: skip
        sent = Items(items, inbox)
        session = self._portal.session or self._portal.open()
        job = Job(inbox, session.client.upload, (target, sent, request, returns), options)
        return session.perform(job)

    # fmt: off
    @overload
    def gather(self, target: str, request: Any, returns: TypeForm[T],
               **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    def gather(self, target: str, request: Any = ..., *, returns: TypeForm[T],
               **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    def gather(self, target: Handler[Awaitable[T]], request: Mapping[str, Any] = ...,
               **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    def gather(self, target: First[A, Awaitable[T]], request: A,
               **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    def gather(self, target: Second[Any, Awaitable[T]], request: Any,
               **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    def gather(  # type: ignore[overload-overlap]  # it is more particular
               self, target: Handler[AsyncIterable[Any]], request: Any = ...,
               **options: Unpack[GatherOptions]) -> UseStream: ...
    @overload
    def gather(self, target: Handler[T], request: Mapping[str, Any] = ...,
               **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    def gather(self, target: First[A, T], request: A,
               **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    def gather(self, target: Second[Any, T], request: Any,
               **options: Unpack[GatherOptions]) -> list[T | Failure]: ...
    @overload
    def gather(self, target: str | EndpointContract, request: Any = ..., returns: Any = ...,
               **options: Unpack[GatherOptions]) -> list[Any]: ...
    # fmt: on
    def gather(  # pyright: ignore[reportInconsistentOverload]
               self, target: Any, request: Any = NOTHING, returns: Any = NOTHING, *,
               timeout: float = 1.0, stall: float | None = None,
               max_responses: int | None = None, headers: Mapping[str, str] | None = None,
               codec: str | codecs.Codec | None = None, tokens: Mapping[str, str] | None = None,
               errors: tuple[type[RpcError], ...] = ()) -> list[Any]:  # fmt: skip
        """Call every instance of an endpoint that is in no queue group, and collect their answers.

        Args:
            target, request, returns, timeout, stall, max_responses, headers, codec, tokens, errors:
                as for `natsrpc.Client.gather`.

        Raises:
            NoRespondersError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as there.
            ConfigError: as `call`.
        """
        session = self._portal.session or self._portal.open()
        found: list[Any] = session.run(
            session.client.gather, target, request, returns, timeout=timeout, stall=stall,
            max_responses=max_responses, headers=headers, codec=codec, tokens=tokens,
            errors=errors)  # fmt: skip
        return found

    def bind(
        self,
        api: Callable[..., T],
        prefix: str = "",
        *,
        timeout: float | None = 5.0,
        errors: tuple[type[RpcError], ...] = (),
    ) -> T:
        """A typed proxy that blocks: its methods are those of a Protocol or class.

        Write them as they are called: `def`, and `Iterator[T]` for a stream that is read and
        `Iterable[T]` for one that is sent. The Protocol of an async client binds as well, but type
        checkers then expect an `await`.

        Args:
            api, prefix, timeout, errors: as for `natsrpc.Client.bind`.

        Raises:
            ConfigError: a method's signature cannot be called remotely.
        """
        if not inspect.isclass(api):
            raise ConfigError(f"bind takes a Protocol or a class, not {api!r}")
        proxy: T = make_proxy(self, api, prefix, timeout, errors)
        return proxy

    # fmt: off
    @overload
    def publish(self, subject: str, value: Any = ..., *,
                headers: Mapping[str, str] | None = ...,
                codec: str | codecs.Codec | None = ...) -> None: ...
    @overload
    def publish(self, subject: Event[T], value: T, *,
                tokens: Mapping[str, str] | None = ...,
                headers: Mapping[str, str] | None = ...,
                codec: str | codecs.Codec | None = ...) -> None: ...
    # fmt: on
    def publish(self, subject: str | Event[Any], value: Any = None, *,
                tokens: Mapping[str, str] | None = None,
                headers: Mapping[str, str] | None = None,
                codec: str | codecs.Codec | None = None) -> None:  # fmt: skip
        """Send a value to a subject, or as an event, without asking for an answer.

        Waits only while the connection's output is congested; in a callback of the client, not at
        all, and what then goes wrong is logged. The end of the process waits until it is sent.

        Args:
            subject, value, tokens, headers, codec: as for `natsrpc.Client.publish`.

        Raises:
            EncodeError, ConfigError, BadSubjectError, MaxPayloadError, ConnectionClosedError: as
                there.
        """
        session = self._portal.session or self._portal.open()
        run = session.background.post if session.background.is_here else session.run
        run(session.client.publish, subject, value, tokens=tokens, headers=headers, codec=codec)

    # fmt: off
    @overload
    def enqueue(self, subject: str, value: Any = ..., *, msg_id: str | None = ...,
                delay: float | None = ..., at: datetime | None = ...,
                headers: Mapping[str, str] | None = ...,
                codec: str | codecs.Codec | None = ...,
                timeout: float | None = ...) -> PubAck: ...
    @overload
    def enqueue(self, subject: Event[T], value: T, *, msg_id: str | None = ...,
                delay: float | None = ..., at: datetime | None = ...,
                tokens: Mapping[str, str] | None = ...,
                headers: Mapping[str, str] | None = ...,
                codec: str | codecs.Codec | None = ...,
                timeout: float | None = ...) -> PubAck: ...
    # fmt: on
    def enqueue(self, subject: str | Event[Any], value: Any = None, *, msg_id: str | None = None,
                delay: float | None = None, at: datetime | None = None,
                tokens: Mapping[str, str] | None = None,
                headers: Mapping[str, str] | None = None,
                codec: str | codecs.Codec | None = None,
                timeout: float | None = None) -> PubAck:  # fmt: skip
        """Have a stream store a value, or an event, and wait for its word that it did.

        Args:
            subject, value, msg_id, delay, at, tokens, headers, codec, timeout: as for
                `natsrpc.Client.enqueue`.

        Raises:
            NoStreamResponseError, JetStreamNotEnabledError, StreamFullError, JetStreamError,
                NatsTimeoutError, DeadlineExceededError, EncodeError, BadSubjectError,
                BadHeaderError, BadTimeoutError, MaxPayloadError, PermissionsError,
                ConnectionClosedError: as there.
            ConfigError: also in one of the client's own callbacks.
        """
        session = self._portal.session or self._portal.open()
        ack: PubAck = session.run(
            session.client.enqueue, subject, value, msg_id=msg_id, delay=delay, at=at,
            tokens=tokens, headers=headers, codec=codec, timeout=timeout)  # fmt: skip
        return ack

    def middleware(self, function: M) -> M:
        """Put `async def mw(call, call_next)` around all calls; the first is outermost.

        It runs in the client's thread, with the context variables of the caller.
        """
        self._portal.add(function)
        return function

    def observe(self, observer: CallObserver | None) -> None:
        """Have an observer see all calls and all that is published, outside of all middleware and
        in the place of the one that there was. `observer` is the one that there is.

        `natsrpc.observe.otel` gives spans by it.
        """
        self._portal.observer = observer

    @property
    def observer(self) -> CallObserver | None:
        """The observer that sees all calls; None for none."""
        return self._portal.observer

    def drain(self) -> None:
        """Finish what is under way, then close.

        Raises:
            ConnectionReconnectingError, DrainTimeoutError: as `Connection.drain`; it is closed.
        """
        self._portal.end(AsyncClient.drain)

    def close(self) -> None:
        """Close now: calls in flight, in any thread, fail with `ConnectionClosedError`.

        What was published is still handed to the socket. Closing twice is harmless. A client that
        is never closed is closed at the end of the process, or when it is dropped.
        """
        self._portal.end(AsyncClient.close)

    def __enter__(self) -> Client:
        self._portal.open()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._portal.end(lambda client: client.__aexit__(kind, error, trace))

    def __repr__(self) -> str:
        session = self._portal.session
        return "<sync." + (
            "Client, not connected>" if session is None else repr(session.client)[1:]
        )


async def _started(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)
