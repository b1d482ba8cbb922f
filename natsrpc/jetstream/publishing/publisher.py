"""One publish at a time: a request whose answer is a PubAck.

Nobody took it (503): nothing was stored, so it is sent again until the timeout, unless no stream
has the subject. No answer: it may be stored, so it is sent again only where it has an id, when the
connection was lost and stands anew.
"""

from __future__ import annotations

import asyncio

from natsrpc.core import Headers, Msg, decode, is_no_responders
from natsrpc.errors import (
    JetStreamError,
    NatsTimeoutError,
    NoRespondersError,
    PermissionsError,
)

from ..api import Api
from .ack import PubAck, ack_of, is_passing
from .storing import AGAIN, LEADERLESS, Storing, nobody_stores, unanswered


class Publisher:
    """Publishes for one JetStream, and waits for each ack. Its pipeline has the same `storing`."""

    def __init__(self, api: Api, storing: Storing) -> None:
        self._api = api
        self._link = api.link
        self._mux = api.link.requests
        self._outbound = api.link.outbound
        self._storing = storing
        self._old_style = api.connection.options.old_style_requests
        self._with_id: dict[bytes, tuple[bytes, bytes, bytes]] = {}

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
        if self._old_style:
            return await self._ask_old_style(subject, data, block, timeout)
        mux = self._mux
        left = await mux.room(timeout) if self._outbound.congested else timeout
        reply = mux.begin(subject, data, block, left)
        if has_id:
            self._keep(reply.inbox, subject, data, block)
        try:
            await reply
        except BaseException as error:
            mux.abandon(reply)
            if isinstance(error, NatsTimeoutError):
                raise unanswered(subject, timeout, has_id=has_id) from None
            raise
        finally:
            if has_id:
                self._forget(reply.inbox)
        msg = reply.msg
        return None if msg.raw_headers and is_no_responders(msg) else msg

    async def _ask_old_style(
        self, subject: bytes, data: bytes, block: bytes, timeout: float
    ) -> Msg | None:
        """Ask with an inbox for each request: it is not sent again in a new session."""
        headers = Headers.decode(block) if block else None
        try:
            return await self._api.connection.request(
                decode(subject), data, timeout=timeout, headers=headers
            )
        except NoRespondersError:
            return None

    async def _again(
        self, subject: bytes, data: bytes, block: bytes, timeout: float, has_id: bool
    ) -> PubAck:
        """Nobody took it, or not yet: look who should, and send it again until the time is over."""
        loop = self._link.loop
        deadline = loop.time() + timeout
        why = await self._storing.refusal(subject)
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

    # those that have an id are sent again in a new session

    def _keep(self, inbox: bytes, subject: bytes, data: bytes, block: bytes) -> None:
        if not self._with_id:
            self._api.hub.add(self)
        self._with_id[inbox] = subject, data, block

    def _forget(self, inbox: bytes) -> None:
        self._with_id.pop(inbox, None)
        if not self._with_id:
            self._api.hub.remove(self)

    def interrupted(self) -> None:
        """The answers may be lost; the requests go on waiting."""

    def restored(self) -> None:
        """Send again what has an id: the stream knows it if it is stored."""
        for inbox, (subject, data, block) in self._with_id.items():
            self._link.send(subject, data, inbox, block)

    def closed(self, error: Exception) -> None:
        """The request mux tells each."""

    def denied(self, error: PermissionsError) -> None:
        """The request mux tells the one."""
