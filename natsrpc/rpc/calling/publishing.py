"""Typed values published to a subject that nobody answers: `Client.publish`; and made ready for
`Client.enqueue`, which the room of durable work sends.

What an event needs to be sent (its encoder, its header block, its subject for the tokens that were
given) is made once and kept; publishing one costs no more than publishing to a subject.
"""

from __future__ import annotations

import functools
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, Protocol

from natsrpc import codecs
from natsrpc.core import Connection, check_literal, encode_headers
from natsrpc.errors import BadSubjectError, ConfigError, ConfigTypeError, EncodeError

from ..contract import check_event_subject
from ..signature import Event, key_reader
from ..signature import names as naming
from .blocks import with_headers
from .observing import CallObserver, GivenHeaders, Publication

MAX_BOUND = 1024
"""Events kept ready to be sent, of one client."""

MAX_SUBJECTS = 1024
"""Subjects kept of one event: for so many different tokens."""


class Publish(Protocol):
    """Sends a value to a subject, or as an event: `Client.publish`."""

    def __call__(
        self,
        target: str | Event[Any],
        value: Any,
        *,
        headers: Mapping[str, str] | None,
        codec: str | codecs.Codec | None,
        tokens: Mapping[str, str] | None,
    ) -> Awaitable[None]: ...


class Ready(NamedTuple):
    """A message ready to be sent. `key` is that of an event's value; "" where there is none."""

    subject: bytes
    data: bytes
    block: bytes
    key: str


class BoundEvent:
    """An event in one codec, ready to be sent."""

    __slots__ = ("_event", "_subjects", "block", "encode", "key_of")

    def __init__(self, event: Event[Any], codec: codecs.Codec) -> None:
        self._event = event
        self._subjects: dict[tuple[tuple[str, str], ...], bytes] = {}
        self.block: bytes = _block(codec.content_type)
        self.encode: Callable[[Any], bytes] = codec.bind(event.type).encode
        self.key_of: Callable[[Any], str] | None = None
        if event.key:
            self.key_of = key_reader(event.subject, event.key)
        if not event.tokens:
            self._subjects[()] = check_literal(event.subject)

    def subject(self, tokens: Mapping[str, str]) -> bytes:
        """The subject for these tokens.

        Raises:
            ConfigError: a token is missing, is one too many, or is no token of a subject.
            BadSubjectError: with them it is no subject of an event.
        """
        try:
            known = self._subjects.get(tuple(tokens.items()))
        except (AttributeError, TypeError):  # no mapping, or a value that cannot be hashed
            known = None
        return self._fill(tokens) if known is None else known

    def _fill(self, tokens: Mapping[str, str]) -> bytes:
        event = self._event
        if not isinstance(tokens, Mapping):
            expected = "expected a mapping, as in {'region': 'eu'}"
            raise ConfigTypeError(f"tokens of event {event.subject!r} is {tokens!r}: {expected}")
        subject = naming.fill(event.subject, tokens)
        check_event_subject(subject)
        found = check_literal(subject)
        if all(isinstance(value, str) for value in tokens.values()):  # 1 would be found for True
            if len(self._subjects) >= MAX_SUBJECTS:
                self._subjects.clear()
            self._subjects[tuple(tokens.items())] = found
        return found


class Publisher:
    """The part of a client that publishes."""

    def __init__(self, connection: Connection, codec: codecs.Codec) -> None:
        self._link = connection.link
        self._codec = codec
        self._events: dict[Any, BoundEvent] = {}
        self.publish: Publish = self._publish
        self.observer: CallObserver | None = None

    def observe(self, observer: CallObserver | None) -> None:
        """Have an observer see what is published, in the place of the one that there was."""
        self.observer = observer
        self.publish = self._publish if observer is None else self._observed(observer)

    def _observed(self, observer: CallObserver) -> Publish:
        async def publish(
            target: str | Event[Any],
            value: Any,
            *,
            headers: Mapping[str, str] | None,
            codec: str | codecs.Codec | None,
            tokens: Mapping[str, str] | None,
        ) -> None:
            def send(headers: GivenHeaders) -> Awaitable[None]:
                return self._publish(target, value, headers=headers, codec=codec, tokens=tokens)

            await observer.publish(Publication(target, tokens, headers), send)

        return publish

    async def _publish(
        self,
        target: str | Event[Any],
        value: Any,
        *,
        headers: Mapping[str, str] | None,
        codec: str | codecs.Codec | None,
        tokens: Mapping[str, str] | None,
    ) -> None:
        """Send a value. It waits only while the connection's output is congested."""
        if isinstance(target, str):
            subject, data, block = self._plain(target, value, codec, tokens)
        else:
            bound = self.bound(target, codec)
            subject, block = bound.subject(tokens or {}), bound.block
            data = bound.encode(value)
        if headers:
            block = with_headers(block, headers)
        link = self._link
        if link.outbound.congested:
            await link.writable()
        link.outbound.send(subject, data, b"", block)

    def ready(
        self,
        target: str | Event[Any],
        value: Any,
        *,
        headers: Mapping[str, str] | None,
        codec: str | codecs.Codec | None,
        tokens: Mapping[str, str] | None,
    ) -> Ready:
        """A value as the message that `publish` would send.

        Raises:
            EncodeError, ConfigError, BadSubjectError, BadHeaderError: as `Client.publish`; also
                for a value that lacks the key of its event.
        """
        key = ""
        if isinstance(target, str):
            subject, data, block = self._plain(target, value, codec, tokens)
        else:
            bound = self.bound(target, codec)
            subject, block = bound.subject(tokens or {}), bound.block
            data = bound.encode(value)
            if bound.key_of is not None:
                key = bound.key_of(value)
        return Ready(subject, data, with_headers(block, headers) if headers else block, key)

    def _plain(
        self,
        subject: str,
        value: Any,
        codec: str | codecs.Codec | None,
        tokens: Mapping[str, str] | None,
    ) -> tuple[bytes, bytes, bytes]:
        """The subject, data and header block of a value for a plain subject."""
        if tokens is not None:
            raise _tokens_of_a_subject(subject)
        chosen = self._codec if codec is None else codecs.get(codec)
        data = chosen.bind(None if value is None else type(value)).encode(value)
        return check_literal(subject), data, _block(chosen.content_type)

    def bound(self, target: Event[Any], codec: str | codecs.Codec | None) -> BoundEvent:
        """An event ready to be sent, made with the first that is."""
        try:
            known = self._events.get(target if codec is None else (target, codec))
        except TypeError:  # it cannot be hashed, so it is no event
            known = None
        return known or self._bind(target, codec)

    def _bind(self, event: Any, codec: str | codecs.Codec | None) -> BoundEvent:
        if not isinstance(event, Event):
            text = f"cannot publish to {event!r}: expected a subject or an Event"
            raise BadSubjectError(text, subject=event)
        chosen = self._codec if codec is None else codecs.get(codec)
        try:
            bound = BoundEvent(event, chosen)
        except ConfigTypeError as error:
            raise EncodeError(
                f"codec {chosen.name!r} cannot carry event {event.subject!r}: {error}"
            ) from error
        if len(self._events) >= MAX_BOUND:
            self._events.clear()
        self._events[event if codec is None else (event, codec)] = bound
        return bound


def _tokens_of_a_subject(subject: str) -> ConfigError:
    return ConfigError(
        f"tokens are given for {subject!r}, which is a subject: they are values for the tokens of "
        f"an Event, as in natsrpc.Event({subject!r}, YourType)"
    )


@functools.lru_cache(maxsize=64)
def _block(content_type: str) -> bytes:
    return encode_headers({"Content-Type": content_type})
