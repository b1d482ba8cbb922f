"""A subscription: a sink with, where somebody reads at their own pace, a bounded queue behind it.

There are four ways to consume, each its own sink, chosen when the subscription is made:

- a plain function is called in place, from the socket read: no queue, no task; it must not wait;
- an async function is called by one worker task, one message at a time, in order;
- without either, messages wait for `next_msg` or `async for`;
- with `into=`, they are put into the caller's `asyncio.Queue`.

Life: *active* → *draining* (the server was told to stop, what it sent before still comes) →
*ended*. `_end` is the only way to *ended*; it wakes every waiter. A queue that was drained stays
readable after the end.
"""

from __future__ import annotations

import asyncio
import contextlib
import enum
import inspect
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Any, Protocol, TypeAlias, cast

from natsrpc.errors import (
    BadHeaderError,
    BadSubscriptionError,
    BadTimeoutError,
    ConfigError,
    ConfigTypeError,
    ConnectionClosedError,
    MaxMessagesError,
    NatsTimeoutError,
    NoRespondersError,
    SlowConsumerError,
    SubscriptionTypeError,
    SyncSubRequiredError,
)

from .wire import Msg

MsgCallback: TypeAlias = "Callable[[Msg], object]"

PENDING_MSGS_LIMIT = 500_000
PENDING_BYTES_LIMIT = 64 * 1024 * 1024


_NO_STATUS = b"NATS/1.0\r\n"
_MAX_PLAIN_BLOCKS = 128


class SubscriptionKind(enum.IntEnum):
    """How a subscription's messages are consumed."""

    CALLBACK = 0
    PULL = 1
    QUEUE = 2


class Owner(Protocol):
    """What a subscription needs of its connection."""

    loop: asyncio.AbstractEventLoop

    def subscription_ended(self, sub: Subscription) -> None:
        """Forget it: nothing more is to be delivered."""

    def send_unsub(self, sub: Subscription, max_msgs: int = 0) -> None:
        """Tell the server, if there is one."""

    def report(self, error: Exception, sub: Subscription | None) -> None:
        """Tell an error that no call can raise."""

    async def barrier(self) -> None:
        """Wait until the server has treated all that was sent; returns early if the session is
        lost."""

    def check_open(self) -> None:
        """Raise if the connection is closed or draining."""


class Subscription:
    """Interest in one subject, made by `Connection.subscribe`."""

    def __init__(
        self,
        owner: Owner,
        sid: int,
        subject: str,
        queue_group: str,
        *,
        cb: MsgCallback | None = None,
        into: asyncio.Queue[Msg] | None = None,
        max_msgs: int | None = None,
        pending_msgs_limit: int | None = PENDING_MSGS_LIMIT,
        pending_bytes_limit: int | None = PENDING_BYTES_LIMIT,
    ) -> None:
        self._owner = owner
        self.sid = sid
        self.raw_sid = b"%d" % sid
        self.subject = subject
        self.queue_group = queue_group
        self.received = 0
        self._delivered = 0
        self._dropped = 0
        self._max_msgs = max_msgs
        self._pending: deque[Msg] = deque()
        self._pending_bytes = 0
        self._peak_msgs = 0
        self._peak_bytes = 0
        self._waiters: deque[asyncio.Future[None]] = deque()
        self._readers = 0
        self._is_slow = False
        self._slow_untold = False
        self._worker: asyncio.Task[None] | None = None
        self._drain_task: asyncio.Task[None] | None = None
        self._end_error: Exception | None = None
        self._idle: asyncio.Future[None] | None = None
        self.is_valid = True
        self.is_draining = False
        self.on_closed: Callable[[Subscription], None] | None = None
        # Header blocks known to be well-formed and without a status: callers repeat theirs, and
        # reading one costs more (3 us) than the rest of a delivery.
        self._plain_blocks: set[bytes] = set()
        self._cb = cb
        self._into = into
        self._msgs_limit = _limit("pending_msgs_limit", pending_msgs_limit)
        self._bytes_limit = _limit("pending_bytes_limit", pending_bytes_limit)
        self.kind, self.sink = self._choose_sink()

    def _choose_sink(self) -> tuple[SubscriptionKind, Callable[[Msg], None]]:
        if self._into is not None:
            return SubscriptionKind.QUEUE, self._take_into_queue
        if self._cb is None:
            return SubscriptionKind.PULL, self._take_pending
        if is_async(self._cb):
            return SubscriptionKind.CALLBACK, self._take_for_worker
        return SubscriptionKind.CALLBACK, self._take_in_place

    def __repr__(self) -> str:
        group = f" queue_group={self.queue_group!r}" if self.queue_group else ""
        state = "ended" if not self.is_valid else "draining" if self.is_draining else "active"
        return f"<Subscription {self.sid} {self.subject!r}{group} {state}>"

    # sinks

    def _take_in_place(self, msg: Msg) -> None:
        headers = msg.raw_headers
        if headers and headers not in self._plain_blocks and self._is_counted_out(msg):
            return
        self.received += 1
        self._delivered += 1
        msg.sub = self
        if self._max_msgs is not None and self._reap():
            return
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
        if msg.raw_headers and self._is_counted_out(msg):
            return
        self.received += 1
        msg.sub = self
        if self._max_msgs is not None and self._reap():
            return
        if self._admit(msg) and self._waiters:
            self._wake_one()

    def _take_for_worker(self, msg: Msg) -> None:
        if msg.raw_headers and self._is_counted_out(msg):
            return
        self.received += 1
        msg.sub = self
        if self._max_msgs is not None and self._reap():
            return
        if self._admit(msg):
            if self._worker is None:
                self._worker = self._owner.loop.create_task(
                    self._work(), name=f"natsrpc subscription {self.subject}"
                )
            elif self._waiters:
                self._wake_one()

    def _take_into_queue(self, msg: Msg) -> None:
        if msg.raw_headers and self._is_counted_out(msg):
            return
        self.received += 1
        msg.sub = self
        if self._max_msgs is not None and self._reap():
            return
        try:
            self._into.put_nowait(msg)  # type: ignore[union-attr]  # chosen only where there is one
        except asyncio.QueueFull:
            self._drop()
        except Exception as error:
            if type(error).__name__ != "QueueShutDown":  # from 3.13
                raise
            self._owner.send_unsub(self)
            self._end(None)
        else:
            self._delivered += 1
            self._is_slow = False

    def _is_counted_out(self, msg: Msg) -> bool:
        """Look at a message with headers: report bad ones; leave statuses of the server
        uncounted."""
        if msg.headers.malformed:
            self._owner.report(
                BadHeaderError(f"malformed headers in a message on {msg.subject!r}"), self
            )
        elif msg.raw_headers.startswith(_NO_STATUS):
            if len(self._plain_blocks) >= _MAX_PLAIN_BLOCKS:
                self._plain_blocks.clear()
            self._plain_blocks.add(msg.raw_headers)
        if msg.status != 503:
            return False
        if self.kind is not SubscriptionKind.PULL:
            self.received -= 1
            return False
        msg.sub = self
        self._pending.append(msg)
        self._pending_bytes += len(msg.raw_headers)
        if self._waiters:
            self._wake_one()
        return True

    def _reap(self) -> bool:
        """Count towards `max_msgs`; whether this message is beyond it."""
        limit = cast("int", self._max_msgs)
        if self.received >= limit:
            self._end(None, keep_pending=True)
        return self.received > limit

    def _admit(self, msg: Msg) -> bool:
        """Queue a message, unless a limit would be exceeded: then it is dropped, counted and
        told."""
        pending, size = self._pending, len(msg.data) + len(msg.raw_headers)
        msgs, bytes_ = len(pending) + 1, self._pending_bytes + size
        if msgs > self._peak_msgs:
            self._peak_msgs = msgs
        if bytes_ > self._peak_bytes:
            self._peak_bytes = bytes_
        if msgs > self._msgs_limit or bytes_ > self._bytes_limit:
            self._drop()
            return False
        pending.append(msg)
        self._pending_bytes = bytes_
        self._is_slow = False
        return True

    def _drop(self) -> None:
        self._dropped += 1
        if not self._is_slow:
            self._is_slow = self._slow_untold = True
            self._owner.report(
                SlowConsumerError(self.subject, sid=self.sid, dropped=self._dropped), self
            )

    # consuming

    def _take_one(self) -> Msg:
        msg = self._pending.popleft()
        self._pending_bytes -= len(msg.data) + len(msg.raw_headers)
        if not self._pending:
            self._note_idle()
        return msg

    async def _wait(self, timeout: float | None) -> None:
        """Wait to be woken. A wake-up that cannot be used is passed on to the next waiter."""
        waiter = self._owner.loop.create_future()
        self._waiters.append(waiter)
        timer = None
        if timeout is not None:
            timer = self._owner.loop.call_later(timeout, _expire, waiter, timeout)
        try:
            await waiter
        except BaseException:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._wake_one()
            elif waiter in self._waiters:
                self._waiters.remove(waiter)
            raise
        finally:
            if timer is not None:
                timer.cancel()

    def _wake_one(self) -> None:
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def _wake_all(self) -> None:
        while self._waiters:
            self._wake_one()

    async def _work(self) -> None:
        """Call the async callback for one message after the other."""
        callback = cast("Callable[[Msg], Awaitable[object]]", self._cb)
        try:
            while True:
                while self._pending:
                    msg = self._pending.popleft()
                    self._pending_bytes -= len(msg.data) + len(msg.raw_headers)
                    self._delivered += 1
                    try:
                        await callback(msg)
                    except Exception as error:
                        self._owner.report(error, self)
                self._note_idle()
                if not self.is_valid or self.is_draining:
                    return
                await self._wait(None)
        finally:
            self._worker = None
            self._note_idle()

    async def next_msg(self, timeout: float | None = 1.0) -> Msg:
        """The next message; waits up to `timeout` seconds, without limit if None.

        Cancelling it never loses a message.

        Raises:
            NatsTimeoutError: none came in time.
            ConnectionClosedError: the connection is closed, or was closed meanwhile.
            MaxMessagesError: all of `max_msgs` were received.
            BadSubscriptionError: the subscription has ended.
            SyncSubRequiredError: it was made with `cb` or `into`.
            SlowConsumerError: messages were dropped since the last call; the next call goes on.
            NoRespondersError: a request with this inbox as reply found nobody.
            BadTimeoutError: `timeout` is not above 0.

        Ref: nats.go `Subscription.NextMsg`.
        """
        if timeout is not None and not timeout > 0:
            raise BadTimeoutError(f"timeout must be above 0 seconds, not {timeout!r}")
        self._check_readable()
        if self._slow_untold:
            self._slow_untold = False
            raise SlowConsumerError(self.subject, sid=self.sid, dropped=self._dropped)
        if not self._pending:
            deadline = None if timeout is None else self._owner.loop.time() + timeout
            while not self._pending:
                left = None if deadline is None else deadline - self._owner.loop.time()
                await self._wait(left)
                self._check_readable()
        msg = self._take_one()
        if msg.status == 503 and not msg.data:
            raise NoRespondersError(self.subject)
        self._delivered += 1
        return msg

    def _check_readable(self) -> None:
        if not self.is_valid and not self._pending:
            raise self._ended_error()
        if self.kind is not SubscriptionKind.PULL:
            raise SyncSubRequiredError(f"{self!r} was made with a callback or queue")

    def _ended_error(self) -> Exception:
        if self._end_error is not None:
            return self._end_error
        if self._max_msgs is not None and self.received >= self._max_msgs:
            return MaxMessagesError(f"{self!r} received all of its {self._max_msgs} messages")
        return BadSubscriptionError(f"{self!r} has ended")

    def __aiter__(self) -> AsyncIterator[Msg]:
        """Messages as they come; ends with the subscription.

        Raises:
            ConnectionClosedError: the connection was closed meanwhile, unless by a drain.
            PermissionsError: the server denied the subscription.
            SyncSubRequiredError: it was made with `cb` or `into`.
        """
        if self.kind is not SubscriptionKind.PULL:
            raise SyncSubRequiredError(f"{self!r} was made with a callback or queue")
        return self._iterate()

    async def _iterate(self) -> AsyncIterator[Msg]:
        pending = self._pending
        self._readers += 1
        try:
            while True:
                while pending:
                    msg = pending.popleft()
                    self._pending_bytes -= len(msg.data) + len(msg.raw_headers)
                    if msg.raw_headers and msg.status == 503:
                        raise NoRespondersError(self.subject)
                    self._delivered += 1
                    yield msg
                self._note_idle()
                if not self.is_valid:
                    break
                await self._wait(None)
        finally:
            self._readers -= 1
            self._note_idle()
        if self._end_error is not None and not isinstance(self._end_error, BadSubscriptionError):
            raise self._end_error

    # ending

    async def unsubscribe(self, max_msgs: int | None = None) -> None:
        """End now; what is queued is discarded. With `max_msgs`, after that many in all.

        Raises:
            BadSubscriptionError: it has ended already.
            ConnectionClosedError: the connection is closed.
            ConfigError: `max_msgs` is not above 0.
        """
        self._check_alive()
        if max_msgs is None:
            self._owner.send_unsub(self)
            self._end(BadSubscriptionError(f"{self!r} was unsubscribed"))
            return
        self._max_msgs = check_max_msgs(max_msgs)
        self._owner.send_unsub(self, max_msgs)
        if self.received >= max_msgs:
            self._end(None, keep_pending=True)

    def _check_alive(self) -> None:
        if not self.is_valid:
            error = self._ended_error()
            if isinstance(error, ConnectionClosedError):
                raise error
            raise BadSubscriptionError(f"{self!r} has ended")

    async def drain(self) -> None:
        """End without losing anything: tell the server to stop, and let all it sent be handled.

        Returns when the callback has handled the last message. Messages nobody reads are not waited
        for: they stay readable. Called from its own callback, it does not wait for that.

        Raises:
            BadSubscriptionError: it has ended already.
            ConnectionClosedError: the connection is closed.
        """
        if self._drain_task is None:
            self._check_alive()
            self.is_draining = True
            self._owner.send_unsub(self)
            self._drain_task = self._owner.loop.create_task(
                self._drain(), name=f"natsrpc drain {self.subject}"
            )
        if asyncio.current_task() is not self._worker or self._worker is None:
            await asyncio.shield(self._drain_task)

    async def _drain(self) -> None:
        await self._owner.barrier()
        if self.is_valid:
            self._end(None, keep_pending=True)
        while self._is_busy():
            self._idle = self._owner.loop.create_future()
            await self._idle

    def _is_busy(self) -> bool:
        """Whether somebody is still handling, or about to handle, what was received."""
        if self._worker is not None:
            return True
        return bool(self._pending) and (self._readers > 0 or bool(self._waiters))

    def _note_idle(self) -> None:
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def end_by_close(self, error: Exception) -> None:
        """The connection is closed for good."""
        if self.is_valid:
            self._end(error)

    def end_by_error(self, error: Exception) -> None:
        """The server refused or removed it."""
        if self.is_valid:
            self._end(error, keep_pending=True)

    def _end(self, error: Exception | None, *, keep_pending: bool = False) -> None:
        self.is_valid = False
        self._end_error = error
        if not keep_pending:
            self._pending.clear()
            self._pending_bytes = 0
        self._owner.subscription_ended(self)
        self._wake_all()
        self._note_idle()
        if self.on_closed is not None:
            with contextlib.suppress(Exception):
                self.on_closed(self)

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self.is_valid:
            await self.unsubscribe()

    # what it knows of itself

    @property
    def end_error(self) -> Exception | None:
        """Why it ended, where that was not by itself or its user."""
        return self._end_error

    @property
    def max_msgs(self) -> int | None:
        """How many messages it takes in all; None if there is no limit."""
        return self._max_msgs

    @property
    def delivered(self) -> int:
        """Messages handed over to whoever consumes them."""
        return self._delivered

    @property
    def dropped(self) -> int:
        """Messages dropped because a pending limit (or the `into` queue) was full."""
        return self._dropped

    @property
    def pending_msgs(self) -> int:
        """Messages received and not yet handed over."""
        self._check_queue_of_its_own()
        return len(self._pending)

    @property
    def pending_bytes(self) -> int:
        """Bytes of headers and payload received and not yet handed over."""
        self._check_queue_of_its_own()
        return self._pending_bytes

    @property
    def max_pending(self) -> tuple[int, int]:
        """The most messages and bytes that were pending; one too many counts too."""
        self._check_queue_of_its_own()
        return self._peak_msgs, self._peak_bytes

    def clear_max_pending(self) -> None:
        """Start `max_pending` afresh."""
        self._check_queue_of_its_own()
        self._peak_msgs = self._peak_bytes = 0

    @property
    def pending_limits(self) -> tuple[int | None, int | None]:
        """The limits of pending messages and bytes; None is unlimited."""
        self._check_queue_of_its_own()
        return _shown(self._msgs_limit), _shown(self._bytes_limit)

    def set_pending_limits(self, msgs: int | None, bytes_: int | None) -> None:
        """Change the limits of pending messages and bytes; None or negative is unlimited.

        Raises:
            ConfigError: a limit is 0 or no number.
            SubscriptionTypeError: it delivers into a queue, whose size is the limit.
        """
        self._check_queue_of_its_own()
        self._msgs_limit = _limit("pending_msgs_limit", msgs)
        self._bytes_limit = _limit("pending_bytes_limit", bytes_)

    def _check_queue_of_its_own(self) -> None:
        if self.kind is SubscriptionKind.QUEUE:
            raise SubscriptionTypeError(f"{self!r} delivers into a queue: ask that for its size")
        if not self.is_valid and not self._pending:
            self._check_alive()


def is_async(function: Callable[..., object]) -> bool:
    """Whether calling it gives something to await."""
    while hasattr(function, "func"):
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


_UNLIMITED = float("inf")


def _limit(name: str, value: int | None) -> float:
    if value is None:
        return _UNLIMITED
    if not isinstance(value, int) or isinstance(value, bool) or value == 0:
        raise ConfigError(f"{name} must be an int above 0, or None for no limit, not {value!r}")
    return value if value > 0 else _UNLIMITED


def _shown(limit: float) -> int | None:
    return None if limit == _UNLIMITED else int(limit)


def _expire(waiter: asyncio.Future[None], timeout: float) -> None:
    if not waiter.done():
        waiter.set_exception(NatsTimeoutError(f"no message within {timeout:g} s"))
