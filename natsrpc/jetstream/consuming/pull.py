"""One pull request: its inbox, and what it still owes.

Each pull has a subscription of its own. Of two pulls on one inbox nobody could say which one a
message belongs to, since the server serves them in turn and a pull that is filled has no end
status. So what a pull owes is exact, its heartbeats are its own, and ending it is one UNSUB, which
also ends it at the server.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

from natsrpc.core import Msg
from natsrpc.errors import PermissionsError

from ..api import Api, check_name, to_ns
from .reply import PREFIX

_PIN = "Nats-Pin-Id"


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


class Target:
    """A consumer, as pulls reach it. `pin` is the id under which its priority group serves us."""

    __slots__ = ("api", "consumer", "pin", "priority", "stream", "subject", "takes_acks")

    def __init__(
        self,
        api: Api,
        stream: str,
        consumer: str,
        *,
        takes_acks: bool = True,
        priority: Priority | None = None,
    ) -> None:
        self.api = api
        self.stream = stream
        self.consumer = check_name("consumer", consumer)
        self.subject = api.subject(f"CONSUMER.MSG.NEXT.{stream}.{consumer}").encode()
        self.takes_acks = takes_acks
        self.priority = priority
        self.pin = ""

    @property
    def name(self) -> str:
        """Stream and consumer, for people."""
        return f"{self.stream}/{self.consumer}"

    def request(self, asked: Asked) -> bytes:
        """The JSON of a pull."""
        if not (asked.heartbeat or asked.max_bytes or asked.no_wait or self.priority):
            return b'{"batch": %d, "expires": %d}' % (asked.batch, to_ns(asked.expires))
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
    """One pull, from its request to its end. Made by a fetch or a pump.

    `left` is what it still owes, in messages, or in bytes where it asked for bytes. `misses` counts
    the heartbeats that did not come since something was read.
    """

    __slots__ = ("_keep", "_owner", "_sub", "_waiters", "asked", "left", "misses", "sent_at")

    def __init__(self, owner: PullOwner, asked: Asked) -> None:
        """Send the request.

        Raises:
            ConnectionClosedError, ConnectionDrainingError: nothing new can be asked.
            ReconnectBufferExceededError: there is no connection now.
        """
        target = owner.target
        link = target.api.link
        self._owner = owner
        self._keep = owner.keep
        self._waiters = owner.waiters
        self.asked = asked
        self.left = asked.max_bytes or asked.batch
        self.misses = 0
        self.sent_at = link.loop.time()
        inbox = target.api.connection.new_inbox()
        sink: Callable[[Msg], None] = self._take
        if asked.max_bytes or target.priority is not None:
            sink = self._take_slowly
        self._sub = link.attach(inbox, sink, on_denied=owner.denied)
        try:
            link.send(target.subject, target.request(asked), inbox.encode())
        except BaseException:
            link.detach(self._sub)
            raise

    def end(self) -> None:
        """End it here and at the server."""
        self._owner.target.api.link.detach(self._sub)

    @property
    def is_untouched(self) -> bool:
        """Whether it brought no message."""
        return self.left == (self.asked.max_bytes or self.asked.batch)

    def _take(self, msg: Msg) -> None:
        """The sink: data has an ack subject, a status has none. A publisher may send headers that
        look like a status, so they are not asked."""
        self.misses = 0
        if msg.raw_reply[:8] == PREFIX:
            self._keep(msg)
            self.left = left = self.left - 1
            if self._waiters or not left:
                self._owner.arrived(self)
        else:
            self._owner.told(self, msg)

    def _take_slowly(self, msg: Msg) -> None:
        """The sink where bytes are counted, or a priority group names the one that it serves."""
        self.misses = 0
        if msg.raw_reply[:8] != PREFIX:
            self._owner.told(self, msg)
            return
        self.left -= size_of(msg) if self.asked.max_bytes else 1
        target = self._owner.target
        if target.priority is not None and msg.raw_headers:
            target.pin = msg.headers.get(_PIN) or target.pin
        self._keep(msg)
        if self._waiters or self.left <= 0:
            self._owner.arrived(self)
