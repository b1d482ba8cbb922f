"""Dead letters: messages that a worker gave up, published with the reason and where they came from.

A dead letter has the body of its message, and its headers but for those that spoke to the stream;
what is ours begins with `Natsrpc-Dead-`. Its id is made of the message's place, so that one which
is published twice, because its worker died in between, is stored once (within the
`duplicate_window` of the stream that stores it).
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import NamedTuple

from natsrpc.core import Headers, encode_headers
from natsrpc.errors import JetStreamError, MaxPayloadError
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

MARK = "Natsrpc-Dead-"
_STREAMS_OWN = "nats-"
_MOST_REASON = 1024
_MOST_ID = 512
_TOO_LARGE = 10054


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
        does not fit, its body is cut, and `CUT` says how long it was: else it could not be given up
        at all, and would come again for ever.

        Raises:
            NoStreamResponseError, JetStreamError, NatsTimeoutError, MaxPayloadError,
                PermissionsError, ConnectionClosedError: it was not, or nobody knows.
        """
        headers = headers_of(job, reason, error_id, self._origin)
        whole = job.msg.data
        try:
            await self._store(job, whole, headers)
            return
        except (MaxPayloadError, JetStreamError) as error:
            if not (whole and _is_too_large(error)):
                raise
        headers.set(CUT, str(len(whole)))
        try:
            await self._store(job, whole[: self._room(headers)], headers)
        except JetStreamError as error:  # the stream of the dead letters takes even less
            if not _is_too_large(error):
                raise
            await self._store(job, b"", headers)

    async def _store(self, job: Job, data: bytes, headers: Headers) -> None:
        await self._js.publish(self.subject, data, headers=headers, msg_id=id_of(job, self._origin))

    def _room(self, headers: Headers) -> int:
        """Bytes of a body that fit a message with these headers, and an id beside them."""
        limit = self._js.connection.link.max_payload
        return max(limit - len(encode_headers(headers)) - _MOST_ID, 0)


def _is_too_large(error: MaxPayloadError | JetStreamError) -> bool:
    return isinstance(error, MaxPayloadError) or error.err_code == _TOO_LARGE


def id_of(job: Job, origin: Origin) -> str:
    """The id of a dead letter: the same however often its message is given up."""
    seq, time = (each.decode() for each in job.key)
    return f"dead:{origin.stream}:{origin.consumer}:{seq}:{time}"


def headers_of(job: Job, reason: str, error_id: str, origin: Origin) -> Headers:
    """The headers of a dead letter."""
    msg = job.msg
    found = Headers((name, value) for name, value in msg.headers.items() if is_users(name))
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
        MSG_ID: msg.headers.get("Nats-Msg-Id") or "",
    }
    for name, value in ours.items():
        if value:
            found.set(name, value.replace("\0", " "))
    return found


def is_users(name: str) -> bool:
    """Whether a header is neither a word to the stream, nor of an earlier dead letter."""
    lower = name.lower()
    return not lower.startswith((_STREAMS_OWN, MARK.lower()))
