"""`TestClient`: the client of tests that are served in memory, which can wait for events.

`natsrpc.testing` makes it, and gives it what it waits by; `Service.test` is typed to give it.
"""

from __future__ import annotations

from typing import Protocol, Unpack

from natsrpc.core import Connection

from .client import Client
from .connecting import OfClient


class Settling(Protocol):
    """Waits for events: the services that a test serves, on their broker."""

    async def settle(self, connection: Connection, timeout: float) -> list[BaseException]:
        """As `TestClient.settled`, for what was published on this connection or by handlers."""
        ...


class TestClient(Client):
    """A client of services that are served in memory, for one test: see `Service.test`."""

    __test__ = False  # pytest: this is no class of tests

    def __init__(
        self, settling: Settling, connection: Connection, /, **options: Unpack[OfClient]
    ) -> None:
        super().__init__(connection, **options)
        self._settling = settling

    async def settled(self, timeout: float = 1.0) -> list[BaseException]:
        """Wait until every event is handled: those published before, those that handlers publish
        meanwhile, and so on. Nothing sleeps: it returns as soon as the last handler has ended.

        Events that were dropped, or whose handlers raised, are handled, too. What became of them is
        returned, in order: the exceptions of handlers as they were raised, each with a note that
        names its subscriber and subject, and our own errors for those that were not read (422) or
        not run. A test that expects none says `assert await client.settled() == []`. Each is
        returned once.

        It waits for subscribers alone: not for calls and streams that are still open.

        Raises:
            NatsTimeoutError: some still run or wait after `timeout` seconds; they are named.
            ConnectionClosedError: the client, or the services, are closed.
        """
        return await self._settling.settle(self.connection, timeout)
