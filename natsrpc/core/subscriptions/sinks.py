"""The sinks of subscriptions: what is done with each message, in the socket read that brought it.

A sink looks at the headers, counts the message, then hands it over, keeps it or drops it. It never
waits. Each sink is one flat function, for it runs for every message received: the lines that they
have in common are copied, not called, and tests/core/test_copies.py holds them equal. The last of
`max_msgs` is kept, or dropped and told, before it ends a subscription; one that is called in place
has ended when it is.
"""

from __future__ import annotations

import asyncio
import enum
import functools
import inspect
from collections.abc import Callable
from typing import Any, Literal, Protocol, TypeAlias, get_args

from natsrpc.errors import BadHeaderError, ConfigError, ConfigTypeError, SlowConsumerError

from ..wire import MAX_UNASKED, Msg, Sink
from .blocking import Blockade, Gate
from .pending import Limits, Pending

MsgCallback: TypeAlias = Callable[[Msg], object]
"""A subscription's callback: a plain function, or an async one."""

OnFull: TypeAlias = Literal["drop_new", "drop_old", "block", "error"]
"""What a subscription does with a message that finds it full."""

_NO_STATUS = b"NATS/1.0\r\n"
_MAX_PLAIN_BLOCKS = 128
_MAX_PLAIN_SIZE = 1024
_NO_BLOCKS: frozenset[bytes] = frozenset()  # an empty set takes 216 bytes: there is one for all


class SubscriptionKind(enum.IntEnum):
    """How a subscription's messages are consumed."""

    CALLBACK = 0
    PULL = 1
    QUEUE = 2


class IntakeHost(Protocol):
    """The subscription's interest, as its intake needs it."""

    @property
    def takes_replies(self) -> bool:
        """Whether replies to requests come to it, and with them the server's statuses."""
        ...

    def end_by_limit(self) -> None:
        """All of `max_msgs` were received."""

    def discard(self) -> None:
        """End it now, and tell the server."""

    def slow_consumer(self) -> SlowConsumerError:
        """The error that tells that messages were dropped, with the facts."""
        ...

    def end_as_slow(self) -> None:
        """End it because it is full, and tell so."""

    def note_slow(self) -> None:
        """It is full, and was not before."""

    def report(self, error: Exception) -> None:
        """Tell an error that no call can raise."""


class Intake:
    """The receiving end of a subscription: its sink, its counters and its pending messages.

    The registry puts `sink` where sessions find it. `received` counts towards `max_msgs`;
    `received_before` of them came in earlier sessions, of which the server of this one knows
    nothing. `handed` counts what readers, the worker or the `into` queue took. `sub` is the
    `Subscription`, for `Msg.sub`.
    """

    __slots__ = (
        "_full",
        "_host",
        "_into",
        "_plain_blocks",
        "_statuses",
        "cb",
        "dropped",
        "handed",
        "is_slow",
        "kind",
        "limits",
        "max_msgs",
        "pending",
        "received",
        "received_before",
        "sink",
        "slow_untold",
        "sub",
    )

    kind: SubscriptionKind
    sink: Callable[[Msg], None]

    def __init__(
        self,
        host: IntakeHost,
        loop: asyncio.AbstractEventLoop,
        *,
        cb: MsgCallback | None,
        into: asyncio.Queue[Msg] | None,
        max_msgs: int | None,
        limits: Limits,
        on_full: OnFull = "drop_new",
        blockade: Blockade | None = None,
    ) -> None:
        self._host = host
        self._full: OnFull | Gate = on_full
        self._into = into
        self._statuses = 0
        self.is_slow: bool = False
        # Header blocks known to be well-formed and without a status: callers repeat theirs, and
        # reading one costs more (3 us) than the rest of a delivery.
        self._plain_blocks: set[bytes] | frozenset[bytes] = _NO_BLOCKS
        self.cb: MsgCallback | None = cb
        self.max_msgs: int | None = max_msgs
        self.received: int = 0
        self.received_before: int = 0
        self.handed: int = 0
        self.dropped: int = 0
        self.slow_untold: bool = False
        self.sub: Any = None
        self.kind, self.sink = self._choose_sink()
        self.limits: Limits = limits
        # An idle subscription keeps nothing that it does not need: a queue takes 856 bytes.
        keeps = self.sink == self._take_pending
        self.pending: Pending | None = Pending(loop, limits) if keeps else None
        if on_full == "block" and self.pending is not None and blockade is not None:
            self._full = Gate(blockade, self.pending)

    def _choose_sink(self) -> tuple[SubscriptionKind, Sink]:
        if self._into is not None:
            return SubscriptionKind.QUEUE, self._take_into_queue
        if self.cb is None:
            return SubscriptionKind.PULL, self._take_pending
        if is_async(self.cb):
            return SubscriptionKind.CALLBACK, self._take_pending
        return SubscriptionKind.CALLBACK, self._take_in_place

    # sinks

    def _take_in_place(self, msg: Msg) -> None:
        if msg.raw_headers and msg.raw_headers not in self._plain_blocks:
            self._look_at_headers(msg)
        self.received += 1
        msg.sub = self.sub
        if self.max_msgs is not None:
            self._reap()
        result = self.cb(msg)  # type: ignore[misc]  # this sink is chosen only where there is one
        if result is not None:
            self._check_result(result)

    def _check_result(self, result: object) -> None:
        if inspect.iscoroutine(result):
            result.close()
            raise ConfigTypeError(
                f"the callback of {self.sub!r} is a plain function that gave a coroutine: "
                "pass an async function, so that it can be awaited"
            )

    def _take_pending(self, msg: Msg) -> None:
        if msg.raw_headers and msg.raw_headers not in self._plain_blocks:
            self._look_at_headers(msg)
        self.received += 1
        msg.sub = self.sub
        if self.pending.put(msg):  # type: ignore[union-attr]  # chosen only where there is one
            self.is_slow = False
        else:
            self._overflow(msg)
        if self.max_msgs is not None:
            self._reap()

    def _take_into_queue(self, msg: Msg) -> None:
        if msg.raw_headers and msg.raw_headers not in self._plain_blocks:
            self._look_at_headers(msg)
        self.received += 1
        msg.sub = self.sub
        try:
            self._into.put_nowait(msg)  # type: ignore[union-attr]  # chosen only where there is one
        except asyncio.QueueFull:
            self._overflow_into(msg)
        except Exception as error:
            if type(error).__name__ != "QueueShutDown":  # from 3.13
                raise
            self._host.discard()
        else:
            self.handed += 1
            self.is_slow = False
        if self.max_msgs is not None:
            self._reap()

    def _look_at_headers(self, msg: Msg) -> None:
        """Report bad headers, and take a status of the server's out of the count in advance: the
        server does not count it towards `max_msgs` either."""
        block = msg.raw_headers
        if len(block) > MAX_UNASKED:
            return
        if msg.headers.malformed:
            self._host.report(BadHeaderError(f"malformed headers in a message on {msg.subject!r}"))
        elif block.startswith(_NO_STATUS):
            if len(block) > _MAX_PLAIN_SIZE:  # a publisher must not make us keep megabytes
                return
            blocks = self._plain_blocks
            if not isinstance(blocks, set) or len(blocks) >= _MAX_PLAIN_BLOCKS:
                self._plain_blocks = blocks = set()
            blocks.add(block)
        elif msg.status == 503 and not msg.data and self._host.takes_replies:
            self.received -= 1
            self._statuses += 1

    def _reap(self) -> None:
        """End with the last of `max_msgs`: nothing more reaches the sink then."""
        if self.is_complete:
            self._host.end_by_limit()

    def _overflow(self, msg: Msg) -> None:
        """A message finds no room."""
        assert self.pending is not None
        full = self._full
        if isinstance(full, Gate):
            blocked = full.is_shut
            if full.keep(msg):
                if not blocked:
                    self._host.note_slow()
                return
        if full == "error":
            self.dropped += 1
            self._host.end_as_slow()
            return
        if full == "drop_old" and (discarded := self.pending.make_room(msg)):
            self.pending.put(msg)
            self._drop(discarded)
        else:
            self._drop()

    def _overflow_into(self, msg: Msg) -> None:
        """A message finds no room in the user's queue."""
        if self._full == "error":
            self.dropped += 1
            self._host.end_as_slow()
            return
        if self._full == "drop_old":
            queue: Any = self._into
            queue.get_nowait()
            if hasattr(queue, "task_done"):  # else `join` would wait for it for ever
                queue.task_done()
            queue.put_nowait(msg)
        self._drop()

    def _drop(self, count: int = 1) -> None:
        self.dropped += count
        if not self.is_slow:
            self.is_slow = self.slow_untold = True
            self._host.note_slow()
            self._host.report(self._host.slow_consumer())

    # figures

    @property
    def is_full(self) -> bool:
        """Whether the latest message found no room."""
        return self.is_slow or (isinstance(self._full, Gate) and self._full.is_shut)

    @property
    def is_complete(self) -> bool:
        """Whether all of `max_msgs` were received."""
        return self.max_msgs is not None and self.received >= self.max_msgs

    @property
    def is_unheard(self) -> bool:
        """Whether nothing that is counted came in this session."""
        return self.received == self.received_before

    @property
    def delivered(self) -> int:
        """Messages handed over to their consumer."""
        if self.sink == self._take_in_place:  # at once, so they are not counted again
            return self.received + self._statuses
        return self.handed

    @property
    def has_pending(self) -> bool:
        """Whether a message is pending."""
        return self.pending is not None and bool(self.pending.msgs)

    def set_limits(self, limits: Limits) -> None:
        """Change the limits; what is pending already stays."""
        self.limits = limits
        if self.pending is not None:
            self.pending.msgs_limit, self.pending.bytes_limit = limits

    def wake_readers(self, *, keep_pending: bool) -> None:
        """Wake all who wait for a message, at the end; what is pending is kept or discarded."""
        if isinstance(self._full, Gate):
            self._full.open()
        if self.pending is not None:
            if not keep_pending:
                self.pending.clear()
            self.pending.wake_all()


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling a function gives something to await."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(function, "__call__", None)  # noqa: B004  instances with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def check_consumer(cb: object, into: object) -> None:
    """Check a callback, or a queue, for a subscription's messages.

    Raises:
        ConfigError: both were given.
        ConfigTypeError: one is not of its kind.
    """
    if cb is not None and not callable(cb):
        raise ConfigTypeError(f"cb must be callable, not {cb!r}")
    if into is not None and not hasattr(into, "put_nowait"):
        raise ConfigTypeError(f"into must be an asyncio.Queue, not {into!r}")
    if cb is not None and into is not None:
        raise ConfigError("give either cb or into, not both")


def check_on_full(value: Any, cb: object, into: object) -> None:
    """Check what is to be done when a subscription is full.

    Raises:
        ConfigError: it is none of the choices, or none for a subscription with such a consumer.
    """
    if value not in get_args(OnFull):
        expected = ", ".join(map(repr, get_args(OnFull)))
        raise ConfigError(f"on_full must be one of {expected}, not {value!r}")
    if value == "block" and (cb is not None or into is not None):
        raise ConfigError(
            "on_full='block' needs a subscription that is read with `next_msg` or `async for`: a "
            "callback that waits for a reply, and a queue of yours, would wait for the socket "
            "that waits for them"
        )
    if value != "drop_new" and callable(cb) and not is_async(cb):
        raise ConfigError(
            f"on_full={value!r} contradicts a plain function as cb: it is called in place, so that "
            "nothing ever waits for it"
        )


def check_max_msgs(value: Any) -> int:
    """A number of messages above 0.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ConfigError(f"max_msgs must be an int above 0, not {value!r}")
    return value
