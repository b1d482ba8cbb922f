"""Waiting for events in a test: `TestClient.settled`, for the services that are served in memory.

A published event is on its way in this process until its handlers have ended, and all of that way
is counted: what a connection has not sent is sent by a flush, behind which the broker has delivered
it; what is delivered waits or runs at a subscriber. So nothing needs to sleep.
"""

from __future__ import annotations

import asyncio

from natsrpc.core import Connection, Msg
from natsrpc.errors import NatsTimeoutError
from natsrpc.rpc import EndpointContract, Server

from .broker import Broker


class Events:
    """The events of services that are served in memory."""

    def __init__(self, broker: Broker, server: Server) -> None:
        self._broker = broker
        self._server = server
        self._failed: list[BaseException] = []
        for running in server.services:
            running.on_failed.append(self._note)

    def _note(self, contract: EndpointContract, msg: Msg, error: BaseException) -> None:
        error.add_note(f"of the event on {msg.subject!r}, at subscriber {contract.name!r}")
        self._failed.append(error)

    async def settle(self, connection: Connection, timeout: float) -> list[BaseException]:
        """As `TestClient.settled`, which describes it."""
        try:
            async with asyncio.timeout(timeout):
                await self._settle(connection)
        except TimeoutError as error:
            if isinstance(error, NatsTimeoutError):
                raise
            text = f"not settled within {timeout:g} s: {self._unsettled()}"
            raise NatsTimeoutError(text) from None
        failed, self._failed = self._failed, []
        return failed

    async def _settle(self, connection: Connection) -> None:
        published = -1
        while True:
            await self._broker.delivered()
            for each in (connection, self._server.connection):
                await each.flush(None)
            now = len(self._broker.published)
            if now == published and not self._inflight():
                return
            published = now
            for running in self._server.services:
                await running.handled()

    def _inflight(self) -> int:
        return sum(each.inflight for one in self._server.services for each in one.subscribers)

    def _unsettled(self) -> str:
        """What still runs or waits, in words."""
        found = [
            f"at subscriber {each.contract.name!r} of service {one.contract.name!r} "
            f"{each.backlog.running} run and {each.backlog.waiting} wait"
            for one in self._server.services
            for each in one.subscribers
            if each.inflight
        ]
        if self._broker.num_delayed:
            found.append(f"a fault holds {self._broker.num_delayed} messages back")
        return "; ".join(found) or "the services' handlers publish without end"
