"""Waiting for events and durable work in a test: `Client.settled`, for what is served in memory.

A published event is on its way in this process until its handlers have ended, and all of that way
is counted: what a connection has not sent is sent by a flush, behind which the broker has delivered
it; what is delivered waits or runs at a subscriber. A message of a stream is on its way while its
consumer may deliver it now, and until there is a word about its delivery. So nothing needs to
sleep.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

from natsrpc.core import Connection, Msg
from natsrpc.errors import NatsTimeoutError
from natsrpc.rpc import EndpointContract, Server

from .broker import Broker
from .jetstream import Consumer

_PATIENCE = 10
"""Rounds after which a message that could be delivered is taken for one that nobody asks for."""


class Settling:
    """The events and durable work of services that are served in memory."""

    def __init__(self, broker: Broker, server: Server) -> None:
        self._broker = broker
        self._server = server
        self._failed: list[BaseException] = []
        for running in server.services:
            running.on_failed.append(self._note)

    def _note(self, contract: EndpointContract, msg: Msg, error: BaseException) -> None:
        what, where = "message", "worker"
        if contract.kind == "event":
            what, where = "event", "subscriber"
        error.add_note(f"of the {what} on {msg.subject!r}, at {where} {contract.name!r}")
        self._failed.append(error)

    async def settle(self, connection: Connection, timeout: float) -> list[BaseException]:
        """As `Client.settled`, which describes it."""
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
        published, quiet = -1, 0
        while True:
            await self._broker.delivered()
            for each in (connection, self._server.connection):
                await each.flush(None)
            now = len(self._broker.published)
            quiet = quiet + 1 if now == published else 0
            if quiet and self._is_quiet(quiet):
                return
            published = now
            for running in self._server.services:
                await running.handled()
            await self._worked()

    def _is_quiet(self, rounds: int) -> bool:
        """Whether nothing is on its way, after so many rounds in which nobody published."""
        if self._inflight() or any(consumer.in_hand for consumer in self._consumers()):
            return False
        is_due = any(consumer.has_more for consumer in self._consumers())
        return rounds > _PATIENCE or not is_due

    def _inflight(self) -> int:
        return sum(each.inflight for one in self._server.services for each in one.subscribers)

    def _consumers(self) -> Iterator[Consumer]:
        """Those that the services pull from."""
        jetstream, info = self._broker.jetstream, self._server.connection.server_info
        if jetstream is not None and info is not None:
            yield from jetstream.served_by(info.client_id)

    async def _worked(self) -> None:
        """Wait until each message that the services were given has its word."""
        jetstream = self._broker.jetstream
        while jetstream is not None and any(each.in_hand for each in self._consumers()):
            await jetstream.word()

    def _unsettled(self) -> str:
        """What still runs or waits, in words."""
        found = [
            f"at subscriber {each.contract.name!r} of service {one.contract.name!r} "
            f"{each.backlog.running} run and {each.backlog.waiting} wait"
            for one in self._server.services
            for each in one.subscribers
            if each.inflight
        ]
        found += [
            f"of consumer {each.name!r} of stream {each.stream.name!r} {each.in_hand} messages are "
            f"delivered and have no ack, {each.num_pending} wait"
            for each in self._consumers()
            if each.in_hand
        ]
        if self._broker.num_delayed:
            found.append(f"a fault holds {self._broker.num_delayed} messages back")
        return "; ".join(found) or "the services' handlers publish without end"
