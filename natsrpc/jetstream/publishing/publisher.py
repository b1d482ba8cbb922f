"""One publish at a time: a request whose answer is a PubAck.

Nobody took it (503): nothing was stored, so it is sent again until the timeout, unless no stream
has the subject. No answer: it may be stored, so it is sent again only where it has an id, when the
connection was lost and stands anew.
"""

from __future__ import annotations

import asyncio

from natsrpc.core import Msg, decode
from natsrpc.errors import JetStreamError, NatsTimeoutError

from ..api import Api
from .ack import PubAck, ack_of, is_passing
from .storing import AGAIN, LEADERLESS, Storing, nobody_stores, unanswered


class Publisher:
    """Publishes for one JetStream, and waits for each ack. Its pipeline has the same `storing`."""

    def __init__(self, api: Api, storing: Storing) -> None:
        self._asking = api.asking
        self._loop = api.link.loop
        self.storing: Storing = storing

    async def publish(
        self, subject: bytes, data: bytes, block: bytes, timeout: float, *, has_id: bool = False
    ) -> PubAck:
        """Publish, and wait until it is stored. The arguments are checked and encoded.

        Raises:
            NoStreamResponseError: no stream took it.
            JetStreamError: the stream refused it, or the answer is no PubAck.
            NatsTimeoutError: no answer in time.
            PermissionsError, ConnectionClosedError, MaxPayloadError: as `Connection.request`.
        """
        msg = await self._ask(subject, data, block, timeout, has_id)
        if msg is None:
            return await self._again(subject, data, block, timeout, has_id)
        try:
            ack = ack_of(msg.data, subject)
        except JetStreamError as error:
            if not is_passing(None, error):
                raise
        else:
            if ack.seq:
                return ack
        return await self._again(subject, data, block, timeout, has_id)

    async def _ask(
        self, subject: bytes, data: bytes, block: bytes, timeout: float, has_id: bool
    ) -> Msg | None:
        """The answer; None if nobody is there to give one."""
        try:
            return await self._asking.ask(subject, data, block, timeout, repeats=has_id)
        except NatsTimeoutError:
            raise unanswered(subject, timeout, has_id=has_id) from None

    async def _again(
        self, subject: bytes, data: bytes, block: bytes, timeout: float, has_id: bool
    ) -> PubAck:
        """Nobody took it, or not yet: look who should, and send it again until the time is over."""
        loop = self._loop
        deadline = loop.time() + timeout
        why = await self.storing.refusal(subject)
        if why is not None:
            raise nobody_stores(decode(subject), why)
        failure: JetStreamError = nobody_stores(decode(subject), LEADERLESS)
        while (left := deadline - loop.time()) > AGAIN:
            await asyncio.sleep(AGAIN)
            msg = await self._ask(subject, data, block, left - AGAIN, has_id)
            if msg is None:
                continue
            try:
                ack = ack_of(msg.data, subject)
            except JetStreamError as error:
                if not is_passing(None, error):
                    raise
                failure = error
            else:
                if ack.seq:
                    return ack
        raise failure
