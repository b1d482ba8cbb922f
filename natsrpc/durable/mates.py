"""`Mates`: the processes of one worker tell each other what they have when a server has come back.

A server that is killed forgets what it delivered in its last tenth of a second, where a stream has
one replica, and delivers that again: to whoever asks first, while another runs it or has just done
it. So each process tells on a new session, before it asks for more, which messages it has and which
it has just handled (`back`); who was back before it tells that again (`has`). Who is given one of
them leaves it alone, and tells that, too (`given`): now the server knows again that it is
delivered, and who has it may acknowledge it.

What others tell is never taken for the truth about a message: one that they claim is neither
acknowledged nor given back here, and comes again after its `ack_wait` if they do not end it.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable, Iterator

from natsrpc.core import Link, Msg, Subscription, random_text
from natsrpc.errors import NatsError

from .job import Key

PAUSE = 0.5
"""Seconds in which all may come back and tell, before anything is asked for."""

_ANSWER = 0.05
_LASTS = 30.0
_MOST = 65_536
_A_TIME = 500
_ID_SIZE = 12
_LONGEST = 41
"""Bytes of two numbers of 64 bits, and a dot."""


class Mates:
    """What one worker process tells the others, and what they told. Made by `Worker`.

    `held` are the messages that this one has, or has just handled; `on_given` is called with each
    of them that another was given.
    """

    def __init__(
        self,
        link: Link,
        time: Callable[[], float],
        subject: str,
        held: Callable[[], Iterable[Key]],
        on_given: Callable[[Key], object],
    ) -> None:
        self._link = link
        self._time = time
        self._subject = subject
        self._held = held
        self._on_given = on_given
        self._id = random_text(_ID_SIZE)
        self._sub: Subscription | None = None
        self._until = 0.0
        self._claimed: set[Key] = set()
        self._given: list[Key] = []
        self._answer: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Listen. Where the server denies it, some messages are handled twice."""
        self._sub = self._link.attach(self._subject, self._hear, on_denied=lambda _: None)

    def end(self) -> None:
        """Listen no more."""
        if self._answer is not None:
            self._answer.cancel()
        if self._sub is not None:
            self._link.detach(self._sub)
            self._sub = None

    def claims(self, key: Key) -> bool:
        """Whether another process told that it has this message, or has just handled it. It is told
        that the message came here."""
        if not self._claimed:
            return False
        if self._time() > self._until:
            self._claimed.clear()
            return False
        if key not in self._claimed:
            return False
        if not self._given:
            self._link.loop.call_soon(self._tell_given)
        self._given.append(key)
        return True

    def back(self) -> None:
        """Tell the others, on a new session, which messages this process has."""
        self._send(b"back", self._held())

    def _tell(self) -> None:
        self._answer = None
        self._send(b"has", self._held())

    def _tell_given(self) -> None:
        given, self._given = self._given, []
        self._send(b"given", given)

    def _send(self, word: bytes, keys: Iterable[Key]) -> None:
        with contextlib.suppress(NatsError):  # it is denied, or there is no session again
            for lines in _parts(keys):
                data = b"%b %b\n%b" % (self._id, word, lines)
                self._link.send(self._subject.encode(), data)

    def _hear(self, msg: Msg) -> None:
        """Another process told something."""
        head, *lines = msg.data.split(b"\n")
        id_, _, word = head.partition(b" ")
        if id_ == self._id:
            return
        keys = [key for each in lines if (key := _key(each)) is not None]
        if word == b"back" and self._answer is None:  # it has not heard what was told before
            self._answer = self._link.loop.call_later(_ANSWER, self._tell)
        if word == b"given":
            for key in keys:
                self._on_given(key)
        elif word in (b"has", b"back"):
            now = self._time()
            if now > self._until:
                self._claimed.clear()
            self._until = now + _LASTS
            self._claimed.update(keys[: _MOST - len(self._claimed)])


def _key(line: bytes) -> Key | None:
    """What a line names; None if it names no message. Whatever strangers send, it is kept small."""
    seq, _, time = line.partition(b".")
    return (seq, time) if len(line) <= _LONGEST and seq.isdigit() and time.isdigit() else None


def _parts(keys: Iterable[Key]) -> Iterator[bytes]:
    lines = [b"%b.%b" % key for key in keys]
    for start in range(0, max(len(lines), 1), _A_TIME):
        yield b"\n".join(lines[start : start + _A_TIME])
