"""What a new session is told so that it stands for the one before it. Pure: frames out of state."""

from __future__ import annotations

from collections.abc import Iterable

from natsrpc.errors import HeadersNotSupportedError, MaxPayloadError, NatsError

from ..subscriptions import Subscription
from ..wire import ServerInfo, check_queue_group, check_subscribe, frames


def restore(subs: Iterable[Subscription]) -> list[bytes]:
    """The frames that make subscriptions known to a new session; those that drain are left out.

    The server counts towards `max_msgs` from the SUB on, so it is told what is left.
    """
    restored = []
    for sub in subs:
        if sub.is_draining:
            continue
        subject, group = check_subscribe(sub.subject), check_queue_group(sub.queue_group)
        restored.append(frames.sub(subject, group, sub.raw_sid))
        sub.received_before = sub.received
        if sub.max_msgs is not None:
            restored.append(frames.unsub(sub.raw_sid, sub.max_msgs - sub.received))
    return restored


def refusal(frame: bytes, info: ServerInfo) -> NatsError | None:
    """Why a server would not take a buffered message: sent, it would end the session, and end each
    one that follows."""
    if frame.startswith(b"HPUB") and not info.headers:
        return HeadersNotSupportedError("the server does not support headers: message dropped")
    size = int(frame[: frame.index(b"\r\n")].rsplit(b" ", 1)[1])
    if info.max_payload and size > info.max_payload:
        return MaxPayloadError(size, info.max_payload)
    return None
