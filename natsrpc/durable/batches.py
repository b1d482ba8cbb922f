"""`Batches`: gathers the messages of a worker that takes several at once.

One batch is gathered at a time, and only while there is a slot to run it: a pull for its first
message, then one for the rest, which the server ends when the batch has waited long enough. So
nothing is on its way that is not part of it.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import Protocol

from natsrpc.core import ConnectionEvent, Link, Reconnected
from natsrpc.errors import ConnectionClosedError, NatsError, NoHeartbeatError
from natsrpc.jetstream import Consumer, JsMsg
from natsrpc.rpc import WorkerContract

from .job import Job

_EXPIRES = 30.0
_FLUSH = 5.0
_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 15.0


class Gatherer(Protocol):
    """The worker, as its batches need it."""

    def admit(self, msg: JsMsg) -> Job | None:
        """A message as a job that is to be run; None for one that is not."""
        ...

    def start_batch(self, jobs: list[Job]) -> None:
        """Run a batch."""

    async def give_back(self, jobs: list[Job]) -> None:
        """Give back what was not started."""

    async def slot(self) -> None:
        """Wait until a slot is free."""

    def troubled(self, error: Exception | None) -> None:
        """Nothing comes for now, and this is why. None: it may come again."""

    def restored(self) -> float:
        """A new session stands."""
        ...


class Batches:
    """Gathers batches from a consumer, as an `Intake` takes single messages."""

    def __init__(
        self, consumer: Consumer, worker: Gatherer, work: WorkerContract, link: Link
    ) -> None:
        self._consumer = consumer
        self._worker = worker
        self._size = work.batch
        self._wait = work.batch_wait
        self._link = link
        self._task: asyncio.Task[None] | None = None
        self._in_trouble = False

    def begin(self) -> None:
        """Gather from now on."""
        self._link.add_listener(self._hear)
        name = f"natsrpc batches {self._consumer.name}"
        self._task = self._link.loop.create_task(self._run(), name=name)

    def freed(self, acked: bytes) -> None:
        """There is room again: `slot` tells."""

    async def leave(self) -> None:
        """Gather no more. What was gathered or on its way has been given back when this returns."""
        self._link.remove_listener(self._hear)
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
            with contextlib.suppress(NatsError):
                await self._link.flush(_FLUSH)  # behind which the last pull brings nothing more

    def _hear(self, event: ConnectionEvent) -> None:
        if isinstance(event, Reconnected):
            self._worker.restored()

    async def _run(self) -> None:
        pause = _FIRST_PAUSE
        while True:
            await self._worker.slot()
            try:
                jobs = await self._gather()
            except ConnectionClosedError:
                return
            except NatsError as error:
                self._tell(error)
                if not isinstance(error, NoHeartbeatError):
                    await asyncio.sleep(pause)
                    pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            pause = _FIRST_PAUSE
            if self._in_trouble:
                self._in_trouble = False
                self._worker.troubled(None)
            if jobs:
                await self._start(jobs)

    async def _start(self, jobs: list[Job]) -> None:
        try:
            await self._worker.slot()
        except BaseException:
            await self._worker.give_back(jobs)
            raise
        self._worker.start_batch(jobs)

    async def _gather(self) -> list[Job]:
        """The messages of a batch; none if none came for a while."""
        jobs = self._admitted(await self._consumer.fetch(1, timeout=_EXPIRES))
        if not jobs or self._size == 1:
            return jobs
        try:
            rest = await self._consumer.fetch(self._size - 1, timeout=self._wait)
        except (asyncio.CancelledError, ConnectionClosedError):
            await self._worker.give_back(jobs)
            raise
        except NatsError as error:
            self._tell(error)
            return jobs
        return jobs + self._admitted(rest)

    def _admitted(self, msgs: list[JsMsg]) -> list[Job]:
        return [job for job in map(self._worker.admit, msgs) if job is not None]

    def _tell(self, error: Exception) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            self._worker.troubled(error)
