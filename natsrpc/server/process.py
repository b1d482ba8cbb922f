"""A nats-server as a child process: started, reloaded, restarted and stopped.

The rule kept here: nothing is guessed. The server is ready when it has written its ports file, and
its ports are those in the file. A reload is over when the log says so. Every process is ended by
its own id.

The methods block, for some tens of milliseconds. Where the event loop must go on meanwhile, call
them through `asyncio.to_thread`; `async with` does so by itself.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from natsrpc.errors import ServerStartError

from .child import Startable, looks, own_process_group
from .executable import find_server
from .ports import hold_port
from .watchdog import watchdog

_STOP_GRACE = 5.0  # seconds from SIGTERM to SIGKILL

# The servers that are running: those that a test forgot are ended with the interpreter.
_running: set[NatsServer] = set()


class NatsServer(Startable):
    """A nats-server process on loopback. It keeps its port over restarts.

    Use it by `async with`, by `with`, or by `start()` and `stop()`.

    Args:
        config: the text of a configuration file. Host and port are given on the command line, which
            overrides the file.
        args: further command-line arguments.
        port: the port for clients; 0 means a free one, chosen at the first start.
        host: the address to listen on.
        executable: the program, instead of the one that `find_server()` finds.
        jetstream: enable JetStream, with its store in `folder`. It outlasts `kill` and `restart`.
        ready_timeout: seconds within which the server must be ready, and a reload be over.

    `cluster_port`, `websocket_port` and `monitor_port` are the ports of these listeners, 0 where
    the configuration asks for none. They, and a port of 0, are known once the server has started.
    `process` is the running process, None if there is none.
    """

    def __init__(
        self,
        config: str | None = None,
        *,
        args: Sequence[str] = (),
        port: int = 0,
        host: str = "127.0.0.1",
        executable: Path | None = None,
        jetstream: bool = False,
        ready_timeout: float = 10.0,
    ) -> None:
        self.config = config
        self.jetstream: bool = jetstream
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
        """The URL that clients connect to."""
        return f"nats://{self.host}:{self.port}"

    @property
    def pid(self) -> int:
        """The id of the process.

        Raises:
            ServerStartError: the server was not started, or was stopped.
        """
        return self._alive().pid

    @property
    def is_running(self) -> bool:
        """Whether the process is running."""
        return self.process is not None and self.process.poll() is None

    @property
    def folder(self) -> Path:
        """The folder of configuration, log and ports file, made when first asked for and removed
        by `stop()`."""
        if self._folder is None:
            # on Windows a process that just ended may still hold a file: no reason to fail
            self._folder = tempfile.TemporaryDirectory(
                prefix="natsrpc-server-", ignore_cleanup_errors=True
            )
        return Path(self._folder.name)

    @property
    def log(self) -> str:
        """The server's output so far, over all restarts; empty after `stop()`."""
        with contextlib.suppress(FileNotFoundError):
            return (self.folder / "log").read_text(encoding="utf-8", errors="replace")
        return ""

    # -- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the server and wait until it takes connections. A running one is left alone.

        Raises:
            ServerNotFoundError: no executable was found.
            ServerStartError: the server ended, or was not ready in time; `log` is its output.
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
                **own_process_group(),
            )
        _running.add(self)
        watchdog.watch(self.process.pid)
        try:
            self._await_ready()
        except BaseException:
            self.kill()
            raise

    def stop(self) -> None:
        """End the server and remove its files: SIGTERM, and SIGKILL after 5 seconds.

        A server that is not running only has its files removed.
        """
        self._end(polite=True)
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None
        if self._held_port is not None:
            self._held_port.close()
            self._held_port = None

    def kill(self) -> None:
        """End the server at once (SIGKILL). Port, files and log stay for `start()`."""
        self._end(polite=False)

    def restart(self) -> None:
        """End the server and start it again on the same port for clients; the log goes on.

        Raises:
            ServerNotFoundError, ServerStartError: as `start`.
        """
        self._end(polite=True)
        self.start()

    def signal(self, number: int) -> None:
        """Send the process a signal.

        Raises:
            ServerStartError: the server is not running.
        """
        self._alive().send_signal(number)

    def lame_duck(self) -> None:
        """Ask for lame duck mode (SIGUSR2): the server tells its clients, then closes one
        connection after the other and ends. Nothing is waited for.

        Raises:
            ServerStartError: the server is not running.
            NotImplementedError: on Windows, which has no such signal.

        Ref: https://docs.nats.io/running-a-nats-service/nats_admin/lame_duck_mode
        """
        if sys.platform == "win32":
            raise NotImplementedError("lame duck mode needs a signal that Windows has not")
        self.signal(signal.SIGUSR2)

    def reload(self, config: str | None = None) -> None:
        """Have the configuration read again (SIGHUP), and wait until it is in force.

        Args:
            config: the text of a new configuration file; None for the one that is there.

        Raises:
            ServerStartError: the server is not running, or did not take the configuration, in which
                case it goes on with the old one.
            NotImplementedError: on Windows, which has no such signal.
        """
        if sys.platform == "win32":
            raise NotImplementedError("a reload needs a signal that Windows has not")
        if config is not None:
            self.config = config
            (self.folder / "server.conf").write_text(config, encoding="utf-8")
        before = len(self.log)
        self.signal(signal.SIGHUP)
        for _ in looks(self._ready_timeout):
            news = self.log[before:]
            if "Failed to reload server configuration" in news:
                raise ServerStartError("nats-server refused the configuration", log=news)
            if "Reloaded server configuration" in news:
                return
        raise ServerStartError("nats-server did not reload its configuration", log=self.log)

    def info(self, timeout: float = 5.0) -> dict[str, Any]:
        """Return the INFO that a client would read first, by a short connection of its own.

        Args:
            timeout: seconds to wait for the connection, and for the INFO.

        Raises:
            OSError: the server cannot be reached, or did not answer in time.
        """
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
        if self.jetstream:
            arguments += ["-js", "-sd", str(self.folder / "jetstream")]
        return arguments + self.args

    def _hold_port(self) -> None:
        if self._chooses_port and self._held_port is None:
            self._held_port = hold_port(self.host, self.port)
            if self._held_port is not None:
                self.port = self._held_port.getsockname()[1]

    def _await_ready(self) -> None:
        process = self._alive()
        for _ in looks(self._ready_timeout):
            if process.poll() is not None:
                raise ServerStartError(
                    f"nats-server ended with code {process.returncode} while starting:\n{self.log}",
                    log=self.log,
                )
            for path in self.folder.glob("*.ports"):
                # A file that is no JSON is still being written: look again.
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
        watchdog.forget(process.pid)
        self.process = None
        _running.discard(self)


def _port_of(urls: Iterable[str] | None) -> int:
    for url in urls or ():
        return int(url.rpartition(":")[2])
    return 0


@atexit.register
def _end_all() -> None:
    for server in list(_running):
        server.stop()
