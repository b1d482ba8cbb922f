"""All conversations of one connection: their shared window and account, their clock, and strays.

Made with the first conversation. It hears of reconnects, of the connection's end, of denied
publishes and of a refused reply inbox in the loop turn in which they happen, and passes them on to
its channels. One timer looks
after all of them. A frame to an address that is not known any more is answered `gone`, as TCP
answers with a reset: so both sides know of the end, whoever lost the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import weakref
from collections.abc import Callable
from typing import Protocol

from natsrpc.core import AsyncError, Closed, ConnectionEvent, Link, Msg, Reconnected
from natsrpc.errors import ConnectionClosedError, NatsError, PermissionsError

from ..headers import GRACE, frame, is_frame, with_time_left
from .account import Account
from .window import Window

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

TICK = 0.45
"""Seconds between two looks at all conversations: two, and an answer, are within a second."""

STRAYS = 200
"""Frames to forgotten addresses that are answered in a second; more are only counted."""

CANCELS = 100
"""Calls that timed out and are cancelled in a second: each cancel goes to all workers."""


class Kept(Protocol):
    """What is looked after: a channel.

    `deadline` is that of its opening, in `loop.time()`.
    """

    deadline: float

    def receive(self, msg: Msg) -> None:
        """Take a message to its address."""

    def tick(self) -> None:
        """Look how things stand, once every `TICK`."""

    def note_buffered(self) -> None:
        """Its opening is in the reconnect buffer, and goes to the next session."""

    def reconnected(self) -> None:
        """The connection has a new session."""

    def denied(self, error: PermissionsError) -> None:
        """The server denied something, perhaps a frame of its own."""

    def fail(self, error: Exception) -> None:
        """End it with an error."""


class Rate:
    """At most so many of something in a second."""

    def __init__(self, limit: int, loop: asyncio.AbstractEventLoop) -> None:
        self._limit = limit
        self._loop = loop
        self._began = -math.inf
        self._count = 0

    def allows(self) -> bool:
        """Whether there may be one more now, which is then counted."""
        now = self._loop.time()
        if now - self._began >= 1:
            self._began, self._count = now, 0
        self._count += 1
        return self._count <= self._limit


class Conversations:
    """What the conversations of a connection share. Made by `conversations_of`."""

    def __init__(self, link: Link) -> None:
        self.link: Link = link
        self.window: Window = Window()
        self.account: Account = Account()
        self.strays: int = 0
        self._channels: dict[bytes, Kept] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._answers = Rate(STRAYS, link.loop)
        self._cancels = Rate(CANCELS, link.loop)
        self._warned_at = -math.inf
        link.add_listener(self._hear)
        link.requests.stray = self._stray
        link.requests.on_refused.append(self._refused)
        link.renew = self._renew
        self.may_cancel: Callable[[], bool] = self._cancels.allows
        """Whether a call that timed out may be cancelled now."""

    def __len__(self) -> int:
        return len(self._channels)

    def new_address(self) -> tuple[bytes, bytes]:
        """A token that no other has, and the reply subject that leads to it.

        Raises:
            PermissionsError, MaxSubscriptionsError: the server denied the subscription to replies.
        """
        token = self.link.requests.new_token()
        return token, self.link.requests.reply_subject(token)

    def add(self, token: bytes, channel: Kept) -> None:
        """Let messages to a token's address reach a channel, and look after it."""
        self._channels[token] = channel
        self.link.requests.streams[token] = channel.receive
        if self._timer is None:
            self._timer = self.link.loop.call_later(TICK, self._tick)

    def remove(self, token: bytes) -> None:
        """Undo `add`."""
        self._channels.pop(token, None)
        self.link.requests.streams.pop(token, None)

    def _tick(self) -> None:
        self._timer = None
        for channel in list(self._channels.values()):
            channel.tick()
        if self._channels:
            self._timer = self.link.loop.call_later(TICK, self._tick)

    def _hear(self, event: ConnectionEvent) -> None:
        channels = list(self._channels.values())
        if isinstance(event, Reconnected) and not event.is_handover:
            for channel in channels:
                channel.reconnected()
        elif isinstance(event, Closed):
            for channel in channels:
                channel.fail(ConnectionClosedError())
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
        elif isinstance(event, AsyncError) and isinstance(event.error, PermissionsError):
            for channel in channels:
                channel.denied(event.error)

    def _refused(self, error: Exception) -> None:
        """The server has no place for the inbox, or denies it: nothing reaches anybody any more."""
        for channel in list(self._channels.values()):
            channel.fail(error)

    def _renew(self, reply: bytes, block: bytes) -> bytes | None:
        """The header block of a message that waited in the reconnect buffer: it says what is left
        of the time that it named; None if nothing is."""
        requests = self.link.requests
        asked = requests.pending.get(reply)
        asked_alone = self.link.inbox_requests.deadlines.get(reply)
        if asked is not None:
            deadline = asked.deadline - GRACE
        elif asked_alone is not None:
            deadline = asked_alone
        else:
            channel = self._channels.get(requests.token_in(reply))
            if channel is None:
                return block
            channel.note_buffered()
            deadline = channel.deadline
        return with_time_left(block, deadline - self.link.loop.time())

    def warn(self, text: str, *values: object) -> None:
        """Log what an operator has to mend, once a second at most."""
        now = self.link.loop.time()
        if now - self._warned_at >= 1:
            self._warned_at = now
            logger.warning(text, *values)

    def _stray(self, msg: Msg) -> None:
        """Answer a frame to a forgotten address, if it wants an answer."""
        self.strays += 1
        if msg.raw_reply and is_frame(msg.raw_headers) and self._answers.allows():
            with contextlib.suppress(NatsError):
                self.link.send(msg.raw_reply, b"", b"", frame("gone", 0))


_all: weakref.WeakKeyDictionary[Link, Conversations] = weakref.WeakKeyDictionary()


def conversations_of(link: Link) -> Conversations:
    """The conversations of a connection; clients and services on it share them."""
    found = _all.get(link)
    if found is None:
        found = _all[link] = Conversations(link)
    return found
