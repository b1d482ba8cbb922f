"""With `natsrpc.once` no effect is done twice, however workers are killed, and each job is done."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc.jetstream import JetStream
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

from .once import STREAM, Charge, charged, opened, prepare

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]


class Pool:
    """Processes of the worker; `kill` ends one as a crash does, and starts another."""

    def __init__(self, url: str, database: Path) -> None:
        self._command = [sys.executable, "-m", "tests.soak.once", url, str(database)]
        self.processes = [self._start() for _ in range(2)]

    def _start(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(self._command, cwd=Path(__file__).parents[2])

    def kill(self, number: int) -> None:
        place = number % len(self.processes)
        self.processes[place].send_signal(signal.SIGKILL)
        self.processes[place].wait()
        self.processes[place] = self._start()

    def kill_all(self) -> None:
        """As the death of their supervisor does."""
        self.close()
        self.processes = [self._start() for _ in self.processes]

    def close(self) -> None:
        for process in self.processes:
            process.kill()
            process.wait()


@asynccontextmanager
async def pool(url: str, database: Path) -> AsyncIterator[Pool]:
    made = Pool(url, database)
    try:
        yield made
    finally:
        made.close()


def long(victim: str) -> Any:
    return pytest.param(victim, 10_000, 20, marks=[pytest.mark.soak, pytest.mark.timeout(600)])


@pytest.mark.parametrize(
    ("victim", "jobs", "kills"),
    [("workers", 600, 3), long("workers"), long("servers"), long("supervisor")],
)
async def test_no_effect_is_done_twice(
    fresh_jetstream: NatsServer, tmp_path: Path, victim: str, jobs: int, kills: int
) -> None:
    file = tmp_path / "shop.db"
    prepare(str(file))
    with closing(opened(str(file))) as database:

        def count(what: str) -> int:
            found: int = database.execute(f"SELECT count({what}").fetchone()[0]
            return found

        def is_done(jobs: int) -> bool:
            return count("*) FROM effects") >= jobs

        async with natsrpc.connect(
            fresh_jetstream.url, reconnect_wait=0.05, max_reconnect_attempts=-1
        ) as client:
            stream = await JetStream(client.connection).create_stream(STREAM)
            for number in range(jobs):
                await client.enqueue(charged, Charge(order_id=str(number)))
            async with pool(fresh_jetstream.url, file) as workers:
                for number in range(kills):
                    due = (number + 1) * jobs // (kills + 1)
                    await eventually(partial(is_done, due), 120)
                    if victim == "workers":
                        workers.kill(number)
                    elif victim == "supervisor":
                        workers.kill_all()
                    else:
                        fresh_jetstream.kill()
                        fresh_jetstream.start()

                async def is_empty() -> bool:
                    with contextlib.suppress(natsrpc.NatsError):  # the server has just begun
                        return (await stream.info()).state.messages == 0
                    return False

                await eventually(is_empty, 120)
        effects, done = count("*) FROM effects"), count("DISTINCT order_id) FROM effects")
        again = count("*) FROM deliveries") - effects
    print(
        f"{jobs} jobs, {kills} kills of {victim}: {again} were delivered again after they were done"
    )
    assert (effects, done) == (jobs, jobs)
    # Without `once` these would have been charged twice. Where servers forget acks, processes tell
    # each other what they have done: so it may be none.
    assert again > 0 or victim == "servers"
