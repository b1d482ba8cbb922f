"""An ASGI app on a socket, in the running event loop: uvicorn, without its own signals and logs.

`bind` comes first: that an address is in use is known before anything is started.

Anybody who reaches the socket can connect and say nothing, or say it byte by byte. So a connection
is for one request, has `PATIENCE` seconds in all, and there are `CONNECTIONS` of them: one more
closes the oldest, and who asks and reads at once is never kept out.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from natsrpc.errors import ConfigError

__all__ = ["bind", "running", "serve"]

PATIENCE = 10.0
"""Seconds from the beginning of a connection to the end of its answer."""

CONNECTIONS = 64
"""Connections at one time."""

HEADERS = 16 * 1024
"""Bytes of a request's line and headers."""


class _Connection(H11Protocol):
    """One connection of uvicorn's, bounded in time and number."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.began: float = self.loop.time()
        self.end: asyncio.TimerHandle = self.loop.call_later(PATIENCE, transport.abort)
        known = [each for each in self.connections if isinstance(each, _Connection)]
        if len(known) > CONNECTIONS:
            min(known, key=lambda each: each.began).transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        self.end.cancel()
        super().connection_lost(exc)


class _Server(uvicorn.Server):
    """A uvicorn that leaves the process's signals alone: the pool has them."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Capture none."""
        yield


def bind(address: str) -> socket.socket:
    """A listening socket at `HOST:PORT`, `[HOST]:PORT` or `:PORT`, which is all addresses.

    Raises:
        ConfigError: it is no such address, or cannot be listened at.
    """
    host, colon, port = address.rpartition(":")
    is_port = port.isascii() and port.isdigit() and len(port) < 6 and int(port) < 65536
    if not (colon and is_port):
        raise ConfigError(f"{address!r} is no address: expected HOST:PORT, as in 127.0.0.1:8080")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, int(port)), family=family)
    except OSError as error:
        if error.errno is not None and "in use" in (error.strerror or ""):
            raise ConfigError(f"port {port} of {host or 'all addresses'} is in use") from None
        raise ConfigError(f"cannot listen at {address!r}: {error.strerror or error}") from None
    # asyncio does it for listeners of its own alone: else the body of an answer waits for the
    # client's acknowledgment of its headers, which takes 40 ms
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


@contextlib.asynccontextmanager
async def serve(app: Any, listener: socket.socket) -> AsyncIterator[str]:
    """Serve an app for as long as the block runs; gives its address as `http://HOST:PORT`."""
    config = uvicorn.Config(
        app,
        http=_Connection,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        headers=[("Connection", "close")],
        h11_max_incomplete_event_size=HEADERS,
        timeout_graceful_shutdown=1,
    )
    async with running(config, listener) as url:
        yield url


@contextlib.asynccontextmanager
async def running(config: uvicorn.Config, listener: socket.socket) -> AsyncIterator[str]:
    """Run a uvicorn for as long as the block runs; gives its address."""
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.should_exit = True
        await serving
