"""A gateway on a socket: uvicorn, with bounds for those who are slow, silent, or too many.

What uvicorn leaves open is closed here. The beginning of a request (its line and headers) has
`PATIENCE` seconds. A client that does not read what is sent to it is left after `STALL` seconds.
There are `CONNECTIONS` of them; one more closes the oldest one that asks for nothing. What a
request may be, and how long its body may take, the gateway says itself.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import AsyncIterator

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.h11_impl import H11Protocol

from .serving import running

__all__ = ["host"]

PATIENCE = 10.0
"""Seconds from the first byte of a connection, or of a request, to the end of its headers."""

STALL = 30.0
"""Seconds in which a client must read something of what waits for it."""

KEEP_ALIVE = 30
"""Seconds that a connection stays open after an answer, for the next request."""

CONNECTIONS = 4_096
"""Connections at one time."""

HEADERS = 20 * 1024
"""Bytes of a request's line and headers."""

GRACE = 10
"""Seconds that requests have to end in once the gateway stops."""


_quiet = logging.Logger("natsrpc.web.hosting", logging.ERROR)


class _Connection(H11Protocol):
    """One connection of uvicorn's, bounded in what it may hold up."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.logger = _quiet  # what is no HTTP is answered, and costs no line of a log
        self.began: float = self.loop.time()
        self.stalled: asyncio.TimerHandle | None = None
        self.asking: asyncio.TimerHandle | None = None
        self._wait_for_request()
        if len(self.connections) > CONNECTIONS:
            self._make_room()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self.is_busy:
            self._stop_waiting()
        else:
            self._wait_for_request()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.is_busy:  # the next request was here already
            self._stop_waiting()

    def pause_writing(self) -> None:
        super().pause_writing()
        if self.stalled is None:
            self.stalled = self.loop.call_later(STALL, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.stalled is not None:
            self.stalled.cancel()
            self.stalled = None

    def timeout_keep_alive_handler(self) -> None:
        super().timeout_keep_alive_handler()
        # what was not read yet would keep it open
        self.stalled = self.stalled or self.loop.call_later(STALL, self.transport.abort)

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_waiting()
        if self.stalled is not None:
            self.stalled.cancel()
        super().connection_lost(exc)

    @property
    def is_busy(self) -> bool:
        """Whether a request is being answered."""
        return self.cycle is not None and not self.cycle.response_complete

    def _wait_for_request(self) -> None:
        if self.asking is None:
            self.asking = self.loop.call_later(PATIENCE, self.transport.abort)

    def _stop_waiting(self) -> None:
        if self.asking is not None:
            self.asking.cancel()
            self.asking = None

    def _make_room(self) -> None:
        idle = [
            each
            for each in self.connections
            if isinstance(each, _Connection) and each is not self and not each.is_busy
        ]
        oldest = min(idle, key=lambda each: each.began, default=self)
        oldest.transport.abort()


@contextlib.asynccontextmanager
async def host(app: ASGIApp, listener: socket.socket, *, root_path: str = "") -> AsyncIterator[str]:
    """Serve a gateway, or an app that bounds its requests as well, for as long as the block runs.

    It gives its address, as `http://HOST:PORT`.

    Args:
        app: what is served.
        listener: where, as `bind` gives it.
        root_path: the path below which a proxy serves it.
    """
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        root_path=root_path,
        h11_max_incomplete_event_size=HEADERS,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_graceful_shutdown=GRACE,
    )
    async with running(config, listener) as url:
        yield url
