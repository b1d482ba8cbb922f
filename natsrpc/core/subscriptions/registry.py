"""The registry of a connection's subscriptions: their numbers and sinks, and how they are restored.

It keeps three things in step: the entries (`Interest`), the sinks by which sessions deliver, and
what the server knows. SUB and UNSUB are never buffered: a new session is told what is true then.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, NamedTuple, Protocol

from natsrpc.errors import ConnectionClosedError, PermissionsError, ServerError

from ..wire import Msg, Sink, check_fit, check_queue_group, check_subscribe, frames
from .blocking import Blockade
from .interest import Interest, SubscriptionStatus
from .pending import DEFAULT_LIMITS, Limits
from .sinks import MsgCallback, OnFull
from .subscription import Subscription


class RegistryHost(Protocol):
    """The link, as the registry needs it."""

    loop: asyncio.AbstractEventLoop

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        ...

    def check_open(self) -> None:
        """Raise if the connection is closed or draining."""

    def write(self, frame: bytes) -> None:
        """Send a frame to the current session, if there is one."""

    def write_to_all(self, frame: bytes) -> None:
        """Send a frame to the current session, and to those that are being left."""

    async def barrier(self) -> None:
        """Wait until all that the server sent so far is here, or the session is lost."""

    def report(self, error: Exception, sub: Subscription | None) -> None:
        """Tell an error that no call can raise."""

    def pause_reading(self) -> None:
        """Read nothing more from any session."""

    def resume_reading(self) -> None:
        """Read on."""


class RequestInbox(NamedTuple):
    """The one subscription of the request mux."""

    subject: bytes
    raw_sid: bytes


class Subscriptions:
    """All subscriptions of one connection. Made by the link.

    Sessions look a message's sink up in `sinks`, by its sid as it is on the wire; the dict stays
    the same object over reconnects. `inboxes` is what the subjects for replies begin with.
    """

    def __init__(
        self, host: RegistryHost, *, ping_interval: float = 0.0, inbox_prefix: str = "_INBOX"
    ) -> None:
        self._host = host
        self.blockade: Blockade = Blockade(host, host.loop, ping_interval=ping_interval)
        self._live: dict[int, Interest] = {}
        self._finishing: set[Interest] = set()
        self._bare: set[int] = set()
        self._accepted: set[int] = set()  # by the server of an earlier session
        self._on_denied: dict[int, Callable[[ServerError], object]] = {}
        self._asked_again: set[Interest] = set()
        self._last_sid = 0
        self.loop: asyncio.AbstractEventLoop = host.loop
        self.inboxes: str = f"{inbox_prefix}."
        self.sinks: dict[bytes, Sink] = {}
        self.request_inbox: RequestInbox | None = None

    # adding and looking up

    def add(
        self,
        subject: str,
        queue_group: str = "",
        *,
        cb: MsgCallback | None = None,
        into: asyncio.Queue[Msg] | None = None,
        max_msgs: int | None = None,
        limits: Limits = DEFAULT_LIMITS,
        on_full: OnFull = "drop_new",
        asks: str = "",
    ) -> Subscription:
        """Subscribe; with `asks`, to the inbox of one request to that subject.

        Raises:
            BadSubjectError, BadQueueNameError: a name is malformed.
        """
        raw_subject, raw_group = check_subscribe(subject), check_queue_group(queue_group)
        if raw_group:
            check_fit(raw_subject, raw_group)
        interest = Interest(
            self,
            self._last_sid + 1,
            subject,
            queue_group=queue_group,
            cb=cb,
            into=into,
            max_msgs=max_msgs,
            limits=limits,
            on_full=on_full,
            asks=asks,
        )
        sub = Subscription(interest)
        interest.begin(sub)
        self._last_sid = interest.sid
        self._live[interest.sid] = interest
        self.sinks[interest.raw_sid] = interest.intake.sink
        self._host.write(frames.sub(raw_subject, raw_group, interest.raw_sid))
        if max_msgs is not None:
            self.send_unsub(interest, max_msgs)
        return sub

    def attach(
        self,
        subject: str,
        sink: Sink,
        queue_group: str = "",
        on_denied: Callable[[Any], object] | None = None,
    ) -> Subscription:
        """Subscribe a bare sink: it gets every message in place, uncounted.

        A denial is told to `on_denied` and nobody else, if it is given.

        Raises:
            BadSubjectError, BadQueueNameError: a name is malformed.
            ConnectionClosedError, ConnectionDrainingError: no new subscriptions are taken.
        """
        self._host.check_open()
        sub = self.add(subject, queue_group, cb=sink)
        self.sinks[b"%d" % sub.sid] = sink
        self._bare.add(sub.sid)
        if on_denied is not None:
            self._on_denied[sub.sid] = on_denied
        return sub

    def discard(self, sub: Subscription) -> None:
        """End a subscription now, at any time: nothing happens if it has ended."""
        if interest := self._live.get(sub.sid):
            interest.discard()

    def of_user(self) -> list[Subscription]:
        """The valid subscriptions, the oldest first, without the inboxes of requests."""
        live = sorted(self._live.items())  # `ask_again` changes the order
        return [one.sub for _, one in live if one.is_valid and not one.is_inbox]

    def find(self, raw_sid: bytes) -> Subscription | None:
        """The live subscription with this number on the wire."""
        interest = self._live.get(int(raw_sid)) if raw_sid.isdigit() else None
        return None if interest is None else interest.sub

    @property
    def last_sid(self) -> int:
        """The number of the newest subscription."""
        return self._last_sid

    def unheard(self, after: int) -> list[Interest]:
        """The subscriptions newer than a number that nothing was received by in this session."""
        return [one for one in self._live.values() if one.sid > after and one.intake.is_unheard]

    # the request mux

    def listen(self, subject: bytes, sink: Sink) -> None:
        """Subscribe the request mux, in front of its first request."""
        self._host.write(self.listen_anew(subject, sink))

    def listen_anew(self, subject: bytes, sink: Sink) -> bytes:
        """Give the inbox of the request mux a new number and sink; the SUB that tells a server."""
        self._last_sid += 1
        raw_sid = b"%d" % self._last_sid
        self.request_inbox = RequestInbox(subject, raw_sid)
        self.sinks[raw_sid] = sink
        return frames.sub(subject, b"", raw_sid)

    # a new session

    def restore(self) -> list[bytes]:
        """The frames that make all subscriptions known to a new session."""
        restored = self.restore_some(self._live)
        if self.request_inbox is not None:
            restored.append(frames.sub(self.request_inbox.subject, b"", self.request_inbox.raw_sid))
        return restored

    def restore_some(self, sids: Iterable[int]) -> list[bytes]:
        """The frames for those of the subscriptions that are still there, and do not drain. Those
        that were denied are asked for again.

        The server counts towards `max_msgs` from the SUB on, so it is told what is left.
        """
        restored = []
        for interest in map(self._live.get, sids):
            if interest is None or interest.is_draining:
                continue
            if interest.is_valid:  # in the session before, nothing was said against it
                self._accepted.add(interest.sid)
            interest.ask_again(quietly=interest in self._asked_again)
            subject = check_subscribe(interest.subject)
            group = check_queue_group(interest.queue_group)
            restored.append(frames.sub(subject, group, interest.raw_sid))
            intake = interest.intake
            intake.received_before = intake.received
            if intake.max_msgs is not None:
                restored.append(frames.unsub(interest.raw_sid, intake.max_msgs - intake.received))
        return restored

    def overlapping(self, *, echo: bool) -> tuple[list[int], list[int]]:
        """The sids of those that may be subscribed on two sessions at once, and of the others.

        The first give each message once all the same.
        """
        shared: list[int] = []
        plain: list[int] = []
        for interest in self._live.values():
            (shared if _may_overlap(interest, echo=echo) else plain).append(interest.sid)
        return shared, plain

    # what happens to the connection

    def deny(self, error: PermissionsError) -> Subscription | None:
        """Tell a denial of the server's, and let the subscription that it is about, if any, rest
        until it is asked for again.

        Returns the subscription of a user that had it until a reload, or the server of a new
        session, took it away.
        """
        denied = self._meant(error) if error.sid is None else self._live.get(error.sid)
        if denied is None:
            self._host.report(error, None)
            return None
        self.refuse(denied, error)
        was_there = error.sid is not None or denied.sid in self._accepted
        is_taken = was_there and denied.is_denied and denied.sid not in self._bare
        return denied.sub if is_taken else None

    def _meant(self, error: PermissionsError) -> Interest | None:
        """The subscription that a denial without a number is about.

        A server answers SUBs in order, so of several alike it means the first that it has not
        denied yet. One by which something came it has accepted: it is meant last.
        """
        alike = [one for one in self._live.values() if one.is_valid and one.is_denied_by(error)]
        return min(alike, key=lambda one: not one.intake.is_unheard, default=None)

    def is_denied(self, sub: Subscription) -> bool:
        """Whether the server denies a subscription that has not ended."""
        interest = self._live.get(sub.sid)
        return interest is not None and interest.is_denied

    def refuse(self, denied: Interest, error: ServerError) -> None:
        """The server has no place for one of the subscriptions, or does not allow it."""
        on_denied = self._on_denied.get(denied.sid)
        if denied in self._asked_again:
            pass  # who asked sees it, and it was told before
        elif on_denied is not None:
            on_denied(error)
        else:
            self._host.report(error, None if denied.is_inbox else denied.sub)
        denied.deny(error, quietly=denied in self._asked_again)

    def fail_inbox(self, subject: bytes, error: Exception) -> bool:
        """End the inbox of the request with this reply subject; whether there is one."""
        for one in self._live.values():
            if one.is_inbox and one.subject.encode() == subject:
                one.deny(error)
                return True
        return False

    async def ask_again(
        self, subscriptions: Iterable[Subscription], answered: Callable[[], Awaitable[None]]
    ) -> None:
        """Ask the server once more for those that it denied, quietly, and wait until that
        `answered`: then their `is_valid` tells."""
        asked = [one for sub in subscriptions if (one := self._live.get(sub.sid)) and one.is_denied]
        self._asked_again.update(asked)
        for one in asked:  # their place is the one that their SUBs have on the wire: see `_meant`
            self._live[one.sid] = self._live.pop(one.sid)
        try:
            for frame in self.restore_some([one.sid for one in asked]):
                self._host.write(frame)
            await answered()
        finally:
            self._asked_again.difference_update(asked)
            for one in asked:
                if one.is_valid:
                    one.tell_status(SubscriptionStatus.ACTIVE)

    def close(self, error: Exception) -> None:
        """The connection is closed for good: end all, and wake all who wait."""
        for interest in [*self._live.values(), *self._finishing]:
            interest.end_by_close(error)
        self.sinks.clear()

    def excuse(self, task: asyncio.Task[Any] | None) -> bool:
        """Let no drain wait for `task`; True if it runs a callback, so that it must not wait."""
        excused = [one.excuse(task) for one in (*self._live.values(), *self._finishing)]
        return any(excused)

    async def catch_up(self) -> None:
        """Wait until the callbacks have handled all that was received so far.

        Raises:
            ConnectionClosedError: the connection was closed meanwhile.
        """
        known = [one for one in (*self._live.values(), *self._finishing) if not one.is_inbox]
        asking = asyncio.current_task()
        await asyncio.gather(*(one.catch_up(asking) for one in known))
        if self._host.is_closed:
            raise ConnectionClosedError

    async def drain(self) -> list[BaseException | None]:
        """End what users subscribed, and wait until all of it is handled: how each drain went.

        The inboxes of requests stay open for the tasks that still wait for replies.
        """
        waits = [one.drain() for one in self._live.values() if not one.is_inbox]
        waits += [one.finish() for one in self._finishing]
        return await asyncio.gather(*waits, return_exceptions=True)

    # what an entry needs: `InterestHost`

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        return self._host.is_closed

    def check_open(self) -> None:
        """Raise if nothing new can be subscribed any more.

        Raises:
            ConnectionClosedError: the connection is closed.
            ConnectionDrainingError: it is draining.
        """
        self._host.check_open()

    def send_unsub(self, interest: Interest, max_msgs: int = 0) -> None:
        """Tell the server that an entry ends, now or after so many messages."""
        left = max_msgs and max(max_msgs - interest.intake.received_before, 0)
        self._host.write_to_all(frames.unsub(interest.raw_sid, left))

    def ended(self, interest: Interest) -> None:
        """Deliver nothing more to an entry; a drain waits for what is still handled."""
        self._live.pop(interest.sid, None)
        self._on_denied.pop(interest.sid, None)
        self._bare.discard(interest.sid)
        self._accepted.discard(interest.sid)
        self.sinks.pop(interest.raw_sid, None)
        if interest.is_busy:
            self._finishing.add(interest)

    def finished(self, interest: Interest) -> None:
        """Forget an entry."""
        self._finishing.discard(interest)

    async def barrier(self) -> None:
        """Wait until all that the server sent so far is here, or the session is lost."""
        await self._host.barrier()

    def report(self, error: Exception, sub: Subscription) -> None:
        """Tell an error that no call can raise."""
        self._host.report(error, sub)


def _may_overlap(interest: Interest, *, echo: bool) -> bool:
    """Whether being subscribed on two sessions at once gives each message once all the same.

    Without `echo` what one session publishes would come back on the other.
    """
    if interest.intake.max_msgs is not None:
        return interest.intake.max_msgs == 1  # its end is counted here
    return bool(interest.queue_group) and echo
