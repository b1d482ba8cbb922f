"""`natsrpc run`: serves services in a supervised pool of worker processes.

Exit codes: 0 after a drain, whatever was under way when it was asked for; 1 where workers had to be
killed, were told to end at once, or did not start; 2 where the command, a file with its settings
or a target is wrong, and nothing was started.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import os
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from natsrpc.errors import ConfigError, ServerStartError
from natsrpc.rpc import on_signals
from natsrpc.server import NatsServer

from . import run_flags as flags
from .config import read_settings
from .context import Destination
from .duration import parse_seconds
from .logs import LOG_FORMATS, LOG_LEVELS, read_config, sayer
from .notify import Notifier
from .options import check_options, parse_option, parse_size, read_options
from .pool import Pool
from .settings import LogSettings, WorkSettings
from .supervisor import Supervisor, WorkerFailedError
from .watching import Watch, folder_of

__all__ = ["run"]

_SIGNALED_TOGETHER = 1.0  # seconds within which a signal to all processes reaches this one, too


@dataclass(slots=True)
class Plan:
    """What the command line and the file say together, checked."""

    work: WorkSettings
    workers: int
    embedded: bool
    http: str
    folders: list[Path] = field(default_factory=list)


async def run(
    destination: Destination,
    targets: flags.Targets = None,
    workers: flags.Workers = None,
    embedded: flags.Embedded = None,
    factory: flags.Factory = None,
    option: flags.ConnectOption = None,
    reload: flags.Reload = None,
    reload_dir: flags.ReloadDir = None,
    drain_timeout: flags.DrainTimeout = None,
    ping_interval: flags.PingInterval = None,
    start_timeout: flags.StartTimeout = None,
    worker_timeout: flags.WorkerTimeout = None,
    max_requests: flags.MaxRequests = None,
    max_memory: flags.MaxMemory = None,
    uvloop: flags.Uvloop = None,
    http: flags.Http = None,
    log_level: flags.LogLevel = None,
    log_format: flags.LogFormat = None,
    log_config: flags.LogConfig = None,
) -> int:
    """Run services. SIGTERM and Ctrl-C drain, twice ends at once; SIGHUP replaces the workers."""
    given = {
        "targets": targets,
        "workers": workers,
        "embedded": embedded,
        "factory": factory,
        "reload": reload,
        "reload-dir": reload_dir,
        "drain-timeout": drain_timeout,
        "start-timeout": start_timeout,
        "worker-timeout": worker_timeout,
        "max-requests": max_requests,
        "max-memory": max_memory,
        "uvloop": uvloop,
        "http": http,
        "log-level": log_level,
        "log-format": log_format,
        "log-config": log_config,
    }
    settings = read_settings(Path.cwd())
    settings |= {key: value for key, value in given.items() if value not in (None, [])}
    if ping_interval is not None:  # a flag, so that it overrides `options` of the file, too
        option = [f"ping_interval={ping_interval}", *(option or [])]
    return await _serve(_plan(destination, settings, option or []), destination)


async def _serve(plan: Plan, destination: Destination) -> int:
    """Run the pool of a plan until it is told to end; its exit code."""
    tell = sayer(plan.work.logs.format)
    async with contextlib.AsyncExitStack() as stack:
        supervisor = Supervisor(plan.work, plan.workers, say=tell)
        pool = stack.enter_context(Pool(supervisor, say=tell))
        running = _Run(pool, tell, plan.folders)
        running.listen_to_signals()  # before anything is started
        if plan.http:
            from .pages import bound, serving

            # bound before anything is started: a port in use is a mistake, not a failure
            socket = stack.enter_context(bound(plan.http))
            pool.measure()
            await stack.enter_async_context(serving(pool, socket, tell))
        if plan.embedded:
            await stack.enter_async_context(_embedded(destination, tell))
        try:
            return await running.run()
        except WorkerFailedError as error:
            # a traceback of the user's module is worth its many lines
            tell(f"error: {error}")
            return 1


def _plan(destination: Destination, settings: dict[str, Any], options: list[str]) -> Plan:
    """Check everything that can be checked before anything is started."""
    targets = settings.get("targets") or []
    targets = [targets] if isinstance(targets, str) else targets
    if not targets:
        raise ConfigError("name at least one target, as in `natsrpc run module:service`")
    for target in targets:
        if not target.strip():
            raise ConfigError(f"{target!r} is no target: expected `module:service`")
        if targets.count(target) > 1:
            raise ConfigError(f"target {target!r} is named twice: --workers says how many it gets")
    if settings.get("uvloop") and importlib.util.find_spec("uvloop") is None:
        raise ConfigError("--uvloop needs the package uvloop: pip install 'natsrpc[uvloop]'")
    workers = _whole(settings, "workers", 1, least=1)
    folders = settings.get("reload-dir") or []
    paths = [Path(each) for each in ([folders] if isinstance(folders, str) else folders)]
    for path in paths:
        if not path.is_dir():
            raise ConfigError(f"--reload-dir: there is no folder {str(path)!r}")
    if settings.get("reload") and not paths:
        paths = list(dict.fromkeys(folder_of(target) for target in targets))
    drain = parse_seconds(str(settings.get("drain-timeout", "30s")))
    chosen = {
        "name": f"natsrpc run {' '.join(targets)}",
        **destination.options,
        "ping_interval": parse_seconds(str(settings.get("ping-interval", "15s"))),
        **read_options(settings.get("options", {})),
        **dict(parse_option(each) for each in options),
        "drain_timeout": drain,
    }
    check_options(chosen)
    work = WorkSettings(
        targets,
        destination.servers,
        chosen,
        factory=bool(settings.get("factory")),
        uvloop=bool(settings.get("uvloop")),
        ready_timeout=parse_seconds(str(settings.get("start-timeout", "30s"))),
        drain_timeout=drain,
        worker_timeout=parse_seconds(str(settings.get("worker-timeout", "30s"))),
        max_requests=_whole(settings, "max-requests", 0, least=0),
        max_memory=parse_size(settings.get("max-memory", 0)),
        logs=_logs(settings),
    )
    return Plan(work, workers, bool(settings.get("embedded")), settings.get("http", ""), paths)


def _whole(settings: dict[str, Any], key: str, default: int, *, least: int) -> int:
    value = settings.get(key, default)
    if value < least:
        raise ConfigError(f"{key} is {value!r}: expected a whole number of at least {least}")
    return int(value)


def _logs(settings: dict[str, Any]) -> LogSettings:
    level = str(settings.get("log-level", "info")).lower()
    if level not in LOG_LEVELS:
        raise ConfigError(f"log-level is {level!r}: expected one of {', '.join(LOG_LEVELS)}")
    form = str(settings.get("log-format", "text")).lower()
    if form not in LOG_FORMATS:
        raise ConfigError(f"log-format is {form!r}: expected one of {', '.join(LOG_FORMATS)}")
    file = settings.get("log-config")
    return LogSettings(level, form, None if file is None else read_config(file))


@contextlib.asynccontextmanager
async def _embedded(destination: Destination, tell: Any) -> Any:
    server = NatsServer(port=urlsplit(destination.servers[0]).port or 4222)
    async with contextlib.AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(server)
        except ServerStartError as error:
            raise _why(error, server.port) from error
        tell(f"nats-server is ready on {server.url}")
        yield


def _why(error: ServerStartError, port: int) -> ConfigError | ServerStartError:
    """The error with the fatal lines of the server's log; where the port is taken, what to do."""
    said = [line for line in error.log.splitlines() if "[FTL]" in line or "[ERR]" in line]
    if any("address already in use" in line for line in said):
        return ConfigError(
            f"port {port} is in use: leave out --embedded to use the server that is there, or "
            f"name another port, as in --server nats://127.0.0.1:{port + 1}"
        )
    if not said:
        return error
    return ServerStartError(f"nats-server does not start: {' '.join(said)}", log=error.log)


class _Run:
    """A pool from its start to its end, and the signals that it is told by."""

    def __init__(self, pool: Pool, tell: Any, folders: list[Path]) -> None:
        self._pool = pool
        self._supervisor = pool.supervisor
        self._tell = tell
        self._folders = folders
        self._notifier = Notifier(os.environ)
        self._stop = asyncio.Event()
        self._is_forced = False
        self._reloads = 0  # that are asked for and not over
        self._jobs: set[asyncio.Task[Any]] = set()

    def listen_to_signals(self) -> None:
        """From here on signals are orders. One to end that comes before `run` ends that."""
        on_signals(self._on_stop, signal.SIGTERM, signal.SIGINT)
        if hasattr(signal, "SIGHUP"):
            on_signals(self._on_reload, signal.SIGHUP)

    async def run(self) -> int:
        """Serve until a signal says otherwise; the exit code.

        Raises:
            WorkerFailedError, ConfigError: the pool does not start.
        """
        # listed before the start, so that a change while workers start is noticed, too
        watch = Watch(self._folders) if self._folders else None
        clean = False
        try:
            if await self._start():
                self._on_started(watch)
                await self._stop.wait()
        finally:
            self._pool.is_draining = True
            self._notifier.stopping()
            for job in list(self._jobs):
                job.cancel()
            await asyncio.gather(*self._jobs, return_exceptions=True)
            clean = await self._supervisor.stop()
        if hasattr(signal, "pthread_sigmask"):  # all is over: no signal may change the exit code
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT, signal.SIGHUP})
        return 0 if clean and not self._is_forced else 1

    async def _start(self) -> bool:
        """Start the pool; false if a signal came first."""
        if self._stop.is_set():
            return False
        start = asyncio.ensure_future(self._supervisor.start())
        waiting = asyncio.ensure_future(self._stop.wait())
        await asyncio.wait((start, waiting), return_when=asyncio.FIRST_COMPLETED)
        try:
            if not start.done():
                start.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await start
        except WorkerFailedError as error:
            # where all processes are signaled at once a worker may have died of it already
            if error.was_signaled:
                await asyncio.wait((waiting,), timeout=_SIGNALED_TOGETHER)
            if not self._stop.is_set():
                raise
        finally:
            waiting.cancel()
        return not self._stop.is_set()

    def _on_started(self, watch: Watch | None) -> None:
        self._pool.has_started = True
        supervisor = self._supervisor
        for target in supervisor.settings.targets:
            pids = [str(w.pid) for w in supervisor.workers if w.target == target and w.ready]
            count = "1 worker" if len(pids) == 1 else f"{len(pids)} workers"
            self._tell(f"{target} is served by {count} ({', '.join(pids)})")
        self._notifier.ready(f"serving {', '.join(supervisor.settings.targets)}")
        if watch is not None:
            self._do(self._reload_on_change(watch))
        if self._notifier.watchdog:
            self._do(self._show_life())

    def _do(self, job: Any) -> None:
        task = asyncio.ensure_future(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)

    def _on_stop(self) -> None:
        if self._is_forced:
            self._supervisor.kill()
        elif self._stop.is_set():
            self._is_forced = True
            self._supervisor.force()
            self._tell("ending at once")
        else:
            self._pool.is_draining = True
            self._stop.set()
            self._tell("draining; once more ends at once")

    def _on_reload(self) -> None:
        if self._stop.is_set():
            self._tell("draining: nothing is replaced")
        else:
            self._do(self._reload())

    async def _reload(self) -> None:
        if not self._pool.has_started:  # the first READY is the start's, which is not over
            await self._supervisor.reload()
            return
        self._reloads += 1
        self._notifier.reloading()
        try:
            await self._supervisor.reload()
        finally:
            self._reloads -= 1
            if not (self._reloads or self._stop.is_set()):
                self._notifier.ready("serving")

    async def _reload_on_change(self, watch: Watch) -> None:
        async for path in watch.changes():
            self._tell(f"{path} has changed")
            await self._reload()

    async def _show_life(self) -> None:
        while True:
            self._notifier.alive()
            await asyncio.sleep(self._notifier.watchdog)
