"""The hub: tells what happens to the connection to those of a JetStream's parts that wait now.

The connection has one listener for each hub, however many fetches come and go; it goes with the
hub. A part is told in place, in the loop turn in which it happens.
"""

from __future__ import annotations

import weakref
from typing import Protocol

from natsrpc.core import (
    AsyncError,
    Closed,
    ConnectionEvent,
    Disconnected,
    Link,
    Listener,
    Reconnected,
)
from natsrpc.errors import ConnectionClosedError, PermissionsError


class Part(Protocol):
    """What waits for messages or answers, as the hub needs it. None of these may raise."""

    def interrupted(self) -> None:
        """The session is lost, with all that was asked of it."""

    def restored(self) -> None:
        """A new session stands; what was asked of the old one is void."""

    def closed(self, error: Exception) -> None:
        """The connection is closed for good."""

    def denied(self, error: PermissionsError) -> None:
        """The server denied a publish or a subscription, of this part or another."""


class Hub:
    """The parts of one JetStream that wait. Made by its `Api`."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._parts: dict[Part, None] = {}
        self._listens = False

    def add(self, part: Part) -> None:
        """Tell a part from now on."""
        if not self._listens:
            self._listens = True
            listener = _listener(weakref.ref(self))
            self._link.add_listener(listener)
            weakref.finalize(self, self._link.remove_listener, listener)
        self._parts[part] = None

    def remove(self, part: Part) -> None:
        """Tell a part no more; nothing happens if it was not added."""
        self._parts.pop(part, None)

    def hear(self, event: ConnectionEvent) -> None:
        """Tell the parts an event of the connection."""
        parts = list(self._parts)
        if isinstance(event, Disconnected):
            # While another server takes over, the old one still brings what it was asked for.
            if not self._link.is_connected:
                for part in parts:
                    part.interrupted()
        elif isinstance(event, Reconnected):
            for part in parts:
                part.restored()
        elif isinstance(event, Closed):
            error = ConnectionClosedError()
            error.__cause__ = event.error
            for part in parts:
                part.closed(error)
        elif isinstance(event, AsyncError) and isinstance(event.error, PermissionsError):
            for part in parts:
                part.denied(event.error)


def _listener(hub: weakref.ref[Hub]) -> Listener:
    """A listener that does not keep the hub alive."""

    def hear(event: ConnectionEvent) -> None:
        there = hub()
        if there is not None:
            there.hear(event)

    return hear
