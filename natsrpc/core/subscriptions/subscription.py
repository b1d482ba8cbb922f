"""A subscription: a sink with, where somebody reads at their own pace, a bounded queue behind it.

There are four ways to consume, each its own sink, chosen when the subscription is made:

- a plain function is called in place, from the socket read: no queue, no task; it must not wait;
- an async function is called by one worker task, one message at a time, in order;
- without either, messages wait for `next_msg` or `async for`;
- with `into=`, they are put into the caller's `asyncio.Queue`.

Life: *active* → *draining* (the server was told to stop, what it sent before still comes) →
*ended*. `_end` is the only way to *ended*; it wakes every waiter. What is queued then is discarded,
unless the subscription ended by a drain, by `max_msgs` or by the server: then it is still handled,
and stays readable.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from types import TracebackType
from typing import Any, Protocol, cast

from natsrpc.errors import (
    BadSubscriptionError,
    ConnectionClosedError,
    MaxMessagesError,
    NatsTimeoutError,
    NoRespondersError,
    PermissionsError,
    SlowConsumerError,
    SubscriptionError,
    SyncSubRequiredError,
)

from ..timers import check_timeout
from ..wire import Msg
from .sinks import (
    PENDING_BYTES_LIMIT,
    PENDING_MSGS_LIMIT,
    Intake,
    MsgCallback,
    SubscriptionKind,
    check_max_msgs,
    is_async,
)

_NOBODY: frozenset[asyncio.Task[Any]] = frozenset()  # one for all: empty, it takes 216 bytes


class Owner(Protocol):
    """What a subscription needs of its connection."""

    loop: asyncio.AbstractEventLoop

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""

    def subscription_ended(self, sub: Subscription) -> None:
        """Nothing more is to be delivered; `sub.is_busy` tells if something is still handled."""

    def subscription_finished(self, sub: Subscription) -> None:
        """It has ended, and all it received is handled."""

    def send_unsub(self, sub: Subscription, max_msgs: int = 0) -> None:
        """Tell the server, if there is one."""

    def report(self, error: Exception, sub: Subscription | None) -> None:
        """Tell an error that no call can raise."""

    async def barrier(self) -> None:
        """Wait until the server has treated all that was sent; returns early if the session is
        lost."""

    def check_open(self) -> None:
        """Raise if the connection is closed or draining."""


class Subscription(Intake):
    """Interest in one subject, made by `Connection.subscribe`.

    With `asks` it is the inbox of one request to that subject.

    `on_closed(sub)`, if set, is called once: at the end of a drain, else as soon as nothing more
    will be received.
    """

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
        asks: str = "",
    ) -> None:
        self._owner = owner
        self.sid = sid
        self.raw_sid = b"%d" % sid
        self.subject = subject
        self.queue_group = queue_group
        self._asks = asks
        self.received_before = 0  # in earlier sessions: the server counts anew in each
        super().__init__(
            owner.loop,
            cb=cb,
            into=into,
            max_msgs=max_msgs,
            pending_msgs_limit=pending_msgs_limit,
            pending_bytes_limit=pending_bytes_limit,
        )
        self.is_draining = False
        self.on_closed: Callable[[Subscription], None] | None = None
        self._readers: list[asyncio.Task[Any]] = []
        self._excused = _NOBODY
        self._drain_task: asyncio.Task[None] | None = None
        self._end_error: Exception | None = None
        self._idle: asyncio.Future[None] | None = None
        self._worker: asyncio.Task[None] | None = None
        if cb is not None and is_async(cb):
            self._worker = owner.loop.create_task(
                self._work(), name=f"natsrpc subscription {subject}"
            )

    def __repr__(self) -> str:
        group = f" queue_group={self.queue_group!r}" if self.queue_group else ""
        state = "ended" if not self.is_valid else "draining" if self.is_draining else "active"
        return f"<Subscription {self.sid} {self.subject!r}{group} {state}>"

    # consuming

    async def _work(self) -> None:
        """Call the async callback for one message after the other."""
        callback = cast("Callable[[Msg], Awaitable[object]]", self._cb)
        pending = self._pending
        msgs = pending.msgs
        try:
            while True:
                while msgs:
                    msg = msgs.popleft()
                    pending.size -= len(msg.data) + len(msg.raw_headers)
                    self._delivered += 1
                    try:
                        await callback(msg)
                    except Exception as error:
                        self._report(error)
                    except asyncio.CancelledError as error:
                        self._check_own_cancel(error)
                if not self.is_valid:
                    return
                await pending.wait()
        except BaseException:
            self.discard()
            raise
        finally:
            self._worker = None
            self._note_idle()

    def _check_own_cancel(self, error: asyncio.CancelledError) -> None:
        """A callback that let somebody else's cancellation through has failed; if the worker itself
        is cancelled, it ends."""
        if cast("asyncio.Task[None]", self._worker).cancelling():
            raise error
        failure = SubscriptionError(f"callback of {self!r}: what it awaited was cancelled")
        failure.__cause__ = error
        self._report(failure)

    async def next_msg(self, timeout: float | None = 1.0) -> Msg:
        """The next message; waits up to `timeout` seconds, without limit if None.

        Cancelling it never loses a message.

        Raises:
            NatsTimeoutError: none came in time.
            ConnectionClosedError: the connection is closed, or was closed meanwhile.
            MaxMessagesError: all of `max_msgs` were received.
            BadSubscriptionError: the subscription has ended.
            SyncSubRequiredError: it was made with `cb` or `into`.
            PermissionsError: the server denied the subscription.
            SlowConsumerError: messages were dropped since the last call; the next call goes on.
            NoRespondersError: a request with this inbox as reply found nobody.
            BadTimeoutError: `timeout` is not above 0.

        Ref: nats.go `Subscription.NextMsg`.
        """
        if timeout is not None:
            check_timeout(timeout)
        self._check_readable()
        if self._slow_untold:
            self._slow_untold = False
            raise self._slow_consumer
        if not self._pending.msgs:
            await self._wait_for_msg(timeout)
        msg = self._pending.take()
        if msg.raw_headers and msg.status == 503:
            raise NoRespondersError(self.subject)
        self._delivered += 1
        return msg

    async def _wait_for_msg(self, timeout: float | None) -> None:
        loop, reader = self._owner.loop, self._enter()
        deadline = None if timeout is None else loop.time() + timeout
        try:
            while not self._pending.msgs:
                await self._pending.wait(None if deadline is None else deadline - loop.time())
                self._check_readable()
        except TimeoutError as error:
            if isinstance(error, NatsTimeoutError):
                raise
            raise NatsTimeoutError(f"no message on {self.subject!r} within {timeout:g} s") from None
        finally:
            self._leave(reader)

    def _check_readable(self) -> None:
        if not self.is_valid and not self._pending.msgs:
            raise self._ended_error()
        if self.kind is not SubscriptionKind.PULL:
            raise SyncSubRequiredError(f"{self!r} was made with a callback or queue")

    def _ended_error(self) -> Exception:
        if self._end_error is not None and not isinstance(self._end_error, BadSubscriptionError):
            return self._end_error.with_traceback(None)
        if self._owner.is_closed:
            return ConnectionClosedError()
        limit = self._max_msgs
        if self._end_error is None and limit is not None and self.received >= limit:
            return MaxMessagesError(f"{self!r} received all of its {limit} messages")
        return BadSubscriptionError(f"{self!r} has ended")

    def __aiter__(self) -> AsyncIterator[Msg]:
        """Messages as they come; ends with the subscription.

        Cancelling the wait loses nothing and ends nothing: iterate again to go on. To have the
        subscription end with its reader, read within `async with sub`.

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
        msgs = pending.msgs
        reader = self._enter()
        try:
            while True:
                while msgs:
                    msg = msgs.popleft()
                    pending.size -= len(msg.data) + len(msg.raw_headers)
                    self._delivered += 1
                    yield msg
                if not self.is_valid:
                    break
                await pending.wait()
        finally:
            self._leave(reader)
        if self._end_error is not None and not isinstance(self._end_error, BadSubscriptionError):
            raise self._end_error.with_traceback(None)

    def _enter(self) -> asyncio.Task[Any]:
        """Note who reads: a drain waits for them."""
        reader = cast("asyncio.Task[Any]", asyncio.current_task())
        self._readers.append(reader)
        return reader

    def _leave(self, reader: asyncio.Task[Any]) -> None:
        self._readers.remove(reader)
        self._note_idle()

    # ending

    async def unsubscribe(self, max_msgs: int | None = None) -> None:
        """End now; what is queued is discarded. With `max_msgs`, after that many in all.

        Raises:
            BadSubscriptionError: it has ended already.
            ConnectionClosedError, ConnectionDrainingError: the connection is closed, or is ending
                all subscriptions.
            ConfigError: `max_msgs` is not above 0.
        """
        self._check_alive()
        self._owner.check_open()
        if max_msgs is None:
            self.discard()
            return
        self._max_msgs = check_max_msgs(max_msgs)
        self._owner.send_unsub(self, max_msgs)
        if self.received >= max_msgs:
            self._end(None, keep_pending=True)

    def discard(self) -> None:
        """As `unsubscribe`, at any time: nothing happens if it has ended."""
        if self.is_valid:
            self._owner.send_unsub(self)
            self._end(BadSubscriptionError(f"{self!r} was unsubscribed"))

    def _check_alive(self) -> None:
        if not self.is_valid:
            error = self._ended_error()
            if isinstance(error, ConnectionClosedError):
                raise error
            raise BadSubscriptionError(f"{self!r} has ended")

    async def drain(self) -> None:
        """End without losing anything: tell the server to stop, and let all it sent be handled.

        Returns when the callback, or the body of an `async for`, has handled the last message.
        Messages nobody reads are not waited for: they stay readable. Called from its own callback
        it returns at once, and from its own `async for` when all messages are here. Cancelling it
        leaves the drain to go on.

        Raises:
            BadSubscriptionError: it has ended already.
            ConnectionClosedError: the connection is closed, or was before all was handled.
        """
        if self._drain_task is None:
            self._check_alive()
            self.is_draining = True
            self._owner.send_unsub(self)
            self._drain_task = self._owner.loop.create_task(
                self._drain(), name=f"natsrpc drain {self.subject}"
            )
        if self.excuse(asyncio.current_task()):
            return
        await asyncio.wait({self._drain_task})
        self._drain_task.result()
        if isinstance(self._end_error, ConnectionClosedError):
            raise self._end_error.with_traceback(None)
        if self.is_busy:
            raise ConnectionClosedError

    def excuse(self, task: asyncio.Task[Any] | None) -> bool:
        """Let no drain wait for `task`, which is about to wait for one.

        Whether it is running the callback: then it must not wait at all, for what is queued needs
        it.
        """
        if task in self._readers:
            self._excused |= {task}
            self._note_idle()
        return task is not None and task is self._worker

    async def _drain(self) -> None:
        await self._owner.barrier()
        if self.is_valid:
            self._end(None, keep_pending=True)
        await self.finished()
        self._tell_closed()

    async def finished(self) -> None:
        """Wait until all that an ended subscription received is handled, or the connection is
        closed."""
        while self.is_busy and not self._owner.is_closed:
            if self._idle is None or self._idle.done():
                self._idle = self._owner.loop.create_future()
            readers = {reader for reader in self._readers if self._is_awaited(reader)}
            await asyncio.wait({self._idle, *readers}, return_when=asyncio.FIRST_COMPLETED)

    @property
    def is_busy(self) -> bool:
        """Whether somebody is still handling, or about to handle, what was received."""
        return self._worker is not None or any(map(self._is_awaited, self._readers))

    def _is_awaited(self, reader: asyncio.Task[Any]) -> bool:
        return not reader.done() and reader not in self._excused

    def _note_idle(self) -> None:
        if self.is_valid or self.is_busy:
            return
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)
        self._owner.subscription_finished(self)

    def is_denied_by(self, error: PermissionsError) -> bool:
        """Whether the server meant this subscription, or the request that it awaits replies to."""
        if error.operation == "publish":
            return self.is_inbox and (error.reply == self.subject or error.subject == self._asks)
        return error.subject == self.subject and error.queue_group == self.queue_group

    def end_by_close(self, error: Exception) -> None:
        """The connection is closed for good."""
        if self.is_valid:
            self._end(error)
        if self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def end_by_error(self, error: Exception) -> None:
        """The server refused or removed it."""
        if self.is_valid:
            self._end(error, keep_pending=True)

    def _end(self, error: Exception | None, *, keep_pending: bool = False) -> None:
        self.is_valid = False
        self._end_error = error
        if not keep_pending:
            self._pending.clear()
        self._owner.subscription_ended(self)
        self._pending.wake_all()
        self._note_idle()
        if not self.is_draining:
            self._tell_closed()

    def _tell_closed(self) -> None:
        if self.on_closed is not None:
            try:
                self.on_closed(self)
            except Exception as error:
                self._report(error)

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.discard()

    @property
    def is_inbox(self) -> bool:
        """Whether it belongs to a request, not to the user."""
        return bool(self._asks)

    @property
    def end_error(self) -> Exception | None:
        """Why it ended, where that was not by itself or its user."""
        return self._end_error

    @property
    def _slow_consumer(self) -> SlowConsumerError:
        return SlowConsumerError(self.subject, sid=self.sid, dropped=self._dropped)

    def _report(self, error: Exception) -> None:
        self._owner.report(error, self)


def denied_subscription(
    error: PermissionsError, subs: Mapping[int, Subscription]
) -> Subscription | None:
    """The one of `subs` that a server's denial is about; newer servers name its number."""
    if error.sid is not None:
        return subs.get(error.sid)
    return next((sub for sub in subs.values() if sub.is_denied_by(error)), None)
