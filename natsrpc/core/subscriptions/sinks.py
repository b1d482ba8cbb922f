"""What a subscription does with each message that arrives: count it, look at its headers, keep or
drop it.

The sinks run in the socket read, so they never wait. Each is one flat function: it is the hottest
code there is for whoever subscribes.
"""

from __future__ import annotations

import abc
import asyncio
import enum
import functools
import inspect
from collections.abc import Callable
from typing import Any, TypeAlias, cast

from natsrpc.errors import (
    BadHeaderError,
    ConfigError,
    ConfigTypeError,
    SlowConsumerError,
    SubscriptionTypeError,
)

from ..wire import Msg
from .pending import Pending, shown

MsgCallback: TypeAlias = "Callable[[Msg], object]"

PENDING_MSGS_LIMIT = 500_000
PENDING_BYTES_LIMIT = 64 * 1024 * 1024

_NO_STATUS = b"NATS/1.0\r\n"
_MAX_PLAIN_BLOCKS = 128
_MAX_PLAIN_SIZE = 1024
_NO_BLOCKS: frozenset[bytes] = frozenset()  # an empty set takes 216 bytes: there is one for all


class SubscriptionKind(enum.IntEnum):
    """How a subscription's messages are consumed."""

    CALLBACK = 0
    PULL = 1
    QUEUE = 2


class Intake(abc.ABC):
    """The receiving half of a `Subscription`: its sink, its counters and limits.

    `received` counts towards `max_msgs`; `received_before` of them came in earlier sessions, of
    which the server of this one knows nothing.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        *,
        cb: MsgCallback | None,
        into: asyncio.Queue[Msg] | None,
        max_msgs: int | None,
        pending_msgs_limit: int | None,
        pending_bytes_limit: int | None,
    ) -> None:
        self.received = self.received_before = 0
        self.is_valid = True
        self._delivered = 0
        self._statuses = 0
        self._dropped = 0
        self._max_msgs = max_msgs
        self._is_slow = False
        self._slow_untold = False
        # Header blocks known to be well-formed and without a status: callers repeat theirs, and
        # reading one costs more (3 us) than the rest of a delivery.
        self._plain_blocks: set[bytes] | frozenset[bytes] = _NO_BLOCKS
        self._cb = cb
        self._into = into
        self.kind, self.sink = self._choose_sink()
        keeps = self.sink == self._take_pending
        self._pending = Pending(loop, pending_msgs_limit, pending_bytes_limit, keeps=keeps)

    def _choose_sink(self) -> tuple[SubscriptionKind, Callable[[Msg], None]]:
        if self._into is not None:
            return SubscriptionKind.QUEUE, self._take_into_queue
        if self._cb is None:
            return SubscriptionKind.PULL, self._take_pending
        if is_async(self._cb):
            return SubscriptionKind.CALLBACK, self._take_pending
        return SubscriptionKind.CALLBACK, self._take_in_place

    # what the rest of the subscription gives

    @abc.abstractmethod
    def _report(self, error: Exception) -> None:
        """Tell an error that no call can raise."""

    @abc.abstractmethod
    def _end(self, error: Exception | None, *, keep_pending: bool = False) -> None:
        """End it."""

    @abc.abstractmethod
    def discard(self) -> None:
        """End it now, the server told."""

    @abc.abstractmethod
    def _check_alive(self) -> None:
        """Raise if it has ended."""

    @property
    @abc.abstractmethod
    def _slow_consumer(self) -> SlowConsumerError:
        """That it is slow, with the facts."""

    # sinks

    def _take_in_place(self, msg: Msg) -> None:
        headers = msg.raw_headers
        if headers and headers not in self._plain_blocks:
            self._look_at_headers(msg)
        self.received += 1
        msg.sub = self
        if self._max_msgs is not None:
            self._reap()
        result = self._cb(msg)  # type: ignore[misc]  # this sink is chosen only where there is one
        if result is not None:
            self._check_result(result)

    def _check_result(self, result: object) -> None:
        if inspect.iscoroutine(result):
            result.close()
            raise ConfigTypeError(
                f"the callback of {self!r} is a plain function that gave a coroutine: "
                "pass an async function, so that it can be awaited"
            )

    def _take_pending(self, msg: Msg) -> None:
        headers = msg.raw_headers
        if headers and headers not in self._plain_blocks:
            self._look_at_headers(msg)
        self.received += 1
        msg.sub = self
        if self._max_msgs is not None:
            self._reap()
        if self._pending.put(msg):
            self._is_slow = False
        else:
            self._drop()

    def _take_into_queue(self, msg: Msg) -> None:
        headers = msg.raw_headers
        if headers and headers not in self._plain_blocks:
            self._look_at_headers(msg)
        self.received += 1
        msg.sub = self
        if self._max_msgs is not None:
            self._reap()
        try:
            self._into.put_nowait(msg)  # type: ignore[union-attr]  # chosen only where there is one
        except asyncio.QueueFull:
            self._drop()
        except Exception as error:
            if type(error).__name__ != "QueueShutDown":  # from 3.13
                raise
            self.discard()
        else:
            self._delivered += 1
            self._is_slow = False

    def _look_at_headers(self, msg: Msg) -> None:
        """Report bad headers, and take a status of the server's out of the count in advance: the
        server does not count it towards `max_msgs` either."""
        block = msg.raw_headers
        if msg.headers.malformed:
            self._report(BadHeaderError(f"malformed headers in a message on {msg.subject!r}"))
        elif block.startswith(_NO_STATUS):
            if len(block) > _MAX_PLAIN_SIZE:  # a publisher must not make us keep megabytes
                return
            blocks = self._plain_blocks
            if not isinstance(blocks, set) or len(blocks) >= _MAX_PLAIN_BLOCKS:
                self._plain_blocks = blocks = set()
            blocks.add(block)
        elif msg.status == 503:
            self.received -= 1
            self._statuses += 1

    def _reap(self) -> None:
        """End with the last of `max_msgs`: nothing more reaches the sink then."""
        if self.is_valid and self.received >= cast("int", self._max_msgs):
            self._end(None, keep_pending=True)

    def _drop(self) -> None:
        self._dropped += 1
        if not self._is_slow:
            self._is_slow = self._slow_untold = True
            self._report(self._slow_consumer)

    # what it knows of itself

    @property
    def max_msgs(self) -> int | None:
        """How many messages it takes in all; None if there is no limit."""
        return self._max_msgs

    @property
    def delivered(self) -> int:
        """Messages handed over to whoever consumes them."""
        if self.sink == self._take_in_place:  # at once, so they are not counted again
            return self.received + self._statuses
        return self._delivered

    @property
    def dropped(self) -> int:
        """Messages dropped because a pending limit (or the `into` queue) was full."""
        return self._dropped

    @property
    def pending_msgs(self) -> int:
        """Messages received and not yet handed over."""
        return len(self._own_pending().msgs)

    @property
    def pending_bytes(self) -> int:
        """Bytes of headers and payload received and not yet handed over."""
        return self._own_pending().size

    @property
    def max_pending(self) -> tuple[int, int]:
        """The most messages and bytes that were pending; one too many counts too."""
        pending = self._own_pending()
        return pending.peak_msgs, pending.peak_bytes

    def clear_max_pending(self) -> None:
        """Start `max_pending` afresh."""
        pending = self._own_pending()
        pending.peak_msgs = pending.peak_bytes = 0

    @property
    def pending_limits(self) -> tuple[int | None, int | None]:
        """The limits of pending messages and bytes; None is unlimited."""
        pending = self._own_pending()
        return shown(pending.msgs_limit), shown(pending.bytes_limit)

    def set_pending_limits(self, msgs: int | None, bytes_: int | None) -> None:
        """Change the limits of pending messages and bytes; None or negative is unlimited.

        Raises:
            ConfigError: a limit is 0 or no number.
            SubscriptionTypeError: it delivers into a queue, whose size is the limit.
            BadSubscriptionError: it has ended, and nothing is pending any more.
        """
        self._own_pending().limit(msgs, bytes_)

    def _own_pending(self) -> Pending:
        if self.kind is SubscriptionKind.QUEUE:
            raise SubscriptionTypeError(f"{self!r} delivers into a queue: ask that for its size")
        if not self.is_valid and not self._pending.msgs:
            self._check_alive()
        return self._pending


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling it gives something to await."""
    while isinstance(function, functools.partial):
        function = function.func
    call = getattr(function, "__call__", None)  # noqa: B004  instances with an async __call__
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(call)


def check_max_msgs(value: Any) -> int:
    """A number of messages above 0.

    Raises:
        ConfigError: it is not.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
        raise ConfigError(f"max_msgs must be an int above 0, not {value!r}")
    return value
