"""A pool of worker processes that is kept alive. `natsrpc run` and `natsrpc demo` start one.

The pool has a fixed number of slots, each with one worker process. States of a worker process, and
who moves it:

- *starting*, from `_spawn` on;
- *ready*, when it says so over its connection, or *failed*, when it says that, ends, or is not
  ready in time;
- *draining*, when `_end` asks it to;
- *ended*, when the process is gone.

Who fills a slot:

- `start` fills all. If one worker fails then, all are ended and the start fails.
- The slot's keeper (`_keep`) replaces a worker that ended unasked, after a wait that doubles while
  replacements fail.
- `reload` puts a new worker into the slot when that is ready, and only then drains the old one: it
  leaves no slot without a worker.
- Keeper and reload hold the slot's lock (`_turns`) while they start a worker, so that never two are
  started for one slot. Under the lock the keeper looks whether a reload has filled the slot.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from natsrpc.errors import NatsRpcError
from natsrpc.server import own_process_group

from .worker import CONTROL_VARIABLE

__all__ = ["Supervisor", "WorkSettings", "WorkerFailedError"]

_FIRST_WAIT = 0.1  # seconds before the first replacement
_LONGEST_WAIT = 10.0
_SETTLED = 10.0  # a worker that lived this long did not fail at its start


class WorkerFailedError(NatsRpcError):
    """A worker ended, or was ended, before it was ready. The message is the worker's own, if it
    sent one."""


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """The settings of all workers of a pool."""

    target: str
    """The services to serve, as `load_services` takes them."""
    servers: Sequence[str]
    """The servers to connect to."""
    options: dict[str, Any] = field(default_factory=dict)
    """Options of `natsrpc.connect`; they must be plain data, for they travel as JSON."""
    uvloop: bool = False
    """Run the workers on uvloop's event loop."""
    ready_timeout: float = 30.0
    """Seconds within which a new worker must be ready."""
    drain_timeout: float = 30.0
    """Seconds that a worker may take to drain."""


class WorkerProcess:
    """One worker process, and the supervisor's end of the connection to it.

    `decided` is set once the process is ready, has failed or has ended; `ended` is done, with the
    exit code, once the process is gone and its last words are read.
    """

    def __init__(self, slot: int, process: asyncio.subprocess.Process) -> None:
        self.slot = slot
        self.process = process
        self.pid: int = process.pid
        self.ready: bool = False
        self.draining: bool = False
        self.failure: str = ""
        self.decided: asyncio.Event = asyncio.Event()
        self.line: asyncio.StreamWriter | None = None
        self._told = asyncio.Event()  # nothing more will come over the line
        self._told.set()
        self.ended: asyncio.Task[int] = asyncio.create_task(self._watch())

    async def _watch(self) -> int:
        code = await self.process.wait()
        await self._told.wait()  # the last words may still be in the socket
        self.decided.set()
        return code

    async def listen(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Read the worker's messages until its connection ends."""
        self.line = writer
        self._told.clear()
        try:
            while line := await reader.readline():
                said = json.loads(line)
                self.ready = self.ready or bool(said.get("ready"))
                self.failure = said.get("failed", self.failure)
                self.decided.set()
        except OSError:  # killed: the reset says no more than the end of the process does
            pass
        finally:
            self.line = None
            self._told.set()

    def drain(self) -> None:
        """Ask the worker to answer the requests that it has, and to end. Nothing is waited for."""
        self.draining = True
        if self.line is not None:
            self.line.write(b"drain\n")
        elif self.process.returncode is None:
            self.process.terminate()

    def kill(self) -> None:
        """Kill the process."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def how_it_ended(self) -> str:
        """Return how the process ended in words, for the sentence "worker 1 ..."."""
        code = self.process.returncode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"


class Supervisor:
    """A pool of worker processes that serve the same services.

    Args:
        settings: the settings of all workers.
        workers: the number of processes.
        say: called with one line of text for each event that people want to know of.

    `restarts` counts the workers that were replaced because they had ended unasked.
    """

    def __init__(self, settings: WorkSettings, workers: int, *, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.restarts: int = 0
        self._say = say
        self._slots: list[WorkerProcess | None] = [None] * workers
        self._tokens: dict[str, WorkerProcess] = {}
        self._all: set[WorkerProcess] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self._reloading = asyncio.Lock()
        self._turns = [asyncio.Lock() for _ in range(workers)]  # who may fill the slot

    @property
    def pids(self) -> list[int]:
        """The ids of the processes that serve now."""
        return [worker.pid for worker in self._slots if worker is not None and worker.ready]

    async def start(self) -> None:
        """Start all workers and wait until each is ready. Cancelled, it ends those it started.

        Raises:
            WorkerFailedError: one of them failed; all are ended.
        """
        self._server = await asyncio.start_server(self._greet, "127.0.0.1", 0)
        try:
            workers = await asyncio.gather(*(self._spawn(slot) for slot in range(len(self._slots))))
            await asyncio.gather(*(self._await_ready(worker) for worker in workers))
        except BaseException:
            await self.stop(force=True)
            raise
        for slot, worker in enumerate(workers):
            self._slots[slot] = worker
            self._keepers.append(asyncio.create_task(self._keep(slot)))

    async def reload(self) -> bool:
        """Replace the workers, one after the other. Each is drained when its successor is ready.

        Returns whether all were replaced. A new worker that fails ends the reload; the workers not
        yet replaced stay. A reload waits for one that is under way.
        """
        if not self._keepers:
            self._say("still starting: nothing to replace yet")
            return False
        async with self._reloading:
            for slot in range(len(self._slots)):
                try:
                    async with self._turns[slot]:
                        new = await self._spawn(slot)
                        await self._await_ready(new)
                        old, self._slots[slot] = self._slots[slot], new
                except WorkerFailedError as error:
                    self._say(f"the new worker {slot + 1} failed, the old ones stay: {error}")
                    return False
                if old is not None:
                    await self._end(old)
            self._say("all workers are replaced")
            return True

    async def stop(self, *, force: bool = False) -> bool:
        """Drain all workers, or kill them with `force`, and wait until their processes are gone.

        Returns whether every worker ended by itself, with exit code 0, within the drain timeout.
        """
        for keeper in self._keepers:
            keeper.cancel()
        await asyncio.gather(*self._keepers, return_exceptions=True)
        if force:
            self.kill()
        results = await asyncio.gather(*(self._end(worker) for worker in list(self._all)))
        if self._server is not None:
            self._server.close()
        return all(results)

    def kill(self) -> None:
        """Kill all workers. A `stop` that waits for them then returns."""
        for worker in self._all:
            worker.kill()

    # -- one worker --------------------------------------------------------------------------------

    async def _spawn(self, slot: int) -> WorkerProcess:
        assert self._server is not None
        token = secrets.token_hex(16)
        port = self._server.sockets[0].getsockname()[1]
        environment = {**os.environ, CONTROL_VARIABLE: f"{port}:{token}"}
        if self.settings.uvloop:
            environment["NATSRPC_UVLOOP"] = "1"
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "natsrpc.cli.worker",
            env=environment,
            stdin=subprocess.DEVNULL,
            **own_process_group(),
        )
        worker = WorkerProcess(slot, process)
        self._tokens[token] = worker
        self._all.add(worker)

        def gone(_: object) -> None:
            self._all.discard(worker)
            self._tokens.pop(token, None)

        worker.ended.add_done_callback(gone)
        return worker

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer a process that has connected. Only a token of ours, used for the first time, gets
        the settings: any process of the machine can connect, and they may hold secrets."""
        try:
            said = json.loads(await reader.readline())
            worker = self._by_token(str(said["token"]))
            if worker is not None:
                settings = {
                    "target": self.settings.target,
                    "servers": list(self.settings.servers),
                    "options": self.settings.options,
                }
                writer.write(json.dumps(settings).encode() + b"\n")
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
        try:
            async with asyncio.timeout(self.settings.ready_timeout):
                await worker.decided.wait()
        except TimeoutError:
            worker.kill()
            raise WorkerFailedError(f"not ready within {self.settings.ready_timeout} s") from None
        except asyncio.CancelledError:
            worker.kill()
            raise
        if not worker.ready:
            await worker.ended
            raise WorkerFailedError(worker.failure or worker.how_it_ended())

    async def _end(self, worker: WorkerProcess) -> bool:
        """Drain one worker, and kill it if that takes too long. Returns whether it ended well."""
        if worker.ended.done():
            return worker.draining
        worker.drain()
        try:
            # 2 s more than the worker allows itself, so that it reports its own timeout first
            async with asyncio.timeout(self.settings.drain_timeout + 2.0):
                return await asyncio.shield(worker.ended) == 0
        except TimeoutError:
            self._say(f"worker {worker.slot + 1} (pid {worker.pid}) did not drain and is killed")
            worker.kill()
            await worker.ended
            return False

    async def _keep(self, slot: int) -> None:
        """Replace the slot's worker each time that it ends unasked. Runs as the slot's task."""
        failures = 0
        while True:
            started = time.monotonic()
            worker = self._slots[slot]
            assert worker is not None
            await asyncio.shield(worker.ended)
            if time.monotonic() - started > _SETTLED:
                failures = 0
            how = worker.how_it_ended()
            # ends when the slot holds another one, put there below or by a reload
            while self._slots[slot] is worker:
                wait = min(_FIRST_WAIT * 2**failures, _LONGEST_WAIT)
                self._say(f"worker {slot + 1} (pid {worker.pid}) {how}; a new one in {wait:.1f} s")
                await asyncio.sleep(wait)
                failures += 1
                how = await self._replace(slot, worker)

    async def _replace(self, slot: int, old: WorkerProcess) -> str:
        """Put a new worker in the place of one that is gone.

        Returns why that failed, for the sentence "worker 1 ..."; empty if it did not.
        """
        async with self._turns[slot]:
            if self._slots[slot] is not old:
                return ""
            new = await self._spawn(slot)
            try:
                await self._await_ready(new)
            except WorkerFailedError as error:
                return f"is gone, its replacement did not start: {error}"
            self._slots[slot] = new
            self.restarts += 1
            self._say(f"worker {slot + 1} is back (pid {new.pid})")
            return ""
