"""Messages read straight from a stream: by sequence or by subject, without a consumer.

Two ways lead there. Direct get, which any replica answers with the message itself, its facts in
headers appended to its own; and the API, which the leader answers with JSON. The first is taken
where the stream allows it.

Ref: ADR-31.
"""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime
from typing import Any

from natsrpc.core import Headers, Msg, decode
from natsrpc.errors import (
    JetStreamError,
    JetStreamNotEnabledError,
    MsgNotFoundError,
    NatsTimeoutError,
)

from ..api import Api, to_moment

_FIRST_APPENDED = b"\r\nNats-Stream: "
_END = b"\r\n\r\n"


class StoredMsg:
    """A message as its stream holds it: `subject`, `seq`, `data`, `headers` and `time`."""

    __slots__ = ("_block", "_decoded", "_time", "data", "seq", "subject")

    def __init__(self, subject: str, seq: int, data: bytes, block: bytes, time: str) -> None:
        self.subject: str = subject
        self.seq: int = seq
        self.data: bytes = data
        self._block = block
        self._time = time
        self._decoded: Headers | None = None

    def __repr__(self) -> str:
        return f"<StoredMsg {self.seq} {self.subject!r} data={len(self.data)}B>"

    @property
    def headers(self) -> Headers:
        """Its headers as they were published, decoded on first use."""
        if self._decoded is None:
            self._decoded = Headers.decode(self._block) if self._block else Headers()
        return self._decoded

    @property
    def has_headers(self) -> bool:
        """Whether it was published with any."""
        return bool(self._block)

    @property
    def time(self) -> datetime:
        """When it was stored, cut to microseconds.

        Raises:
            JetStreamError: the server sent no time.
        """
        try:
            moment = to_moment(self._time)
        except ValueError:
            raise JetStreamError(f"the server sent {self._time!r} as a time") from None
        return moment or datetime(1, 1, 1, tzinfo=UTC)


def from_direct(msg: Msg, call: str) -> StoredMsg:
    """The message that a direct get was answered with.

    Raises:
        MsgNotFoundError: there is none.
        JetStreamError: the server refused it, or the answer is none of a direct get.
    """
    block = msg.raw_headers
    # Appended facts stand behind the publisher's headers, which may have the same names.
    cut = block.rfind(_FIRST_APPENDED)
    if cut < 0:
        raise _refused(msg, call)
    try:
        facts = dict([line.split(b": ", 1) for line in block[cut + 2 : -4].split(b"\r\n")])
        return StoredMsg(
            decode(facts[b"Nats-Subject"]),
            int(facts[b"Nats-Sequence"]),
            msg.data,
            block[:cut] + _END if cut > 8 else b"",
            decode(facts[b"Nats-Time-Stamp"]),
        )
    except (KeyError, ValueError):
        raise _refused(msg, call) from None


def _refused(msg: Msg, call: str) -> JetStreamError:
    status, text = msg.status, msg.status_text
    if status == 404:
        return MsgNotFoundError(
            f"no message found ({call})", code=404, err_code=10037, description=text
        )
    if status is None:
        return JetStreamError(f"the answer to {call} is no message of a stream: {msg!r}")
    return JetStreamError(f"{text or 'refused'} ({call})", code=status, description=text)


def from_api(answer: dict[str, Any], call: str) -> StoredMsg:
    """The message in an answer of the API.

    Raises:
        JetStreamError: there is none in it.
    """
    try:
        found = answer["message"]
        return StoredMsg(
            str(found["subject"]),
            int(found["seq"]),
            base64.b64decode(found.get("data") or ""),
            base64.b64decode(found.get("hdrs") or ""),
            str(found.get("time", "")),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise JetStreamError(f"the answer to {call} holds no message") from error


async def get(api: Api, stream: str, request: dict[str, Any], *, direct: bool) -> StoredMsg:
    """Read a message by what `STREAM.MSG.GET` takes.

    Raises:
        MsgNotFoundError: there is none.
        JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
    """
    if direct:
        try:
            msg = await api.ask(f"DIRECT.GET.{stream}", json.dumps(request).encode())
        except (JetStreamNotEnabledError, NatsTimeoutError):
            pass  # no longer allowed, or gone: old servers say nothing
        else:
            return from_direct(msg, f"DIRECT.GET.{stream}")
    call = f"STREAM.MSG.GET.{stream}"
    return from_api(await api.call(call, request), call)


async def get_last(api: Api, stream: str, subject: str, *, direct: bool) -> StoredMsg:
    """Read the last message of a subject.

    Raises:
        MsgNotFoundError: there is none.
        JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
    """
    if direct and "*" not in subject and ">" not in subject:
        call = f"DIRECT.GET.{stream}.{subject}"
        try:
            msg = await api.ask(call)
        except (JetStreamNotEnabledError, NatsTimeoutError):
            direct = False
        else:
            return from_direct(msg, call)
    return await get(api, stream, {"last_by_subj": subject}, direct=direct)
