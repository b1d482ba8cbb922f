"""Who stores a subject: asked when a publish finds nobody.

"No responders" is the answer both where no stream has the subject and where the one that has it is
without a leader for a while. The first is told at once, the second is worth another try.
"""

from __future__ import annotations

import asyncio

from natsrpc.core import decode
from natsrpc.errors import (
    JetStreamError,
    JetStreamNotEnabledError,
    NatsTimeoutError,
    NoStreamResponseError,
    PermissionsError,
    StreamNotFoundError,
)

from ..api import Api

AGAIN = 0.25
"""Seconds between two tries of a publish that nobody took."""

_LOOK_TIMEOUT = 1.0


class Storing:
    """Looks up streams by subject, once for all publishes that wait for the same."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._looks: dict[bytes, asyncio.Task[JetStreamError | None]] = {}

    async def refusal(self, subject: bytes) -> JetStreamError | None:
        """Why nobody will store a subject; None if somebody may, in a moment."""
        look = self._looks.get(subject)
        if look is None:
            look = asyncio.get_running_loop().create_task(self._look(subject))
            self._looks[subject] = look
            look.add_done_callback(lambda _: self._looks.pop(subject, None))
        return await asyncio.shield(look)

    async def _look(self, subject: bytes) -> JetStreamError | None:
        text = decode(subject)
        timeout = min(_LOOK_TIMEOUT, self._api.timeout)
        try:
            found = await self._api.call("STREAM.NAMES", {"subject": text}, timeout=timeout)
        except JetStreamNotEnabledError as error:
            return error
        except (JetStreamError, NatsTimeoutError, PermissionsError):
            return None  # it may not be asked, or a cluster is electing
        if found.get("streams"):
            return None
        return StreamNotFoundError("no stream has that subject", code=404)


def nobody_stores(subject: str, why: str | JetStreamError) -> NoStreamResponseError:
    """The error that tells that a message was not stored; an error that is the reason is its
    cause."""
    error = NoStreamResponseError(f"nobody stored {subject!r}: {why}", subject=subject)
    if isinstance(why, JetStreamError):
        error.__cause__ = why
    return error


LEADERLESS = "its stream has no leader, or is out of reach, and had none until the timeout"


def unanswered(subject: bytes, timeout: float | None, *, has_id: bool) -> NatsTimeoutError:
    """The error that tells that nobody knows whether a message is stored."""
    text = decode(subject)
    within = "" if timeout is None else f" within {timeout:g} s"
    again = "" if has_id else "; without a msg_id, publishing it again may store it twice"
    return NatsTimeoutError(
        f"no ack for {text!r}{within}: it may be stored, or a subscriber took it where no stream "
        f"has the subject{again}",
        subject=text,
    )
