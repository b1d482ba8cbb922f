"""All conversations of one connection: their shared window and account, their clock, and strays.

Made with the first conversation. It hears of reconnects, of the connection's end and of denied
publishes in the loop turn in which they happen, and passes them on to its channels. One timer looks
after all of them. A frame to an address that is not known any more is answered `gone`, as TCP
answers with a reset: so both sides know of the end, whoever lost the other.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import math
import weakref
from typing import Protocol

from natsrpc.core import AsyncError, Closed, ConnectionEvent, Link, Msg, Reconnected
from natsrpc.errors import ConnectionClosedError, NatsError, PermissionsError

from ..headers import frame, is_frame
from .account import Account
from .window import Window

logger = logging.getLogger("natsrpc.rpc")

TICK = 0.45
"""Seconds between two looks at all conversations: two, and an answer, are within a second."""

STRAYS = 100
"""Frames to forgotten addresses that are answered between two looks; more are only counted."""


class Kept(Protocol):
    """What is looked after: a channel."""

    def receive(self, msg: Msg) -> None:
        """Take a message to its address."""

    def tick(self) -> None:
        """Look how things stand, once every `TICK`."""

    def reconnected(self) -> None:
        """The connection has a new session."""

    def denied(self, error: PermissionsError) -> None:
        """The server denied something, perhaps a frame of its own."""

    def fail(self, error: Exception) -> None:
        """End it with an error."""


class Conversations:
    """What the conversations of a connection share. Made by `conversations_of`."""

    def __init__(self, link: Link) -> None:
        self.link: Link = link
        self.window: Window = Window()
        self.account: Account = Account()
        self.strays: int = 0
        self._channels: dict[bytes, Kept] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._answered = 0
        self._warned_at = -math.inf
        link.add_listener(self._hear)
        link.requests.stray = self._stray

    def __len__(self) -> int:
        return len(self._channels)

    def new_address(self) -> tuple[bytes, bytes]:
        """A token that no other has, and the reply subject that leads to it.

        Raises:
            PermissionsError: the server denied the subscription to replies.
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
        self._answered = 0
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
                if self._is_deaf(event.error):
                    channel.fail(event.error)
                else:
                    channel.denied(event.error)

    def _is_deaf(self, error: PermissionsError) -> bool:
        """Whether replies to this connection cannot be heard any more."""
        return error.operation == "subscribe" and error.subject == self.link.requests.subject

    def warn(self, text: str, *values: object) -> None:
        """Log what an operator has to mend, once a second at most."""
        now = self.link.loop.time()
        if now - self._warned_at >= 1:
            self._warned_at = now
            logger.warning(text, *values)

    def _stray(self, msg: Msg) -> None:
        """Answer a frame to a forgotten address, if it wants an answer."""
        self.strays += 1
        if msg.raw_reply and is_frame(msg.raw_headers) and self._answered < STRAYS:
            self._answered += 1
            with contextlib.suppress(NatsError):
                self.link.send(msg.raw_reply, b"", b"", frame("gone", 0))


_all: weakref.WeakKeyDictionary[Link, Conversations] = weakref.WeakKeyDictionary()


def conversations_of(link: Link) -> Conversations:
    """The conversations of a connection; clients and services on it share them."""
    found = _all.get(link)
    if found is None:
        found = _all[link] = Conversations(link)
    return found
