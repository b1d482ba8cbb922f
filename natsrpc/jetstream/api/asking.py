"""Requests that outlive a session: sent again in a new one, where that does no harm.

An answer that was on its way when the connection was lost never comes, nor does one to a request
that the lost server had not read, or a server behind it. What may be done twice (reading, creating,
a publish that has an id) is sent again with the same inbox, in a new session and when it is
overdue, and the first answer counts. All else waits to its timeout.
"""

from __future__ import annotations

import contextlib

from natsrpc.core import Connection, Headers, Msg, decode, is_no_responders
from natsrpc.errors import NatsError, NoRespondersError, PermissionsError

from .hub import Hub
from .overdue import Overdue


class Asking:
    """Asks for one JetStream, through its connection's request mux."""

    def __init__(self, connection: Connection, hub: Hub) -> None:
        self._connection = connection
        self._link = connection.link
        self._mux = connection.link.requests
        self._outbound = connection.link.outbound
        self._hub = hub
        self._repeated: dict[bytes, tuple[bytes, bytes, bytes]] = {}
        self._overdue = Overdue(self._link.loop, lambda: self._repeated, self._send_again)
        self.is_old_style: bool = connection.options.old_style_requests

    async def ask(
        self, subject: bytes, data: bytes, block: bytes, timeout: float, *, repeats: bool
    ) -> Msg | None:
        """Ask, and return the answer; None if nobody is there to give one.

        Raises:
            NatsTimeoutError: no answer came in time.
            PermissionsError, ConnectionClosedError, MaxPayloadError, ReconnectBufferExceededError:
                as `Connection.request`.
        """
        if self.is_old_style:
            return await self._ask_old_style(subject, data, block, timeout)
        mux = self._mux
        left = await mux.room(timeout) if self._outbound.congested else timeout
        reply = mux.begin(subject, data, block, left)
        if repeats:
            if not self._overdue.is_on:
                self._overdue.watch()
                self._hub.add(self)
            self._repeated[reply.inbox] = subject, data, block
        try:
            await reply
        except BaseException:
            mux.abandon(reply)
            raise
        finally:
            if repeats:
                self._repeated.pop(reply.inbox, None)
        msg = reply.msg
        return None if msg.raw_headers and is_no_responders(msg) else msg

    async def _ask_old_style(
        self, subject: bytes, data: bytes, block: bytes, timeout: float
    ) -> Msg | None:
        """Ask with an inbox for each request: it is not sent again in a new session."""
        headers = Headers.decode(block) if block else None
        try:
            return await self._connection.request(
                decode(subject), data, timeout=timeout, headers=headers
            )
        except NoRespondersError:
            return None

    def _send_again(self, inbox: bytes) -> None:
        subject, data, block = self._repeated[inbox]
        with contextlib.suppress(NatsError):  # the request waits to its timeout
            self._link.send(subject, data, inbox, block)

    # what happens to the connection

    def interrupted(self) -> None:
        """The answers may be lost; the requests go on waiting."""

    def restored(self) -> None:
        """Send again what may be."""
        for inbox in self._repeated:
            self._send_again(inbox)

    def closed(self, error: Exception) -> None:
        """The request mux tells each."""

    def denied(self, error: PermissionsError) -> None:
        """The request mux tells the one."""
