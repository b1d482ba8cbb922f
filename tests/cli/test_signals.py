"""Exit codes of `natsrpc run` in every pair of signals, and the end of all that it started."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

import natsrpc
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

from .processes import PROGRAM, ROOT, Command, all_gone, environment, is_alive

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

SERVICE = """
import asyncio, os, pathlib, time
import natsrpc

service = natsrpc.Service("signals", version="1.0.0")

@service.handler("signals.wait", name="wait")
async def wait(context: natsrpc.Context) -> None:
    await asyncio.Event().wait()

@service.handler("signals.hold", name="hold")
async def hold(gate: str) -> int:
    while not pathlib.Path(gate).exists():
        await asyncio.sleep(0.01)  # why: a file is looked for
    return os.getpid()

@service.handler("signals.block", name="block")
async def block() -> None:
    time.sleep(600)  # why: an event loop that stands still

@service.handler("signals.thread", name="thread")
def thread() -> None:
    time.sleep(600)  # why: a plain handler that is stuck

@service.handler("signals.spin", name="spin")
async def spin() -> None:
    sum(range(10**15))  # holds the lock of Python's interpreter
"""

GATED = """
import pathlib, time
pathlib.Path({began!r}).touch()
while not pathlib.Path({gate!r}).exists():
    time.sleep(0.01)  # why: a file is looked for
"""


class Pool:
    """A pool whose workers' imports wait for a file, from the moment that `shut` is called."""

    def __init__(self, folder: Path, server: NatsServer) -> None:
        self.target = folder / "signals_service.py"
        self.gate = folder / "gate"
        self.began = folder / "began"
        self.server = server
        self.target.write_text(SERVICE)

    def shut(self) -> None:
        """Let the next workers wait while they are imported."""
        gated = GATED.format(began=str(self.began), gate=str(self.gate))
        self.target.write_text(gated + SERVICE)

    def start(self, *arguments: str) -> Command:
        return Command(
            "run", str(self.target), "--server", self.server.url, *arguments, cwd=self.target.parent
        )


@pytest.fixture
def pool(tmp_path: Path, fresh_server: NatsServer) -> Pool:
    return Pool(tmp_path, fresh_server)


def pids_of(line: str) -> list[int]:
    found = re.search(r"\(([\d, ]+)\)", line)
    assert found is not None, line
    return [int(pid) for pid in found[1].split(",")]


def children(command: Command) -> list[int]:
    pid = command.process.pid
    return [int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def end(pids: list[int]) -> None:
    """Leave nothing behind where a test fails."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


async def waits_for(command: Command, text: str) -> str:
    return await asyncio.to_thread(command.wait_for, text)


async def ended(command: Command) -> int:
    return await asyncio.to_thread(command.wait)


FIRST = [signal.SIGTERM, signal.SIGINT]


@pytest.mark.parametrize("second", FIRST)
async def test_a_signal_amid_a_reload_drains_with_code_0(
    pool: Pool, second: signal.Signals
) -> None:
    with pool.start("--workers", "2") as command:
        pids = pids_of(await waits_for(command, "is served by 2 workers"))
        pool.shut()
        command.signal(signal.SIGHUP)
        await eventually(pool.began.exists, timeout=30)
        started = children(command)
        command.signal(second)
        assert await ended(command) == 0
        assert all_gone({*pids, *started})


@pytest.mark.parametrize("second", FIRST)
async def test_a_signal_while_the_old_worker_drains_in_a_reload(
    pool: Pool, second: signal.Signals
) -> None:
    with pool.start() as command:
        await waits_for(command, "is served by 1 worker ")
        async with natsrpc.connect(pool.server.url) as client:
            call = asyncio.create_task(client.call("signals.hold", str(pool.gate), int, timeout=60))
            await asyncio.sleep(0)  # let it be written
            await client.connection.flush()
            before = children(command)
            command.signal(signal.SIGHUP)
            await eventually(lambda: len(children(command)) > len(before))
            command.signal(second)
            await waits_for(command, "draining")
            pool.gate.touch()
            assert await call in before
        assert await ended(command) == 0


@pytest.mark.parametrize("first", FIRST)
async def test_a_signal_while_starting_ends_with_code_0(pool: Pool, first: signal.Signals) -> None:
    pool.shut()
    with pool.start("--workers", "2") as command:
        await eventually(pool.began.exists, timeout=30)
        started = children(command)
        command.signal(first)
        assert await ended(command) == 0
        assert all_gone(started)


@pytest.mark.parametrize("first", FIRST)
@pytest.mark.parametrize("second", FIRST)
async def test_two_signals_to_end_are_code_1(
    pool: Pool, first: signal.Signals, second: signal.Signals
) -> None:
    with pool.start() as command:
        pids = pids_of(await waits_for(command, "is served by 1 worker "))
        async with natsrpc.connect(pool.server.url) as client:
            call = asyncio.create_task(client.call("signals.wait", timeout=60))
            await asyncio.sleep(0)  # let it be written
            await client.connection.flush()
            command.signal(first)
            await waits_for(command, "draining")
            command.signal(second)
            await waits_for(command, "ending at once")
            with pytest.raises(natsrpc.UnavailableError):
                await call
            assert await ended(command) == 1
        assert all_gone(pids)


@pytest.mark.parametrize("first", FIRST)
async def test_a_reload_asked_for_while_draining_is_none(pool: Pool, first: signal.Signals) -> None:
    with pool.start() as command:
        pids = pids_of(await waits_for(command, "is served by 1 worker "))
        async with natsrpc.connect(pool.server.url) as client:
            call = asyncio.create_task(client.call("signals.hold", str(pool.gate), int, timeout=60))
            await asyncio.sleep(0)  # let it be written
            await client.connection.flush()
            command.signal(first)
            await waits_for(command, "draining")
            command.signal(signal.SIGHUP)
            await waits_for(command, "nothing is replaced")
            pool.gate.touch()
            assert await call == pids[0]
        assert await ended(command) == 0


async def test_reloads_asked_for_amid_a_reload_are_one(pool: Pool) -> None:
    with pool.start() as command:
        await waits_for(command, "is served by 1 worker ")
        pool.shut()
        command.signal(signal.SIGHUP)
        await eventually(pool.began.exists, timeout=30)
        for _ in range(5):
            command.signal(signal.SIGHUP)
        pool.gate.touch()
        await waits_for(command, "all workers are replaced")
        await waits_for(command, "all workers are replaced")
        command.signal(signal.SIGTERM)
        assert await ended(command) == 0
        assert command.output.count("all workers are replaced") == 2


async def test_signals_to_all_processes_while_they_start(pool: Pool) -> None:
    """As systemd does it, where the workers cannot take them for orders yet."""
    pool.shut()
    with pool.start() as command:
        await eventually(pool.began.exists, timeout=30)
        for pid in [*children(command), command.process.pid]:
            os.kill(pid, signal.SIGTERM)
        assert await ended(command) == 0


@pytest.mark.parametrize("what", ["a drain", "a pause of the supervisor"])
async def test_a_worker_that_answers_is_not_ended_for_what_its_supervisor_does(
    pool: Pool, what: str
) -> None:
    """Its watchdog is put off by itself: nobody pings a worker that drains, or a paused pool's."""
    with pool.start("--drain-timeout", "60s", "--worker-timeout", "200ms") as command:
        pids = pids_of(await waits_for(command, "is served by 1 worker "))
        async with natsrpc.connect(pool.server.url) as client:
            call = asyncio.create_task(client.call("signals.hold", str(pool.gate), int, timeout=60))
            await asyncio.sleep(0)  # let it be written
            await client.connection.flush()
            if what == "a drain":
                command.signal(signal.SIGTERM)
                await waits_for(command, "draining")
            else:
                command.signal(signal.SIGSTOP)
            await asyncio.sleep(4.5)  # why: longer than the watchdog, which strikes after 3.2 s
            command.signal(signal.SIGCONT)
            pool.gate.touch()
            assert await call == pids[0]
            if what != "a drain":
                command.signal(signal.SIGTERM)
        assert await ended(command) == 0
        assert "is back" not in command.output


@pytest.mark.parametrize("form", ["text", "json"])
async def test_a_pool_lives_on_where_nobody_reads_its_stderr(pool: Pool, form: str) -> None:
    arguments = ("run", str(pool.target), "-s", pool.server.url, "--log-format", form)
    process = subprocess.Popen(  # noqa: ASYNC220  # waited for in a thread
        [sys.executable, *PROGRAM, *arguments],
        env=environment(PYTHONPATH=str(ROOT)),
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        pids = pids_of(await asyncio.to_thread(process.stderr.readline))
        process.stderr.close()
        os.kill(pids[0], signal.SIGKILL)
        pool.gate.touch()
        async with natsrpc.connect(pool.server.url) as client:

            async def is_answered() -> bool:
                with contextlib.suppress(natsrpc.NatsError):  # lost with the worker, or nobody yet
                    return await client.call("signals.hold", str(pool.gate), int, timeout=1) > 0
                return False

            await eventually(is_answered, timeout=30)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 30) == 0
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("numbers", [*([each] for each in FIRST), [signal.SIGHUP, signal.SIGTERM]])
async def test_signals_before_anything_is_started(
    pool: Pool, tmp_path: Path, numbers: list[signal.Signals]
) -> None:
    """The command stands at a file that nobody has written yet."""
    config = tmp_path / "logs.json"
    os.mkfifo(config)
    with pool.start("--log-config", str(config)) as command:
        with await asyncio.to_thread(config.open, "w"):
            for number in numbers:
                command.signal(number)
            assert await ended(command) == 0
        assert command.output == ""


@pytest.mark.parametrize("handler", ["block", "thread", "spin"])
async def test_nothing_outlives_a_killed_supervisor(pool: Pool, handler: str) -> None:
    with pool.start("--drain-timeout", "100ms", "--worker-timeout", "1s") as command:
        pids = pids_of(await waits_for(command, "is served by 1 worker "))
        async with natsrpc.connect(pool.server.url) as client:
            call = asyncio.create_task(client.call(f"signals.{handler}", timeout=60))
            await asyncio.sleep(0)  # let it be written
            await client.connection.flush()
            command.signal(signal.SIGKILL)
            try:
                assert await asyncio.to_thread(all_gone, pids, 30.0)
            finally:
                call.cancel()
                end(pids)


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells of a parent's death")
async def test_a_stopped_worker_does_not_outlive_a_killed_supervisor(pool: Pool) -> None:
    with pool.start("--drain-timeout", "100ms") as command:
        pids = pids_of(await waits_for(command, "is served by 1 worker "))
        os.kill(pids[0], signal.SIGSTOP)
        command.signal(signal.SIGKILL)
        try:
            assert await asyncio.to_thread(all_gone, pids, 30.0)
        finally:
            end(pids)


async def test_a_worker_in_a_stuck_plain_handler_ends_with_the_drain(pool: Pool) -> None:
    with pool.start("--drain-timeout", "200ms") as command:
        pids = pids_of(await waits_for(command, "is served by 1 worker "))
        async with natsrpc.connect(pool.server.url) as client:
            call = asyncio.create_task(client.call("signals.thread", timeout=60))
            await asyncio.sleep(0)  # let it be written
            await client.connection.flush()
            command.signal(signal.SIGTERM)
            with pytest.raises(natsrpc.UnavailableError):
                await call
        assert await ended(command) == 1
        assert "did not drain and is killed" not in command.output
        assert all_gone(pids)


async def test_a_stuck_worker_is_replaced_and_shows_where_it_stood(pool: Pool) -> None:
    with pool.start("--worker-timeout", "500ms") as command:
        pids = pids_of(await waits_for(command, "is served by 1 worker "))
        async with natsrpc.connect(pool.server.url) as client:
            call = asyncio.create_task(client.call("signals.block", timeout=60))
            await waits_for(command, " in block")
            await waits_for(command, "did not answer for ")
            await waits_for(command, "is back")
            pool.gate.touch()
            assert await client.call("signals.hold", str(pool.gate), int) not in pids
            call.cancel()
        command.signal(signal.SIGTERM)
        assert await ended(command) == 0


async def test_a_stopped_worker_is_replaced(pool: Pool) -> None:
    with pool.start("--worker-timeout", "500ms") as command:
        pids = pids_of(await waits_for(command, "is served by 1 worker "))
        os.kill(pids[0], signal.SIGSTOP)
        await waits_for(command, "did not answer for ")
        await waits_for(command, "is back")
        assert not is_alive(pids[0])
        command.signal(signal.SIGTERM)
        assert await ended(command) == 0


async def test_a_pool_that_was_stopped_replaces_nobody(pool: Pool) -> None:
    """Its worker owes an answer, but it is the supervisor that could not hear it."""
    with pool.start("--worker-timeout", "4s", "--max-requests", "1") as command:
        pids = pids_of(await waits_for(command, "is served by 1 worker "))
        os.kill(pids[0], signal.SIGSTOP)
        await asyncio.sleep(1.5)  # why: the supervisor asks every second
        command.signal(signal.SIGSTOP)
        await asyncio.sleep(4.0)  # why: longer than the timeout
        os.kill(pids[0], signal.SIGCONT)
        command.signal(signal.SIGCONT)
        async with natsrpc.connect(pool.server.url) as client:
            pool.gate.touch()
            # a worker that was stopped refuses for a while what it takes for old
            client.policy = natsrpc.Policy(attempts=50)
            assert await client.call("signals.hold", str(pool.gate), int, timeout=30) == pids[0]
        await waits_for(command, "has served 1 requests and is replaced")
        command.signal(signal.SIGTERM)
        assert await ended(command) == 0
        assert "did not answer" not in command.output
