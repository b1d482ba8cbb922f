"""The service that lives through the faults, and the process that forks workers of it.

Every run of a handler is a line in a ledger before it does anything, so that what ran is known also
of a worker that was killed. `python -m tests.faults.worker` forks: a new worker costs no imports.
`natsrpc run` of `tests/faults/worker.py:service` serves the same.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import os
import signal
import sys
import time
import traceback
from collections.abc import AsyncIterator, Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pydantic import BaseModel

import natsrpc

PAUSE = 0.15
"""Seconds that a handler takes, so that a fault finds some running."""

SHORT = PAUSE / 5
"""The same, of what nobody waits for: there are many of them."""

ITEMS = 12
"""Items of a stream and of an upload."""

PATIENCE = 2.0
"""Seconds without a word of the other side after which conversations end: 6 by default."""


class Happened(BaseModel):
    """What the event carries."""

    number: int
    pad: str = ""


happened = natsrpc.Event("faultsevents.happened", Happened)


@dataclass
class Settings:
    """What a worker is given: where to serve, where to write, and its limits."""

    urls: list[str]
    ledger: str
    options: dict[str, Any] = field(default_factory=dict)
    max_concurrency: int = 500
    max_waiting: int = 10_000


class Ledger:
    """Lines that are in the file at once, whatever becomes of the process."""

    def __init__(self, path: str) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def write(self, word: str, *values: object) -> None:
        os.write(self._file, (" ".join([word, *map(str, values)]) + "\n").encode())


class Served:
    """One handler for each kind of traffic, and what faults ask a worker for."""

    def __init__(self, settings: Settings) -> None:
        self.ledger = Ledger(settings.ledger)
        waiting = settings.max_waiting
        self.service = natsrpc.Service(
            "faults", version="1.0.0", max_concurrency=settings.max_concurrency,
            presence_timeout=PATIENCE, max_waiting=waiting,
        )  # fmt: skip
        handler = self.service.handler
        for name in ("call", "policy"):
            handler(f"faults.{name}", name=name)(self._unary(name))
        handler("faults.publish", name="publish")(self._unary("publish", SHORT))
        handler("faults.idempotent", name="idempotent", idempotent=True)(self._unary("idempotent"))
        handler("faults.gather", name="gather", queue_group=None)(self._unary("gather"))
        handler("faults.stream")(self.stream)
        handler("faults.upload")(self.upload)
        handler("faults.large")(self.large)
        self.service.subscriber(happened, name="event", max_waiting=waiting)(self.event)
        handler(f"faults.block.{os.getpid()}", name="block")(self.block)
        handler(f"faults.facts.{os.getpid()}", name="facts")(self.facts)
        handler("faults.renew", queue_group=None)(self.renew)
        handler("faults.jump", queue_group=None)(self.jump)
        handler("faults.where", queue_group=None)(self.where)

    def _unary(self, name: str, pause: float = PAUSE) -> Callable[..., Any]:
        async def run(number: int, pad: str = "") -> int:
            self.ledger.write(name, number)
            await asyncio.sleep(pause)  # why: a fault finds it running
            return number

        return run

    async def stream(self, number: int, pad: str = "") -> AsyncIterator[int]:
        self.ledger.write("stream", number)
        for index in range(ITEMS):
            yield number + index
            await asyncio.sleep(PAUSE / ITEMS)  # why: a fault finds it running

    async def upload(self, items: AsyncIterator[int]) -> int:
        total = 0
        async for item in items:
            if not total:
                self.ledger.write("upload", item)
            total += item
        return total

    async def large(self, data: bytes) -> bytes:
        self.ledger.write("large", int.from_bytes(data[:8], "big"))
        await asyncio.sleep(PAUSE)  # why: a fault finds it running
        return data

    async def event(self, event: Happened) -> None:
        self.ledger.write("event", event.number)
        await asyncio.sleep(SHORT)  # why: a fault finds it running

    async def block(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251  # why: a loop that is blocked is what was asked for

    async def jump(self, seconds: float) -> int:
        jump(seconds)
        return os.getpid()

    async def renew(self, client: natsrpc.Client) -> None:
        """Connect anew, with what the files say by now."""
        await client.connection.force_reconnect()
        await client.connection.flush()
        self.ledger.write("renewed", os.getpid())

    async def facts(self) -> dict[str, int]:
        """What this worker holds."""
        return facts()

    async def where(self, client: natsrpc.Client) -> int:
        """The port of the server that this worker is connected to."""
        address = client.connection.server_address
        return 0 if address is None else address[1]


def facts() -> dict[str, int]:
    """What this process holds, once garbage is collected."""
    gc.collect()
    status = Path("/proc/self/status").read_text()
    resident = next(line for line in status.splitlines() if line.startswith("VmRSS"))
    return {
        "KiB": int(resident.split()[1]),
        "descriptors": len(os.listdir("/proc/self/fd")),
        "tasks": len(asyncio.all_tasks()),
        "objects": len(gc.get_objects()),
    }


_wall = time.time
_wall_ns = time.time_ns


def jump(seconds: float) -> None:
    """Set this process's clock on the wall so far off; 0 sets it right."""
    time.time = lambda: _wall() + seconds
    time.time_ns = lambda: _wall_ns() + int(seconds * 1e9)


def serve(settings: Settings) -> None:
    """Be a worker, until told to stop."""
    served = Served(settings)

    async def tell(connection: object, subscription: object, error: Exception) -> None:
        if isinstance(error, natsrpc.MessagesLostError):
            served.ledger.write("told", error.endpoint, error.dropped, error.failed)

    natsrpc.run(
        served.service,
        servers=settings.urls,
        on_ready=lambda: served.ledger.write("ready", os.getpid()),
        on_error=tell,
        **settings.options,
    )


def log_of(settings: Settings) -> str:
    """The file of what the workers of a ledger say."""
    return settings.ledger + ".log"


# a process that forks


def fork(settings: Settings) -> int:
    """Start a worker, and tell its process id before it may be told that it ended."""
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGCHLD})
    pid = os.fork()
    if pid:
        tell({"pid": pid})
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        return pid
    code = 1
    try:
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGCHLD})
        os.dup2(os.open(log_of(settings), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), 2)
        os.dup2(2, 1)  # what the first process says there is read line by line
        with contextlib.suppress(OSError):
            os.close(0)
        serve(settings)
        code = 0
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stderr.flush()
        os._exit(code)


def reap() -> None:
    """Tell how workers ended."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitpid(-1, os.WNOHANG))[0]:
            pid, status = ended
            tell({"ended": pid, "code": os.waitstatus_to_exitcode(status)})


def tell(what: dict[str, int]) -> None:
    os.write(1, (json.dumps(what) + "\n").encode())


def main() -> None:
    """Read settings line by line, fork a worker for each, and tell of them; end them at EOF."""
    children: list[int] = []
    signal.signal(signal.SIGCHLD, lambda *_: reap())
    while line := sys.stdin.readline():
        children.append(fork(Settings(**json.loads(line))))
    for child in children:
        with contextlib.suppress(ProcessLookupError):
            os.kill(child, signal.SIGKILL)


def to_line(settings: Settings) -> str:
    return json.dumps(asdict(settings)) + "\n"


def __getattr__(name: str) -> natsrpc.Service:
    """`service`, for `natsrpc run`: its settings come by the environment."""
    if name != "service":
        raise AttributeError(name)
    return Served(Settings(urls=[], ledger=os.environ["FAULTS_LEDGER"])).service


if __name__ == "__main__":
    main()
