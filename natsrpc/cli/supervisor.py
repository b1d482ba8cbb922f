"""Keeps a pool of worker processes alive.

Each slot of the pool holds one worker. A worker is *starting* until it says that it is ready (or
that it failed), then *ready*, *draining* once it was told so, and gone when its process ends.

- A worker that ends unasked is replaced by the slot's keeper, after a wait that doubles while
  replacements keep failing.
- A reload puts a new worker into the slot when it is ready, and drains the old one then: there is
  no moment without a worker.
- Keeper and reload take turns at a slot, and each looks first whether the other has filled it.
- If a worker of the very first start fails, nothing is kept alive: the start fails.
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

from .worker import CONTROL_VARIABLE

__all__ = ["Supervisor", "WorkSettings", "WorkerFailedError"]

_FIRST_WAIT = 0.1  # seconds before the first replacement
_LONGEST_WAIT = 10.0
_SETTLED = 10.0  # a worker that lived this long did not fail at its start


class WorkerFailedError(NatsRpcError):
    """A worker ended, or was ended, before it was ready. The message is what it said."""


@dataclass(frozen=True, slots=True)
class WorkSettings:
    """What each worker runs.

    `target` is as in `load_services`, `servers` and `options` go to `natsrpc.connect`.
    """

    target: str
    servers: Sequence[str]
    options: dict[str, Any] = field(default_factory=dict)
    uvloop: bool = False
    ready_timeout: float = 30.0
    drain_timeout: float = 30.0


class Worker:
    """One worker process and the line to it."""

    def __init__(self, slot: int, process: asyncio.subprocess.Process) -> None:
        self.slot = slot
        self.process = process
        self.pid: int = process.pid
        self.ready: bool = False
        self.draining: bool = False
        self.failure: str = ""
        self.decided: asyncio.Event = asyncio.Event()  # ready, failed or ended
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
        """Take what the worker says, until its end."""
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
        """Ask it to answer what it has, and end."""
        self.draining = True
        if self.line is not None:
            self.line.write(b"drain\n")
        elif self.process.returncode is None:
            self.process.terminate()

    def kill(self) -> None:
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            self.process.kill()

    def how_it_ended(self) -> str:
        """The end of the process in words."""
        code = self.process.returncode
        if code is not None and code < 0:
            with contextlib.suppress(ValueError):
                return f"was killed by {signal.Signals(-code).name}"
        return f"ended with code {code}"


class Supervisor:
    """A pool of `workers` processes that run the same services in one queue group.

    `say` gets one line of text for each thing that people want to know of.
    """

    def __init__(self, settings: WorkSettings, workers: int, *, say: Callable[[str], None]) -> None:
        self.settings = settings
        self.restarts: int = 0
        self._say = say
        self._slots: list[Worker | None] = [None] * workers
        self._tokens: dict[str, Worker] = {}
        self._all: set[Worker] = set()
        self._keepers: list[asyncio.Task[None]] = []
        self._server: asyncio.Server | None = None
        self._reloading = asyncio.Lock()
        self._turns = [asyncio.Lock() for _ in range(workers)]  # who may fill the slot

    @property
    def pids(self) -> list[int]:
        """The processes that serve now."""
        return [worker.pid for worker in self._slots if worker is not None and worker.ready]

    async def start(self) -> None:
        """Start all workers and wait until each is ready.

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
        """Replace each worker by a new one, one after the other, each ready before the old drains.

        Returns whether all were replaced. A new worker that fails ends the reload, and the old
        ones stay.
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
        """Drain all workers, or kill them with `force`, and wait until they are gone.

        Returns whether every worker that was ready ended by itself within the drain timeout.
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
        """Kill all workers; a `stop` that waits for them returns then."""
        for worker in self._all:
            worker.kill()

    # -- one worker --------------------------------------------------------------------------------

    async def _spawn(self, slot: int) -> Worker:
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
            **_own_group(),
        )
        worker = Worker(slot, process)
        self._tokens[token] = worker
        self._all.add(worker)

        def gone(_: object) -> None:
            self._all.discard(worker)
            self._tokens.pop(token, None)

        worker.ended.add_done_callback(gone)
        return worker

    async def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A process has connected: only one with a token of ours is told anything."""
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

    def _by_token(self, token: str) -> Worker | None:
        for known in list(self._tokens):
            if hmac.compare_digest(known.encode(), token.encode()):
                return self._tokens.pop(known)
        return None

    async def _await_ready(self, worker: Worker) -> None:
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

    async def _end(self, worker: Worker) -> bool:
        """Drain one worker; kill it if that takes too long."""
        if worker.ended.done():
            return worker.draining
        worker.drain()
        try:
            # a little more than the worker allows itself, so that it can say so itself
            async with asyncio.timeout(self.settings.drain_timeout + 2.0):
                return await asyncio.shield(worker.ended) == 0
        except TimeoutError:
            self._say(f"worker {worker.slot + 1} (pid {worker.pid}) did not drain and is killed")
            worker.kill()
            await worker.ended
            return False

    async def _keep(self, slot: int) -> None:
        """Replace the slot's worker whenever it ends unasked."""
        failures = 0
        while True:
            started = time.monotonic()
            worker = self._slots[slot]
            assert worker is not None
            await asyncio.shield(worker.ended)
            if time.monotonic() - started > _SETTLED:
                failures = 0
            how = worker.how_it_ended()
            # the slot holds another one once it is replaced, here or by a reload
            while self._slots[slot] is worker:
                wait = min(_FIRST_WAIT * 2**failures, _LONGEST_WAIT)
                self._say(f"worker {slot + 1} (pid {worker.pid}) {how}; a new one in {wait:.1f} s")
                await asyncio.sleep(wait)
                failures += 1
                how = await self._replace(slot, worker)

    async def _replace(self, slot: int, old: Worker) -> str:
        """Put a new worker in the place of one that is gone. Returns why that failed, if it did."""
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


def _own_group() -> dict[str, Any]:
    # Ctrl-C in a terminal goes to the whole group: the supervisor alone decides what it means.
    if sys.platform == "win32":
        return {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    return {"start_new_session": True}
