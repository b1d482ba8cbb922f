"""Worker processes of the tests: forked, signaled by their own id, and ended with the session."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.core.harness import soon

from .worker import Settings, to_line

ROOT = Path(__file__).parents[2]


class Forks:
    """The process that forks workers (`tests/faults/worker.py`), and how each of them ended."""

    def __init__(self) -> None:
        self.codes: dict[int, int] = {}
        self._new: list[int] = []
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.worker"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            told: dict[str, int] = json.loads(line)
            if "pid" in told:
                self.codes.pop(told["pid"], None)  # of an earlier one: numbers come again
                self._new.append(told["pid"])
            else:
                self.codes[told["ended"]] = told["code"]

    def start(self, settings: Settings) -> int:
        """Fork a worker; its process id."""
        assert self._process.stdin is not None
        self._process.stdin.write(to_line(settings))
        self._process.stdin.flush()
        soon(lambda: self._new, 30, what="a forked worker")
        return self._new.pop()

    def end(self, pids: list[int]) -> None:
        """Kill these workers, and wait for their ends."""
        for pid in pids:
            if pid not in self.codes:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        soon(lambda: self.codes.keys() >= set(pids), what=f"the ends of {pids}")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._reader.join(10)
        self._process.stdout.close()
