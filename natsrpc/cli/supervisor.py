"""A pool of worker processes that is kept alive. `natsrpc run` and `natsrpc demo` start one.

The pool has a fixed number of slots, each with one worker process of one target. States of a worker
process, and who moves it:

- *starting*, from `_spawn` on; *loaded*, when it says which services it has; it serves when it is
  told to;
- *ready*, when it says so over its connection, or *failed*, when it says that, ends, or is not
  ready in time;
- *stuck*, when it owes an answer for too long (`_care`), which ends it;
- *draining*, when `_end` asks it to;
- *ended*, when the process is gone.

Who fills a slot:

- `start` fills all. If one worker fails then, all are ended and the start fails. None serves before
  all have loaded their services, and these were compared.
- The slot's keeper (`_keep`) replaces a worker that ended unasked, after a wait that doubles while
  replacements fail. It looks after the worker that is in the slot, not after one that drains.
- `reload` puts a new worker into the slot when that is ready, and only then drains the old one: it
  leaves no slot without a worker. `_care` does the same for one worker that is over its limits.
- All hold the slot's lock (`_turns`) while they start a worker, so that never two are started for
  one slot. Under the lock the keeper looks whether another has filled the slot.
"""

from __future__ import annotations

import asyncio
import hmac
import json
import secrets
import time
from collections.abc import Callable, Coroutine
from dataclasses import asdict
from typing import Any

from natsrpc.errors import ConfigError, NatsRpcError

from .process import WorkerProcess, spawn
from .settings import WorkSettings
from .worker import LONGEST_LINE

__all__ = ["Supervisor", "WorkSettings", "WorkerFailedError"]

_FIRST_WAIT = 0.1  # seconds before the first replacement
_LONGEST_WAIT = 10.0
_SETTLED = 10.0  # a worker that lived this long did not fail at its start
_GRACE = 4.0  # one second more than a worker allows itself, so that it ends by itself first
_MOMENT = 1.0  # seconds in which workers that are forced to end may tell their callers
_CARE_INTERVAL = 1.0  # seconds between two looks at the workers, at most
_GREETING = 1024  # bytes of a process's first words that are read, at most


class WorkerFailedError(NatsRpcError):
    """A worker ended, or was ended, before it was ready. The message is the worker's own, if it
    sent one. `was_signaled`: it died of a signal that asks to end."""

    was_signaled: bool = False


class Supervisor:
    """A pool of worker processes that serve the same services.

    Args:
        settings: the settings of all workers.
        workers: the number of processes of each target.
        say: called with one line of text for each event that people want to know of.

    `restarts` counts the workers that were replaced because they had ended unasked. `on_start` and
    `on_end` are called with each worker whose process was started, or has ended.
    """

    def __init__(self, settings: WorkSettings, workers: int, *, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.restarts: int = 0
        self.on_start: list[Callable[[WorkerProcess], object]] = []
        self.on_end: list[Callable[[WorkerProcess], object]] = []
        self.further: Callable[[WorkerProcess], dict[str, Any]] = lambda worker: {}
        """Further settings for a worker."""
        self._say = say
        self._each = workers
        self._slots: list[WorkerProcess | None] = [None] * (workers * len(settings.targets))
        self._tokens: dict[str, WorkerProcess] = {}
        self._all: set[WorkerProcess] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._jobs: set[asyncio.Task[Any]] = set()
        self._server: asyncio.Server | None = None
        self._reloading = asyncio.Lock()
        self._pending: asyncio.Task[bool] | None = None
        self._turns = [asyncio.Lock() for _ in self._slots]  # who may fill the slot
        self._filled = [asyncio.Event() for _ in self._slots]  # another worker is in the slot
        self._failed_reliefs = 0  # in a row
        self._has_started = False

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that serve now."""
        return [worker.pid for worker in self._slots if worker is not None and worker.ready]

    @property
    def workers(self) -> list[WorkerProcess]:
        """All worker processes, those that start or drain included."""
        return sorted(self._all, key=lambda worker: worker.began)

    async def start(self) -> None:
        """Start all workers and wait until each is ready. Cancelled, it ends those it started.

        Raises:
            ConfigError: a target is no service, or two have services of one name; all are ended.
            WorkerFailedError: one of them failed; all are ended.
        """
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0, limit=LONGEST_LINE)
        try:
            workers = await asyncio.gather(*(self._spawn(slot) for slot in range(len(self._slots))))
            await asyncio.gather(*(self._await(worker, worker.loaded) for worker in workers))
            self._compare(workers)
            await asyncio.gather(*(self._await_ready(worker) for worker in workers))
        except BaseException:
            await self.stop(force=True)
            raise
        for slot, worker in enumerate(workers):
            self._fill(slot, worker)
            self._keepers.append(asyncio.create_task(self._keep(slot)))
        self._keepers.append(asyncio.create_task(self._care()))
        self._has_started = True

    def _compare(self, workers: list[WorkerProcess]) -> None:
        """Refuse two services of one name: metrics and logs could not tell them apart."""
        homes: dict[str, str] = {}
        for worker in workers:
            names = [service["name"] for service in worker.services]
            for name in names:
                home = homes.setdefault(name, worker.target)
                if home != worker.target or names.count(name) > 1:
                    raise ConfigError(
                        f"two services have the name {name!r}, in {home!r} and {worker.target!r}: "
                        "give one of them another"
                    )

    def _warn_of_names(self) -> None:
        """Tell of two services that have one name since a reload. It is not refused, for a name may
        move from one target to another: then both have it for a while."""
        try:
            self._compare([worker for worker in self._slots if worker is not None])
        except ConfigError as error:
            self._say(f"warning: {error}")

    async def reload(self) -> bool:
        """Replace the workers, one after the other. Each is drained when its successor is ready.

        Returns whether all were replaced. A new worker that fails ends the reload; the workers not
        yet replaced stay. A reload waits for one that is under way; those that are asked for
        meanwhile are one.
        """
        if not self._has_started:
            self._say("still starting: nothing to replace yet")
            return False
        if self._pending is None:
            self._pending = self._run(self._reload_next())
        return await asyncio.shield(self._pending)

    def _run(self, job: Coroutine[Any, Any, bool]) -> asyncio.Task[bool]:
        task = asyncio.create_task(job)
        self._jobs.add(task)
        task.add_done_callback(self._jobs.discard)
        return task

    async def _reload_next(self) -> bool:
        async with self._reloading:
            self._pending = None
            for slot in range(len(self._slots)):
                if not await self._renew(slot, self._slots[slot]):
                    return False
            self._say("all workers are replaced")
            self._warn_of_names()
            return True

    async def _renew(self, slot: int, old: WorkerProcess | None) -> bool:
        """Put a new worker into a slot, then drain the one that is there; false if the new one
        fails. Nothing is done where `old` is there no more."""
        try:
            async with self._turns[slot]:
                if self._slots[slot] is not old:
                    return True
                new = await self._spawn(slot)
                await self._await_ready(new)
                self._fill(slot, new)
        except (WorkerFailedError, ConfigError) as error:
            self._say(f"the new {self._name(slot)} failed, the old ones stay: {error}")
            return False
        if old is not None:
            await self._end(old)
        return True

    async def stop(self, *, force: bool = False) -> bool:
        """Drain all workers, or kill them with `force`, and wait until their processes are gone.

        Returns whether every worker ended by itself, with exit code 0, within the drain timeout.
        Those that were not ready yet are killed, which is no failure: they had no requests.
        """
        tasks = [*self._keepers, *self._jobs]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        if force:
            self.kill()
        results = await asyncio.gather(*(self._end(worker) for worker in list(self._all)))
        if self._server is not None:
            self._server.close()
        return all(results)

    def force(self) -> None:
        """Have all workers answer what they have with 503 and end; kill those that did not in a
        moment. A `stop` that waits for them then returns."""
        for worker in self._all:
            worker.tell("force")
        asyncio.get_running_loop().call_later(_MOMENT, self.kill)

    def kill(self) -> None:
        """Kill all workers. A `stop` that waits for them then returns."""
        for worker in self._all:
            worker.kill()

    # -- one worker --------------------------------------------------------------------------------

    def _name(self, slot: int) -> str:
        """The slot's worker as people know it."""
        target = self.settings.targets[slot // self._each]
        return f"worker {slot % self._each + 1}" + (
            f" of {target}" if len(self.settings.targets) > 1 else ""
        )

    def _fill(self, slot: int, worker: WorkerProcess) -> None:
        self._slots[slot] = worker
        self._filled[slot].set()

    async def _spawn(self, slot: int) -> WorkerProcess:
        """Start a process for a slot.

        Raises:
            WorkerFailedError: the system starts none now.
        """
        assert self._server is not None
        token = secrets.token_hex(16)
        port = self._server.sockets[0].getsockname()[1]
        target = self.settings.targets[slot // self._each]
        try:
            worker = await spawn(self._name(slot), target, self.settings, port=port, token=token)
        except OSError as error:  # no descriptor or memory is left, or Python is being replaced
            raise WorkerFailedError(f"no process can be started: {error}") from None
        self._tokens[token] = worker
        self._all.add(worker)

        def gone(_: object) -> None:
            self._all.discard(worker)
            self._tokens.pop(token, None)
            for each in self.on_end:
                each(worker)

        worker.ended.add_done_callback(gone)
        for each in self.on_start:
            each(worker)
        return worker

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a process that has connected. Only a token of ours, used for the first time, gets
        the settings: any process of the machine can connect, and they may hold secrets."""
        try:
            said = json.loads(await _first_words(reader))
            worker = self._by_token(str(said["token"]))
            if worker is not None:
                settings = self.settings
                told = {
                    "target": worker.target,
                    "factory": settings.factory,
                    "servers": list(settings.servers),
                    "options": settings.options,
                    "drain_timeout": settings.drain_timeout,
                    "worker_timeout": settings.worker_timeout,
                    "logs": asdict(settings.logs),
                    **self.further(worker),
                }
                writer.write(json.dumps(told).encode() + b"\n")
                await worker.listen(reader, writer)
        except (OSError, ValueError, LookupError, TypeError):
            pass  # a stranger, or a worker killed at its first word
        finally:
            writer.close()

    def _by_token(self, token: str) -> WorkerProcess | None:
        for known in list(self._tokens):
            if hmac.compare_digest(known.encode(), token.encode()):
                return self._tokens.pop(known)
        return None

    async def _await_ready(self, worker: WorkerProcess) -> None:
        """Let a worker serve once it has loaded its services, and wait until it is ready.

        Raises:
            ConfigError, WorkerFailedError: it failed.
        """
        await self._await(worker, worker.loaded)
        worker.tell("serve")
        await self._await(worker, worker.decided)
        if not worker.ready:
            raise await self._failed(worker)

    async def _await(self, worker: WorkerProcess, event: asyncio.Event) -> None:
        loop, timeout = asyncio.get_running_loop(), self.settings.ready_timeout
        try:
            async with asyncio.timeout_at(max(worker.began + timeout, loop.time())):
                await event.wait()
        except TimeoutError:
            worker.discard()
            raise WorkerFailedError(f"not ready within {timeout} s") from None
        except asyncio.CancelledError:
            worker.discard()
            raise
        if worker.failure or worker.ended.done() or worker.process.returncode is not None:
            raise await self._failed(worker)

    async def _failed(self, worker: WorkerProcess) -> NatsRpcError:
        await asyncio.shield(worker.ended)
        text = worker.failure or f"{worker.name} {worker.how_it_ended()} before it was ready"
        if worker.is_usage:
            return ConfigError(text)
        error = WorkerFailedError(text)
        error.was_signaled = worker.was_signaled()
        return error

    async def _end(self, worker: WorkerProcess) -> bool:
        """Drain one worker, and kill it if that takes too long. Returns whether it ended well."""
        if worker.ended.done():
            return worker.draining or worker.discarded
        if not worker.ready:
            worker.discard()
            await asyncio.shield(worker.ended)
            return True
        worker.drain()
        try:
            async with asyncio.timeout(self.settings.drain_timeout + _GRACE):
                return await asyncio.shield(worker.ended) == 0
        except TimeoutError:
            self._say(f"{worker.name} (pid {worker.pid}) did not drain and is killed")
            await worker.end_stuck()
            await asyncio.shield(worker.ended)
            return False

    async def _keep(self, slot: int) -> None:
        """Replace the slot's worker each time that it ends unasked. Runs as the slot's task."""
        failures = 0
        while True:
            started = time.monotonic()
            self._filled[slot].clear()
            worker = self._slots[slot]
            assert worker is not None
            await self._gone_or_followed(slot, worker)
            if time.monotonic() - started > _SETTLED:
                failures = 0
            how = worker.how_it_ended()
            # ends when the slot holds another one, put there below or by a reload
            while self._slots[slot] is worker:
                wait = _wait_after(failures)
                first, *frames = how.split("\n", 1)  # what its module raised has its frames below
                text = f"{worker.name} (pid {worker.pid}) {first}; a new one in {wait:.1f} s"
                self._say("\n".join([text, *frames]))
                await asyncio.sleep(wait)
                failures += 1
                how = await self._replace(slot, worker)

    async def _gone_or_followed(self, slot: int, worker: WorkerProcess) -> None:
        """Wait until the worker has ended, or another one is in its slot: it may drain for long,
        and its successor is to be looked after meanwhile."""
        followed = asyncio.ensure_future(self._filled[slot].wait())
        try:
            await asyncio.wait((worker.ended, followed), return_when=asyncio.FIRST_COMPLETED)
        finally:
            followed.cancel()

    async def _replace(self, slot: int, old: WorkerProcess) -> str:
        """Put a new worker in the place of one that is gone.

        Returns why that failed, for the sentence "worker 1 ..."; empty if it did not.
        """
        async with self._turns[slot]:
            if self._slots[slot] is not old:
                return ""
            try:
                new = await self._spawn(slot)
                await self._await_ready(new)
            except (WorkerFailedError, ConfigError) as error:
                return f"is gone, its replacement did not start: {error}"
            self._fill(slot, new)
            self.restarts += 1
            self._say(f"{new.name} is back (pid {new.pid})")
            return ""

    # -- workers that are stuck, or over their limits ----------------------------------------------

    async def _care(self) -> None:
        """Look after all workers that serve, again and again."""
        timeout = self.settings.worker_timeout
        interval = min(_CARE_INTERVAL, timeout / 4) if timeout else _CARE_INTERVAL
        last = asyncio.get_running_loop().time()
        renewing: asyncio.Task[bool] | None = None
        while True:
            await asyncio.sleep(interval)
            now = asyncio.get_running_loop().time()
            excused = now - last > 2 * interval + 0.5  # this process was stopped, too
            last = now
            for slot, worker in enumerate(self._slots):
                if worker is None or worker.state != "ready":
                    continue
                if worker.check(now, timeout, excused=excused):
                    self._run(self._end_stuck(worker))
                elif (why := self._excess(worker, now)) and (renewing is None or renewing.done()):
                    self._say(f"{worker.name} (pid {worker.pid}) {why} and is replaced")
                    renewing = self._run(self._relieve(slot, worker))

    async def _relieve(self, slot: int, worker: WorkerProcess) -> bool:
        """Renew a worker that is over its limits. Where that fails it ends after a wait, as long
        as that before a replacement of one that ended: the next is not tried before."""
        if await self._renew(slot, worker):
            self._failed_reliefs = 0
            return True
        wait = _wait_after(self._failed_reliefs)
        self._failed_reliefs += 1
        await asyncio.sleep(wait)
        return False

    async def _end_stuck(self, worker: WorkerProcess) -> bool:
        await worker.end_stuck()
        return True

    def _excess(self, worker: WorkerProcess, now: float) -> str:
        """Which limit the worker exceeds, for the sentence "worker 1 ..."; empty if none."""
        limit, most = self.settings.max_requests, self.settings.max_memory
        if limit and worker.requests >= limit:
            return f"has served {worker.requests} requests"
        # one that needs so much from its start on is not replaced without end
        if most and now - worker.began > _SETTLED and (memory := worker.memory()) > most:
            return f"holds {memory / 2**20:.0f} MiB of memory"
        return ""


def _wait_after(failures: int) -> float:
    """Seconds before the next attempt to start a worker, after so many that failed in a row."""
    # the power has a bound, for a float has one, too
    return min(_FIRST_WAIT * 2.0 ** min(failures, 30), _LONGEST_WAIT)


async def _first_words(reader: asyncio.StreamReader) -> bytes:
    """The line that a process begins with, and no more than so much of what a stranger sends."""
    words = b""
    while not words.endswith(b"\n") and len(words) < _GREETING:
        if not (more := await reader.read(_GREETING - len(words))):
            break
        words += more
    return words
