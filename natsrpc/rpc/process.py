"""`run`: a process that serves until it is told to stop.

The first SIGTERM or SIGINT drains: nothing new is taken, what was delivered is answered, the
process ends with code 0. The second one forces: what still runs is answered 503 and cancelled, code
1. A connection that is lost for good ends the process with code 1 as well.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Unpack

from natsrpc import core
from natsrpc.core import Options

from .connecting import ClientOptions, connect
from .service import Service

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopping:
    """Two events: stop when convenient, and stop now.

    If `drain` was set for another reason than a signal, the first signal still only drains: systemd
    signals a worker and the supervisor that tells it to drain alike.
    """

    def __init__(self) -> None:
        self.drain: asyncio.Event = asyncio.Event()
        self.force: asyncio.Event = asyncio.Event()
        self._signaled = False

    def signal(self) -> None:
        """Note a signal: the first one drains, the second forces."""
        (self.force if self._signaled else self.drain).set()
        self._signaled = True


@contextlib.contextmanager
def _signals(stopping: Stopping) -> Iterator[None]:
    """Let the process's signals reach `stopping`."""
    loop = asyncio.get_running_loop()
    before: dict[signal.Signals, Any] = {}
    for number in SIGNALS:
        try:
            loop.add_signal_handler(number, stopping.signal)
        except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
            with contextlib.suppress(ValueError):
                before[number] = signal.signal(
                    number, lambda *_: loop.call_soon_threadsafe(stopping.signal)
                )
    try:
        yield
    finally:
        for number in SIGNALS:
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(number)
        for number, handler in before.items():
            signal.signal(number, handler)


async def serve_until(
    stopping: Stopping,
    *services: Service,
    servers: str | Sequence[str] = core.DEFAULT_URL,
    on_ready: Callable[[], None] | None = None,
    options: Options | None = None,
    **settings: Unpack[ClientOptions],
) -> int:
    """Serve until told to stop; the exit code.

    Raises:
        ConfigError: nothing to serve, or an option is refused.
        NoServersError: no server could be reached.
    """
    drain_timeout = settings.pop("drain_timeout", None)
    async with connect(servers, options=options, **settings) as client:
        server = await client.serve(*services)
        if on_ready is not None:
            on_ready()
        closed = asyncio.ensure_future(client.connection.wait_closed())
        asked = asyncio.ensure_future(stopping.drain.wait())
        await asyncio.wait([closed, asked], return_when=asyncio.FIRST_COMPLETED)
        if closed.done():
            asked.cancel()
            logger.error("the connection is closed: %s", client.connection.last_error)
            return 1
        closed.cancel()
        draining = asyncio.ensure_future(server.drain(drain_timeout))
        forced = asyncio.ensure_future(stopping.force.wait())
        await asyncio.wait([draining, forced], return_when=asyncio.FIRST_COMPLETED)
        forced.cancel()
        if draining.done():
            await draining
            return 0
        logger.warning("forced to stop with %d requests in flight", server.inflight)
        await server.abort()
        await asyncio.wait([draining], timeout=2.0)
        return 1


def run(
    *services: Service,
    servers: str | Sequence[str] = core.DEFAULT_URL,
    on_ready: Callable[[], None] | None = None,
    options: Options | None = None,
    **settings: Unpack[ClientOptions],
) -> None:
    """Serve services until SIGTERM or SIGINT, then drain. Blocking.

    Returns when all that was delivered is answered; otherwise ends the process with code 1.

    Args:
        services: what to serve.
        servers: one or more URLs.
        on_ready: called once every request sent reaches a handler.
        options: ready-made settings of the connection, instead of keyword arguments.
        **settings: those of `natsrpc.connect`, for calls made through this connection and for the
            connection itself. `drain_timeout` is the seconds after which
            what still runs is cut short.

    Raises:
        ConfigError: nothing to serve, or an option is refused.
        NoServersError: no server could be reached.
    """

    async def main() -> int:
        stopping = Stopping()
        with _signals(stopping):
            return await serve_until(
                stopping,
                *services,
                servers=servers,
                on_ready=on_ready,
                options=options,
                **settings,
            )

    code = asyncio.run(main())
    if code:
        sys.exit(code)
