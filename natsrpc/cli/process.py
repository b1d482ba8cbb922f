"""`WorkerProcess`: one worker process of a pool, as its supervisor sees it.

The two talk over a loopback connection, in lines of JSON (see `worker`). Besides, the worker's
stdin is a pipe that nothing is written to: its end tells a worker that its supervisor is gone, by
whatever death, also where the worker's event loop does not run.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from natsrpc.server import own_process_group

from .settings import WorkSettings
from .worker import CONTROL_VARIABLE

__all__ = ["WorkerProcess", "spawn"]

_SILENT = {"status": "silent"}
_LAST_WORDS = 1.0  # seconds in which a stuck worker may write where it is stuck


class WorkerProcess:
    """One worker process, and the supervisor's end of the connection to it.

    `loaded` is set once its services are imported; `decided` once it is ready, has failed or has
    ended; `ended` is done, with the exit code, once the process is gone and its last words read.
    `state` is "starting", "ready", "draining", "stuck" or "ended".
    """

    def __init__(self, name: str, target: str, process: asyncio.subprocess.Process) -> None:
        self.name = name
        self.target = target
        self.process = process
        self.pid: int = process.pid
        self._pidfd: int | None = _pidfd_of(process.pid)
        self.began: float = asyncio.get_running_loop().time()
        self.ready: bool = False
        self.draining: bool = False
        self.discarded: bool = False
        self.failure: str = ""
        self.is_usage: bool = False
        self.services: list[dict[str, Any]] = []
        self.requests: int = 0
        self.stuck_for: float = 0.0
        self.loaded: asyncio.Event = asyncio.Event()
        self.decided: asyncio.Event = asyncio.Event()
        self.line: asyncio.StreamWriter | None = None
        self._asked_at: float | None = None
        self._health: list[asyncio.Future[dict[str, Any]]] = []
        self._told = asyncio.Event()  # nothing more will come over the line
        self._told.set()
        self.ended: asyncio.Task[int] = asyncio.create_task(self._watch())

    @property
    def state(self) -> str:
        """The state in a word, for people and pages."""
        if self.process.returncode is not None:
            return "ended"
        if self.stuck_for:
            return "stuck"
        if self.draining:
            return "draining"
        return "ready" if self.ready else "starting"

    async def _watch(self) -> int:
        code = await self.process.wait()
        if self._pidfd is not None:
            os.close(self._pidfd)
            self._pidfd = None
        await self._told.wait()  # the last words may still be in the socket
        self.loaded.set()
        self.decided.set()
        if self.process.stdin is not None:
            self.process.stdin.close()
        return code

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read the worker's messages until its connection ends."""
        self.line = writer
        self._told.clear()
        try:
            while line := await reader.readline():
                self._hear(json.loads(line))
        except OSError:  # killed: the reset says no more than the end of the process does
            pass
        finally:
            self.line = None
            self._told.set()
            for future in self._health:
                future.cancel()

    def _hear(self, said: dict[str, Any]) -> None:
        self._asked_at = None  # whatever it says, it is not stuck
        if "loaded" in said:
            self.services = said["loaded"]
            self.loaded.set()
        elif "ready" in said:
            self.ready = True
            self.decided.set()
        elif "failed" in said:
            self.failure = said["failed"]
            self.is_usage = bool(said.get("usage"))
            self.loaded.set()
            self.decided.set()
        elif "requests" in said:
            self.requests = int(said["requests"])
        elif "health" in said:
            for future in self._health:
                if not future.done():
                    future.set_result(said["health"])
            self._health.clear()

    def tell(self, do: str) -> None:
        """Send an order: "serve", "drain", "force", "ping" or "health"."""
        if self.line is not None:
            self.line.write(json.dumps({"do": do}).encode() + b"\n")

    async def health(self, timeout: float) -> dict[str, Any]:
        """Ask the worker how it is; a worker that does not answer in time is unwell."""
        if self.state != "ready" or self.line is None:
            return {"status": self.state}
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._health.append(future)
        if len(self._health) == 1:  # all that ask meanwhile share the answer
            self.tell("health")
        try:
            await asyncio.wait([future], timeout=timeout)
            return future.result() if future.done() and not future.cancelled() else _SILENT
        finally:
            with contextlib.suppress(ValueError):
                self._health.remove(future)

    def check(self, now: float, timeout: float, *, excused: bool) -> bool:
        """Ping the worker unless an answer is still owed; whether it is stuck.

        `excused`: the supervisor itself did not run meanwhile, so that no time counts.
        """
        if self._asked_at is None:
            self.tell("ping")
            self._asked_at = now
        elif excused:
            self._asked_at = now
        elif timeout and now - self._asked_at >= timeout:
            self.stuck_for = now - self._asked_at
            return True
        return False

    def drain(self) -> None:
        """Ask the worker to answer the requests that it has, and to end. Nothing is waited for.

        It is asked once: a worker about to end would die of a signal.
        """
        if self.draining:
            return
        self.draining = True
        if self.line is not None:
            self.tell("drain")
        else:
            self._signal(signal.SIGTERM)

    async def end_stuck(self) -> None:
        """End a worker whose event loop stands still; it writes to stderr where, if it can."""
        self._signal(signal.SIGABRT)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_LAST_WORDS):
                await asyncio.shield(self.ended)
        self.kill()

    def discard(self) -> None:
        """Kill a worker that is not needed: how it ends does not matter."""
        self.discarded = True
        self.kill()

    def kill(self) -> None:
        """Kill the process."""
        self._signal(getattr(signal, "SIGKILL", signal.SIGTERM))

    def _signal(self, number: int) -> None:
        """Send a signal, unless the process has ended.

        `Process.send_signal` would look for that first, and so take away the exit code that the
        event loop waits for: of a process that has just ended it would only know 255.
        """
        if self.process.returncode is None:
            with contextlib.suppress(ProcessLookupError, PermissionError):  # the latter on Windows
                if self._pidfd is None:
                    os.kill(self.pid, number)
                else:
                    signal.pidfd_send_signal(self._pidfd, number)

    def memory(self) -> int:
        """The bytes of memory that the process holds; 0 where the system does not tell."""
        try:
            pages = Path(f"/proc/{self.pid}/statm").read_text(encoding="ascii").split()[1]
        except (OSError, IndexError):
            return 0
        return int(pages) * os.sysconf("SC_PAGE_SIZE")

    def how_it_ended(self) -> str:
        """Return how the process ended in words, for the sentence "worker 1 ..."."""
        if self.stuck_for:
            return f"did not answer for {self.stuck_for:.0f} s and was ended"
        code = self.process.returncode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"

    def was_signaled(self) -> bool:
        """Whether it died of a signal that asks to end, before it could take it for one."""
        return self.process.returncode in (-signal.SIGTERM, -signal.SIGINT)


def _pidfd_of(pid: int) -> int | None:
    """What names this process and never another that gets its number; None where there is none."""
    if sys.platform == "linux" and hasattr(os, "pidfd_open"):  # not in each build of Python
        with contextlib.suppress(OSError):  # the process has ended, or the system refuses it
            return os.pidfd_open(pid)
    return None


async def spawn(
    name: str, target: str, settings: WorkSettings, *, port: int, token: str
) -> WorkerProcess:
    """Start a worker process that will connect to `port` and name `token`."""
    environment = {**os.environ, CONTROL_VARIABLE: f"{port}:{token}"}
    environment.pop("NOTIFY_SOCKET", None)  # systemd is told by the supervisor alone
    if settings.uvloop:
        environment["NATSRPC_UVLOOP"] = "1"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",  # files of the current folder must not stand for modules of Python's
        "-m",
        "natsrpc.cli.worker",
        env=environment,
        stdin=subprocess.PIPE,
        **own_process_group(),
    )
    return WorkerProcess(name, target, process)
