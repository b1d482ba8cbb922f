"""One pull request at its consumer: what it asked for, what it still gets, and its end.

Ref: ADR-13, ADR-37.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from .configs import Raw
from .headers import status
from .moments import Moments, Timer, to_duration
from .refusals import lacking, refused
from .wire import Wire

PENDING_MSGS, PENDING_BYTES = "Nats-Pending-Messages", "Nats-Pending-Bytes"


class Asked:
    """The JSON of a pull. Durations are nanoseconds; 0 is none."""

    def __init__(self, data: bytes) -> None:
        """Read it.

        Raises:
            JetStreamError: it cannot be read, or asks for what is not here.
        """
        request = _read(data)
        if any(request.get(name) for name in ("group", "min_pending", "min_ack_pending", "id")):
            raise lacking("priority groups")
        self.batch: int = max(request.get("batch", 1), 1)
        self.expires: int = request.get("expires", 0)
        self.heartbeat: int = request.get("idle_heartbeat", 0)
        self.max_bytes: int = request.get("max_bytes", 0)
        self.no_wait: bool = request.get("no_wait", False)

    def refusal(self, config: Raw) -> str | None:
        """The status with which a consumer of this configuration refuses it."""
        if self.heartbeat and 2 * self.heartbeat > self.expires:
            return "400 Bad Request - heartbeat value too large"
        if 0 < config.get("max_batch", 0) < self.batch:
            return f"409 Exceeded MaxRequestBatch of {config['max_batch']}"
        if 0 < config.get("max_expires", 0) < self.expires:
            return f"409 Exceeded MaxRequestExpires of {to_duration(config['max_expires'])}"
        if 0 < config.get("max_bytes", 0) < self.max_bytes:
            return f"409 Exceeded MaxRequestMaxBytes of {config['max_bytes']}"
        return None


def _read(data: bytes) -> dict[str, Any]:
    if data.strip().isdigit():
        return {"batch": int(data)}
    try:
        request = json.loads(data) if data.strip() else {}
    except (ValueError, RecursionError):
        request = None
    if not isinstance(request, dict):
        raise refused(10003)
    for name in ("batch", "expires", "idle_heartbeat", "max_bytes"):
        if type(request.get(name, 0)) is not int:
            raise refused(10003)
    return request


class Pull:
    """A pull that waits at its consumer."""

    def __init__(self, asked: Asked, inbox: str, client: int, wire: Wire, moments: Moments) -> None:
        self.asked: Asked = asked
        self.inbox: str = inbox
        self.client: int = client
        self.left: int = asked.batch
        self.bytes_left: int = asked.max_bytes
        self.got: int = 0
        self._wire = wire
        self._moments = moments
        self._timers: list[Timer] = []
        self._heart: Timer | None = None

    @property
    def is_live(self) -> bool:
        """Whether somebody still receives in its inbox."""
        return self._wire.has_interest(self.inbox)

    def start(self, expired: Callable[[Pull], None], beat: Callable[[Pull], None]) -> None:
        """Wait, until `expired` is called, and beat every so often."""
        if self.asked.expires:
            due = self._moments.now() + self.asked.expires
            self._timers.append(self._moments.call_at(due, expired, self))
        self._rest(beat)

    def _rest(self, beat: Callable[[Pull], None]) -> None:
        if self._heart is not None:
            self._heart.cancel()
        if self.asked.heartbeat:
            due = self._moments.now() + self.asked.heartbeat
            self._heart = self._moments.call_at(due, self._beat, beat)

    def _beat(self, beat: Callable[[Pull], None]) -> None:
        beat(self)
        self._rest(beat)

    def fits(self, size: int) -> bool:
        """Whether a message of that size may come; it is the last one if nothing is left then."""
        if not self.asked.max_bytes:
            return True
        if size > self.bytes_left:
            return False
        self.bytes_left -= size
        if not self.bytes_left:
            self.left = 1
        return True

    def send(self, subject: str, data: bytes, headers: bytes, reply: str) -> None:
        """Deliver one message."""
        self.left -= 1
        self.got += 1
        self._wire.send(self.inbox, subject, data, reply=reply, headers=headers)
        if not self.left and self.bytes_left:
            self.end("409 Batch Completed")

    def end(self, text: str, *, is_told_rest: bool = True) -> None:
        """End it with a status, which tells what it did not get."""
        self.stop()
        rest = [(PENDING_MSGS, self.left), (PENDING_BYTES, self.bytes_left)]
        code, _, words = text.partition(" ")
        block = status(int(code), words, rest if is_told_rest else ())
        self._wire.send(self.inbox, self.inbox, b"", headers=block)

    def stop(self) -> None:
        """End its timers."""
        for timer in self._timers:
            timer.cancel()
        if self._heart is not None:
            self._heart.cancel()
