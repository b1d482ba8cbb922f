"""Interest: one subscription as its connection knows it, an entry of the registry.

It is the plumbing behind the `Subscription` that users hold: the registry, the link and drains call
it.

States: *active* → *draining* (the server was told to stop, and what it sent before still comes) →
*ended*; active → ended; active ⇄ *denied* → ended. `drain` moves it to draining. `deny` moves it to
denied, where it has no messages to expect, and stays in the registry: what a server takes away it
may give back, so it is asked for again (`ask_again`), at the latest of the next session. `_end`
alone moves it to ended. `deny` and `_end` wake every waiter. Pending messages are then discarded,
unless it was denied, or ended by a drain or by `max_msgs`: then they are still handled, and stay
readable.
"""

from __future__ import annotations

import asyncio
import enum
from collections.abc import Callable
from typing import Any, Protocol

from natsrpc.errors import (
    BadSubscriptionError,
    ConnectionClosedError,
    MaxMessagesError,
    PermissionsError,
    SlowConsumerError,
)

from ..wire import Msg
from .blocking import Blockade
from .handling import Handling
from .pending import DEFAULT_LIMITS, Limits
from .sinks import Intake, MsgCallback, OnFull, check_max_msgs


class SubscriptionStatus(enum.Enum):
    """What a subscription does."""

    ACTIVE = "active"
    """It receives."""

    SLOW = "slow"
    """It was full when the latest message came, and drops or blocks."""

    DENIED = "denied"
    """The server does not allow it, and is asked again."""

    DRAINING = "draining"
    """What was received is handled; no more comes."""

    CLOSED = "closed"
    """It has ended."""


class InterestHost(Protocol):
    """The registry, as one of its entries needs it."""

    loop: asyncio.AbstractEventLoop
    blockade: Blockade
    inboxes: str

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        ...

    def check_open(self) -> None:
        """Raise if the connection is closed or draining."""

    def send_unsub(self, interest: Interest, max_msgs: int = 0) -> None:
        """Tell the server, if there is one, that it ends."""

    def ended(self, interest: Interest) -> None:
        """It has ended; `interest.is_busy` tells if something is still handled."""

    def finished(self, interest: Interest) -> None:
        """It has ended, and all it received is handled."""

    async def barrier(self) -> None:
        """Wait until all that the server sent so far is here, or the session is lost."""

    def report(self, error: Exception, sub: Any) -> None:
        """Tell an error that no call can raise."""


class Interest:
    """Interest in one subject. Made by the registry, which calls `begin` in the same loop turn.

    `sub` is the `Subscription` that the user holds.
    With `asks` it is the inbox of one request to that subject.
    """

    __slots__ = (
        "_asks",
        "_drain_task",
        "_handling",
        "_host",
        "end_error",
        "intake",
        "is_denied",
        "is_draining",
        "is_valid",
        "on_closed",
        "on_status",
        "queue_group",
        "raw_sid",
        "sid",
        "sub",
        "subject",
    )

    def __init__(
        self,
        host: InterestHost,
        sid: int,
        subject: str,
        *,
        queue_group: str = "",
        cb: MsgCallback | None = None,
        into: asyncio.Queue[Msg] | None = None,
        max_msgs: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_full: OnFull = "drop_new",
        asks: str = "",
    ) -> None:
        self._host = host
        self._asks = asks
        self._handling: Handling | None = None
        self._drain_task: asyncio.Task[None] | None = None
        self.sub: Any = None  # typed so, for the file of Subscription imports this one
        self.sid: int = sid
        self.raw_sid: bytes = b"%d" % sid
        self.subject: str = subject
        self.queue_group: str = queue_group
        self.is_valid: bool = True
        self.is_denied: bool = False
        self.is_draining: bool = False
        self.end_error: Exception | None = None
        self.on_closed: Callable[[Any], None] | None = None
        self.on_status: Callable[[Any, SubscriptionStatus], object] | None = None
        self.intake: Intake = Intake(
            self,
            host.loop,
            cb=cb,
            into=into,
            max_msgs=max_msgs,
            limits=limits,
            on_full=on_full,
            blockade=host.blockade,
        )

    def begin(self, sub: Any) -> None:
        """Take the `Subscription` that the user will hold; start the worker, if it needs one."""
        self.sub = self.intake.sub = sub
        self._start_worker()

    def _start_worker(self) -> None:
        intake = self.intake
        if intake.cb is not None and intake.pending is not None:
            name = f"natsrpc subscription {self.subject}"
            self.handling.start_worker(intake, intake.pending, name)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The loop of its connection."""
        return self._host.loop

    @property
    def handling(self) -> Handling:
        """The tasks that handle its messages; made when the first of them begins."""
        if self._handling is None:
            self._handling = Handling(self, self._host.loop)
        return self._handling

    @property
    def is_inbox(self) -> bool:
        """Whether it belongs to a request, not to the user."""
        return bool(self._asks)

    @property
    def takes_replies(self) -> bool:
        """Whether replies to requests come to it: an empty message with the status 503 is then the
        server's word that nobody is there. Elsewhere a peer made it."""
        return self.subject.startswith(self._host.inboxes)

    def report(self, error: Exception) -> None:
        """Tell an error that no call can raise."""
        self._host.report(error, self.sub)

    # what is wrong with a call

    def slow_consumer(self) -> SlowConsumerError:
        """The error that tells that messages were dropped, with the facts."""
        return SlowConsumerError(self.subject, sid=self.sid, dropped=self.intake.dropped)

    def ended_error(self) -> Exception:
        """The error of a call that comes after the end."""
        if self.end_error is not None and not isinstance(self.end_error, BadSubscriptionError):
            return self.end_error.with_traceback(None)
        if self._host.is_closed:
            return ConnectionClosedError()
        if self.end_error is None and self.intake.is_complete:
            limit = self.intake.max_msgs
            return MaxMessagesError(f"{self.sub!r} received all of its {limit} messages")
        return BadSubscriptionError(f"{self.sub!r} has ended")

    def check_alive(self) -> None:
        """Raise if it has ended.

        Raises:
            ConnectionClosedError: because the connection is closed.
            BadSubscriptionError: for another reason.
        """
        if not (self.is_valid or self.is_denied):
            error = self.ended_error()
            if isinstance(error, ConnectionClosedError):
                raise error
            raise BadSubscriptionError(f"{self.sub!r} has ended")

    def is_denied_by(self, error: PermissionsError) -> bool:
        """Whether the server meant this subscription, or the request that it awaits replies to."""
        if error.operation == "publish":
            return self.is_inbox and (error.reply == self.subject or error.subject == self._asks)
        return error.subject == self.subject and error.queue_group == self.queue_group

    # how it ends

    def limit(self, max_msgs: int) -> None:
        """End it after so many messages in all.

        Raises:
            BadSubscriptionError, ConnectionClosedError, ConnectionDrainingError: it, or the
                connection, has ended or is ending.
            ConfigError: `max_msgs` is not above 0.
        """
        self.check_alive()
        self._host.check_open()
        self.intake.max_msgs = check_max_msgs(max_msgs)
        self._host.send_unsub(self, max_msgs)
        if self.intake.is_complete:
            self.end_by_limit()

    def unsubscribe(self) -> None:
        """End it now.

        Raises:
            BadSubscriptionError, ConnectionClosedError, ConnectionDrainingError: as `limit`.
        """
        self.check_alive()
        self._host.check_open()
        self.discard()

    def discard(self) -> None:
        """End it now, at any time: nothing happens if it has ended."""
        if self.is_valid or self.is_denied:
            self._host.send_unsub(self)
            self._end(BadSubscriptionError(f"{self.sub!r} was unsubscribed"))

    def note_slow(self) -> None:
        """It is full, and was not before."""
        self.tell_status(SubscriptionStatus.SLOW)

    def end_as_slow(self) -> None:
        """It is full, and to end then: what is pending stays readable, then the error is raised."""
        if self.is_valid or self.is_denied:
            error = self.slow_consumer()
            self._host.send_unsub(self)
            self._end(error, keep_pending=True)
            self.report(error)

    def end_by_limit(self) -> None:
        """All of `max_msgs` were received."""
        if self.is_valid or self.is_denied:
            self._end(None, keep_pending=True)

    def deny(self, error: Exception, *, quietly: bool = False) -> None:
        """The server refused it, or took it away, or refuses what it asks. The inbox of one request
        ends by that, and what drains does: neither is asked for again. `quietly`: its user was told
        before."""
        if not self.is_valid:
            return
        if self.is_inbox or self.is_draining:
            self._end(error, keep_pending=True)
            return
        self.is_valid, self.is_denied, self.end_error = False, True, error
        self.intake.wake_readers(keep_pending=True)
        self.note_idle()
        if not quietly:
            self.tell_status(SubscriptionStatus.DENIED)

    def ask_again(self, *, quietly: bool = False) -> None:
        """The server is asked for it once more: it counts as accepted until that says no.
        `quietly`: its user is told by who asks."""
        if self.is_denied:
            self.is_valid, self.is_denied, self.end_error = True, False, None
            if self._handling is None or not self._handling.has_worker:
                self._start_worker()
            if not quietly:
                self.tell_status(SubscriptionStatus.ACTIVE)

    def end_by_close(self, error: Exception) -> None:
        """The connection is closed for good."""
        if self.is_valid or self.is_denied:
            self._end(error)
        if self._handling is not None:
            self._handling.wake()

    def _end(self, error: Exception | None, *, keep_pending: bool = False) -> None:
        self.is_valid = self.is_denied = False
        self.end_error = error
        self._host.ended(self)
        self.intake.wake_readers(keep_pending=keep_pending)
        self.note_idle()
        if not self.is_draining:
            self._tell_closed()

    def _tell_closed(self) -> None:
        if self.on_closed is not None:
            try:
                self.on_closed(self.sub)
            except Exception as error:
                self.report(error)
        self.tell_status(SubscriptionStatus.CLOSED)

    @property
    def status(self) -> SubscriptionStatus:
        """What it does now."""
        if self.is_denied:
            return SubscriptionStatus.DENIED
        if not self.is_valid:
            return SubscriptionStatus.CLOSED
        if self.is_draining:
            return SubscriptionStatus.DRAINING
        return SubscriptionStatus.SLOW if self.intake.is_full else SubscriptionStatus.ACTIVE

    def tell_status(self, status: SubscriptionStatus) -> None:
        """Tell its user of a change."""
        if self.on_status is not None:
            try:
                self.on_status(self.sub, status)
            except Exception as error:
                self.report(error)

    # draining

    async def drain(self) -> None:
        """Drain it: as `Subscription.drain`, which describes it."""
        if self._drain_task is None:
            self.check_alive()
            self.is_draining = True
            self.is_valid, self.is_denied = True, False  # what a denied one received is handled too
            self._host.send_unsub(self)
            self.tell_status(SubscriptionStatus.DRAINING)
            self._drain_task = self._host.loop.create_task(
                self._drain(), name=f"natsrpc drain {self.subject}"
            )
        if self.excuse(asyncio.current_task()):
            return
        await asyncio.wait({self._drain_task})
        self._drain_task.result()
        if isinstance(self.end_error, ConnectionClosedError):
            raise self.end_error.with_traceback(None)
        if self.is_busy:
            raise ConnectionClosedError

    async def _drain(self) -> None:
        await self._host.barrier()
        if self.is_valid:
            self._end(None, keep_pending=True)
        await self.finish()
        self._tell_closed()

    async def finish(self) -> None:
        """Wait until all that it received is handled, or the connection is closed."""
        while self.is_busy and not self._host.is_closed:
            await self.handling.changed()

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        return self._host.is_closed

    async def catch_up(self, asking: asyncio.Task[Any] | None) -> None:
        """Wait until the callback has handled what is pending now: as `Handling.catch_up`."""
        intake = self.intake
        if self._handling is not None and intake.cb is not None and intake.pending is not None:
            await self._handling.catch_up(intake, intake.pending, asking)

    @property
    def is_busy(self) -> bool:
        """Whether a task still handles, or is about to handle, what was received."""
        return self._handling is not None and self._handling.is_busy

    def excuse(self, task: asyncio.Task[Any] | None) -> bool:
        """Let no drain wait for `task`: as `Handling.excuse`."""
        return self._handling is not None and self._handling.excuse(task)

    def note_idle(self) -> None:
        """Look whether all is handled: then the drains go on, and the registry forgets it."""
        if self.is_valid or self.is_denied or self.is_busy:
            return
        if self._handling is not None:
            self._handling.wake()
        self._host.finished(self)
