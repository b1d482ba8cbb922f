"""`natsrpc demo`: scans Python's standard library with a pool of workers on a real nats-server.

Everything is as a user would run it: the workers are processes under the supervisor of
`natsrpc run`, the calls are typed calls of one client. A call that failed because its worker was
lost or busy is sent again, which is safe because a scan changes nothing; the summary counts these
calls.
"""

from __future__ import annotations

import asyncio
import heapq
import signal
import sysconfig
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
)

from natsrpc import codecs
from natsrpc.errors import (
    CodecError,
    ConfigError,
    NatsRpcError,
    NatsTimeoutError,
    NoRespondersError,
    RpcError,
)
from natsrpc.rpc import Client, connect, on_signals
from natsrpc.server import NatsServer

from .command import run_command
from .supervisor import Supervisor, WorkSettings
from .target import load_module

__all__ = ["demo"]

IN_FLIGHT = 64
CALL_TIMEOUT = 10.0  # seconds; only the calls of a lost worker take that long
TRIES = 6
_AGAIN_LATER = (429, 503, 504)  # overloaded, stopping, too late: another worker may answer
_SERVER = "max_payload: 8MB"  # the default of 1 MB is less than some files


def demo(
    path: Annotated[
        Path | None, typer.Option(help="Folder to scan instead of the standard library.")
    ] = None,
    workers: Annotated[int, typer.Option("--workers", "-w", min=1, help="Processes.")] = 3,
    codec: Annotated[str, typer.Option(help="How the bytes are made: json or msgpack.")] = "json",
) -> None:
    """Scan Python's standard library with a pool of workers on a real nats-server."""
    run_command(lambda: Demo(path, workers, codec).run())


@dataclass(slots=True)
class Tally:
    """The counts of one run. `took` are seconds, `longest` the longest functions found."""

    files: int = 0
    answered: int = 0
    syntax_errors: int = 0
    seconds: float = 0.0
    took: list[float] = field(default_factory=list)
    workers: Counter[int] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    again: Counter[str] = field(default_factory=Counter)
    longest: list[tuple[int, str, str]] = field(default_factory=list)

    def take(self, report: Any, seconds: float) -> None:
        """Count one report."""
        self.answered += 1
        self.took.append(seconds)
        self.workers[report.worker] += 1
        self.syntax_errors += report.syntax_error is not None
        if report.longest is not None:
            found = (report.longest.lines, report.longest.name, report.longest.location)
            self.longest = heapq.nlargest(10, [*self.longest, found])

    def percentile(self, share: float) -> float:
        """Return the milliseconds within which this share of the calls (0 to 1) was answered."""
        ordered = sorted(self.took) or [0.0]
        return 1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Demo:
    """One run: a server, a pool, a client, and what people see of them."""

    def __init__(self, path: Path | None, workers: int, codec: str) -> None:
        self._root = path or Path(sysconfig.get_path("stdlib"))
        self._whole = path is not None
        self._workers = workers
        self._codec = codec
        self._console = Console(soft_wrap=True, highlight=False, markup=False, emoji=False)
        self._events: list[str] = []
        self._tally = Tally()
        self._interrupted = False

    async def run(self) -> int:
        """Scan all files, and return the exit code: 0 if each was answered, 130 if interrupted.

        Server and workers are stopped in any case.

        Raises:
            ConfigError: the folder is not there or has no .py file, or the codec is unknown.
            NatsRpcError: the server or a worker did not start.
        """
        _check_codec(self._codec)  # before anything is started
        files = list(self._files())
        if not files:
            raise ConfigError(f"there is no .py file in {str(self._root)!r}")
        self._tally.files = len(files)
        supervisor: Supervisor | None = None
        this = asyncio.current_task()

        def on_signal() -> None:
            if self._interrupted and supervisor is not None:
                supervisor.kill()
            elif this is not None:
                self._interrupted = True
                this.cancel()

        on_signals(on_signal, signal.SIGINT, signal.SIGTERM)
        try:
            async with NatsServer(_SERVER) as server:
                self._console.print(f"nats-server is ready on {server.url}")
                settings = WorkSettings([str(service_file())], [server.url])
                supervisor = Supervisor(settings, self._workers, say=self._event)
                try:
                    await self._work(server, supervisor, files)
                finally:
                    await supervisor.stop()
        except asyncio.CancelledError:
            if not self._interrupted:
                raise
        self._summary(supervisor)
        if self._interrupted:
            return 130
        return 0 if self._tally.answered == len(files) else 1

    async def _work(self, server: NatsServer, supervisor: Supervisor, files: list[Path]) -> None:
        await supervisor.start()
        pids = ", ".join(map(str, supervisor.pids))
        self._console.print(f"{len(supervisor.pids)} workers are ready (pids {pids})")
        module = load_module(str(service_file()))
        async with connect(server.url, codec=self._codec, name="natsrpc demo") as client:
            started = time.perf_counter()
            try:
                with self._progress() as progress:
                    bar = progress.add_task("scanning", total=len(files))
                    todo = iter(files)

                    async def send() -> None:
                        for path in todo:
                            await self._scan(client, module, path)
                            progress.advance(bar)

                    async with asyncio.TaskGroup() as group:
                        for _ in range(IN_FLIGHT):
                            group.create_task(send())
            finally:
                self._tally.seconds = time.perf_counter() - started
            await client.drain()

    async def _scan(self, client: Client, module: ModuleType, path: Path) -> None:
        """Send one file, up to `TRIES` times, and count its report or its error."""
        try:
            source = module.read_source(path, str(path.relative_to(self._root)))
        except OSError as error:
            self._tally.errors[type(error).__name__] += 1
            return
        for attempt in range(TRIES):
            started = time.perf_counter()
            try:
                report = await client.call(module.scan, source, timeout=CALL_TIMEOUT)
            except NatsRpcError as error:
                kind = type(error).__name__
                if attempt == TRIES - 1 or not _may_try_again(error):
                    self._tally.errors[kind] += 1
                    return
                self._tally.again[kind] += 1
                await asyncio.sleep(0.1 * 2**attempt)
            else:
                self._tally.take(report, time.perf_counter() - started)
                return

    def _files(self) -> Iterator[Path]:
        if not self._root.is_dir():
            raise ConfigError(f"there is no folder {str(self._root)!r}")
        others = set() if self._whole else {"site-packages", "dist-packages"}
        for path in sorted(self._root.rglob("*.py")):
            if path.is_file() and others.isdisjoint(path.relative_to(self._root).parts):
                yield path

    # -- the output --------------------------------------------------------------------------------

    def _event(self, text: str) -> None:
        self._events.append(text)
        self._console.print(text)

    def _progress(self) -> Progress:
        return Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self._console,
        )

    def _summary(self, supervisor: Supervisor | None) -> None:
        tally, out = self._tally, self._console.print
        if self._interrupted:
            out("interrupted; what was done until then:")
        rate = len(tally.took) / tally.seconds if tally.seconds else 0.0
        out(f"files            {tally.files}, answered {tally.answered}")
        out(f"syntax errors    {tally.syntax_errors}")
        out(f"calls/s          {rate:.0f} with {IN_FLIGHT} in flight, codec {self._codec}")
        out(f"p50, p99         {tally.percentile(0.5):.1f} ms, {tally.percentile(0.99):.1f} ms")
        each = ", ".join(f"pid {pid}: {calls}" for pid, calls in sorted(tally.workers.items()))
        out(f"calls by worker  {each or 'none'}")
        out(f"errors           {_counted(tally.errors)}")
        if tally.again:
            out(f"sent again       {_counted(tally.again)} (a worker was lost or busy)")
        out(f"restarts         {supervisor.restarts if supervisor else 0}")
        for event in self._events:
            out(f"                 {event}")
        if tally.longest:
            out("longest functions")
            for lines, name, location in tally.longest:
                out(f"  {lines:>6} lines  {name}  {location}")


def _check_codec(name: str) -> None:
    """Refuse a codec that is not known, or cannot carry what the demo sends.

    Raises:
        ConfigError: it is such a codec.
    """
    codec = codecs.get(name)
    sample = load_module(str(service_file())).read_source(Path(__file__), "sample")
    try:
        codec.bind(type(sample)).encode(sample)
    except (ConfigError, CodecError):
        raise ConfigError(
            f"codec {name!r} cannot carry what the demo sends: json and msgpack can"
        ) from None


def service_file() -> Path:
    """Return the file of the demo's service: beside this one once installed, else an example."""
    installed = Path(__file__).with_name("codescan.py")
    if installed.is_file():
        return installed
    return Path(__file__).parents[2] / "examples" / "services" / "codescan.py"


def _may_try_again(error: NatsRpcError) -> bool:
    if isinstance(error, RpcError):
        return error.code in _AGAIN_LATER
    return isinstance(error, NatsTimeoutError | NoRespondersError)


def _counted(kinds: Counter[str]) -> str:
    return ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items())) or "none"
