"""The driver's end of a worker process: sends commands, reads answers."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
GO_PROGRAM = ROOT / ".make" / "bench-nats-go"


class WorkerError(Exception):
    """A worker could not do what it was told, or is not there."""


class Process:
    """One worker process of a peer.

    Raises:
        WorkerError: the peer's program is not built.
    """

    def __init__(self, peer: str, loop: str, port: int) -> None:
        env = dict(os.environ, PYTHONPATH=str(ROOT), BENCH_PORT=str(port))
        argv = [sys.executable, "-m", "benchmarks.worker", peer, loop]
        if peer == "nats.go":
            if not GO_PROGRAM.exists():
                raise WorkerError("not built: see benchmarks/go/README.md")
            argv = [str(GO_PROGRAM)]
        self._peer = peer
        self._process = subprocess.Popen(
            argv,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=None if "BENCH_DEBUG" in os.environ else subprocess.DEVNULL,
            cwd=ROOT,
            env=env,
            text=True,
        )

    def do(self, command: str, **arguments: Any) -> Any:
        """Send a command and wait for its answer.

        Raises:
            WorkerError: the command failed, or the process ended.
        """
        self.tell(command, **arguments)
        return self.answer()

    def tell(self, command: str, **arguments: Any) -> None:
        """Send a command, whose `answer` is read later."""
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps({"do": command, **arguments}) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # the process has ended; its last answer says why

    def answer(self) -> Any:
        """Wait for the answer to the oldest command without one.

        Raises:
            WorkerError: the command failed, or the process ended.
        """
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise WorkerError(f"{self._peer}: the process ended, status {self._process.wait()}")
        answer = json.loads(line)
        if "error" in answer:
            raise WorkerError(answer["error"])
        return answer["result"]

    def stop(self) -> None:
        """End the process: by a command, and after 5 seconds by SIGKILL."""
        self.tell("close")
        try:
            self._process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def free_port() -> int:
    """Return a port that is free now, for peers that listen themselves."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Blaster:
    """Writes ready-made PUB frames to a nats-server, as fast as it takes them."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.create_connection((host, port))
        self._lines = self._socket.makefile("rb")
        self._lines.readline()
        self._socket.sendall(b'CONNECT {"verbose":false,"pedantic":false}\r\n')
        self.flush()

    def publish(self, subject: str, data: bytes, count: int) -> None:
        """Publish so many messages and wait until the server has them."""
        frame = b"PUB %s %d\r\n%s\r\n" % (subject.encode(), len(data), data)
        self._socket.sendall(frame * count)
        self.flush()

    def flush(self) -> None:
        """Wait for the answer to a PING."""
        self._socket.sendall(b"PING\r\n")
        while self._lines.readline() != b"PONG\r\n":
            pass

    def close(self) -> None:
        """Close the connection."""
        self._lines.close()
        self._socket.close()
