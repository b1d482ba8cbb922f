"""Traces: the same operations, on raw NATS, for a server and for the one in memory.

What each answers and delivers is brought into a form without times and names, to be compared.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from natsrpc.core import Connection, Msg

SUBJECTS = ("a", "b.x", "b.y", "c")
WORDS = (b"+ACK", b"-NAK", b"+TERM", b"+WPI", b"", b"-NAK junk", b"junk", b'+NXT {"batch": 1}')
_VARY = {
    *["created", "ts", "first_ts", "last_ts", "last_active", "time", "cluster", "_nats.ver"],
    *["ack_floor", "stream_seq", "num_waiting"],  # how far it has looked, when
}


class Step(NamedTuple):
    """One operation: an API `call`, a `publish`, a `pull`, or a `word` about a delivery."""

    kind: str
    subject: str
    data: bytes = b""
    headers: dict[str, str] = {}  # noqa: RUF012  it is never changed
    number: int = 0


def call(name: str, /, **request: Any) -> Step:
    return Step("call", f"$JS.API.{name}", json.dumps(request).encode() if request else b"")


def steps_of(seed: int, count: int) -> Iterator[Step]:
    """A stream and three consumers of some kind, and so many operations on them."""
    dice = random.Random(seed)
    yield call("STREAM.CREATE.S", name="S", subjects=["s.>"], storage="memory", **_kind(dice))
    names = ("one", "two", "three")
    for name in names:
        config = {"durable_name": name, "ack_policy": "explicit", **_consumer(dice)}
        request = {"stream_name": "S", "config": config, "action": "create"}
        yield Step("call", f"$JS.API.CONSUMER.CREATE.S.{name}", json.dumps(request).encode())
    for _ in range(count):
        yield _step(dice, names)
    for name in names:
        yield call(f"CONSUMER.INFO.S.{name}")
    yield call("STREAM.INFO.S", subjects_filter=">", deleted_details=True)


def _kind(dice: random.Random) -> dict[str, Any]:
    return {
        "retention": dice.choice(["limits", "limits", "interest", "workqueue"]),
        "max_msgs": dice.choice([-1, 6]),
        "max_bytes": dice.choice([-1, 200]),
        "max_msgs_per_subject": dice.choice([-1, 1, 3]),
        "discard": dice.choice(["old", "new"]),
        "allow_direct": True,
        "allow_rollup_hdrs": True,
        "deny_delete": dice.random() < 0.1,
    }


def _consumer(dice: random.Random) -> dict[str, Any]:
    filters = dice.choice([[], ["s.a"], ["s.b.*"], ["s.a", "s.c"], ["s.>"]])
    policy = dice.choice(["all", "all", "all", "new", "last", "last_per_subject"])
    return {
        "deliver_policy": policy,
        "max_ack_pending": dice.choice([1, 2, 1000]),
        "max_deliver": dice.choice([-1, 3]),
        "ack_policy": dice.choice(["explicit", "explicit", "none"]),
        "headers_only": dice.random() < 0.2,
        **({"filter_subject": filters[0]} if len(filters) == 1 else {"filter_subjects": filters}),
    }


def _step(dice: random.Random, names: tuple[str, ...]) -> Step:
    kind = dice.choices(
        ["publish", "pull", "word", "get", "delete", "info"], [40, 25, 25, 4, 2, 4]
    )[0]
    if kind == "publish":
        return Step(
            "publish", f"s.{dice.choice(SUBJECTS)}", b"x" * dice.randrange(5), _headers(dice)
        )
    name = dice.choice(names)
    if kind == "pull":
        asked = {"batch": dice.choice([1, 1, 2, 5]), "expires": 60_000_000_000}
        if dice.random() < 0.3:
            asked = {"batch": dice.choice([1, 3]), "no_wait": True}
        if dice.random() < 0.1:
            asked["max_bytes"] = dice.choice([60, 100, 200])
        return Step("pull", f"$JS.API.CONSUMER.MSG.NEXT.S.{name}", json.dumps(asked).encode())
    if kind == "word":
        return Step("word", "", dice.choice(WORDS), number=dice.randrange(1000))
    if kind == "get":
        return _get(dice)
    if kind == "delete":
        return call("STREAM.MSG.DELETE.S", seq=dice.randrange(12))
    return call(f"CONSUMER.INFO.S.{name}")


def _get(dice: random.Random) -> Step:
    direct = "DIRECT.GET.S" if dice.random() < 0.5 else "STREAM.MSG.GET.S"
    subject = dice.choice(["s.a", "s.b.*", ">"])
    if dice.random() < 0.5:
        return call(direct, seq=dice.randrange(9))
    return call(direct, last_by_subj=subject)


def _headers(dice: random.Random) -> dict[str, str]:
    """No rollup, as there is no purge: a server's consumers learn of those by and by."""
    number = str(dice.randrange(4))
    return dice.choice(
        [
            {},
            {},
            {},
            {"Nats-Msg-Id": number},
            {"Own": number},
            {"Nats-Expected-Last-Sequence": number},
            {"Nats-Expected-Last-Subject-Sequence": number},
            {"Nats-Expected-Last-Msg-Id": number},
        ]
    )


class Player:
    """Does steps on one connection, and keeps what was answered and delivered."""

    def __init__(self, nc: Connection) -> None:
        self._nc = nc
        self._inbox = nc.new_inbox()
        self._inboxes = 0
        self.seen: dict[str, list[Any]] = {}
        self.acks: list[str] = []

    async def open(self) -> Player:
        """Subscribe to its inboxes."""
        await self._nc.subscribe(f"{self._inbox}.*", cb=self._see)
        return self

    async def _see(self, msg: Msg) -> None:
        if msg.reply.startswith("$JS.ACK."):
            self.acks.append(msg.reply)
            place = msg.reply.split(".")
            place[7:] = []  # the time, and how many are to come: counted at another moment
            self._note(place[3], [*place[2:], msg.subject, _block(msg), msg.data])
        else:
            inbox = msg.subject.rpartition(".")[2]
            self._note(inbox, [_block(msg), _told(msg.data)])

    def _note(self, who: str, what: list[Any]) -> None:
        """Consumers work side by side: what each does is in an order of its own."""
        self.seen.setdefault(who, []).append(what)

    @property
    def count(self) -> int:
        """How much was answered and delivered."""
        return sum(map(len, self.seen.values()))

    async def play(self, step: Step) -> None:
        """Send one step. Whatever is answered is seen later."""
        subject = step.subject
        if step.kind == "word":
            if not self.acks:
                return
            acks = sorted(self.acks, key=lambda ack: ack.split(".")[2:7])
            subject = acks[step.number % len(acks)]
        self._inboxes += 1
        reply = f"{self._inbox}.{self._inboxes}"
        await self._nc.publish(subject, step.data, headers=step.headers or None, reply=reply)
        await self._nc.flush()


def _block(msg: Msg) -> str:
    return re.sub(r"(Time-Stamp: )\S+|\.\d{19}\.", r"\1...", msg.raw_headers.decode())


def _told(data: bytes) -> Any:
    try:
        told = json.loads(data)
    except ValueError:
        return data
    return _plain(told)


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items() if name not in _VARY}
    return [_plain(each) for each in value] if isinstance(value, list) else value
