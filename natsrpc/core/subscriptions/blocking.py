"""Subscriptions that, when full, have the socket read no more: `on_full="block"`.

Then TCP makes the server wait, which keeps what it has for us, for all subscriptions of the
connection, and for its replies and PONGs alike. So it is bounded: after a while the subscription
drops new messages, as others do, and the socket is read again.

A full one is read from until half of it is free before it counts as having room, so that the
socket is not stopped and started for each message.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from ..wire import Msg
from .pending import Pending

MAX_BLOCK = 8.0
"""Seconds that the socket is unread at most. A nats-server ends a connection that takes nothing for
its `write_deadline`, 10 s unless it is configured; PINGs must be answered as well."""


class ReadingHost(Protocol):
    """The link, as the blockade needs it."""

    def pause_reading(self) -> None:
        """Read nothing more from any session."""

    def resume_reading(self) -> None:
        """Read on."""


class Blockade:
    """The full subscriptions of one connection that have it read no more. Made by the registry."""

    def __init__(
        self, host: ReadingHost, loop: asyncio.AbstractEventLoop, *, ping_interval: float
    ) -> None:
        self._host = host
        self._loop = loop
        self._limit = min(ping_interval, MAX_BLOCK) if ping_interval > 0 else MAX_BLOCK
        self._timers: dict[Gate, asyncio.TimerHandle] = {}

    @property
    def is_active(self) -> bool:
        """Whether the socket is not to be read now."""
        return bool(self._timers)

    def holds(self, gate: Gate) -> bool:
        """Whether it is one of the full ones."""
        return gate in self._timers

    def begin(self, gate: Gate) -> None:
        """A subscription is full."""
        if not self._timers:
            self._host.pause_reading()
        if gate not in self._timers:
            self._timers[gate] = self._loop.call_later(self._limit, gate.give_up)

    def end(self, gate: Gate) -> None:
        """A subscription has room, has ended or gave up; nothing happens if it was not full."""
        timer = self._timers.pop(gate, None)
        if timer is not None:
            timer.cancel()
            if not self._timers:
                self._host.resume_reading()


class Gate:
    """One subscription that blocks. Made and called by its intake."""

    def __init__(self, blockade: Blockade, pending: Pending) -> None:
        self._blockade = blockade
        self._pending = pending
        self._gave_up = False
        pending.watch(self.note_taken)

    @property
    def is_shut(self) -> bool:
        """Whether the socket is not read because of it."""
        return self._blockade.holds(self)

    def keep(self, msg: Msg) -> bool:
        """Keep a message that finds no room, and stop the socket: what was read with it still
        comes, 64 KiB at most, 256 KiB with TLS. False after the longest time, when it is to be
        dropped."""
        if self._gave_up:
            return False
        self._pending.keep(msg)
        self._blockade.begin(self)
        return True

    def give_up(self) -> None:
        """It was full for too long: drop, until there is room again."""
        self._gave_up = True
        self._blockade.end(self)

    def note_taken(self, left: int) -> None:
        """A message is being taken; `left` are there behind it."""
        pending = self._pending
        if not left or (left <= pending.msgs_limit / 2 and pending.size <= pending.bytes_limit / 2):
            self.open()

    def open(self) -> None:
        """There is room, or nothing more to be kept: read on."""
        self._gave_up = False
        self._blockade.end(self)
