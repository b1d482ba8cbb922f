"""The pump: overlapping pulls that keep a reader supplied, and never more than it has room for.

What is received and not handed out yet (`buffer`), and what live pulls still owe, is at most
`most`. When it has fallen to `threshold`, another pull asks for the difference: once the buffer is
empty, or in the next turn of the loop. Room comes from handing out, not from arrival, so `spare`
counts hand-outs down to the next pull: nothing is summed up for a message.

A pull that ends without a message is followed by another at once, twice; then after .1 s, .2 s, up
to 5 s. A pull that brings neither messages nor heartbeats is taken for dead only after a round trip
to the server: until then they may lie unread in the socket, behind a loop that was blocked.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from natsrpc.core import Msg, decode
from natsrpc.errors import (
    ConnectionClosedError,
    JetStreamError,
    NatsError,
    NoHeartbeatError,
    PermissionsError,
)

from .pull import Asked, Pull, Target, size_of
from .silence import Silence
from .statuses import Verdict, error_of_status, limit_in, verdict_of

MAX_BATCH = 1_000_000
_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_AT_ONCE = 2
_LONGEST_LEAVE = 5.0


@dataclass(frozen=True, slots=True)
class Supply:
    """How much a pump keeps ready: messages, or bytes where `max_bytes` is not 0. Where pulls do
    not overlap, one that has come to its end is followed by another."""

    most: int
    threshold: int
    expires: float
    heartbeat: float
    max_bytes: int = 0
    overlap: bool = True


class PumpOwner(Protocol):
    """What reads from a pump. It is called in place, and must not raise."""

    def troubled(self, verdict: Verdict, error: JetStreamError) -> None:
        """The consumer is void, out of reach or silent. Nothing is pulled until `resume`."""

    def caught_up(self) -> None:
        """A pull that did not wait has ended: all that was there is in the buffer."""

    def renews(self) -> bool:
        """Whether it begins anew by itself in a new session, and the pump must not pull."""
        ...


class Pump:
    """Pulls for one reader. `buffer` is what it may hand out; after each hand-out it counts `spare`
    down, and calls `refill_soon` at 0. `error` is why nothing more comes.

    An owner that keeps messages elsewhere sets `keep`, and `count` to what tells how many there
    are. `on_fail` is told `error`, too; `on_doubt` is called while a pull that does not wait brings
    nothing. `behind` is an ack subject that the next pull is to go behind."""

    def __init__(self, target: Target, supply: Supply, owner: PumpOwner) -> None:
        self.target = target
        self.buffer: deque[Msg] = deque()
        self.keep: Callable[[Msg], object] = self.buffer.append
        self.count: Callable[[], int] = self.buffer.__len__
        self.waiters: deque[asyncio.Future[None]] = deque()
        self.spare: int = 0
        self.error: Exception | None = None
        self.on_fail: Callable[[Exception], object] | None = None
        self.on_doubt: Callable[[], object] | None = None
        self.behind: bytes = b""
        self.is_stopped: bool = False
        self._owner = owner
        self._link = target.api.link
        self._most = supply.max_bytes or supply.most
        self._threshold = supply.threshold
        self._sized = bool(supply.max_bytes)
        self._batch = MAX_BATCH
        self._expires = supply.expires
        self._heartbeat = supply.heartbeat
        self._live: dict[Pull, None] = {}
        self._overlaps = supply.overlap
        self._no_wait = False
        self._halted = False
        self._starved = False
        self._is_due = False
        self._in_vain = 0
        self._pause: asyncio.TimerHandle | None = None
        self._silence = Silence(
            self._link, supply.heartbeat, lambda: self._live, self._found_silent, self._doubt
        )
        self._told: set[str] = set()

    # the reader

    def start(self, *, no_wait: bool = False) -> None:
        """Begin to pull; with `no_wait`, what is there, until `caught_up` is told."""
        self._no_wait = no_wait
        if self._link.is_closed:
            self.fail(ConnectionClosedError())
            return
        self.target.api.hub.add(self)
        self._silence.start()
        self.refill()

    def stop(self) -> None:
        """End all pulls. What is in the buffer stays there; waiting readers are woken."""
        self.is_stopped = True
        self.target.api.hub.remove(self)
        self.drop()
        if self._pause is not None:
            self._pause.cancel()
        self._silence.stop()
        self.wake_all()

    def fail(self, error: Exception) -> None:
        """Nothing more comes, and the reader is to be told why."""
        if self.error is None:
            self.error = error
            self.stop()
            if self.on_fail is not None:
                self.on_fail(error)

    def refill_soon(self) -> None:
        """Ask when the buffer is empty or the reader lets go of the loop, whatever is sooner.

        A reader that is quick hands out all that is there in one go. Asked for at its end, all that
        room is one pull: the server's answer comes in fewer and larger pieces.
        """
        self.spare = self._most  # a hand-out beyond this one asks no more
        self._is_due = True
        self._link.loop.call_soon(self._refill_due)

    def _refill_due(self) -> None:
        if self._is_due:
            self.refill()

    async def wait(self) -> None:
        """Wait until there may be something in the buffer, or nothing more comes."""
        if self._is_due:
            self.refill()
        waiter = self._link.loop.create_future()
        self.waiters.append(waiter)
        try:
            await waiter
        except BaseException:
            if waiter in self.waiters:
                self.waiters.remove(waiter)
            elif self.buffer:
                self.wake()  # it was meant for this reader: the next one is told
            raise

    def wake(self) -> None:
        """Wake one reader."""
        while self.waiters:
            waiter = self.waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return

    def wake_all(self) -> None:
        """Wake all readers."""
        while self.waiters:
            self.wake()

    def cost(self, msg: Msg) -> int:
        """By how much handing out a message counts `spare` down."""
        return size_of(msg) if self._sized else 1

    @property
    def is_asking(self) -> bool:
        """Whether a pull is alive."""
        return bool(self._live)

    @property
    def is_sized(self) -> bool:
        """Whether bytes are counted, not messages."""
        return self._sized

    def resume(self, *, no_wait: bool = False) -> None:
        """Pull (again), after trouble."""
        self._halted, self._no_wait = False, no_wait
        self._in_vain = 0
        self.refill()

    def wait_from_now(self) -> None:
        """Let further pulls wait for messages."""
        self._no_wait = False

    def halt(self) -> None:
        """Pull no more until `resume`."""
        self._halted = True
        self.drop()

    def drop(self) -> None:
        """End all live pulls."""
        self.behind = b""
        for pull in list(self._live):
            self._over(pull, is_clean=False)
        self.target.clear()

    async def leave(self) -> None:
        """Stop, and give back what live pulls still bring: none of it waits for its `ack_wait`.
        Where the server says nothing more, that is waited for no longer than some seconds."""
        leaving = [self.target.leave(pull) for pull in self._live]
        self._live.clear()
        self.stop()
        if leaving:
            await asyncio.wait(leaving, timeout=_LONGEST_LEAVE)

    def _over(self, pull: Pull, *, is_clean: bool = True) -> None:
        self._live.pop(pull, None)
        self.target.over(pull, is_clean=is_clean)

    # pulling

    def refill(self) -> None:
        """Ask for what there is room for, and count `spare` anew."""
        self._is_due = False
        have = sum(map(self.cost, self.buffer)) if self._sized else self.count()
        have += sum(pull.left for pull in self._live)
        may_ask = not (self.is_stopped or self._halted or self._pause) and self._link.is_connected
        if self._live and (self._no_wait or not self._overlaps):
            may_ask = False  # without waiting, it would be told that the first wants all there is
        if have <= self._threshold and may_ask and not (self._starved and have):
            self._starved = False
            asked = self._most - have if self._sized else min(self._most - have, self._batch)
            if self._ask(asked):
                have += asked
        self.spare = max(have - self._threshold, 1)

    def _ask(self, amount: int) -> bool:
        wait = not self._no_wait
        asked = Asked(
            batch=self._batch if self._sized else amount,
            expires=self._expires if wait else 0.0,
            heartbeat=self._heartbeat if wait else 0.0,
            max_bytes=amount if self._sized else 0,
            no_wait=not wait,
        )
        try:
            pull = self.target.begin(self, asked, self.behind)
        except NatsError as error:
            self.fail(error)
            return False
        self._live[pull] = None
        self.behind = b""
        if self._no_wait:
            self._silence.look_soon(pull)
        return True

    def arrived(self, pull: Pull) -> None:
        """A message came."""
        if self.waiters:
            self.wake()
        if pull.left <= 0:
            self._in_vain = 0
            self._over(pull)
            if self._no_wait or not self._overlaps:
                self.refill()  # else room comes from handing out, and is asked for then

    def told(self, pull: Pull, msg: Msg) -> None:
        """A status came."""
        if pull not in self._live:
            return
        code, text = msg.status, msg.status_text
        verdict = verdict_of(code, text)
        if verdict is Verdict.ALIVE:
            return
        was_empty, lived = pull.is_untouched, self._link.loop.time() - pull.sent_at
        if not was_empty:
            self._in_vain = 0
        error = error_of_status(code, text, self.target.name)
        if verdict is Verdict.OVER and self._no_wait:
            self._over(pull)
            self._reach_end()
        elif verdict is Verdict.OVER:
            self._ended(pull, in_vain=was_empty and lived < 0.9 * self._expires)
        elif verdict is Verdict.TOO_LARGE:
            self._too_large(pull, error)
        elif verdict is Verdict.REFUSED:
            self.fail(error)
        elif verdict in (Verdict.MOVED, Verdict.NOBODY, Verdict.DELETED):
            self._over(pull, is_clean=False)
            self._owner.troubled(verdict, error)
        else:
            self._note_limit(verdict, text, error)
            self._ended(pull, in_vain=True)

    def _reach_end(self) -> None:
        """All that was there has come: from here on, pulls wait."""
        self._no_wait = False
        self._owner.caught_up()
        self.refill()

    def _ended(self, pull: Pull, *, in_vain: bool = False) -> None:
        self._over(pull)
        if in_vain:
            self.again()
        else:
            self.refill()

    def again(self) -> None:
        """Pull again after one that brought nothing: at once at first, later with pauses."""
        self._in_vain += 1
        if self._in_vain <= _AT_ONCE:
            self.refill()
        elif self._pause is None and not self.is_stopped:
            pause = min(_FIRST_PAUSE * 2 ** (self._in_vain - _AT_ONCE - 1), _LONGEST_PAUSE)
            pause *= random.uniform(0.75, 1.0)  # noqa: S311  jitter: not all clients at once
            self._pause = self._link.loop.call_later(pause, self._go_on)

    def _go_on(self) -> None:
        self._pause = None
        self.refill()

    def _too_large(self, pull: Pull, error: JetStreamError) -> None:
        if pull.is_untouched and pull.asked.max_bytes >= self._most:
            self.fail(error)  # it will never fit
        else:
            self._starved = True  # it fits once all in the buffer is handed out
            self._ended(pull)

    def _note_limit(self, verdict: Verdict, text: str, error: JetStreamError) -> None:
        if verdict is Verdict.UNPINNED:
            self.target.pin = ""
            return
        limit = limit_in(text)
        if limit is not None:
            name, value = limit
            if name == "maxrequestbatch":
                self._batch = max(int(value), 1)
            elif name == "maxrequestexpires":
                self._expires = min(self._expires, value)
                self._heartbeat = min(self._heartbeat, self._expires / 2)
            elif self._sized:
                self._most = min(self._most, int(value))
                self._threshold = min(self._threshold, self._most // 2)
        if text not in self._told:
            self._told.add(text)
            self._link.report(error, None)

    def _doubt(self) -> None:
        if self.on_doubt is not None:
            self.on_doubt()

    def _found_silent(self, silent: list[Pull]) -> None:
        for pull in silent:
            self._over(pull, is_clean=False)
        text = f"consumer {self.target.name} was silent for more than {2 * self._heartbeat:g} s"
        self._owner.troubled(Verdict.NOBODY, NoHeartbeatError(text))

    # what happens to the connection

    def denied(self, error: PermissionsError) -> None:
        """The server denied a pull, or its inbox."""
        if error.operation == "publish" and error.subject != decode(self.target.subject):
            return
        self.fail(error)

    def interrupted(self) -> None:
        """All pulls are void."""
        self.drop()

    def restored(self) -> None:
        """Ask anew."""
        if self._owner.renews():
            return
        self.drop()
        self._in_vain = 0
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self.refill()

    def closed(self, error: Exception) -> None:
        """Nothing more comes, and what is in the buffer can be acked no more."""
        self.buffer.clear()
        self.fail(error)
