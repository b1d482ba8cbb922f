"""What `Client.settled` waits by in a test: the services that are served in memory.

`natsrpc.testing` makes it, and gives it to the client of a test. Clients of programs have none.
"""

from __future__ import annotations

from typing import Protocol

from natsrpc.core import Connection


class Settling(Protocol):
    """Waits for events and durable work: of the services that a test serves, on their broker."""

    async def settle(self, connection: Connection, timeout: float) -> list[BaseException]:
        """As `Client.settled`, for what was published on this connection or by handlers."""
        ...
