"""Pending messages: received and not yet handled; a queue with limits, and who waits for the next.

A waiter is woken without being given anything: it takes from the queue once it runs. So a waiter
that is cancelled, however late, loses no message; it passes its wake-up on.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TypeAlias

from natsrpc.errors import ConfigError

from ..wire import Msg

UNLIMITED = float("inf")

PENDING_MSGS_LIMIT = 500_000
PENDING_BYTES_LIMIT = 64 * 1024 * 1024

Limits: TypeAlias = tuple[float, float]
"""The most messages, and the most bytes of headers and payload, that may be pending."""

DEFAULT_LIMITS: Limits = (PENDING_MSGS_LIMIT, PENDING_BYTES_LIMIT)  # one for all subscriptions


class Pending:
    """The bounded queue of one subscription.

    The sink puts messages in, the worker or readers take them out. `size` is the bytes of headers
    and payload in `msgs`. The peaks count a message that was refused, too.
    """

    __slots__ = (
        "_loop",
        "_waiters",
        "bytes_limit",
        "msgs",
        "msgs_limit",
        "peak_bytes",
        "peak_msgs",
        "size",
    )

    msgs_limit: float
    bytes_limit: float

    def __init__(self, loop: asyncio.AbstractEventLoop, limits: Limits) -> None:
        self._loop = loop
        self._waiters: deque[asyncio.Future[None]] | None = None  # a deque takes 760 bytes, empty
        self.msgs: deque[Msg] = deque()
        self.size: int = 0
        self.peak_msgs: int = 0
        self.peak_bytes: int = 0
        self.msgs_limit, self.bytes_limit = limits

    def put(self, msg: Msg) -> bool:
        """Queue a message and wake a waiter; False, if a limit would be exceeded."""
        msgs = self.msgs
        count, size = len(msgs) + 1, self.size + len(msg.data) + len(msg.raw_headers)
        if count > self.peak_msgs:
            self.peak_msgs = count
        if size > self.peak_bytes:
            self.peak_bytes = size
        if count > self.msgs_limit or size > self.bytes_limit:
            return False
        msgs.append(msg)
        self.size = size
        if self._waiters:
            self.wake_one()
        return True

    def keep(self, msg: Msg) -> None:
        """Queue a message whatever the limits are, and wake a waiter."""
        self.msgs.append(msg)
        self.size += len(msg.data) + len(msg.raw_headers)
        self.wake_one()

    def make_room(self, msg: Msg) -> int:
        """Discard the oldest messages until there is room for one more; how many. None are, if it
        is larger than all the room."""
        size = len(msg.data) + len(msg.raw_headers)
        before = len(self.msgs)
        if size > self.bytes_limit:
            return 0
        while self.msgs and (
            len(self.msgs) + 1 > self.msgs_limit or self.size + size > self.bytes_limit
        ):
            self.take()
        return before - len(self.msgs)

    def take(self) -> Msg:
        """The oldest message; there must be one."""
        msg = self.msgs.popleft()
        self.size -= len(msg.data) + len(msg.raw_headers)
        return msg

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for the next message."""
        return bool(self._waiters)

    def watch(self, told: Callable[[int], object]) -> None:
        """Call a function whenever a message is taken, with how many are left."""
        self.msgs = Watched(self.msgs, told)

    def unwatch(self) -> None:
        """Undo `watch`: taking costs a call less."""
        self.msgs = deque(self.msgs)

    def clear(self) -> None:
        """Discard all messages."""
        self.msgs.clear()
        self.size = 0

    async def wait(self, timeout: float | None = None) -> None:
        """Wait until woken; nothing is promised to be there then. Cancelling it is safe.

        Raises:
            TimeoutError: nobody woke it in time.
        """
        if self._waiters is None:
            self._waiters = deque()
        waiter = self._loop.create_future()
        self._waiters.append(waiter)
        timer = None
        if timeout is not None:
            timer = self._loop.call_later(timeout, _expire, waiter)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self.wake_one()
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def wake_one(self) -> None:
        """Wake the waiter that has waited longest."""
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """Wake every waiter."""
        while self._waiters:
            self.wake_one()


class Watched(deque[Msg]):
    """A queue that tells what is taken: most queues tell nobody, and need not even look."""

    def __init__(self, msgs: deque[Msg], told: Callable[[int], object]) -> None:
        super().__init__(msgs)
        self._told = told

    def popleft(self) -> Msg:
        msg = super().popleft()
        self._told(len(self))
        return msg


def limits_of(msgs: int | None, bytes_: int | None) -> Limits:
    """Pending limits as their user gave them: None or negative is no limit.

    Raises:
        ConfigError: a limit is 0 or no int.
    """
    limits = _limit("pending_msgs_limit", msgs), _limit("pending_bytes_limit", bytes_)
    return DEFAULT_LIMITS if limits == DEFAULT_LIMITS else limits


def shown(limit: float) -> int | None:
    """A limit as its user gave it."""
    return None if limit == UNLIMITED else int(limit)


def _limit(name: str, value: int | None) -> float:
    if value is None:
        return UNLIMITED
    if not isinstance(value, int) or isinstance(value, bool) or value == 0:
        raise ConfigError(f"{name} must be an int above 0, or None for no limit, not {value!r}")
    return value if value > 0 else UNLIMITED


def _expire(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_exception(TimeoutError())
