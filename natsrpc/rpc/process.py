"""`run`: a process that serves until it is told to stop.

The first SIGTERM or SIGINT drains: nothing new is taken, what was delivered is answered, the
process ends with code 0. The second one forces: what still runs is answered 503 and cancelled, code
1. A connection that is lost for good ends the process with code 1 as well.

The end comes in any case. A handler that cannot be stopped (a plain one that is stuck in its
thread, an async one that swallows its cancellation) is left behind: the process ends with code 1.
Where even the event loop stands still, a watchdog in C ends the process, and shows where it stood.
"""

from __future__ import annotations

import asyncio
import contextlib
import faulthandler
import logging
import os
import signal
import sys
from collections.abc import Callable, Sequence
from types import FrameType
from typing import Any, NoReturn, Unpack

from natsrpc import core
from natsrpc.core import Options
from natsrpc.errors import NatsError, NatsRpcError

from .client import Client
from .connecting import ClientOptions, connect
from .contract import users_part
from .service import Service
from .serving import Server

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

SIGNALS = (signal.SIGINT, signal.SIGTERM)

GRACE = 3.0
"""Seconds beyond the drain timeout in which the last replies go out and lifespans are left; then
the process is ended."""


class Stopping:
    """Two events: stop when convenient, and stop now.

    If `drain` was set for another reason than a signal, the first signal still only drains: systemd
    signals a worker and the supervisor that tells it to drain alike.

    `is_stuck` is set once handlers are left behind that cannot be stopped.
    """

    def __init__(self) -> None:
        self.drain: asyncio.Event = asyncio.Event()
        self.force: asyncio.Event = asyncio.Event()
        self.is_stuck: bool = False
        self._signaled = False

    def signal(self) -> None:
        """Note a signal: the first one drains, the second forces."""
        (self.force if self._signaled else self.drain).set()
        self._signaled = True


def watch_over_end(seconds: float) -> None:
    """End the process with code 1 in that many seconds, whatever it does, and write the stack of
    each thread to stderr then. A second call replaces the first.

    The thread that does it needs no lock of Python's: nothing that a handler does can hold it up.
    """
    faulthandler.dump_traceback_later(seconds, exit=True, file=2)


def end_process(code: int) -> NoReturn:
    """End the process without waiting for its threads, after writing out what was logged."""
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(Exception):
            stream.flush()
    os._exit(code)


def on_signals(
    action: Callable[[], object], *signals: int, first: Callable[[], object] | None = None
) -> Callable[[], None]:
    """Have the running loop call `action` at each of these signals; undo it by calling the result.

    `first` is called as soon as Python sees the signal, also while the loop stands still.
    """
    loop = asyncio.get_running_loop()
    before: dict[int, Any] = {}
    for number in signals:
        before[number] = signal.getsignal(number)
        try:
            loop.add_signal_handler(number, action)
        except (NotImplementedError, RuntimeError, ValueError):  # Windows, or not the main thread
            with contextlib.suppress(ValueError):
                signal.signal(number, lambda *_: loop.call_soon_threadsafe(action))
        if first is not None:
            with contextlib.suppress(ValueError):
                signal.signal(number, _both(first, signal.getsignal(number)))

    def undo() -> None:
        for number, handler in before.items():
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.remove_signal_handler(number)
            with contextlib.suppress(ValueError, TypeError):
                signal.signal(number, handler)

    return undo


def _both(first: Callable[[], object], then: Any) -> Callable[[int, FrameType | None], None]:
    """A handler that calls `first`, and the one that the loop has put there to be woken."""

    def handle(number: int, frame: FrameType | None) -> None:
        first()
        if callable(then):
            then(number, frame)

    return handle


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
        return await until_stopped(stopping, client, server, drain_timeout)


async def until_stopped(
    stopping: Stopping, client: Client, server: Server, drain_timeout: float | None = None
) -> int:
    """Wait until told to stop, then drain; the exit code. For those who serve by themselves.

    With code 1 and `stopping.is_stuck` handlers still run that no cancellation ends.
    """
    closed = asyncio.ensure_future(client.connection.wait_closed())
    asked = asyncio.ensure_future(stopping.drain.wait())
    await asyncio.wait([closed, asked], return_when=asyncio.FIRST_COMPLETED)
    if closed.done():
        asked.cancel()
        logger.error("the connection is closed: %s", client.connection.last_error)
        await asyncio.wait([asyncio.ensure_future(server.drain(0.0))], timeout=GRACE)
        stopping.is_stuck = server.inflight > 0
        return 1
    closed.cancel()
    draining = asyncio.ensure_future(server.drain(drain_timeout))
    forced = asyncio.ensure_future(stopping.force.wait())
    await asyncio.wait([draining, forced], return_when=asyncio.FIRST_COMPLETED)
    forced.cancel()
    if not draining.done():
        logger.warning("forced to stop with %d requests in flight", server.inflight)
        await server.abort()
        await asyncio.wait([draining], timeout=2.0)
        stopping.is_stuck = server.inflight > 0
        return 1
    await draining
    if server.inflight:
        stopping.is_stuck = True
        logger.error("%d handlers do not end and are left behind", server.inflight)
        return 1
    return 0


def _without_our_frames(error: NatsRpcError) -> BaseException:
    """What to raise for an error that ended `run`. What a service's own code raised shows the
    frames of that code. The rest is about the call of `run`, or about the server: one sentence."""
    users = users_part(error)
    if users is not error.__traceback__:
        return error.with_traceback(users)
    if isinstance(error, NatsError) and not isinstance(error, ValueError | TypeError):
        ended = SystemExit(f"natsrpc: {error}")
        ended.__cause__ = error
        return ended
    error.__suppress_context__ = True
    return error.with_traceback(None)


def run(
    *services: Service,
    servers: str | Sequence[str] = core.DEFAULT_URL,
    on_ready: Callable[[], None] | None = None,
    options: Options | None = None,
    **settings: Unpack[ClientOptions],
) -> None:
    """Serve services until SIGTERM or SIGINT, then drain. Blocking.

    Returns when all that was delivered is answered; otherwise ends the process with code 1, by
    `SystemExit`. So it does where it cannot connect: stderr then has one sentence that says why,
    and the error is the cause of the `SystemExit`. Where a handler cannot be stopped, or the event
    loop stands still, the process is ended at once when the drain timeout and 3 s are over: nothing
    of the program runs then.

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
        SystemExit: it could not connect, or not everything was answered.
    """
    patience = settings.get("drain_timeout")
    if patience is None:
        patience = (options or Options()).drain_timeout
    times = iter((patience + GRACE,))

    def watch() -> None:
        watch_over_end(next(times, GRACE))  # the second signal forces

    async def main() -> int:
        stopping = Stopping()
        undo = on_signals(stopping.signal, *SIGNALS, first=watch)
        try:
            code = await serve_until(
                stopping,
                *services,
                servers=servers,
                on_ready=on_ready,
                options=options,
                **settings,
            )
        finally:
            undo()
        if stopping.is_stuck:
            end_process(code)
        return code

    try:
        code = asyncio.run(main())
    except NatsRpcError as error:
        raise _without_our_frames(error)  # noqa: B904  # its cause is set, where it has one
    finally:
        faulthandler.cancel_dump_traceback_later()
    if code:
        sys.exit(code)
