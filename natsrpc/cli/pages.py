"""The pages of `natsrpc run --http`: an address that is listened at, and the pool's pages there."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import AsyncIterator, Callable, Iterator

from natsrpc.errors import ConfigError

from .pool import Pool

__all__ = ["bound", "serving"]


@contextlib.contextmanager
def bound(address: str) -> Iterator[socket.socket]:
    """Listen at an address; nobody is answered yet.

    Raises:
        ConfigError: it is no address, is in use, or the extra "web" is not installed.
    """
    try:
        from natsrpc import web
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"--http needs the package {error.name}: pip install 'natsrpc[web]'"
        ) from None
    with contextlib.closing(web.bind(address)) as listener:
        yield listener


@contextlib.asynccontextmanager
async def serving(
    pool: Pool, listener: socket.socket, say: Callable[[str], None]
) -> AsyncIterator[None]:
    """Serve the pages of a pool for as long as the block runs."""
    from natsrpc import web

    async with web.serve(web.pages(pool), listener) as url:
        say(f"pages are at {url}/livez /readyz /metrics /info")
        yield
