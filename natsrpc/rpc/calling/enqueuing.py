"""Typed values that a stream stores: `Client.enqueue`.

A client makes the message here, as it makes one to publish. Storing it belongs to the room of
durable work, which is loaded with the first message: programs that never enqueue do without it.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Protocol, cast

from natsrpc import codecs
from natsrpc.core import Connection, check_timeout, encode_headers
from natsrpc.errors import ConfigError, ConfigTypeError, DeadlineExceededError

from ..headers import inherited
from ..signature import Event
from .observing import GivenHeaders, Publication
from .publishing import Publisher

if TYPE_CHECKING:
    from natsrpc.jetstream import PubAck

TIMEOUT = 5.0
"""Seconds that storing a message may take, unless told otherwise."""

MSG_ID = "Nats-Msg-Id"
_FIRST_LINE = b"NATS/1.0\r\n"
_GIVEN_OTHERWISE = {
    "nats-msg-id": "msg_id=",
    "nats-schedule": "delay= or at=",
    "nats-schedule-target": "delay= or at=",
}
"""Headers of the server that are arguments here."""


class Store(Protocol):
    """Has a stream store a message: `Enqueuing.store` of the room of durable work."""

    async def __call__(
        self,
        subject: bytes,
        data: bytes,
        block: bytes,
        *,
        msg_id: str,
        at: datetime | None,
        timeout: float,
    ) -> PubAck: ...


class Enqueuer:
    """The part of a client that enqueues."""

    def __init__(self, connection: Connection, publisher: Publisher) -> None:
        self._connection = connection
        self._publisher = publisher
        self._store: Store | None = None

    async def enqueue(
        self,
        target: str | Event[Any],
        value: Any,
        *,
        msg_id: str | None,
        delay: float | None,
        at: datetime | None,
        tokens: Mapping[str, str] | None,
        headers: Mapping[str, str] | None,
        codec: str | codecs.Codec | None,
        timeout: float | None,
    ) -> PubAck:
        """Have a value stored, as `Client.enqueue` describes it."""
        when = None if delay is None and at is None else _moment(delay, at)
        if headers:
            _check_headers(headers)
        wait = self._timeout(timeout)
        observer = self._publisher.observer
        if observer is None:
            return await self._send(target, value, headers, codec, tokens, msg_id, when, wait)
        ack: PubAck | None = None

        async def send(headers: GivenHeaders) -> None:
            nonlocal ack
            ack = await self._send(target, value, headers, codec, tokens, msg_id, when, wait)

        await observer.publish(Publication(target, tokens, headers), send)
        assert ack is not None  # an observer sends, or raises
        return ack

    async def _send(
        self,
        target: str | Event[Any],
        value: Any,
        headers: GivenHeaders,
        codec: str | codecs.Codec | None,
        tokens: Mapping[str, str] | None,
        msg_id: str | None,
        at: datetime | None,
        timeout: float,
    ) -> PubAck:
        ready = self._publisher.ready(target, value, headers=headers, codec=codec, tokens=tokens)
        name, block = "", ready.block
        if msg_id is not None or ready.key:
            name = _msg_id(msg_id, ready.subject, ready.key)
            block = block[:-2] + encode_headers({MSG_ID: name})[len(_FIRST_LINE) :]
        store = self._store or self._load()
        return await store(ready.subject, ready.data, block, msg_id=name, at=at, timeout=timeout)

    def _load(self) -> Store:
        durable = importlib.import_module("natsrpc.durable")
        self._store = cast(Store, durable.Enqueuing(self._connection).store)
        return self._store

    def _timeout(self, timeout: float | None) -> float:
        """Seconds to wait: within the deadline of the handler that enqueues, if one does."""
        wait = TIMEOUT if timeout is None else timeout
        if timeout is not None:
            check_timeout(timeout)
        outer = inherited.get()
        if outer is None:
            return wait
        left = outer[0] - self._connection.link.loop.time()
        if left <= 0:
            raise DeadlineExceededError("the handler's deadline passed before the message was sent")
        return min(wait, left)


def _moment(delay: float | None, at: datetime | None) -> datetime | None:
    """When a message is due; None for one that is now.

    Raises:
        ConfigError: both are given, or one cannot be.
    """
    if at is not None:
        if delay is not None:
            raise ConfigError("enqueue takes either delay= or at=, not both")
        if not isinstance(at, datetime) or at.tzinfo is None:
            raise ConfigTypeError(f"enqueue(at=...) must be a datetime with a zone, not {at!r}")
        return at if at > datetime.now(UTC) else None
    if delay is None:
        return None
    if isinstance(delay, bool) or not isinstance(delay, int | float):
        raise ConfigTypeError(f"enqueue(delay=...) must be a number of seconds, not {delay!r}")
    if not 0 <= delay < math.inf:
        raise ConfigError(f"enqueue(delay=...) must be 0 or more seconds, not {delay!r}")
    try:
        return datetime.now(UTC) + timedelta(seconds=delay) if delay else None
    except OverflowError:
        raise ConfigError(f"enqueue(delay=...) is {delay!r} seconds: too far away") from None


def _check_headers(headers: Mapping[str, str]) -> None:
    for name in headers:
        if way := _GIVEN_OTHERWISE.get(name.lower()):
            raise ConfigError(f"header {name!r} cannot be given to enqueue: write {way}")


def _msg_id(msg_id: str | None, subject: bytes, key: str) -> str:
    """The id of a message: the one given, or that of its event's key; "" for none.

    A stream knows an id for all of its subjects, so that the id of a key has the subject before it.
    """
    if msg_id is None:
        return f"{subject.decode()}:{key}" if key else ""
    if not isinstance(msg_id, str):
        raise ConfigTypeError(f"enqueue(msg_id=...) must be a str, not {msg_id!r}")
    if not msg_id.strip():
        raise ConfigError("enqueue(msg_id=...) must not be empty")
    return msg_id
