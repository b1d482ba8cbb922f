"""One consumer: where it stands in its stream, what is delivered and not acked, who pulls.

A message is *ahead* (to be delivered for the first time), *out* (delivered, its timer runs),
*delayed* (given back, to come again after a while), or *due* (to be delivered again now). `pump`
moves what is due, and then what is ahead, to the pulls that wait, in turns.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, NamedTuple, Protocol

from natsrpc.core import matches

from .configs import Raw, check_consumer_update, filters_of
from .headers import appended, status
from .messages import Stored
from .moments import Moments, Timer, from_rfc3339, rfc3339
from .pulls import Asked, Pull
from .start import start_of
from .stream import NO_TIME, Stream
from .waiting import Waiting
from .wire import Wire


class Out(NamedTuple):
    """A delivery that has no word yet; `is_out` is false while a nak's delay runs."""

    consumer_seq: int
    timer: Timer | None
    is_out: bool = True


class Host(Protocol):
    """The server that a consumer is on."""

    wire: Wire

    def advise(self, consumer: Consumer, event: str, facts: dict[str, Any]) -> None:
        """Tell an event of a consumer to those who listen."""
        ...

    def idle(self, consumer: Consumer) -> None:
        """Nobody has used a consumer for as long as it was to live so."""
        ...

    def changed(self) -> None:
        """A delivery has its word, or its time is over."""
        ...


class Consumer:
    """A consumer of a stream, which others pull from."""

    def __init__(self, config: Raw, stream: Stream, host: Host) -> None:
        self.config: Raw = config
        self.name: str = config["name"]
        self.stream: Stream = stream
        self.clients: set[int] = set()
        self.outs: dict[int, Out] = {}
        self.due: dict[int, None] = {}
        self.deliveries: dict[int, int] = {}
        self.num_pending: int = 0
        self._moments: Moments = stream.moments
        self._wire: Wire = host.wire
        self._host = host
        self._created = self._moments.now()
        self._waiting = Waiting(self._beat, self.touch)
        self._is_woken = False
        self._given_up: set[int] = set()
        self._expired: set[int] = set()
        start = start_of(stream.messages, config)
        self._firsts: deque[int] = deque(start.firsts)
        self._next: int = start.seq
        self._seq: int = 0
        self._delivered_seq: int = start.done
        self._floor: tuple[int, int] = (0, start.done)
        self._active: dict[str, int] = {}
        self._pause: Timer | None = None
        self._idle: Timer | None = None
        self._count()
        if config.get("pause_until"):
            self.pause(config["pause_until"])
        self.touch()

    # where it stands

    def _count(self) -> None:
        there = self.stream.messages.by_seq.values()
        ahead = sum(1 for each in there if each.seq >= self._next and self.wants(each.subject))
        self.num_pending = ahead + len(self._firsts)

    def wants(self, subject: str) -> bool:
        """Whether messages on this subject are for it."""
        filters = filters_of(self.config)
        return not filters or any(matches(pattern, subject) for pattern in filters)

    def has_done(self, message: Stored) -> bool:
        """Whether it will not need a message any more."""
        if not self.wants(message.subject):
            return True
        seq = message.seq
        is_ahead = seq >= self._next or seq in self._firsts
        return not is_ahead and seq not in self.outs and seq not in self._given_up

    def added(self, message: Stored) -> None:
        """A message was added to the stream, which calls `pump` a moment later."""
        if self.wants(message.subject):
            self.num_pending += 1

    def removed(self, message: Stored, *, is_purged: bool) -> None:
        """A message is gone from the stream: nothing more comes of it here."""
        seq = message.seq
        if seq in self._firsts:
            self._firsts.remove(seq)
            self.num_pending -= 1
        elif seq >= self._next and self.wants(message.subject):
            self.num_pending -= 1
        if seq in self.outs:
            if not is_purged:  # that is a word about it: with the policy `all`, about more
                self._done_up_to(seq)
            self._forget(seq)
            self._move_floor()
            self._host.changed()
        self.deliveries.pop(seq, None)
        self._given_up.discard(seq)
        if not self._is_woken:  # not now: others may go with it
            self._is_woken = True
            asyncio.get_running_loop().call_soon(self._wake)

    def _wake(self) -> None:
        self._is_woken = False
        self.pump()

    def update(self, config: Raw) -> None:
        """Take on another configuration.

        Raises:
            JetStreamError: it changes what cannot be changed.
        """
        check_consumer_update(self.config, config)
        self.config = config
        self._count()
        self.touch()
        self.pump()

    # pulls

    def pull(self, asked: Asked, inbox: str, client: int) -> None:
        """Take a pull: served at once, kept waiting, or refused by a status."""
        pull = Pull(asked, inbox, client, self._wire, self._moments)
        self.clients.add(client)
        self.touch()
        self._waiting.clear()
        there = self.num_pending + len(self.due)
        refusal = asked.refusal(self.config)
        refusal = refusal or self._waiting.refusal(asked, self.config["max_waiting"], there)
        if refusal is not None:
            pull.end(refusal, is_told_rest=False)
            return
        self._waiting.add(pull)
        self.pump()

    def _beat(self, pull: Pull) -> None:
        lasts = [("Nats-Last-Consumer", self._seq), ("Nats-Last-Stream", self._delivered_seq)]
        self._wire.send(pull.inbox, pull.inbox, b"", headers=status(100, "Idle Heartbeat", lasts))

    def pump(self) -> None:
        """Deliver what can be, as long as somebody waits for it."""
        if self.is_paused:
            return
        while self._waiting and (message := self._peek()) is not None:
            pull = self._waiting.take(self._size(message))
            if pull is None:
                return
            self._deliver(pull, message)
        if not self._is_full:  # else a server does not look what there is before an ack comes
            self._waiting.end_at_once()

    def _peek(self) -> Stored | None:
        """The next message to be delivered."""
        there = self.stream.messages.by_seq
        if self.due:
            return there[next(iter(self.due))]
        if self._is_full:
            return None
        if self._firsts:
            return there[self._firsts[0]]
        while self._next <= self.stream.messages.last_seq:
            found = there.get(self._next)
            if found is not None and self.wants(found.subject):
                return found
            self._next += 1
        return None

    @property
    def _is_full(self) -> bool:
        most: int = self.config.get("max_ack_pending", 0)
        return 0 < most <= len(self.outs)

    def _size(self, message: Stored) -> int:
        """The bytes of a message as they count for `max_bytes`."""
        parts = sum(map(len, self._parts(message)))
        return len(message.subject) + len(self._reply(message)) + parts

    def _parts(self, message: Stored) -> tuple[bytes, bytes]:
        """Payload and headers as they are delivered."""
        if self.config.get("headers_only"):
            size = [("Nats-Msg-Size", len(message.data))]
            return b"", appended(message.headers, size)
        return message.data, message.headers

    # deliveries

    def _reply(self, message: Stored) -> str:
        """The ack subject of its next delivery."""
        seq = message.seq
        count = self.deliveries.get(seq, 0) + 1
        pending = self.num_pending - (seq not in self.due)
        return (
            f"$JS.ACK.{self.stream.name}.{self.name}.{count}.{seq}.{self._seq + 1}."
            f"{message.time}.{pending}"
        )

    def _deliver(self, pull: Pull, message: Stored) -> None:
        reply = self._reply(message)
        self._note(message)
        data, headers = self._parts(message)
        self._waiting.again(pull)
        pull.send(message.subject, data, headers, reply)
        if self.config["ack_policy"] == "none":
            self.deliveries.pop(message.seq, None)
            self.stream.acked(message)

    def _note(self, message: Stored) -> None:
        """Count a delivery, and wait for its ack."""
        seq = message.seq
        self._seq += 1
        self._active["delivered"] = self._moments.now()
        self.deliveries[seq] = self.deliveries.get(seq, 0) + 1
        if seq in self.due:
            del self.due[seq]
        else:
            self.num_pending -= 1
            if self._firsts:
                self._firsts.popleft()
            else:
                self._next = seq + 1
            self._delivered_seq = seq
        if self.config["ack_policy"] == "none":
            self._floor = (self._seq, seq)
        else:
            there = self.outs.get(seq)
            number = self._seq if there is None else there.consumer_seq  # that of the first time
            self.outs[seq] = Out(number, self._timer(seq))

    def _timer(self, seq: int) -> Timer:
        """Until when the ack of a delivery must come."""
        waits = self.config.get("backoff") or [self.config["ack_wait"]]
        wait = waits[min(self.deliveries[seq], len(waits)) - 1]
        return self._moments.call_at(self._moments.now() + wait, self._timed_out, seq)

    def _timed_out(self, seq: int) -> None:
        """Several that are late at once come again in the order of the stream."""
        if not self._expired:
            asyncio.get_running_loop().call_soon(self._take_expired)
        self._expired.add(seq)

    def _take_expired(self) -> None:
        expired, self._expired = sorted(self._expired), set()
        for seq in expired:
            if seq in self.outs:
                self._again(seq)
        self._host.changed()
        self.pump()

    def _again(self, seq: int) -> None:
        """Have a message delivered again, unless that was done too often."""
        out = self.outs[seq]
        most = self.config["max_deliver"]
        if 0 < most <= self.deliveries[seq]:
            self._given_up.add(seq)
            del self.outs[seq]
            facts = {"stream_seq": seq, "deliveries": self.deliveries[seq]}
            self._host.advise(self, "MAX_DELIVERIES", facts)
            return
        self.outs[seq] = out._replace(timer=None, is_out=False)
        self.due[seq] = None

    def _forget(self, seq: int) -> None:
        """Nothing more is to come of a delivery."""
        out = self.outs.pop(seq, None)
        if out is not None and out.timer is not None:
            out.timer.cancel()
        self.due.pop(seq, None)
        self.deliveries.pop(seq, None)
        self._expired.discard(seq)

    @property
    def in_hand(self) -> int:
        """Deliveries that have no word yet, and no delay."""
        return sum(out.is_out for out in self.outs.values())

    @property
    def has_more(self) -> bool:
        """Whether it would deliver a message now, if it were asked."""
        return not self.is_paused and self._peek() is not None

    # what clients say of a delivery

    def ack(self, seq: int) -> None:
        """It is handled; with the policy `all`, so are those before it."""
        self._done_up_to(seq)
        self._after_word()

    def _done_up_to(self, seq: int) -> None:
        done = [seq]
        if self.config["ack_policy"] == "all":
            done = [each for each in sorted(self.outs) if each <= seq]
        for each in done:
            self._done(each)

    def _done(self, seq: int) -> None:
        if seq in self.outs:
            self._active["ack_floor"] = self._moments.now()
            self._forget(seq)
            self._move_floor()
        elif seq in self._given_up:
            self._given_up.remove(seq)
            del self.deliveries[seq]
        else:
            return
        message = self.stream.messages.by_seq.get(seq)
        if message is not None:
            self.stream.acked(message)

    def _move_floor(self) -> None:
        """All below the floor has its word."""
        self._floor = (self._seq, self._delivered_seq)
        if self.outs:
            lowest = min(self.outs)
            self._floor = (self.outs[lowest].consumer_seq - 1, lowest - 1)

    def nak(self, seq: int, delay: int = 0) -> None:
        """It is given back: to be delivered again, at once or after a while."""
        out = self.outs.get(seq)
        if out is None:
            return
        if out.timer is not None:
            out.timer.cancel()
        self._host.advise(self, "MSG_NAKED", self._facts(seq))
        if delay:
            timer = self._moments.call_at(self._moments.now() + delay, self._timed_out, seq)
            self.outs[seq] = Out(out.consumer_seq, timer, is_out=False)
            self.due.pop(seq, None)
        elif seq not in self.due:
            self._again(seq)
        self._after_word()

    def progress(self, seq: int) -> None:
        """It is being worked on: its time begins anew."""
        out = self.outs.get(seq)
        if out is not None and out.timer is not None and out.is_out:
            out.timer.cancel()
            self.outs[seq] = out._replace(timer=self._timer(seq))
        self.touch()

    def term(self, seq: int, reason: str) -> None:
        """It must not be delivered again."""
        facts = self._facts(seq) if seq in self.outs else None
        self._done(seq)
        if facts is not None:
            self._host.advise(self, "MSG_TERMINATED", {**facts, **_unless_empty(reason)})
        self._after_word()

    def _facts(self, seq: int) -> dict[str, Any]:
        return {
            "consumer_seq": self.outs[seq].consumer_seq,
            "stream_seq": seq,
            "deliveries": self.deliveries[seq],
        }

    def _after_word(self) -> None:
        self.touch()
        self._host.changed()
        self.pump()

    def was_delivered(self, seq: int) -> bool:
        """Whether a message may have been delivered ever."""
        return 0 < seq <= self._delivered_seq

    # its life

    def touch(self) -> None:
        """It is in use: the time after which it goes begins anew."""
        if self._idle is not None:
            self._idle.cancel()
        threshold = self.config.get("inactive_threshold", 0)
        if threshold:
            due = self._moments.now() + threshold
            self._idle = self._moments.call_at(due, self._found_idle)

    def _found_idle(self) -> None:
        self._waiting.clear()
        if self._waiting:
            self.touch()
        else:
            self._host.idle(self)

    @property
    def is_paused(self) -> bool:
        """Whether nothing is delivered now."""
        return self._pause is not None

    def pause(self, until: str) -> None:
        """Deliver nothing until a moment; at once again where that is past."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self.config.pop("pause_until", None)
        due = self._moments.of_wall(from_rfc3339(until)) if until else 0
        if due > self._moments.now():
            self.config["pause_until"] = until
            self._pause = self._moments.call_at(due, self.pause, "")
        else:
            self.pump()

    def pause_state(self) -> dict[str, Any]:
        """Whether it is paused, and for how long, as the API tells it."""
        if self._pause is None:
            return {"paused": False, "pause_until": NO_TIME}
        until = self.config["pause_until"]
        left = self._moments.of_wall(from_rfc3339(until)) - self._moments.now()
        return {"paused": True, "pause_until": until, "pause_remaining": left}

    def close(self) -> None:
        """End it: those who wait are told."""
        self._waiting.close()
        for seq in list(self.outs):
            self._forget(seq)
        for timer in (self._pause, self._idle):
            if timer is not None:
                timer.cancel()
        self._idle = self._pause = None
        self._host.changed()

    def info(self) -> dict[str, Any]:
        """The facts of the API."""
        self._waiting.clear()
        delivered = {"consumer_seq": self._seq, "stream_seq": self._delivered_seq}
        floor = {"consumer_seq": self._floor[0], "stream_seq": self._floor[1]}
        for name, place in (("delivered", delivered), ("ack_floor", floor)):
            if name in self._active:
                place["last_active"] = rfc3339(self._active[name])  # type: ignore[assignment]  # JSON
        return {
            "stream_name": self.stream.name,
            "name": self.name,
            "created": rfc3339(self._created),
            "config": self.config,
            "delivered": delivered,
            "ack_floor": floor,
            "num_ack_pending": len(self.outs),
            "num_redelivered": sum(count > 1 for count in self.deliveries.values()),
            "num_waiting": len(self._waiting),
            "num_pending": self.num_pending,
            **(self.pause_state() if self.is_paused else {}),
            "ts": rfc3339(self._moments.now()),
        }


def _unless_empty(reason: str) -> dict[str, Any]:
    return {"reason": reason} if reason else {}
