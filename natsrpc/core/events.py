"""The events of a connection, and who is told of them: listeners, event streams and callbacks.

The link tells each event once. Listeners (the rooms above core) hear it in place, in the loop turn
in which it happens. Event streams and the callbacks of the options hear it in order, beside the
traffic: one task runs the callbacks, one at a time; it exists only while there is something to
tell. A slow callback delays the next ones and nothing else; one that raises, or is cancelled by
what it awaits, is logged.

`Closed` is the last event; only errors of what still ends may be told behind it. At the end a
callback that does not return is cancelled, the events behind it are given up, and the closed
callback still runs.
"""

from __future__ import annotations

import asyncio
import inspect
import math
import weakref
from collections import deque
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from logging import Logger, getLogger
from typing import Any, TypeAlias

from natsrpc.errors import (
    BadHeaderError,
    ConfigError,
    ConfigTypeError,
    MaxSubscriptionsError,
    MessagesLostError,
    NatsRpcError,
    PermissionsError,
    SlowConsumerError,
)

from .throttle import Throttle

log: Logger = getLogger("natsrpc.core")

STREAM_LIMIT = 1024
"""Events that wait for the reader of an event stream; the oldest go when there are more."""

SLOW_LOG_INTERVAL = 1.0
"""Seconds between two log lines on one subscription's slowness, where no callback is told."""

ERROR_LIMIT = 1024
"""Events that wait for the callbacks before further errors are only counted and logged."""


@dataclass(frozen=True, slots=True)
class Connected:
    """The first connection stands."""


@dataclass(frozen=True, slots=True)
class Disconnected:
    """The connection was lost.

    `error` is None if it was given up on purpose: closed by its user, dropped by
    `force_reconnect`, or left for another server before a shutdown.
    """

    error: Exception | None


@dataclass(frozen=True, slots=True)
class Reconnected:
    """A new connection stands; subscriptions and buffered messages were replayed.

    `is_handover`: it took over from one that had treated all that was sent through it. Nothing is
    lost then, and the replies to earlier requests still come.
    """

    is_handover: bool = False


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
"""What `connection.events()` gives, one after the other."""

Listener: TypeAlias = "Callable[[ConnectionEvent], object]"
"""Hears each event at once; it must neither wait nor raise."""

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
    """Tells the events of one connection, strictly in order. Called by the link and by users.

    `owner`, the connection, is the first argument of every callback.
    """

    def __init__(self, owner: object, callbacks: dict[str, Callable[..., object] | None]) -> None:
        self._owner = owner
        self._callbacks = callbacks
        self._queue: deque[tuple[ConnectionEvent, Callable[..., object]]] = deque()
        self._slow: set[object] = set()
        self._throttle = Throttle(log)
        self._slow_logged: weakref.WeakKeyDictionary[object, float] = weakref.WeakKeyDictionary()
        self._untold = 0
        self._task: asyncio.Task[None] | None = None
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._listeners: list[Listener] = []
        self._is_over = False
        self._skipping = False

    def set(self, name: str, callback: Callable[..., object] | None) -> None:
        """Replace (or with None remove) the callback of an option such as "on_error".

        Raises:
            ConfigError: there is no such callback.
            ConfigTypeError: it is not callable.
        """
        if not isinstance(name, str) or name not in CALLBACK_NAMES:
            raise ConfigError(f"no callback {name!r}: expected {sorted(CALLBACK_NAMES)}")
        if callback is not None and not callable(callback):
            raise ConfigTypeError(f"{name} must be callable, not {callback!r}")
        self._callbacks[name] = callback

    def tell(self, event: ConnectionEvent) -> None:
        """Tell an event: to listeners now, to streams and the callback set at this moment later."""
        for listener in list(self._listeners):
            listener(event)
        if not self._is_over:
            for stream in self._streams:
                stream.put(event)
            self._is_over = isinstance(event, Closed)
        callback = self._callbacks.get(_OPTION_OF[type(event)])
        if callback is None:
            if not self._was_just_logged(event):
                self._log_untold(event)
        elif not isinstance(event, AsyncError) or self._has_room_for(event):
            self._queue.append((event, callback))
            if self._task is None:
                self._task = asyncio.create_task(self._run(), name="natsrpc callbacks")

    def add_listener(self, listener: Listener) -> None:
        """Call a plain function with each event, in place, in the loop turn in which it happens."""
        self._listeners.append(listener)

    def remove_listener(self, listener: Listener) -> None:
        """Undo `add_listener`; nothing happens if it was not added."""
        if listener in self._listeners:
            self._listeners.remove(listener)

    def _was_just_logged(self, event: ConnectionEvent) -> bool:
        """A subscription that stays slow begins an episode with every message that is read: it is
        logged once a second."""
        if not isinstance(event, AsyncError) or not isinstance(event.error, SlowConsumerError):
            return False
        now, who = asyncio.get_running_loop().time(), event.subscription
        if now < self._slow_logged.get(who, -math.inf) + SLOW_LOG_INTERVAL:
            return True
        self._slow_logged[who] = now
        return False

    def _log_untold(self, event: ConnectionEvent) -> None:
        """Log an error that no callback is told."""
        if not isinstance(event, AsyncError) or isinstance(event.error, MessagesLostError):
            return  # the service has logged it
        error, sub = event.error, event.subscription
        name, where = type(error).__name__, "" if sub is None else f" on {sub.subject!r}"
        if _is_repeated(error):
            self._throttle.warning(name, "%s%s: %s", name, where, error)
        elif isinstance(error, NatsRpcError):
            log.warning("%s%s: %s", name, where, error)
        else:
            log.error("%s%s: %s", name, where, error, exc_info=error)

    def _has_room_for(self, event: AsyncError) -> bool:
        """Errors may come by the thousand: a subscription's slowness waits to be told once, and
        beyond a limit errors are only counted."""
        is_slow = isinstance(event.error, SlowConsumerError)
        if is_slow and event.subscription in self._slow:
            return False
        if len(self._queue) >= ERROR_LIMIT:
            self._untold += 1
            return False
        if is_slow:
            self._slow.add(event.subscription)
        return True

    async def _run(self) -> None:
        try:
            while self._queue:
                event, callback = self._queue.popleft()
                if isinstance(event, AsyncError) and isinstance(event.error, SlowConsumerError):
                    self._slow.discard(event.subscription)
                await self._call(event, callback)
            if self._untold:
                log.warning("%d errors came faster than on_error could be told", self._untold)
                self._untold = 0
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

        A callback that takes longer than `timeout` is cancelled, with a warning; of the events
        behind it only the last one, `Closed`, is still told.
        """
        task = self._task
        if task is None or self.runs_in(asyncio.current_task()):
            return
        for _ in range(2):
            _, running = await asyncio.wait({task}, timeout=timeout)
            if not running:
                return
            log.warning("a callback did not end within %g s of closing; cancelled", timeout)
            self._queue = deque(entry for entry in self._queue if isinstance(entry[0], Closed))
            self._skipping = True
            task.cancel()
        await asyncio.sleep(0)

    def stream(self) -> EventStream:
        """The events from now on, until the connection is closed."""
        stream = EventStream()
        if self._is_over:
            stream.end()
        else:
            self._streams.add(stream)
        return stream


class EventStream(AsyncIterator[ConnectionEvent]):
    """The events for one reader: what `Connection.events` gives. Cancelling a wait loses nothing.

    A reader that lags loses the oldest events, and never delays anybody else.
    """

    def __init__(self) -> None:
        self._events: deque[ConnectionEvent] = deque(maxlen=STREAM_LIMIT)
        self._ended = False
        self._news = asyncio.Event()
        self.lost: int = 0

    def put(self, event: ConnectionEvent) -> None:
        """Add an event; `Closed` is the last one."""
        if len(self._events) == STREAM_LIMIT:
            if not self.lost:
                log.warning("a reader of connection events lags: the oldest are dropped")
            self.lost += 1
        self._events.append(event)
        if isinstance(event, Closed):
            self._ended = True
        self._news.set()

    def end(self) -> None:
        """End it after what was put so far."""
        self._ended = True
        self._news.set()

    def __aiter__(self) -> EventStream:
        return self

    async def __anext__(self) -> ConnectionEvent:
        while not self._events:
            if self._ended:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        return self._events.popleft()


def _is_repeated(error: Exception) -> bool:
    """Whether another program can cause an error like this with every message: by reply subjects
    that we may not publish to, or bad headers. Refused subscriptions come in a row, too."""
    if isinstance(error, PermissionsError):
        return error.operation == "publish"
    return isinstance(error, (BadHeaderError, MaxSubscriptionsError))
