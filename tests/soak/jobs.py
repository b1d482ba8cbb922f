"""Ten thousand jobs while what handles them is killed: the service, and how it is watched.

Each handler writes down that it begins and that it has finished, in a file that its process appends
to: what is written survives the process. Run the proof by `make soak ARGS="-k jobs"`.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import natsrpc
from natsrpc import Delivery, Retry
from natsrpc.jetstream import JetStream, Stream, StreamConfig
from natsrpc.testing import NatsServer
from tests.cli.processes import Command
from tests.core.harness import eventually

STREAM, SUBJECT, DURABLE, DEAD = "JOBS", "jobs.do", "work", "dead.jobs"
JOB = 0.01
ACK_WAIT = 2.0
KILLS = 20

service = natsrpc.Service("soak", version="1.0.0")
_file = -1


@service.worker(
    SUBJECT,
    stream=STREAM,
    durable=DURABLE,
    ack_wait=ACK_WAIT,
    retry=Retry(attempts=5 * KILLS),
    dead_letter=DEAD,
)
async def work(number: int, delivery: Delivery) -> None:
    """Do a job, which takes a moment, and write down when it is done."""
    note(b"began", number, delivery.attempt)
    await asyncio.sleep(JOB * random.uniform(0.5, 1.5))  # why: that is the work
    note(b"done", number, delivery.attempt)


def note(what: bytes, number: int, attempt: int) -> None:
    global _file
    if _file < 0:
        _file = os.open(os.environ["JOBS_LOG"], os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(_file, b"%b %d %d %d %.3f\n" % (what, number, os.getpid(), attempt, time.time()))


@dataclass
class Books:
    """What was written down, and which processes were killed."""

    jobs: int
    kills: int = 0
    killed: set[int] = field(default_factory=set)
    begun: Counter[int] = field(default_factory=Counter)
    done_by: dict[int, list[int]] = field(default_factory=lambda: defaultdict(list))
    dead_letters: int = 0
    redelivered: int = 0

    def read(self, path: Path) -> None:
        for line in path.read_bytes().splitlines():
            what, number, pid, *_ = line.split()
            if what == b"began":
                self.begun[int(number)] += 1
            else:
                self.done_by[int(number)].append(int(pid))

    @property
    def lost(self) -> int:
        return self.jobs - len(self.done_by)

    @property
    def again(self) -> list[int]:
        """Jobs that were done more than once."""
        return [number for number, pids in self.done_by.items() if len(pids) > 1]

    @property
    def unexplained(self) -> list[int]:
        """Those of them that were done again although nobody who had done them was killed."""
        return [number for number in self.again if not self._has_died(self.done_by[number][:-1])]

    def _has_died(self, pids: list[int]) -> bool:
        return all(pid in self.killed for pid in pids)

    def __str__(self) -> str:
        cut_short = sum(self.begun.values()) - sum(map(len, self.done_by.values()))
        return (
            f"{self.jobs} jobs, {self.kills} kills: {len(self.done_by)} done, {self.lost} lost, "
            f"{self.dead_letters} given up; {cut_short} runs cut short; {len(self.again)} done "
            f"more than once, of them {len(self.unexplained)} whose worker was not killed"
        )


class Scene:
    """A server, a pool of workers that serves the jobs, and what is killed of them."""

    def __init__(self, server: NatsServer, folder: Path) -> None:
        self.server = server
        self.log = folder / "log"
        self.pool: Command | None = None
        self.books = Books(0)

    def start_pool(self) -> None:
        self.pool = Command(
            "run",
            "tests.soak.jobs:service",
            "--workers",
            "3",
            "--server",
            self.server.url,
            "--option",
            "reconnect_wait=0.05",
            "--option",
            "max_reconnect_attempts=-1",
            env={"JOBS_LOG": str(self.log)},
        )

    def workers(self) -> list[int]:
        assert self.pool is not None
        pid = self.pool.process.pid
        with contextlib.suppress(FileNotFoundError):
            told = Path(f"/proc/{pid}/task/{pid}/children").read_text()
            return [int(each) for each in told.split()]
        return []

    # what is killed

    async def kill_a_worker(self) -> None:
        pids = [pid for pid in self.workers() if pid not in self.books.killed]
        self.books.killed.add(pid := random.choice(pids))
        os.kill(pid, signal.SIGKILL)

    async def kill_the_server(self) -> None:
        self.server.kill()
        await asyncio.to_thread(self.server.start)

    async def kill_the_supervisor(self) -> None:
        """Its workers end with it: nothing outlives a supervisor."""
        assert self.pool is not None
        self.books.killed.update(pids := self.workers())
        self.pool.process.kill()
        await asyncio.to_thread(self.pool.process.wait)
        await eventually(lambda: not any(_runs(pid) for pid in pids), 20.0)
        self.pool.__exit__(None, None, None)
        self.start_pool()


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


KILLERS: dict[str, Callable[[Scene], object]] = {
    "workers": Scene.kill_a_worker,
    "servers": Scene.kill_the_server,
    "supervisor": Scene.kill_the_supervisor,
}


async def do_jobs(scene: Scene, victim: str, *, jobs: int, kills: int) -> Books:
    """Store fresh jobs, have them done, and kill amid them; what the books say at the end."""
    scene.books = books = Books(jobs)
    quickly = {"reconnect_wait": 0.05, "max_reconnect_attempts": -1}
    async with natsrpc.connect(scene.server.url, **quickly) as client:  # type: ignore[arg-type]
        js = JetStream(client.connection)
        stream = await js.create_stream(StreamConfig(name=STREAM, subjects=["jobs.*"]))
        dead = await js.create_stream(StreamConfig(name="DEAD", subjects=["dead.>"]))
        futures = [await js.publish_async(SUBJECT, b"%d" % number) for number in range(jobs)]
        await asyncio.gather(*futures)
        scene.start_pool()
        try:
            await _kill_amid(scene, victim, books, kills)
            await eventually(lambda: _is_settled(stream), 120.0)
        finally:
            if scene.pool is not None:
                scene.pool.__exit__(None, None, None)
        books.dead_letters = (await dead.info()).state.messages
    books.read(scene.log)
    return books


async def _kill_amid(scene: Scene, victim: str, books: Books, kills: int) -> None:
    """Kill, each time that some more jobs are done, so that all of it is amid the jobs."""
    for number in range(kills):
        goal = (number + 1) * books.jobs // (kills + 2)
        await eventually(lambda goal=goal: _count(scene.log) >= goal, 120.0)  # type: ignore[misc]
        await KILLERS[victim](scene)  # type: ignore[misc]
        books.kills += 1


def _count(log: Path) -> int:
    return log.read_bytes().count(b"done") if log.exists() else 0


async def _is_settled(stream: Stream) -> bool:
    try:
        info = await (await stream.consumer(DURABLE)).info()
    except natsrpc.NatsError:  # the server has just begun
        return False
    return not info.num_pending and not info.num_ack_pending
