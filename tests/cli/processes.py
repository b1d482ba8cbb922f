"""The command as a process of its own: started, read while it runs, signaled, ended."""

from __future__ import annotations

import asyncio
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.core.harness import soon

ROOT = Path(__file__).parents[2]
PROGRAM = ("-m", "natsrpc.cli.main")


def environment(**variables: str) -> dict[str, str]:
    """Ours without anything that says where to connect."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith("NATS_") or k.endswith("_BIN")}
    return kept | {"XDG_CONFIG_HOME": "/nowhere", "PYTHONUNBUFFERED": "1"} | variables


class Command:
    """`natsrpc …` in a session of its own, its output read line by line as it comes."""

    def __init__(
        self,
        *arguments: str,
        cwd: Path = ROOT,
        env: Mapping[str, str] | None = None,
        program: Sequence[str] = PROGRAM,
    ) -> None:
        self.process = subprocess.Popen(
            [sys.executable, *program, *arguments],
            cwd=cwd,
            env={**environment(), "PYTHONPATH": str(ROOT), **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.lines: list[str] = []
        self._queue: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self._queue.put(line.rstrip("\n"))
        self._queue.put(None)

    @property
    def output(self) -> str:
        return "\n".join(self.lines)

    @property
    def end(self) -> str:
        """The last lines of the output, for people."""
        return "\n".join([*(["[...]"] if len(self.lines) > 60 else []), *self.lines[-60:]])

    def wait_for(self, text: str, timeout: float = 30.0) -> str:
        """Read on until a line has `text` in it, and return that line."""
        end = time.monotonic() + timeout
        while True:
            try:
                line = self._queue.get(timeout=max(0.01, end - time.monotonic()))
            except queue.Empty:
                raise AssertionError(f"no {text!r} within {timeout} s in:\n{self.end}") from None
            if line is None:
                raise AssertionError(f"ended without {text!r}:\n{self.end}")
            self.lines.append(line)
            if text in line:
                return line

    def wait(self, timeout: float = 60.0) -> int:
        """Wait for its end; the rest of its output is then in `output`."""
        try:
            code = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self._drain_queue()
            raise AssertionError(f"still running after {timeout} s:\n{self.output}") from None
        self._reader.join(10.0)
        self._drain_queue()
        return code

    def _drain_queue(self) -> None:
        while not self._queue.empty():
            line = self._queue.get()
            if line is not None:
                self.lines.append(line)

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
            self.process.wait()
        self._reader.join(10.0)
        assert self.process.stdout is not None
        self.process.stdout.close()


def run_command(
    *arguments: str, stdin: str = "", cwd: Path = ROOT, **variables: str
) -> tuple[int, str, str]:
    """Run `natsrpc …` to its end: exit code, stdout, stderr."""
    done = subprocess.run(
        [sys.executable, *PROGRAM, *arguments],
        cwd=cwd,
        env=environment(**{"PYTHONPATH": str(ROOT)} | variables),
        input=stdin,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.returncode, done.stdout, done.stderr


def is_alive(pid: int) -> bool:
    """Whether a process is there and not only waiting to be reaped."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


def all_gone(pids: Iterable[int], timeout: float = 10.0) -> bool:
    """Whether all these processes end within the time."""
    left = list(pids)
    soon(lambda: not any(is_alive(pid) for pid in left), timeout, what=f"the end of {left}")
    return True


class Shell:
    """The command, run beside the service."""

    def __init__(self, url: str) -> None:
        self.url = url

    async def __call__(self, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
        return await asyncio.to_thread(run_command, *arguments, stdin=stdin, NATS_URL=self.url)
