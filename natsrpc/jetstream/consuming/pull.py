"""Pull requests: their inboxes, and what each still owes.

Each pull has a subscription of its own while it lasts. Of two pulls on one inbox nobody could say
which one a message belongs to, since the server serves them in turn and a pull that is filled has
no end status. So what a pull owes is exact, its heartbeats are its own, and ending it is one UNSUB,
which also ends it at the server. An inbox whose pull is over, and owed nothing, rests for a few
seconds and is taken for the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from natsrpc.core import Due, Msg
from natsrpc.errors import NatsError, PermissionsError

from ..api import Api, check_name, to_ns
from .reply import PREFIX, PREFIX_END

_PIN = "Nats-Pin-Id"
_MOST_IDLE = 4
_REST = 5.0


@dataclass(frozen=True, slots=True)
class Priority:
    """What a pull says about its priority group."""

    group: str = ""
    min_pending: int | None = None
    min_ack_pending: int | None = None
    priority: int | None = None


class Asked(NamedTuple):
    """What one pull asks for. Durations are seconds; 0 is none."""

    batch: int
    expires: float = 0.0
    heartbeat: float = 0.0
    max_bytes: int = 0
    no_wait: bool = False


class Waiting(Protocol):
    """Who waits for messages for so long."""

    def expired(self) -> None:
        """The time is over."""


def _expire(waiting: Waiting, deadline: float) -> None:
    waiting.expired()


def _deadline_of(deadline: float) -> float:
    return deadline


class Target:
    """A consumer, as pulls reach it. `pin` is the id under which its priority group serves us;
    `due` tells those whose time is over."""

    __slots__ = (
        "_idle",
        "_is_sweeping",
        "_leaving",
        "_link",
        "api",
        "consumer",
        "due",
        "pin",
        "priority",
        "stream",
        "subject",
        "takes_acks",
    )

    def __init__(
        self,
        api: Api,
        stream: str,
        consumer: str,
        *,
        takes_acks: bool = True,
        priority: Priority | None = None,
    ) -> None:
        self.api: Api = api
        self.stream: str = stream
        self.consumer: str = check_name("consumer", consumer)
        self.subject: bytes = api.subject(f"CONSUMER.MSG.NEXT.{stream}.{consumer}").encode()
        self.takes_acks: bool = takes_acks
        self.priority: Priority | None = priority
        self.pin: str = ""
        self.due: Due[Waiting, float] = Due(api.link.loop, _expire, _deadline_of)
        self._link = api.link
        self._idle: dict[Pull, float] = {}
        self._is_sweeping = False
        self._leaving: set[asyncio.Task[None]] = set()

    @property
    def name(self) -> str:
        """Stream and consumer, for people."""
        return f"{self.stream}/{self.consumer}"

    def request(self, asked: Asked) -> bytes:
        """The JSON of a pull."""
        if not (asked.max_bytes or asked.no_wait or self.priority):
            batch, expires, heartbeat = asked.batch, to_ns(asked.expires), to_ns(asked.heartbeat)
            if heartbeat:
                text = b'{"batch": %d, "expires": %d, "idle_heartbeat": %d}'
                return text % (batch, expires, heartbeat)
            return b'{"batch": %d, "expires": %d}' % (batch, expires)
        request: dict[str, Any] = {"batch": asked.batch}
        if asked.expires:
            request["expires"] = to_ns(asked.expires)
        if asked.heartbeat:
            request["idle_heartbeat"] = to_ns(asked.heartbeat)
        if asked.max_bytes:
            request["max_bytes"] = asked.max_bytes
        if asked.no_wait:
            request["no_wait"] = True
        if self.priority is not None:
            for name in ("group", "min_pending", "min_ack_pending", "priority"):
                value = getattr(self.priority, name)
                if value is not None and value != "":
                    request[name] = value
            if self.pin:
                request["id"] = self.pin
        return json.dumps(request).encode()

    # pulls

    def begin(self, owner: PullOwner, asked: Asked, behind: bytes = b"") -> Pull:
        """Send a request, in an inbox that rests or a new one. `behind` is the ack subject of a
        message that was acked: the request goes the way of acks then, and is served when the server
        has noted all that were sent before it.

        Raises:
            ConnectionClosedError, ConnectionDrainingError, ReconnectBufferExceededError: nothing
                can be asked now.
        """
        is_plain = not asked.max_bytes and self.priority is None
        pull = self._idle.popitem()[0] if self._idle and is_plain else Pull(self, asked)
        try:
            pull.begin(owner, asked, behind)
        except BaseException:
            pull.end()
            raise
        return pull

    def over(self, pull: Pull, *, is_clean: bool) -> None:
        """End a pull. Where the server owes it nothing more (`is_clean`), its inbox rests a while:
        a subscription costs more than all else of a fetch."""
        is_plain = not pull.asked.max_bytes and self.priority is None
        if not (is_clean and is_plain and len(self._idle) < _MOST_IDLE and pull.rest()):
            pull.end()
            return
        self._idle[pull] = self._link.loop.time()
        if not self._is_sweeping:
            self._is_sweeping = True
            self._link.loop.call_later(_REST, self._sweep)

    def leave(self, pull: Pull) -> asyncio.Task[None]:
        """End a pull, and give back all that the server has sent before it knows: none of that
        waits for its `ack_wait`. The task has ended when it is so."""
        pull.rest()  # from here on, and not from the turn in which the task begins
        task = self._link.loop.create_task(pull.leave(), name="natsrpc pull")
        self._leaving.add(task)
        task.add_done_callback(self._leaving.discard)
        return task

    def _sweep(self) -> None:
        now = self._link.loop.time()
        for pull in [pull for pull, since in self._idle.items() if since <= now - _REST]:
            del self._idle[pull]
            pull.end()
        self._is_sweeping = bool(self._idle)
        if self._idle:
            self._link.loop.call_later(_REST, self._sweep)

    def clear(self) -> None:
        """End the inboxes that rest."""
        while self._idle:
            self._idle.popitem()[0].end()

    def give_back(self, msg: Msg) -> None:
        """What comes to nobody is delivered again."""
        if self.takes_acks:
            with contextlib.suppress(NatsError):
                self._link.send(msg.raw_reply, b"-NAK")


class PullOwner(Protocol):
    """What pulls, as its pulls need it. It is called in the socket read, and must not raise."""

    target: Target

    @property
    def waiters(self) -> Collection[object]:
        """Those who wait for a message: while there are none, no arrival is told."""
        ...

    @property
    def keep(self) -> Callable[[Msg], object]:
        """Takes each message."""
        ...

    def arrived(self, pull: Pull) -> None:
        """A message came and was kept, and somebody waits, or `pull.left` is used up."""

    def told(self, pull: Pull, msg: Msg) -> None:
        """A status came."""

    def denied(self, error: PermissionsError) -> None:
        """The server denied the subscription to the inbox."""


def size_of(msg: Msg) -> int:
    """The bytes of a message as the server counts them for `max_bytes`."""
    return len(msg.raw_subject) + len(msg.raw_reply) + len(msg.raw_headers) + len(msg.data)


class Pull:
    """An inbox for pulls, one after the other. `Target.begin` begins one, `Target.over` ends it.

    `left` is what it still owes, in messages, or in bytes where it asked for bytes. `misses` counts
    the heartbeats that did not come since something was read; `left_before` is what it owed when
    that was last looked at, so that a message need not be noted for it.
    """

    __slots__ = (
        "_keep",
        "_link",
        "_owner",
        "_sub",
        "_target",
        "_waiters",
        "asked",
        "inbox",
        "left",
        "left_before",
        "misses",
        "sent_at",
    )

    def __init__(self, target: Target, asked: Asked) -> None:
        """Subscribe to its inbox.

        Raises:
            ConnectionClosedError, ConnectionDrainingError: no new subscriptions are taken.
        """
        self._target = target
        self._link = target.api.link
        self._owner: PullOwner | None = None
        self._keep: Callable[[Msg], object] = target.give_back
        self._waiters: Collection[object] = ()
        self.asked: Asked = asked
        self.left: int = 0
        self.left_before: int = 0
        self.misses: int = 0
        self.sent_at: float = 0.0
        inbox = target.api.connection.new_inbox()
        self.inbox: bytes = inbox.encode()
        self._sub = self._link.attach(inbox, self._sink(asked), on_denied=self._denied)

    def _sink(self, asked: Asked) -> Callable[[Msg], None]:
        is_slow = asked.max_bytes or self._target.priority is not None
        return self._take_slowly if is_slow else self._take

    def begin(self, owner: PullOwner, asked: Asked, behind: bytes = b"") -> None:
        """Send a request; `behind` acks, as `Target.begin` describes it.

        Raises:
            ConnectionClosedError, ConnectionDrainingError, ReconnectBufferExceededError: it cannot
                be sent.
        """
        self._owner = owner
        self._keep = owner.keep
        self._waiters = owner.waiters
        self.asked = asked
        self.left = self.left_before = asked.max_bytes or asked.batch
        self.misses = 0
        self.sent_at = self._link.loop.time()
        target = self._target
        request = target.request(asked)
        if behind:
            self._link.send(behind, b"+NXT " + request, self.inbox)
        else:
            self._link.send(target.subject, request, self.inbox)

    def rest(self) -> bool:
        """Wait for the next request; whether it can. Nothing is to come meanwhile."""
        self._owner = None
        self._keep = self._target.give_back
        self._waiters = ()
        return self._sub.is_valid

    def end(self) -> None:
        """End it here and at the server."""
        self._owner = None
        self._link.detach(self._sub)

    async def leave(self) -> None:
        """End it at the server, and wait until all that it sent before is here."""
        with contextlib.suppress(NatsError):  # it has ended, or the connection has
            await self._sub.drain()

    def _denied(self, error: PermissionsError) -> None:
        if self._owner is not None:
            self._owner.denied(error)

    @property
    def is_untouched(self) -> bool:
        """Whether it brought no message."""
        return self.left == (self.asked.max_bytes or self.asked.batch)

    def _take(self, msg: Msg) -> None:
        """The sink: data has an ack subject, a status has none. A publisher may send headers that
        look like a status, so they are not asked."""
        if PREFIX < msg.raw_reply < PREFIX_END:
            self._keep(msg)
            self.left = left = self.left - 1
            if (self._waiters or not left) and self._owner is not None:
                self._owner.arrived(self)
        elif self._owner is not None:
            self.misses = 0
            self._owner.told(self, msg)

    def _take_slowly(self, msg: Msg) -> None:
        """The sink where bytes are counted, or a priority group names the one that it serves."""
        owner, target = self._owner, self._target
        if not PREFIX < msg.raw_reply < PREFIX_END:
            if owner is not None:
                self.misses = 0
                owner.told(self, msg)
            return
        self.left -= size_of(msg) if self.asked.max_bytes else 1
        if target.priority is not None and msg.raw_headers:
            target.pin = msg.headers.get(_PIN) or target.pin
        self._keep(msg)
        if (self._waiters or self.left <= 0) and owner is not None:
            owner.arrived(self)
