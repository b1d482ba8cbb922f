"""An ASGI app on a socket, in the running event loop: uvicorn, without its own signals and logs.

`bind` comes first: that an address is in use is known before anything is started.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Iterator
from typing import Any

import uvicorn

from natsrpc.errors import ConfigError

__all__ = ["bind", "serve"]


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
    if not colon or not port.isdigit() or int(port) > 65535:
        raise ConfigError(f"{address!r} is no address: expected HOST:PORT, as in 127.0.0.1:8080")
    host = host.removeprefix("[").removesuffix("]")
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, int(port)), family=family)
    except OSError as error:
        if error.errno is not None and "in use" in (error.strerror or ""):
            raise ConfigError(f"port {port} of {host or 'all addresses'} is in use") from None
        raise ConfigError(f"cannot listen at {address!r}: {error.strerror or error}") from None


@contextlib.asynccontextmanager
async def serve(app: Any, listener: socket.socket) -> AsyncIterator[str]:
    """Serve an app for as long as the block runs; gives its address as `http://HOST:PORT`."""
    config = uvicorn.Config(
        app, lifespan="off", log_config=None, access_log=False, timeout_graceful_shutdown=1
    )
    server = _Server(config)
    serving = asyncio.ensure_future(server.serve(sockets=[listener]))
    host, port = listener.getsockname()[:2]
    try:
        yield f"http://{f'[{host}]' if ':' in host else host}:{port}"
    finally:
        server.should_exit = True
        await serving
