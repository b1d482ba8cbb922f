"""One stream: what it takes, what it keeps for how long, and what its consumers are told.

A publish passes `store`: checked, measured against the limits, kept. What goes, for whatever
reason, passes `remove`, so that timers, schedules and consumers forget it.
"""

from __future__ import annotations

from typing import Any, Protocol

from natsrpc.core import matches
from natsrpc.errors import JetStreamError

from . import schedules
from .configs import Raw, transform_of, updated
from .expectations import Expected, check, expected
from .headers import appended, stripped, value, without
from .messages import Messages, Stored
from .moments import SECOND, Moments, Timer, rfc3339, to_duration
from .refusals import refused
from .schedules import Schedules
from .wire import Wire

NO_TIME = "0001-01-01T00:00:00Z"
_MARKER = "Nats-Marker-Reason"
_MOST_HEADERS = 65_535


class Reader(Protocol):
    """A consumer, as its stream knows it."""

    def wants(self, subject: str) -> bool:
        """Whether messages on this subject are for it."""
        ...

    def has_done(self, message: Stored) -> bool:
        """Whether it will not need a message any more."""
        ...

    def added(self, message: Stored) -> None:
        """A message was added, and is not told yet."""
        ...

    def pump(self) -> None:
        """Deliver what can be."""
        ...

    def removed(self, message: Stored, *, is_purged: bool) -> None:
        """A message is gone."""
        ...


class Stream:
    """A stream and its messages."""

    def __init__(self, config: Raw, moments: Moments, wire: Wire) -> None:
        self.config: Raw = config
        self.moments: Moments = moments
        self._wire = wire
        self.created: int = moments.now()
        self.messages: Messages = Messages(config.get("first_seq", 0))
        self.readers: dict[str, Any] = {}
        self._ids: dict[str, tuple[int, int]] = {}
        self._last_msg_id = ""
        self._age_timer: Timer | None = None
        self._schedules = Schedules(moments, self._fire)

    @property
    def name(self) -> str:
        """Its name."""
        return str(self.config["name"])

    def has(self, subject: str) -> bool:
        """Whether it stores messages on this subject."""
        return any(matches(pattern, subject) for pattern in self.config["subjects"])

    # publishing

    def store(
        self, subject: str, data: bytes, block: bytes
    ) -> tuple[dict[str, Any], Stored | None]:
        """Take a publish: its PubAck, and the message that consumers must be told of by `tell`.

        Raises:
            JetStreamError: it is refused.
        """
        asked = self._asked(block)
        transform = transform_of(self.config, "subject_transform")
        subject = (transform and transform(subject)) or subject
        known = self._known(asked.msg_id)
        if known is not None:
            return {"stream": self.name, "seq": known, "duplicate": True}, None
        check(asked, subject, self.messages, self._last_msg_id)
        block = self._checked(subject, data, block)
        message = self._made(subject, data, block, asked)
        ack = {"stream": self.name, "seq": message.seq}
        if not self._has_interest(subject):
            self.messages.skip(message.seq)
            self._note_id(message, asked.msg_id)
            return ack, None
        self._make_room(message)
        self._keep(message, asked.msg_id, value(block, "Nats-Rollup"))
        return ack, message

    def _asked(self, block: bytes) -> Expected:
        """What the headers of a publish say, where this stream can be meant."""
        if self.config["sealed"]:
            raise refused(10109)
        asked = expected(block)
        if asked.stream is not None and asked.stream != self.name:
            raise refused(10060)
        if asked.ttl and not self.config["allow_msg_ttl"]:
            raise refused(10166)
        return asked

    def _checked(self, subject: str, data: bytes, block: bytes) -> bytes:
        """The headers of a publish as they are stored."""
        block = schedules.check(
            stripped(block),
            subject,
            self.config["subjects"],
            is_on=self.config.get("allow_msg_schedules", False),
            takes_ttl=self.config["allow_msg_ttl"],
        )
        self._check_rollup(value(block, "Nats-Rollup"))
        if 0 <= self.config["max_msg_size"] < len(block) + len(data):
            raise refused(10054)
        if len(block) > _MOST_HEADERS:
            raise refused(10097)
        return block

    def _known(self, msg_id: str | None) -> int | None:
        """The sequence of a message with this id, stored within the window."""
        since = self.moments.now() - self.config["duplicate_window"]
        while self._ids and self._ids[oldest := next(iter(self._ids))][1] <= since:
            del self._ids[oldest]
        found = self._ids.get(msg_id) if msg_id else None
        return found[0] if found is not None else None

    def _check_rollup(self, rollup: str | None) -> None:
        if rollup is None:
            return
        if not self.config["allow_rollup_hdrs"] or self.config["deny_purge"]:
            raise refused(10111, why="rollup not permitted")
        if rollup not in ("sub", "all"):
            raise refused(10111, why=f'rollup value invalid: "{rollup}"')

    def _made(self, subject: str, data: bytes, block: bytes, asked: Expected) -> Stored:
        ttl, marker = asked.ttl, self.config.get("subject_delete_marker_ttl", 0)
        if 0 < ttl < marker and self.config["max_msgs_per_subject"] != 1:
            ttl = marker
            block = without(block, "Nats-TTL".__eq__)
            block = appended(block, [("Nats-TTL", ttl // SECOND)])
        around = 16 if self.config["storage"] == "memory" else 30 + 4 * bool(block)
        size = len(subject.encode()) + len(block) + len(data) + around
        now = max(self.moments.now(), self.messages.last_time + 1000)
        return Stored(self.messages.last_seq + 1, subject, data, block, now, size, ttl)

    def _has_interest(self, subject: str) -> bool:
        if self.config["retention"] != "interest":
            return True
        return any(reader.wants(subject) for reader in self.readers.values())

    def _keep(self, message: Stored, msg_id: str | None, rollup: str | None) -> None:
        self.messages.add(message)
        for reader in self.readers.values():
            reader.added(message)
        self._note_id(message, msg_id)
        if rollup:
            self._purge(message.subject if rollup == "sub" else ">", below=message.seq)
        if message.ttl > 0:
            due = message.time + message.ttl
            message.timer = self.moments.call_at(due, self._expire, message)
        self._schedules.add(message)
        self._arm()

    def _note_id(self, message: Stored, msg_id: str | None) -> None:
        if msg_id:
            self._ids[msg_id] = (message.seq, message.time)
        self._last_msg_id = msg_id or ""

    def tell(self, message: Stored) -> None:
        """Tell the consumers of a message that was stored, and publish it again if so asked."""
        transform = transform_of(self.config, "republish")
        subject = transform(message.subject) if transform is not None else None
        if subject is not None:
            self._republish(message, subject)
        for reader in list(self.readers.values()):
            reader.pump()

    def _republish(self, message: Stored, subject: str) -> None:
        last = [each.seq for each in self.messages.matching(message.subject)][-2:-1]
        facts: list[tuple[str, object]] = [
            ("Nats-Stream", self.name),
            ("Nats-Subject", message.subject),
            ("Nats-Sequence", message.seq),
            ("Nats-Time-Stamp", rfc3339(message.time)),
            ("Nats-Last-Sequence", last[0] if last else 0),
        ]
        data = message.data
        if self.config["republish"].get("headers_only"):
            data = b""
            facts.append(("Nats-Msg-Size", len(message.data)))
        self._wire.publish_own(subject, data, appended(message.headers, facts))

    # limits

    def _make_room(self, message: Stored) -> None:
        config, messages = self.config, self.messages
        per_subject = config["max_msgs_per_subject"]
        there = messages.by_subject.get(message.subject, {})
        replaces = 0 < per_subject <= len(there)
        if config["discard"] == "new":
            if replaces and config.get("discard_new_per_subject"):
                raise refused(10077, why="maximum messages per subject exceeded")
            self._check_full(message, replaced=next(iter(there.values())) if replaces else None)
        while 0 < per_subject <= len(there):
            self.remove(next(iter(there)))
            there = messages.by_subject.get(message.subject, {})
        self._evict(1, message.size)

    def _check_full(self, message: Stored, *, replaced: Stored | None) -> None:
        if replaced is None and 0 < self.config["max_msgs"] <= len(self.messages):
            raise refused(10077, why="maximum messages exceeded")
        if replaced is not None and replaced.size >= message.size:
            return
        if 0 < self.config["max_bytes"] < self.messages.bytes + message.size:
            raise refused(10077, why="maximum bytes exceeded")

    def _evict(self, more: int = 0, size: int = 0) -> None:
        """Remove the oldest until so many more of such a size have room."""
        most, most_bytes = self.config["max_msgs"], self.config["max_bytes"]
        while len(self.messages) and (
            0 < most < len(self.messages) + more or 0 < most_bytes < self.messages.bytes + size
        ):
            self.remove(self.messages.first_seq)

    def update(self, config: Raw) -> None:
        """Take on another configuration.

        Raises:
            JetStreamError: it changes what cannot be changed.
        """
        self.config = config = updated(self.config, config)
        per_subject = config["max_msgs_per_subject"]
        if per_subject > 0:
            for found in list(self.messages.by_subject.values()):
                for seq in list(found)[:-per_subject]:
                    self.remove(seq)
        self._evict()
        self._arm()

    # age

    def _arm(self) -> None:
        """Wait for the oldest message to be too old."""
        if self._age_timer is not None:
            self._age_timer.cancel()
            self._age_timer = None
        if not self.config["max_age"]:
            return
        oldest = next((m for m in self.messages.by_seq.values() if not m.ttl), None)
        if oldest is not None:
            due = oldest.time + self.config["max_age"]
            self._age_timer = self.moments.call_at(due, self._age)

    def _age(self) -> None:
        until = self.moments.now() - self.config["max_age"]
        for message in list(self.messages.by_seq.values()):
            if message.time > until:
                break
            if not message.ttl:
                self._expire(message)
        self._arm()

    def _expire(self, message: Stored) -> None:
        """A message is too old. Of the last of a subject a marker may be left."""
        is_last = self.messages.last_of(message.subject) is message
        is_marker = any(value(message.headers, name) for name in (_MARKER, "KV-Operation"))
        self.remove(message.seq)
        ttl = self.config.get("subject_delete_marker_ttl", 0)
        if ttl and is_last and not is_marker:
            facts = [(_MARKER, "MaxAge"), ("Nats-TTL", to_duration(ttl)), ("Nats-Rollup", "sub")]
            marker = self._made(message.subject, b"", appended(b"", facts), Expected(ttl=ttl))
            self._keep(marker, None, None)
            self.tell(marker)

    def _fire(self, message: Stored, block: bytes, is_over: bool) -> None:
        """A schedule is due. What its target refuses is lost, as on a server."""
        target = value(message.headers, "Nats-Schedule-Target") or ""
        if is_over:
            self.remove(message.seq)
        try:
            _, fired = self.store(target, message.data, block)
        except JetStreamError:
            return
        if fired is not None:
            self.tell(fired)

    # removing

    def remove(self, seq: int, *, is_purged: bool = False) -> None:
        """Remove a message, if it is there."""
        if seq not in self.messages.by_seq:
            return
        message = self.messages.remove(seq)
        if message.timer is not None:
            message.timer.cancel()
        self._schedules.remove(seq)
        for reader in list(self.readers.values()):
            reader.removed(message, is_purged=is_purged)

    def delete(self, seq: int) -> None:
        """Remove a message at a client's word.

        Raises:
            JetStreamError: it is not there, or may not be removed.
        """
        if self.config["sealed"]:
            raise refused(10109)
        if self.config["deny_delete"]:
            raise refused(10057, why="message delete not permitted")
        if seq not in self.messages.by_seq:
            raise self._missing(seq)
        self.remove(seq)

    def _missing(self, seq: int) -> JetStreamError:
        """The refusal to delete what is not there: files tell another than memory."""
        if self.config["storage"] == "memory":
            return refused(10043, seq=seq)
        is_beyond = seq > self.messages.last_seq
        return refused(10057, why="stream store EOF" if is_beyond else "no message found")

    def purge(self, subject: str = "", seq: int = 0, keep: int = 0) -> int:
        """Remove all, or those on a subject, below a sequence, or but for the newest `keep`.

        Raises:
            JetStreamError: that is denied.
        """
        if self.config["sealed"]:
            raise refused(10109)
        if self.config["deny_purge"]:
            raise refused(10110, why="stream purge not permitted")
        purged = self._purge(subject, below=seq, keep=keep)
        if not subject and seq > self.messages.last_seq:
            self.messages.first_seq, self.messages.last_seq = seq, seq - 1
        self._arm()
        return purged

    def _purge(self, subject: str, *, below: int = 0, keep: int = 0) -> int:
        found = [m.seq for m in self.messages.matching(subject) if not below or m.seq < below]
        found = found[: len(found) - keep] if keep else found
        for seq in found:
            self.remove(seq, is_purged=True)
        return len(found)

    def acked(self, message: Stored) -> None:
        """A consumer has done with a message: it may go."""
        if self.config["retention"] == "limits" or message.seq not in self.messages.by_seq:
            return
        if all(reader.has_done(message) for reader in self.readers.values()):
            self.remove(message.seq)

    def clear_unwanted(self) -> None:
        """A consumer is gone: what only it was to get is not kept by interest."""
        if self.config["retention"] == "interest":
            for message in list(self.messages.by_seq.values()):
                self.acked(message)

    def close(self) -> None:
        """End its timers."""
        for message in self.messages.by_seq.values():
            self._schedules.remove(message.seq)
            if message.timer is not None:
                message.timer.cancel()
        if self._age_timer is not None:
            self._age_timer.cancel()

    # what it tells

    def state(self) -> dict[str, Any]:
        """What it holds, as the API tells it."""
        messages = self.messages
        first = messages.first
        count = len(messages)
        deleted = messages.last_seq - messages.first_seq + 1 - count if count else 0
        last = rfc3339(messages.last_time) if messages.last_time else NO_TIME
        return {
            "messages": count,
            "bytes": messages.bytes,
            "first_seq": messages.first_seq,
            "first_ts": rfc3339(first.time) if first is not None else NO_TIME,
            "last_seq": messages.last_seq,
            "last_ts": last,
            **({"num_subjects": len(messages.by_subject)} if count else {}),
            **({"num_deleted": deleted} if deleted else {}),
            "consumer_count": len(self.readers),
        }

    def info(self) -> dict[str, Any]:
        """The facts of the API."""
        return {
            "config": self.config,
            "created": rfc3339(self.created),
            "state": self.state(),
            "ts": rfc3339(self.moments.now()),
        }
