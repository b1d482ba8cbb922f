"""One worker process as its supervisor sees it: how it ended is never lost."""

from __future__ import annotations

import asyncio
import logging
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from natsrpc.cli.process import WorkerProcess
from tests.core.harness import eventually

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="/proc tells of the dead")


def wait_until_dead(pid: int) -> None:
    """Without a turn of the event loop."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        try:
            if Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2][1] == "Z":
                return
        except (FileNotFoundError, ProcessLookupError):  # the latter amid the reading
            return
        time.sleep(0.001)  # why: the event loop must not run meanwhile
    pytest.fail("it does not end")


@pytest.mark.parametrize("how", ["kill", "drain", "discard", "end_stuck"])
async def test_a_signal_that_comes_too_late_takes_no_exit_code(
    how: str, caplog: pytest.LogCaptureFixture
) -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "raise SystemExit(7)", stdin=subprocess.PIPE
    )
    worker = WorkerProcess("worker 1", "target", process)
    wait_until_dead(worker.pid)
    with caplog.at_level(logging.WARNING, "asyncio"):
        told = getattr(worker, how)()
        if told is not None:
            await told
        assert await worker.ended == 7
    assert worker.how_it_ended() == "ended with code 7"
    assert caplog.records == []


async def test_a_worker_that_lives_is_killed() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", "input()", stdin=subprocess.PIPE
    )
    worker = WorkerProcess("worker 1", "target", process)
    worker.kill()
    assert await worker.ended == -9
    assert worker.how_it_ended() == "was killed by SIGKILL"
    worker.kill()  # nothing is there any more


async def test_workers_that_have_ended_hold_no_descriptors() -> None:
    async def one() -> None:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", "pass", stdin=subprocess.PIPE
        )
        await WorkerProcess("worker 1", "target", process).ended

    await one()  # what asyncio opens with the first process stays
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(5):
        await one()
    await eventually(lambda: len(os.listdir("/proc/self/fd")) <= before)
