"""Entries: what a bucket holds, or held, for a key."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Literal

from natsrpc.core import Headers, Msg, decode

from ..api import from_ns
from ..consuming import tokens_of
from ..streams import StoredMsg

Operation = Literal["PUT", "DEL", "PURGE"]

_MARKERS: dict[str, Operation] = {"MaxAge": "PURGE", "Purge": "PURGE", "Remove": "DEL"}


class Entry:
    """One revision of a key. `delta` counts the revisions behind it that are still to come, where
    it is one of several; `operation` tells a value from the marker of a removed key."""

    __slots__ = ("_stored", "_time", "bucket", "delta", "key", "operation", "revision", "value")

    def __init__(
        self,
        bucket: str,
        key: str,
        value: bytes,
        *,
        revision: int,
        operation: Operation,
        delta: int = 0,
        stored: StoredMsg | None = None,
        time_ns: int = 0,
    ) -> None:
        self.bucket: str = bucket
        self.key: str = key
        self.value: bytes = value
        self.revision: int = revision
        self.delta: int = delta
        self.operation: Operation = operation
        self._stored = stored
        self._time = time_ns

    def __repr__(self) -> str:
        return f"<Entry {self.bucket}/{self.key} {self.operation} revision={self.revision}>"

    @property
    def created(self) -> datetime:
        """When it was stored, cut to microseconds."""
        return from_ns(self._time) if self._stored is None else self._stored.time

    def age(self) -> float:
        """Seconds since it was stored, by the clock of this machine."""
        return (datetime.now(UTC) - self.created).total_seconds()


def operation_of(headers: Headers) -> Operation:
    """What headers say was done to the key. Servers write markers of their own, without a
    `KV-Operation`.

    Ref: ADR-8, ADR-48.
    """
    word = headers.get("KV-Operation")
    if word in ("DEL", "PURGE"):
        return "DEL" if word == "DEL" else "PURGE"
    reason = headers.get("Nats-Marker-Reason")
    return "PUT" if reason is None else _MARKERS.get(reason, "PURGE")


def from_stored(bucket: str, key: str, stored: StoredMsg) -> Entry:
    """The entry that was read straight from the stream."""
    operation = operation_of(stored.headers) if stored.has_headers else "PUT"
    return Entry(bucket, key, stored.data, revision=stored.seq, operation=operation, stored=stored)


def from_delivered(bucket: str, cut: int, msg: Msg) -> Entry:
    """The entry that a watch delivered; the key is the subject from `cut` on."""
    tokens = tokens_of(msg.raw_reply)
    return Entry(
        bucket,
        decode(msg.raw_subject)[cut:],
        msg.data,
        revision=int(tokens[3]),
        operation=operation_of(msg.headers) if msg.raw_headers else "PUT",
        delta=int(tokens[6]),
        time_ns=int(tokens[5]),
    )
