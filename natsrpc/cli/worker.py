"""The program of one worker process. The supervisor starts it as `python -m natsrpc.cli.worker`.

A worker serves until its supervisor, or a signal, asks it to drain. The two talk over a loopback
connection, in lines of JSON:

1. the worker connects to the port in its environment and sends the token that is there, too;
2. the supervisor sends the settings: target, servers, options. So no secret is in a command line;
3. the worker imports its services and sends `loaded` with what they are, or `failed` and why;
4. the supervisor, which has compared what all its workers have, sends the order "serve";
5. the worker sends `ready` once its services can be found, or `failed` and why;
6. from then on it answers the orders "ping", which shows that its event loop runs, and "health";
7. the order "drain", and also the end of the connection, means: drain; "force": end now.

Nothing of a worker outlives its supervisor. Its stdin is a pipe whose other end the supervisor
holds; a thread sees it end, also while the event loop stands still, and sets a watchdog that ends
the process when a drain would be over. Where Linux can, it wakes a worker that was stopped.

A thread that holds Python's lock for ever stops that thread, too. So the watchdog is set from the
moment that the worker is ready, and the event loop puts it off as long as it runs, drain included:
whether the supervisor runs meanwhile does not matter.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import faulthandler
import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any

from natsrpc.errors import NatsRpcError, NoServersError

__all__ = ["CONTROL_VARIABLE", "LONGEST_LINE", "main"]

CONTROL_VARIABLE = "NATSRPC_CONTROL"
"""The environment variable with the supervisor's `port:token`."""

HEALTH_TIMEOUT = 1.0
"""Seconds that the probes of all services have."""

DEAD_MAN = 3.0
"""Seconds beyond the worker timeout after which a worker ends by itself where nobody else did."""

LONGEST_LINE = 2**26
"""Bytes of a line of the control connection, at both ends: what a service of thousands of endpoints
is stays far below it."""

_LONGEST_REASON = 65_536  # characters of why a worker failed

_SET_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG


def main() -> int:
    """Run one worker, and return the exit code of the process: 0 after a drain, 1 after a failure,
    2 where no supervisor has started it."""
    control = os.environ.pop(CONTROL_VARIABLE, "")
    if not control:
        print("this module is started by `natsrpc run`", file=sys.stderr)
        return 2
    port, _, token = control.partition(":")
    factory = None
    if os.environ.pop("NATSRPC_UVLOOP", ""):
        import uvloop

        factory = uvloop.new_event_loop
    lifeline = _take_lifeline()
    # what ends the process by force, as the supervisor does where it is stuck, shows where it stood
    faulthandler.enable(file=2)
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(_work(int(port), token, lifeline))


def _take_lifeline() -> int:
    """The pipe that ends with the supervisor; stdin is empty from here on."""
    lifeline = os.dup(0)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    if sys.platform == "linux":
        # a stopped worker would not see the pipe end; one that runs takes no notice of SIGCONT
        ctypes.CDLL(None).prctl(_SET_DEATH_SIGNAL, signal.SIGCONT)
    return lifeline


async def _work(port: int, token: str, lifeline: int) -> int:
    from natsrpc.rpc import Stopping, end_process, on_signals

    stopping = Stopping()
    on_signals(stopping.signal, signal.SIGTERM, signal.SIGINT)
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=LONGEST_LINE)
        writer.write(json.dumps({"token": token}).encode() + b"\n")
        settings = json.loads(await reader.readline() or b"null")
    except (OSError, ValueError):  # the supervisor has gone in the meantime
        return 1
    if settings is None:
        return 1
    work = Work(settings, reader, writer, stopping)
    end_with(lifeline, work.orphaned)
    code = await work.run()
    if hasattr(signal, "pthread_sigmask"):  # all is done: no signal may change the exit code
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    if stopping.is_stuck:
        end_process(code)
    return code


def end_with(lifeline: int, action: Callable[[], object]) -> None:
    """Call `action` in a thread of its own when nobody holds the other end of the pipe any more."""

    def wait() -> None:
        with contextlib.suppress(OSError):
            while os.read(lifeline, 64):
                pass
        action()

    threading.Thread(target=wait, name="natsrpc-lifeline", daemon=True).start()


class Work:
    """The work of one worker process: it does what its supervisor says over the connection."""

    def __init__(
        self,
        settings: dict[str, Any],
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        stopping: Any,
    ) -> None:
        self._settings = settings
        self._reader = reader
        self._writer = writer
        self._stopping = stopping
        self._loop = asyncio.get_running_loop()
        self._serve_now = asyncio.Event()
        self._server: Any = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._limit = threading.Lock()  # who may set the watchdog
        self._is_orphan = False

    def orphaned(self) -> None:
        """The supervisor is gone: drain, and end in any case. Called in another thread."""
        from natsrpc.rpc import GRACE, watch_over_end

        with self._limit:
            self._is_orphan = True
            watch_over_end(self._settings["drain_timeout"] + GRACE)
        with contextlib.suppress(RuntimeError):  # the loop is closed: the process ends
            self._loop.call_soon_threadsafe(self._stopping.drain.set)

    async def run(self) -> int:
        """Serve until told to stop; the exit code of the process."""
        listening = asyncio.ensure_future(self._listen())
        try:
            return await self._serve()
        except NoServersError as error:
            self._fail(f"{error}; --embedded starts one, --server or NATS_URL names another")
        except NatsRpcError as error:
            from .command import USAGE, exit_code

            frames = getattr(error, "frames", "")
            self._fail(f"{error}\n{frames}".rstrip(), usage=exit_code(error) == USAGE)
        except (Exception, SystemExit) as error:  # from the user's lifespan
            from .target import frames_of

            self._fail(f"a service does not start\n{frames_of(error)}")
        finally:
            for task in (listening, *self._tasks):
                task.cancel()
            with contextlib.suppress(OSError):
                await self._writer.drain()
                self._writer.close()
                await self._writer.wait_closed()
        return 1

    def _tell(self, **fields: Any) -> None:
        self._writer.write(json.dumps(fields, default=str).encode() + b"\n")

    def _do(self, job: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _fail(self, text: str, *, usage: bool = False) -> None:
        if len(text) > _LONGEST_REASON:  # where it began, and the error at its end
            half = _LONGEST_REASON // 2
            text = f"{text[:half]} [...] {text[-half:]}"
        self._tell(failed=text, usage=usage)

    # -- orders ------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        """Follow the supervisor's orders. The end of its connection is the last one."""
        orders: dict[str, Callable[[], object]] = {
            "serve": self._serve_now.set,
            "ping": self._pong,
            "health": self._answer_health,
            "drain": self._stopping.drain.set,
            "force": self._force,
        }
        with contextlib.suppress(OSError, ValueError):
            while line := await self._reader.readline():
                orders[json.loads(line)["do"]]()
        self._stopping.drain.set()

    def _force(self) -> None:
        self._stopping.drain.set()
        self._stopping.force.set()

    def _pong(self) -> None:
        self._tell(requests=self._num_requests())

    async def _put_off_end(self, timeout: float) -> None:
        """Set the watchdog anew for as long as the loop runs and the supervisor is there. It
        strikes where the loop stands still and nobody has ended this process before."""
        from natsrpc.rpc import watch_over_end

        while True:
            with self._limit:
                if self._is_orphan:  # the limit of the drain stands
                    return
                watch_over_end(timeout + DEAD_MAN)
            await asyncio.sleep(timeout / 4)

    def _num_requests(self) -> int:
        if self._server is None:
            return 0
        return sum(
            endpoint.answers.num_requests
            for service in self._server.services
            for endpoint in service.endpoints
        )

    def _answer_health(self) -> None:
        self._do(self._tell_health())

    async def _tell_health(self) -> None:
        self._tell(health=await self._health())

    async def _health(self) -> dict[str, Any]:
        """The connection's state, and what the probes of each service say."""
        if self._server is None:
            return {"status": "starting"}
        connection = self._server.connection
        try:
            async with asyncio.timeout(HEALTH_TIMEOUT):
                services = {
                    running.contract.name: await running.definition.health()
                    for running in self._server.services
                }
        except TimeoutError:
            reason = f"probes took longer than {HEALTH_TIMEOUT} s"
            return {"status": "unwell", "reason": reason}
        well = all(health["status"] == "ok" for health in services.values())
        if self._stopping.drain.is_set():
            status = "draining"
        elif not connection.is_connected:
            status = "disconnected"
        else:
            status = "ok" if well else "unwell"
        return {
            "status": status,
            "connection": connection.status.name.lower(),
            "reconnects": connection.stats().reconnects,
            "inflight": self._server.inflight,
            "services": services,
        }

    # -- serving -----------------------------------------------------------------------------------

    async def _serve(self) -> int:
        from natsrpc.rpc import connect, until_stopped

        from .logs import begin_logging, finish_logging
        from .settings import LogSettings
        from .target import described, load_services

        settings = self._settings
        logs = LogSettings(**settings["logs"])
        begin_logging(logs)
        services = load_services(settings["target"], factory=settings["factory"])
        finish_logging(logs, last=False)
        if figures := settings.get("figures"):
            from natsrpc.observe.figures import Page, measure

            measure(Page(figures), *services)
        self._tell(loaded=[described(service) for service in services])
        if not await self._is_wanted():
            return 0
        options: dict[str, Any] = {
            key: tuple(value) if isinstance(value, list) else value  # JSON has no tuples
            for key, value in settings["options"].items()
        }
        # a worker waits for lost servers without end: if it gave up, its replacement would, too
        options.setdefault("max_reconnect_attempts", -1)
        async with connect(settings["servers"], **options) as client:
            self._server = await client.serve(*services)
            finish_logging(logs, last=True)
            if timeout := settings["worker_timeout"]:
                self._do(self._put_off_end(timeout))
            self._tell(ready=True)
            return await until_stopped(
                self._stopping, client, self._server, settings["drain_timeout"]
            )

    async def _is_wanted(self) -> bool:
        """Wait for the order to serve; false if the order to drain came first."""
        waits = [
            asyncio.ensure_future(event.wait()) for event in (self._serve_now, self._stopping.drain)
        ]
        await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        for each in waits:
            each.cancel()
        return not self._stopping.drain.is_set()


if __name__ == "__main__":
    sys.exit(main())
