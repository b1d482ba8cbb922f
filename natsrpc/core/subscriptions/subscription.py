"""A subscription as users hold it: reading its messages, its figures, and how it is ended.

There are four ways to consume, each with a sink of its own, chosen when the subscription is made:

- a plain function is called in place, from the socket read: no queue, no task; it must not wait;
- an async function is called by one worker task, one message at a time, in order;
- without either, messages wait for `next_msg` or `async for`;
- with `into=`, they are put into the caller's `asyncio.Queue`.

The plumbing is behind it: `Interest` is its state, `Intake` its sink and counters.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from types import TracebackType

from natsrpc.errors import (
    BadSubscriptionError,
    ConfigTypeError,
    NatsTimeoutError,
    NoRespondersError,
    SubscriptionTypeError,
    SyncSubRequiredError,
)

from ..timers import check_timeout
from ..wire import Msg
from .interest import Interest, SubscriptionStatus
from .pending import Pending, limits_of, shown
from .sinks import SubscriptionKind, is_async


class Subscription:
    """Interest in one subject, made by `Connection.subscribe`.

    Used with `async with`, it ends with the block.
    """

    __slots__ = ("__weakref__", "_intake", "_interest")

    def __init__(self, interest: Interest) -> None:
        self._interest = interest
        self._intake = interest.intake

    def __repr__(self) -> str:
        group = f" queue_group={self.queue_group!r}" if self.queue_group else ""
        state = "draining" if self.is_draining else "active"
        if not self.is_valid:
            state = "denied" if self._interest.is_denied else "ended"
        return f"<Subscription {self.sid} {self.subject!r}{group} {state}>"

    # facts

    @property
    def subject(self) -> str:
        """The subject, as it was subscribed to."""
        return self._interest.subject

    @property
    def queue_group(self) -> str:
        """The queue group; "" if it is in none."""
        return self._interest.queue_group

    @property
    def sid(self) -> int:
        """The number by which the server knows it."""
        return self._interest.sid

    @property
    def kind(self) -> SubscriptionKind:
        """How its messages are consumed."""
        return self._intake.kind

    @property
    def max_msgs(self) -> int | None:
        """How many messages it takes in all; None if there is no limit."""
        return self._intake.max_msgs

    @property
    def is_valid(self) -> bool:
        """Whether more messages may be received: not once it has ended, nor while the server denies
        it. What is denied is asked for again in each new session, and what was taken away by
        a reload, or by another server, until it is given back: it may be valid then."""
        return self._interest.is_valid

    @property
    def is_draining(self) -> bool:
        """Whether a drain was begun; it stays so when the drain is over."""
        return self._interest.is_draining

    @property
    def end_error(self) -> Exception | None:
        """Why it ended, where that was not by a drain or by `max_msgs`, or why it is denied; None
        while it is valid."""
        return self._interest.end_error

    @property
    def on_closed(self) -> Callable[[Subscription], None] | None:
        """A plain function to call once with this subscription: at the end of a drain, or else as
        soon as nothing more will be received. Set it as an attribute; `ConfigTypeError` is raised
        for an async one, or what is no function."""
        return self._interest.on_closed

    @on_closed.setter
    def on_closed(self, function: Callable[[Subscription], None] | None) -> None:
        _check_plain("on_closed", function)
        self._interest.on_closed = function

    @property
    def status(self) -> SubscriptionStatus:
        """What it does now."""
        return self._interest.status

    @property
    def on_status(self) -> Callable[[Subscription, SubscriptionStatus], object] | None:
        """A plain function to call with this subscription and its new status, in place: when it
        becomes slow, is denied, is given back or asked for in a new session, begins to drain, and
        at its end. Set it as an attribute, as `on_closed`. It must not wait. That a slow one has
        room again is not told: `status` says so."""
        return self._interest.on_status

    @on_status.setter
    def on_status(
        self, function: Callable[[Subscription, SubscriptionStatus], object] | None
    ) -> None:
        _check_plain("on_status", function)
        self._interest.on_status = function

    # figures

    @property
    def delivered(self) -> int:
        """Messages handed over to their consumer."""
        return self._intake.delivered

    @property
    def dropped(self) -> int:
        """Messages dropped because a pending limit (or the `into` queue) was full."""
        return self._intake.dropped

    @property
    def pending_msgs(self) -> int:
        """Messages received and not yet handed over."""
        pending = self._shown_pending()
        return 0 if pending is None else len(pending.msgs)

    @property
    def pending_bytes(self) -> int:
        """Bytes of headers and payload received and not yet handed over."""
        pending = self._shown_pending()
        return 0 if pending is None else pending.size

    @property
    def max_pending(self) -> tuple[int, int]:
        """The most messages and bytes that were pending; one too many counts too."""
        pending = self._shown_pending()
        return (0, 0) if pending is None else (pending.peak_msgs, pending.peak_bytes)

    def clear_max_pending(self) -> None:
        """Start `max_pending` afresh."""
        if pending := self._shown_pending():
            pending.peak_msgs = pending.peak_bytes = 0

    @property
    def pending_limits(self) -> tuple[int | None, int | None]:
        """The limits of pending messages and bytes; None is unlimited."""
        self._shown_pending()
        msgs, size = self._intake.limits
        return shown(msgs), shown(size)

    def set_pending_limits(self, msgs: int | None, bytes_: int | None) -> None:
        """Change the limits of pending messages and bytes; None or negative is unlimited.

        What is pending already stays.

        Raises:
            ConfigError: a limit is 0 or no number.
            SubscriptionTypeError: it delivers into a queue, whose size is the limit.
            BadSubscriptionError: it has ended, and nothing is pending any more.
        """
        self._shown_pending()
        self._intake.set_limits(limits_of(msgs, bytes_))

    def _shown_pending(self) -> Pending | None:
        """Its queue, if it has one; raises where asking for it makes no sense."""
        if self.kind is SubscriptionKind.QUEUE:
            raise SubscriptionTypeError(f"{self!r} delivers into a queue: ask that for its size")
        if not self._intake.has_pending:
            self._interest.check_alive()
        return self._intake.pending

    # reading

    async def next_msg(self, timeout: float | None = 1.0) -> Msg:
        """The next message; waits up to `timeout` seconds, without limit if None.

        Cancelling it never loses a message.

        Raises:
            NatsTimeoutError: none came in time.
            ConnectionClosedError: the connection is closed, or was closed meanwhile.
            MaxMessagesError: all of `max_msgs` were received.
            BadSubscriptionError: the subscription has ended.
            SyncSubRequiredError: it was made with `cb` or `into`.
            PermissionsError: the server denies the subscription.
            MaxSubscriptionsError: the server had no place for it.
            SlowConsumerError: messages were dropped since the last call; the next call goes on.
            NoRespondersError: a request with this inbox as reply found nobody. (Inboxes begin with
                the connection's `inbox_prefix`; elsewhere its status is an ordinary message.)
            BadTimeoutError: `timeout` is not above 0.

        Ref: nats.go `Subscription.NextMsg`.
        """
        if timeout is not None:
            check_timeout(timeout)
        intake, pending = self._intake, self._readable()
        if intake.slow_untold:
            intake.slow_untold = False
            raise self._interest.slow_consumer()
        if not pending.msgs:
            await self._wait_for_msg(pending, timeout)
        msg = pending.take()
        if msg.raw_headers and msg.status == 503 and not msg.data and self._interest.takes_replies:
            raise NoRespondersError(self.subject)
        intake.handed += 1
        return msg

    async def _wait_for_msg(self, pending: Pending, timeout: float | None) -> None:
        loop, handling = self._interest.loop, self._interest.handling
        deadline = None if timeout is None else loop.time() + timeout
        reader = handling.enter()
        try:
            while not pending.msgs:
                await pending.wait(None if deadline is None else deadline - loop.time())
                self._readable()
        except TimeoutError as error:
            if isinstance(error, NatsTimeoutError):
                raise
            raise NatsTimeoutError(f"no message on {self.subject!r} within {timeout:g} s") from None
        finally:
            handling.leave(reader)

    def _readable(self) -> Pending:
        """Its queue, if messages can be read from it; otherwise the error of the call is raised."""
        if not self.is_valid and not self._intake.has_pending:
            raise self._interest.ended_error()
        return self._own_queue()

    def _own_queue(self) -> Pending:
        pending = self._intake.pending
        if pending is None or self.kind is not SubscriptionKind.PULL:
            raise SyncSubRequiredError(f"{self!r} was made with a callback or queue")
        return pending

    def __aiter__(self) -> AsyncIterator[Msg]:
        """Messages as they come; ends with the subscription.

        Cancelling the wait loses nothing and ends nothing: iterate again to go on. To have the
        subscription end with its reader, read within `async with sub`.

        Raises:
            ConnectionClosedError: the connection was closed meanwhile, unless by a drain.
            PermissionsError: the server denied the subscription.
            SyncSubRequiredError: it was made with `cb` or `into`.
        """
        return self._iterate(self._own_queue())

    async def _iterate(self, pending: Pending) -> AsyncIterator[Msg]:
        intake, handling = self._intake, self._interest.handling
        reader = handling.enter()
        try:
            while True:
                while pending.msgs:
                    msg = pending.take()
                    intake.handed += 1
                    yield msg
                if not self.is_valid:
                    break
                await pending.wait()
        finally:
            handling.leave(reader)
        error = self.end_error
        if error is not None and not isinstance(error, BadSubscriptionError):
            raise error.with_traceback(None)

    # ending

    async def unsubscribe(self, max_msgs: int | None = None) -> None:
        """End now; what is pending is discarded. With `max_msgs`, after that many in all.

        Raises:
            BadSubscriptionError: it has ended already.
            ConnectionClosedError, ConnectionDrainingError: the connection is closed, or is ending
                all subscriptions.
            ConfigError: `max_msgs` is not above 0.

        Ref: nats.go `Subscription.Unsubscribe`, `Subscription.AutoUnsubscribe`.
        """
        if max_msgs is None:
            self._interest.unsubscribe()
        else:
            self._interest.limit(max_msgs)

    async def drain(self) -> None:
        """End without losing anything: tell the server to stop, and let all it sent be handled.

        Returns when the callback, or the body of an `async for`, has handled the last message.
        Messages nobody reads are not waited for: they stay readable. Called from its own callback
        it returns at once, and from its own `async for` when all messages are here. Cancelling it
        leaves the drain to go on.

        Raises:
            BadSubscriptionError: it has ended already.
            ConnectionClosedError: the connection is closed, or was before all was handled.

        Ref: nats.go `Subscription.Drain`.
        """
        await self._interest.drain()

    async def __aenter__(self) -> Subscription:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._interest.discard()


def _check_plain(name: str, function: object) -> None:
    """Refuse what cannot be called in place.

    Raises:
        ConfigTypeError: it is not callable, or an async function, which nobody would await.
    """
    if function is not None and (not callable(function) or is_async(function)):
        raise ConfigTypeError(f"{name} must be a plain function, not {function!r}")
