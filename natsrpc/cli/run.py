"""`natsrpc run`: serves services in a supervised pool of worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import signal
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

import typer

from natsrpc.errors import ConfigError, ServerStartError
from natsrpc.server import NatsServer

from .context import Destination
from .duration import parse_seconds
from .output import say
from .supervisor import Supervisor, WorkerFailedError, WorkSettings
from .worker import on_signals

__all__ = ["run"]

_LOOK_EVERY = 0.3  # seconds between two looks at the files for --reload


async def run(
    destination: Destination,
    target: Annotated[str, typer.Argument(help="`module:service` or `path/to/file.py:service`.")],
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Processes.")] = 1,
    embedded: Annotated[
        bool, typer.Option("--embedded", help="Start a nats-server of our own first.")
    ] = False,
    reload: Annotated[
        bool, typer.Option("--reload", help="Replace the workers when a .py file changes.")
    ] = False,
    drain_timeout: Annotated[
        str, typer.Option(help="How long workers may take to finish what they have.")
    ] = "30s",
    ping_interval: Annotated[
        str, typer.Option(help="Between two PINGs to the server; after three of them it is left.")
    ] = "15s",
    uvloop: Annotated[bool, typer.Option("--uvloop", help="Use uvloop's event loop.")] = False,
) -> int:
    """Run services. SIGTERM and Ctrl-C drain, twice ends at once; SIGHUP replaces the workers."""
    if uvloop and importlib.util.find_spec("uvloop") is None:
        raise ConfigError("--uvloop needs the package uvloop: pip install 'natsrpc[uvloop]'")
    seconds = parse_seconds(drain_timeout)
    options = {
        "name": f"natsrpc run {target}",
        **destination.options,
        "drain_timeout": seconds,
        "ping_interval": parse_seconds(ping_interval),
    }
    settings = WorkSettings(
        target, destination.servers, options, uvloop=uvloop, drain_timeout=seconds
    )
    async with contextlib.AsyncExitStack() as stack:
        if embedded:
            server = NatsServer(port=urlsplit(destination.servers[0]).port or 4222)
            try:
                await stack.enter_async_context(server)
            except ServerStartError as error:
                raise _why(error, server.port) from error
            say(f"nats-server is ready on {server.url}")
        try:
            return await _supervise(Supervisor(settings, workers, say=say), watch=reload)
        except WorkerFailedError as error:
            # a worker's traceback is worth its many lines: it is about the user's own module
            say(f"error: {error}")
            return 1


def _why(error: ServerStartError, port: int) -> ServerStartError:
    """The error with the fatal lines of the server's log; where the port is taken, what to do."""
    said = [line for line in error.log.splitlines() if "[FTL]" in line or "[ERR]" in line]
    if any("address already in use" in line for line in said):
        return ServerStartError(
            f"port {port} is in use: leave out --embedded to use the server that is there, or "
            f"name another port, as in --server nats://127.0.0.1:{port + 1}",
            log=error.log,
        )
    if not said:
        return error
    return ServerStartError(f"nats-server does not start: {' '.join(said)}", log=error.log)


async def _supervise(supervisor: Supervisor, *, watch: bool) -> int:
    stop = asyncio.Event()
    ending: list[str] = []
    jobs: set[asyncio.Task[object]] = set()

    def on_stop() -> None:
        if stop.is_set():
            say("ending at once")
            ending.append("forced")
            supervisor.kill()
        else:
            say("draining; once more ends at once")
            stop.set()

    def on_reload() -> None:
        job = asyncio.ensure_future(supervisor.reload())
        jobs.add(job)
        job.add_done_callback(jobs.discard)

    on_signals(on_stop, signal.SIGTERM, signal.SIGINT)
    if hasattr(signal, "SIGHUP"):
        on_signals(on_reload, signal.SIGHUP)
    # listed before the start, so that a change while workers start is noticed, too
    folder = _watched(supervisor.settings.target)
    seen = dict(_files(folder)) if watch else {}
    start = asyncio.ensure_future(supervisor.start())
    waiting = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((start, waiting), return_when=asyncio.FIRST_COMPLETED)
        if not start.done():
            start.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await start
        if not stop.is_set():
            pids = ", ".join(map(str, supervisor.pids))
            workers = "1 worker" if len(supervisor.pids) == 1 else f"{len(supervisor.pids)} workers"
            say(f"{supervisor.settings.target} is served by {workers} ({pids})")
            if watch:
                jobs.add(asyncio.ensure_future(_reload_on_change(supervisor, folder, seen)))
            await stop.wait()
    finally:
        waiting.cancel()
        for job in list(jobs):
            job.cancel()
        await asyncio.gather(*jobs, return_exceptions=True)
        clean = await supervisor.stop()
    return 0 if clean and not ending else 1


async def _reload_on_change(supervisor: Supervisor, folder: Path, seen: dict[Path, int]) -> None:
    async for path in _changes(folder, seen):
        say(f"{path} has changed")
        await supervisor.reload()


def _watched(target: str) -> Path:
    where = target.partition(":")[0]
    return Path(where).resolve().parent if where.endswith(".py") else Path.cwd()


async def _changes(folder: Path, seen: dict[Path, int]) -> AsyncIterator[Path]:
    """Look at the files again and again; after a look that finds new or changed ones, yield one of
    them."""
    before = seen
    while True:
        await asyncio.sleep(_LOOK_EVERY)
        now = dict(_files(folder))
        changed = [path for path in now if now[path] != before.get(path)]
        before = now
        if changed:
            yield changed[0]


def _files(folder: Path) -> Iterator[tuple[Path, int]]:
    for path in folder.rglob("*.py"):
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden:
            with contextlib.suppress(OSError):  # gone between two looks
                yield path, path.stat().st_mtime_ns
