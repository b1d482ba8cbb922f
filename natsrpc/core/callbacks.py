"""What happens to a connection, told in order: to the callbacks of its options and to event
streams.

One task runs the callbacks, one at a time, outside the read path; it exists only while there is
something to tell. A slow callback delays the next ones and nothing else; one that raises is logged.
"""

from __future__ import annotations

import asyncio
import inspect
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from logging import getLogger
from typing import Any, TypeAlias

from natsrpc.errors import NatsRpcError, SlowConsumerError

log = getLogger("natsrpc.core")

_STREAM_LIMIT = 1024


@dataclass(frozen=True, slots=True)
class Connected:
    """The first connection stands."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection was lost, or was closed by its user (`error` is then None)."""

    error: Exception | None


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A new connection stands; subscriptions and buffered messages were replayed."""


@dataclass(frozen=True, slots=True)
class ReconnectFailed:
    """One attempt at reconnecting failed."""

    server: str
    error: Exception


@dataclass(frozen=True, slots=True)
class ServersDiscovered:
    """The cluster has servers that were not known before; `servers` are their addresses."""

    servers: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LameDuck:
    """The server is about to shut down."""

    server: str


@dataclass(frozen=True, slots=True)
class AsyncError:
    """Something failed that no call of the user's could report.

    `subscription` is the one concerned, if one is.
    """

    error: Exception
    subscription: Any = None


@dataclass(frozen=True, slots=True)
class Closed:
    """The end: no further connecting will happen. `error` is why, None if the user closed it."""

    error: Exception | None


ConnectionEvent: TypeAlias = (
    Connected
    | Disconnected
    | Reconnected
    | ReconnectFailed
    | ServersDiscovered
    | LameDuck
    | AsyncError
    | Closed
)

_OPTION_OF: dict[type, str] = {
    Connected: "on_connect",
    Disconnected: "on_disconnect",
    Reconnected: "on_reconnect",
    ReconnectFailed: "on_reconnect_error",
    ServersDiscovered: "on_discovered_servers",
    LameDuck: "on_lame_duck",
    AsyncError: "on_error",
    Closed: "on_close",
}
CALLBACK_NAMES = frozenset(_OPTION_OF.values())


def _arguments(event: ConnectionEvent) -> tuple[object, ...]:
    if isinstance(event, AsyncError):
        return (event.subscription, event.error)
    if isinstance(event, (Disconnected, ReconnectFailed)):
        return (event.error,)
    return ()


class Callbacks:
    """Tell events to callbacks and streams, strictly in order.

    `owner` is the first argument of every callback.
    """

    def __init__(self, owner: object, callbacks: dict[str, Callable[..., object] | None]) -> None:
        self._owner = owner
        self.callbacks = callbacks
        self._queue: deque[tuple[ConnectionEvent, Callable[..., object]]] = deque()
        self._task: asyncio.Task[None] | None = None
        self._streams: set[_Stream] = set()
        self._is_over = False
        self._is_over = False

    def tell(self, event: ConnectionEvent) -> None:
        """Queue an event; the callback is the one set at this moment."""
        for stream in self._streams:
            stream.put(event)
        callback = self.callbacks.get(_OPTION_OF[type(event)])
        if callback is None:
            _log_untold(event)
            return
        if self._repeats(event):
            return
        self._queue.append((event, callback))
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="natsrpc callbacks")

    def _repeats(self, event: ConnectionEvent) -> bool:
        """Whether the same subscription's slowness is already waiting to be told."""
        return (
            isinstance(event, AsyncError)
            and isinstance(event.error, SlowConsumerError)
            and any(
                isinstance(queued, AsyncError)
                and queued.subscription is event.subscription
                and isinstance(queued.error, SlowConsumerError)
                for queued, _ in self._queue
            )
        )

    async def _run(self) -> None:
        try:
            while self._queue:
                event, callback = self._queue.popleft()
                try:
                    result = callback(self._owner, *_arguments(event))
                    if inspect.isawaitable(result):
                        await result
                except Exception:
                    log.exception("callback %s raised", _OPTION_OF[type(event)])
        finally:
            self._task = None

    async def _call(self, event: ConnectionEvent, callback: Callable[..., object]) -> None:
        name = _OPTION_OF[type(event)]
        try:
            result = callback(self._owner, *_arguments(event))
            if inspect.isawaitable(result):
                await result
        except asyncio.CancelledError:
            task = asyncio.current_task()
            if task is not None and task.cancelling():
                if not self._skipping:
                    raise
                while task.uncancel():
                    pass
            log.warning("callback %s was cancelled", name)
        except Exception:
            log.exception("callback %s raised", name)

    def runs_in(self, task: asyncio.Task[Any] | None) -> bool:
        """Whether this task is running a callback now."""
        return task is not None and task is self._task

    async def finish(self, timeout: float) -> None:
        """Wait until all that was told has run, unless called from a callback itself.

        A callback that takes longer than `timeout` is cancelled, with a warning.
        """
        self._is_over = True
        for stream in self._streams:
            stream.end()
        task = self._task
        if task is None or task is asyncio.current_task():
            return
        _, running = await asyncio.wait({task}, timeout=timeout)
        if running:
            log.warning("a callback did not end within %g s of closing; cancelled", timeout)
            task.cancel()

    def stream(self) -> AsyncIterator[ConnectionEvent]:
        """The events from now on, until the connection is closed."""
        stream = _Stream()
        if self._is_over:
            stream.end()
        else:
            self._streams.add(stream)
        return self._read(stream)

    async def _read(self, stream: _Stream) -> AsyncIterator[ConnectionEvent]:
        try:
            async for event in stream.read():
                yield event
        finally:
            self._streams.discard(stream)


class _Stream:
    """One reader of the events. A reader that lags loses the oldest events, never delays the
    rest."""

    def __init__(self) -> None:
        self._events: deque[ConnectionEvent] = deque(maxlen=_STREAM_LIMIT)
        self._ended = False
        self._news = asyncio.Event()

    def put(self, event: ConnectionEvent) -> None:
        if len(self._events) == _STREAM_LIMIT:
            log.warning("a reader of connection events lags: the oldest event was dropped")
        self._events.append(event)
        if isinstance(event, Closed):
            self._ended = True
        self._news.set()

    def end(self) -> None:
        self._ended = True
        self._news.set()

    async def read(self) -> AsyncIterator[ConnectionEvent]:
        while True:
            while self._events:
                yield self._events.popleft()
            if self._ended:
                return
            self._news.clear()
            await self._news.wait()


def _log_untold(event: ConnectionEvent) -> None:
    if isinstance(event, AsyncError):
        detail = f" on {event.subscription.subject!r}" if event.subscription is not None else ""
        level = log.warning if isinstance(event.error, NatsRpcError) else log.error
        level("%s%s: %s", type(event.error).__name__, detail, event.error, exc_info=_trace(event))


def _trace(event: AsyncError) -> BaseException | None:
    return None if isinstance(event.error, NatsRpcError) else event.error
