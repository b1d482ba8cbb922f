"""Whether a consumer that does not answer is gone, or only out of reach for a while; and whether a
stream is still the one that was read."""

from __future__ import annotations

from natsrpc.errors import (
    ConsumerDeletedError,
    JetStreamError,
    NatsError,
    PermissionsError,
    StreamNotFoundError,
)

from ..api import CONSUMER_GONE, Api
from .cursor import Cursor
from .pull import Target

LOOK_TIMEOUT = 2.0


async def why_gone(target: Target) -> JetStreamError | None:
    """The error that tells that a consumer is gone; None if it is there, or nobody can say."""
    call = f"CONSUMER.INFO.{target.stream}.{target.consumer}"
    try:
        await target.api.call(call, timeout=min(LOOK_TIMEOUT, target.api.timeout))
    except CONSUMER_GONE as error:
        return ConsumerDeletedError(
            f"consumer {target.name} is gone: {error.description}",
            code=error.code,
            err_code=error.err_code,
            description=error.description,
        )
    except NatsError:
        return None
    return None


async def check_same_stream(api: Api, stream: str, cursor: Cursor) -> None:
    """Refuse to go on in a stream that was made anew: it counts from 1.

    Raises:
        StreamNotFoundError: it was, or there is none.
        JetStreamError, NatsTimeoutError, ConnectionClosedError: as any call.
    """
    if not cursor.last_seq:
        return  # nothing of it was read
    if cursor.lost is None:
        try:
            answer = await api.call(f"STREAM.INFO.{stream}")
        except PermissionsError:
            return
        last = answer.get("state", {}).get("last_seq")
        if not isinstance(last, int) or last >= cursor.last_seq:
            return
        cursor.lost = StreamNotFoundError(
            f"stream {stream!r} was deleted and made anew: its last sequence is {last}, "
            f"and {cursor.last_seq} was read from the former",
            code=404,
            err_code=10059,
        )
    raise cursor.lost.with_traceback(None)
