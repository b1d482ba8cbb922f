"""Dead letters read and requeued: what people do who look after them.

A letter is requeued by publishing its message anew, on its own subject, and then deleting the
letter. The id of the new message is made of the letter's place: one that is requeued twice, because
somebody was cut off in between, is stored once (within the stream's `duplicate_window`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime

from natsrpc.core import Headers
from natsrpc.errors import JetStreamError, MsgNotFoundError
from natsrpc.jetstream import JetStream, PubAck, StoredMsg, Stream

from . import dead


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is stored: why and by whom its message was given up, and where that was.

    `seq`, `subject` and `time` are the letter's own; those of its message begin with `origin`.
    `headers` are the message's own. `deliveries` is how often it was delivered. `cut` is how many
    bytes the message's body had where `data` is not all of it, else 0; `left_out` how many of its
    headers are not in `headers`.
    """

    seq: int
    subject: str
    time: datetime
    reason: str
    error_id: str
    service: str
    worker: str
    deliveries: int
    origin_stream: str
    origin_consumer: str
    origin_subject: str
    origin_seq: int
    origin_time: str
    origin_msg_id: str
    headers: Headers
    data: bytes
    cut: int = 0
    left_out: int = 0


def read_letter(stored: StoredMsg) -> Letter | None:
    """A stored message as a dead letter; None if it is none."""
    told = stored.headers
    subject, seq = told.get(dead.SUBJECT), told.get(dead.SEQ) or ""
    deliveries = told.get(dead.DELIVERIES) or "0"
    if not subject or not seq.isdecimal() or not deliveries.isdecimal():
        return None
    own = Headers((name, value) for name, value in told.items() if dead.is_users(name))
    return Letter(
        seq=stored.seq,
        subject=stored.subject,
        time=stored.time,
        reason=told.get(dead.REASON) or "",
        error_id=told.get(dead.ERROR_ID) or "",
        service=told.get(dead.SERVICE) or "",
        worker=told.get(dead.WORKER) or "",
        deliveries=int(deliveries),
        origin_stream=told.get(dead.STREAM) or "",
        origin_consumer=told.get(dead.CONSUMER) or "",
        origin_subject=subject,
        origin_seq=int(seq),
        origin_time=told.get(dead.TIME) or "",
        origin_msg_id=told.get(dead.MSG_ID) or "",
        headers=own,
        data=stored.data,
        cut=_number(told.get(dead.CUT)),
        left_out=_number(told.get(dead.LEFT_OUT)),
    )


def _number(text: str | None) -> int:
    return int(text) if text is not None and text.isdecimal() else 0


async def letters(stream: Stream, subject: str = ">") -> AsyncIterator[Letter]:
    """The dead letters that a stream holds on a subject, the oldest first. What else it holds there
    is passed over. Those that come after the first was asked for are none of them: who requeues
    them may be the cause of more.

    Raises:
        JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as
            `Stream.get_msg`.
    """
    seq, last = 1, (await stream.info()).state.last_seq
    while seq <= last:
        try:
            stored = await stream.get_msg(seq, subject)
        except MsgNotFoundError:
            return
        if stored.seq > last:
            return
        seq = stored.seq + 1
        letter = read_letter(stored)
        if letter is not None:
            yield letter


async def requeue(js: JetStream, stream: Stream, letter: Letter) -> PubAck:
    """Publish the message of a dead letter anew, and delete the letter.

    All consumers of its stream are given the new message, not only the worker that gave it up.

    Raises:
        NoStreamResponseError, JetStreamError: its stream does not store it any more, or the letter
            has not all of it; the letter stays.
        NatsTimeoutError, PermissionsError, ConnectionClosedError: as `JetStream.publish`.
    """
    lacking = _lacking(letter)
    if lacking:
        raise JetStreamError(
            f"dead letter {letter.seq} has not all of its message, but {lacking}: publish it anew "
            "yourself"
        )
    ack = await js.publish(
        letter.origin_subject,
        letter.data,
        headers=letter.headers,
        msg_id=f"requeued:{stream.name}:{letter.seq}:{letter.time.isoformat()}",
        expected_stream=letter.origin_stream or None,
    )
    await stream.delete_msg(letter.seq)
    return ack


def _lacking(letter: Letter) -> str:
    """What a letter has of its message, where that is not all; "" where it is."""
    told: list[str] = []
    if letter.cut:
        told.append(f"{len(letter.data)} of the {letter.cut} bytes of its body")
    if letter.left_out:
        of = len(list(letter.headers.items())) + letter.left_out
        told.append(f"{of - letter.left_out} of its {of} headers")
    return " and ".join(told)
