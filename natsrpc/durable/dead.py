"""Dead letters: messages that a worker gave up, published with the reason and where they came from.

A dead letter has the body of its message, and its headers but for those that spoke to the stream;
what is ours begins with `Natsrpc-Dead-`. What cannot be sent, or has no room, is left out, and
counted (`LEFT_OUT`, `CUT`): a message that no letter can be made of would come again for ever.

The letter's id is made of the message's place, so that one which is published twice, because its
worker died in between, is stored once (within the `duplicate_window` of the stream that stores it).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import NamedTuple

from natsrpc.core import Headers, encode_headers
from natsrpc.errors import BadHeaderError, JetStreamError, MaxPayloadError
from natsrpc.jetstream import JetStream

from .job import Job

REASON = "Natsrpc-Dead-Reason"
STREAM = "Natsrpc-Dead-Stream"
CONSUMER = "Natsrpc-Dead-Consumer"
SUBJECT = "Natsrpc-Dead-Subject"
SEQ = "Natsrpc-Dead-Seq"
TIME = "Natsrpc-Dead-Time"
DELIVERIES = "Natsrpc-Dead-Deliveries"
SERVICE = "Natsrpc-Dead-Service"
WORKER = "Natsrpc-Dead-Worker"
ERROR_ID = "Natsrpc-Dead-Error-Id"
MSG_ID = "Natsrpc-Dead-Msg-Id"
"""The id that the message itself was published with."""

CUT = "Natsrpc-Dead-Cut"
"""Bytes of the message's body, where the dead letter holds not all of it."""

LEFT_OUT = "Natsrpc-Dead-Left-Out"
"""How many of the message's headers the dead letter does not have: they cannot be sent, or there is
no room for them."""

MARK = "Natsrpc-Dead-"
_STREAMS_OWN = "nats-"
_MOST_REASON = 1024
_MOST_ID = 512
_MOST_MSG_ID = 4096
_TOO_LARGE = (10054, 10097)
"""The message is larger than its stream takes; its headers are larger than any server takes."""

_unsendable = re.compile(r"[\r\n\x00]")


class Origin(NamedTuple):
    """Who gave a message up: a worker of a service."""

    service: str
    worker: str
    stream: str
    consumer: str


class DeadLetters:
    """Publishes the dead letters of one worker."""

    def __init__(self, js: JetStream, subject: str, origin: Origin) -> None:
        self._js = js
        self._origin = origin
        self.subject: str = subject

    async def publish(self, job: Job, reason: str, error_id: str) -> None:
        """Publish one, and wait until it is stored.

        What says why comes on top of a message that may be as large as messages can be. So where it
        does not fit, less and less of the message is kept.

        Raises:
            NoStreamResponseError, JetStreamError, NatsTimeoutError, MaxPayloadError,
                PermissionsError, ConnectionClosedError: it was not, or nobody knows.
        """
        too_large: JetStreamError | MaxPayloadError | None = None
        for data, headers in self._forms(job, reason, error_id):
            try:
                await self._js.publish(
                    self.subject, data, headers=headers, msg_id=id_of(job, self._origin)
                )
                return
            except (MaxPayloadError, JetStreamError) as error:
                if not _is_too_large(error):
                    raise
                too_large = error
        assert too_large is not None  # there is a form
        raise too_large

    def _forms(self, job: Job, reason: str, error_id: str) -> Iterator[tuple[bytes, Headers]]:
        """What may be stored as the dead letter: all of the message, and then less and less."""
        ours = headers_of(job, reason, error_id, self._origin)
        users, unsendable = users_headers(job.msg.headers)
        whole = job.msg.data
        for kept in (users, []) if users else ([],):
            left_out = unsendable + len(users) - len(kept)
            headers = Headers([*kept, *ours.items()])
            if left_out:
                headers.set(LEFT_OUT, str(left_out))
            yield whole, headers
            if whole:
                headers.set(CUT, str(len(whole)))
                yield whole[: self._room(headers)], headers
                yield b"", headers  # the stream of the dead letters takes even less

    def _room(self, headers: Headers) -> int:
        """Bytes of a body that fit a message with these headers, and an id beside them."""
        limit = self._js.connection.link.max_payload
        return max(limit - len(encode_headers(headers)) - _MOST_ID, 0)


def _is_too_large(error: MaxPayloadError | JetStreamError) -> bool:
    return isinstance(error, MaxPayloadError) or error.err_code in _TOO_LARGE


def id_of(job: Job, origin: Origin) -> str:
    """The id of a dead letter: the same however often its message is given up."""
    seq, time = (each.decode() for each in job.key)
    return f"dead:{origin.stream}:{origin.consumer}:{seq}:{time}"


def headers_of(job: Job, reason: str, error_id: str, origin: Origin) -> Headers:
    """Our headers of a dead letter: why, by whom, and where its message was."""
    msg = job.msg
    msg_id = msg.headers.get("Nats-Msg-Id") or ""
    moment = datetime.fromtimestamp(int(job.key[1]) / 1e9, UTC)
    ours = {
        REASON: " ".join(reason.split())[:_MOST_REASON] or "no reason was given",
        STREAM: origin.stream,
        CONSUMER: origin.consumer,
        SUBJECT: msg.subject,
        SEQ: str(job.seq),
        TIME: moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        DELIVERIES: str(job.attempt),
        SERVICE: origin.service,
        WORKER: origin.worker,
        ERROR_ID: error_id,
        MSG_ID: msg_id if len(msg_id) <= _MOST_MSG_ID else "",  # a part of it would name another
    }
    plain = {name: _unsendable.sub(" ", value) for name, value in ours.items()}
    return Headers({name: value for name, value in plain.items() if value})


def users_headers(headers: Headers) -> tuple[list[tuple[str, str]], int]:
    """The message's own headers that can be sent, and how many cannot: publishers may send any
    bytes, and servers store them unread."""
    own = [(name, value) for name, value in headers.items() if is_users(name)]
    good = [each for each in own if _is_sendable(*each)]
    return good, len(own) - len(good)


def _is_sendable(name: str, value: str) -> bool:
    try:
        encode_headers({name: value})
    except BadHeaderError:
        return False
    return True


def is_users(name: str) -> bool:
    """Whether a header is neither a word to the stream, nor of an earlier dead letter."""
    lower = name.lower()
    return not lower.startswith((_STREAMS_OWN, MARK.lower()))
