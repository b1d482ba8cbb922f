"""What a worker has just done: it is not done again, and its acks are sent again where they may be
lost.

A server that is killed forgets the acks of its last tenth of a second, and may deliver such a
message again, to this process or another. So the acks of the last few seconds are sent again on a
new session, before anything is pulled, and a message that this process has just handled is acked
and not handled again.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from natsrpc.core import Link
from natsrpc.errors import NatsError

from .job import Key

SECONDS = 5.0
MOST = 8192


class Done:
    """The messages that a worker handled in the last few seconds.

    `is_lasting` tells whether their stream outlives its server: one that begins anew with it counts
    from 1, and would take an ack of the former for one of its own.
    """

    __slots__ = ("_by_key", "_is_lasting", "_link", "_time")

    def __init__(self, link: Link, time: Callable[[], float]) -> None:
        self._link = link
        self._time = time
        self._is_lasting = False
        self._by_key: dict[Key, tuple[float, bytes]] = {}

    def lasts(self) -> None:
        """The stream outlives its server."""
        self._is_lasting = True

    def note(self, key: Key, reply: bytes) -> None:
        """A message is handled, and acked on that subject."""
        by_key, now = self._by_key, self._time()
        by_key[key] = now, reply
        oldest = next(iter(by_key))
        if by_key[oldest][0] < now - SECONDS or len(by_key) > MOST:
            del by_key[oldest]
            if len(by_key) > 1:  # two go for each that comes, until all are young
                oldest = next(iter(by_key))
                if by_key[oldest][0] < now - SECONDS:
                    del by_key[oldest]

    def recent(self) -> list[Key]:
        """The messages that were handled just now."""
        return [key for key in self._by_key if key in self]

    def __contains__(self, key: Key) -> bool:
        """Whether a message was handled just now. One that comes later than that comes because
        somebody asked for it: its consumer was reset, or made anew."""
        found = self._by_key.get(key)
        return found is not None and found[0] >= self._time() - SECONDS

    def ack(self, key: Key, reply: bytes = b"") -> None:
        """A message that was handled just now came again, here on that subject, or to another: ack
        it again."""
        with contextlib.suppress(NatsError):
            self._link.send(reply or self._by_key[key][1], b"+ACK")

    def tell_again(self) -> None:
        """Send the acks again."""
        if not self._is_lasting:
            self._by_key.clear()
            return
        for key in self.recent():
            self.ack(key)
