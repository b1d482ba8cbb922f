"""`Service`: a named set of endpoints, which users define, serve and test."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, TypeVar, Unpack

from natsrpc.codecs import Codec
from natsrpc.codecs import get as get_codec
from natsrpc.core import ConnectOptions
from natsrpc.errors import ConfigError

from .client import Client
from .connecting import ClientOptions
from .contract import Context, Middleware, ServiceContract
from .created import created
from .serving import (
    MAX_CONCURRENCY,
    MAX_WAITING,
    Definition,
    Endpoints,
    Level,
    ServiceCallbacks,
    check_prefixes,
    lifespan_of,
)
from .signature import Event, event_contracts
from .signature import names as naming
from .streams import MAX_BODY, PATIENCE, Patience

if TYPE_CHECKING:
    from natsrpc.jetstream import StreamConfig

M = TypeVar("M", bound=Middleware[Context])
P = TypeVar("P", bound=Callable[[], Any])
S = TypeVar("S", bound=Callable[[str], Mapping[str, Any]])

Around: TypeAlias = AbstractAsyncContextManager[Any]

Lifespan: TypeAlias = "Callable[[Service], Around] | Callable[[Service, Client], Around]"
"""A function from a service, or from a service and the client of the connection that it is served
on, to an async context manager around its running; `Context.state` is the value that this
yields."""


class Broker(Protocol):
    """A NATS server in memory, as `Service.test` takes it: a `natsrpc.testing.Broker`."""

    def options(self, **options: Unpack[ConnectOptions]) -> ConnectOptions:
        """Connect options that lead to it."""
        ...


class Service(Endpoints):
    """A named, versioned set of endpoints.

    Args:
        name: letters, digits, `-` and `_`.
        version: a semantic version.
        description: what people read in listings.
        metadata: strings shown by INFO.
        queue_group: the group instances share requests in; None makes every instance answer.
        codec: what requests without a `Content-Type` are read with.
        codecs: the codecs that requests may name; others are answered with 415, unread. All that
            are registered if not given: each is one more parser that strangers reach.
        max_concurrency: how many handlers run at once in one process; as many streams besides.
        max_waiting: how many requests of one endpoint may wait beyond that.
        max_body: bytes of a request, or of an item of a stream, that may come in frames where a
            message cannot be so large; 0 takes none.
        presence_timeout: seconds of silence after which the other side of a stream or large body
            is taken for gone. Both sides say every second that they are there.
        progress_timeout: seconds that an upload, a value in parts, or credit to send more may stand
            still; then the conversation ends and holds nothing.
        reply_prefixes: where answers may go, as in `("_INBOX.",)`: requests whose reply subject
            begins with none of them, nor with `_R_.` or `_GR_.` (which servers write between
            accounts and clusters), are dropped and counted. All are taken if not given, but for
            those that begin with `$` or hold `_NATSRPC`.
        publishes: the events that it publishes, for its contract and documents; nothing is held to
            it.
        streams: the streams that it needs, as `natsrpc.jetstream.StreamConfig`. Where it starts,
            one that is not there is made, and one that is must have what the declaration says: it
            is never changed. A stream that stores the subject of a handler is refused.
        lifespan: a function from this service, or from it and the client of the connection that it
            is served on, to an async context manager; what it yields is `Context.state`.
        dependencies: `Depends(...)` that run before each request, before those of its routers,
            groups and handlers.
        on_done: called, plain or async, when it has ended on a connection that it was served on:
            drained, or closed with the connection.
        on_error: called with the subject of an endpoint and an error that no answer tells: a
            subscription that the server denies, messages that were lost. It must not wait.

    Raises:
        ConfigError: an argument is refused.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str,
        description: str = "",
        metadata: Mapping[str, str] | None = None,
        queue_group: str | None = "q",
        codec: str | Codec = "json",
        codecs: Sequence[str | Codec] | None = None,
        max_concurrency: int = MAX_CONCURRENCY,
        max_waiting: int = MAX_WAITING,
        max_body: int = MAX_BODY,
        presence_timeout: float = PATIENCE.presence,
        progress_timeout: float = PATIENCE.progress,
        reply_prefixes: Sequence[str] | None = None,
        publishes: Sequence[Event[Any]] = (),
        streams: Sequence[StreamConfig] = (),
        lifespan: Lifespan | None = None,
        dependencies: Sequence[Any] = (),
        on_done: Callable[[], Any] | None = None,
        on_error: Callable[[str, Exception], object] | None = None,
    ) -> None:
        codec = get_codec(codec)
        definition = Definition(
            name=name,
            version=version,
            description=description,
            metadata=naming.check_metadata(metadata),
            queue_group=queue_group,
            codec=codec,
            spoken=_spoken(codec, codecs),
            max_concurrency=max_concurrency,
            max_waiting=max_waiting,
            max_body=max_body,
            patience=Patience(presence=presence_timeout, progress=progress_timeout),
            reply_prefixes=check_prefixes(reply_prefixes),
            publishes=event_contracts(publishes, codec.name),
            streams=_declared(name, streams),
            lifespan=None if lifespan is None else lifespan_of(self, Client, lifespan),
            callbacks=ServiceCallbacks(on_done, on_error),
        )
        level = Level(queue_group=queue_group).guarded(f"service {name!r}", dependencies)
        super().__init__(definition, level)
        created(self)

    @property
    def definition(self) -> Definition:
        """The data that a running service reads; for `Client.serve`, not for users."""
        return self._definition

    @property
    def name(self) -> str:
        """The name that discovery shows."""
        return self._definition.name

    @property
    def version(self) -> str:
        """The semantic version."""
        return self._definition.version

    @property
    def description(self) -> str:
        """The text that people read in listings."""
        return self._definition.description

    @property
    def metadata(self) -> Mapping[str, str]:
        """Strings shown by INFO."""
        return self._definition.metadata

    @property
    def codec(self) -> Codec:
        """The codec that requests without a `Content-Type` are read with."""
        return self._definition.codec

    @property
    def contract(self) -> ServiceContract:
        """The service and its endpoints, as data."""
        return self._definition.contract

    def middleware(self, function: M) -> M:
        """Put `async def mw(context, call_next)` around all handlers; the first is outermost."""
        self._definition.middlewares.append(function)
        return function

    def probe(self, function: P) -> P:
        """Ask this function, plain or async, for the service's health.

        It is unwell if it raises or returns False; a mapping it returns is shown as it is, if it
        is JSON of at most 4096 characters; all else as text.
        """
        self._definition.probes.append(function)
        return function

    def stats(self, function: S) -> S:
        """Have this function give figures of the program's own, which ADR-32's STATS shows.

        It is called with an endpoint's name, for each endpoint each time that somebody asks, and
        gives a mapping that goes to JSON. Its keys stand at the top of the endpoint's `data`, where
        tools of others look; ours are there under "natsrpc". It must not wait. Where it raises, or
        gives something else, that is logged and the figures are left out.

        Raises:
            ConfigError: it is async, or there is one already.

        Ref: nats.go micro `StatsHandler`.
        """
        self._definition.callbacks.add_figures(function)
        return function

    async def health(self) -> dict[str, Any]:
        """Ask every probe. `status` is "ok" only if all are well."""
        return await self._definition.health()

    def override(
        self, function: Callable[..., Any], replacement: Callable[..., Any]
    ) -> AbstractContextManager[None]:
        """Let `Depends(function)` call `replacement` instead, in this service: for tests.

        Raises:
            ConfigError: it cannot be called there.
        """
        return self._definition.override(function, replacement)

    def test(
        self, *, broker: Broker | None = None, **options: Unpack[ClientOptions]
    ) -> AbstractAsyncContextManager[Client]:
        """Serve in memory, for a test: `async with service.test() as client`.

        No server is needed, and what the client sees is what callers in production see.

        Args:
            broker: the `natsrpc.testing.Broker` to use, for its faults; a new one if not given.
            **options: for the client, as for `natsrpc.connect`.
        """
        kit = importlib.import_module("natsrpc.testing")  # loaded by tests alone
        served: AbstractAsyncContextManager[Client] = kit.serve_in_memory(
            self, broker=broker, **options
        )
        return served

    def __repr__(self) -> str:
        return f"<Service {self.name} {self.version}, {len(self._definition.handlers)} endpoints>"


def _declared(service: str, streams: Sequence[StreamConfig]) -> tuple[StreamConfig, ...]:
    """The streams that a service declares, checked by the room of durable work."""
    if not streams and isinstance(streams, tuple | list):
        return ()
    durable = importlib.import_module("natsrpc.durable")  # services without streams do without it
    found: tuple[StreamConfig, ...] = durable.declared(service, streams)
    return found


def _spoken(codec: Codec, codecs: Sequence[str | Codec] | None) -> frozenset[str] | None:
    """The names of the codecs that requests may name; None where they are not limited."""
    if codecs is None:
        return None
    if isinstance(codecs, str) or not codecs:
        raise ConfigError(f"codecs is {codecs!r}: expected a list of codecs, as in ['json']")
    names = frozenset(get_codec(each).name for each in codecs)
    if codec.name not in names:
        raise ConfigError(
            f"codecs {sorted(names)} do not hold {codec.name!r}, the codec of requests that name "
            "none: add it, or give another as codec"
        )
    return names
