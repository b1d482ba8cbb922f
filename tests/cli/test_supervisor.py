"""natsrpc.cli.supervisor: what the pool does about workers that are slow, stuck or strange."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc.cli.process import WorkerProcess, spawn
from natsrpc.cli.settings import LogSettings
from natsrpc.cli.supervisor import Supervisor, WorkerFailedError, WorkSettings
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

pytestmark = pytest.mark.live

SERVICE = """
import time
import natsrpc

service = natsrpc.Service("stuck", version="1.0.0")

@service.handler("stuck.sleep", name="sleep")
async def sleep(seconds: float) -> None:
    time.sleep(seconds)  # why: a worker that is stuck

@service.handler("stuck.wait", name="wait")
async def wait(context: natsrpc.Context) -> None:
    import asyncio
    await asyncio.Event().wait()
"""


class Pool:
    """A supervisor of one worker for each target, and what it said."""

    def __init__(
        self,
        target: Path,
        server: NatsServer,
        *others: Path,
        ready: float = 30.0,
        drain: float = 0.2,
        max_memory: int = 0,
        max_requests: int = 0,
        logs: LogSettings | None = None,
    ) -> None:
        self.said: list[str] = []
        settings = WorkSettings(
            [str(each) for each in (target, *others)],
            [server.url],
            {"drain_timeout": drain},
            ready_timeout=ready,
            drain_timeout=drain,
            max_memory=max_memory,
            max_requests=max_requests,
            logs=logs or LogSettings(),
        )
        self.supervisor = Supervisor(settings, 1, say=self.said.append)


@pytest.fixture
def target(tmp_path: Path) -> Path:
    path = tmp_path / "stuck_service.py"
    path.write_text(SERVICE)
    return path


async def test_worker_that_does_not_become_ready_is_ended(
    target: Path, nats_server: NatsServer
) -> None:
    target.write_text("import threading\nthreading.Event().wait()\n")
    pool = Pool(target, nats_server, ready=0.5)
    with pytest.raises(WorkerFailedError, match=r"not ready within 0\.5 s"):
        await pool.supervisor.start()
    assert pool.supervisor.pids == []


async def test_worker_that_does_not_drain_is_killed(target: Path, nats_server: NatsServer) -> None:
    pool = Pool(target, nats_server)
    await pool.supervisor.start()
    async with natsrpc.connect(nats_server.url) as client:
        call = asyncio.create_task(client.call("stuck.sleep", 60.0, timeout=60.0))
        await asyncio.sleep(0)  # let it be written
        await client.connection.flush()
        assert not await pool.supervisor.stop()
        call.cancel()
    assert "did not drain and is killed" in pool.said[-1]


async def test_request_that_outlasts_the_drain_is_answered(
    target: Path, nats_server: NatsServer
) -> None:
    pool = Pool(target, nats_server)
    await pool.supervisor.start()
    async with natsrpc.connect(nats_server.url) as client:
        call = asyncio.create_task(client.call("stuck.wait", timeout=60.0))
        await asyncio.sleep(0)  # let it be written
        await client.connection.flush()
        assert await pool.supervisor.stop()
        with pytest.raises(natsrpc.UnavailableError):
            await call


async def test_reload_before_the_start_is_over_is_refused(
    target: Path, nats_server: NatsServer
) -> None:
    pool = Pool(target, nats_server)
    assert not await pool.supervisor.reload()
    assert pool.said == ["still starting: nothing to replace yet"]


@pytest.mark.parametrize(
    "words", [b'{"token": "guessed"}\n', b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b""]
)
async def test_strangers_at_the_control_port_are_told_nothing(
    target: Path,
    nats_server: NatsServer,
    words: bytes,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    ports: list[int] = []
    start_server = asyncio.start_server

    async def noting(*arguments: Any, **options: Any) -> asyncio.Server:
        server = await start_server(*arguments, **options)
        ports.append(server.sockets[0].getsockname()[1])
        return server

    monkeypatch.setattr(asyncio, "start_server", noting)
    pool = Pool(target, nats_server)
    await pool.supervisor.start()
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", ports[0])
        writer.write(words)
        if words:
            await writer.drain()
        else:
            writer.write_eof()
        assert await asyncio.wait_for(reader.read(), 5.0) == b""
        writer.close()
        await writer.wait_closed()
        assert len(pool.supervisor.pids) == 1
        assert caplog.messages == []
    finally:
        assert await pool.supervisor.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells the memory of a process")
async def test_a_worker_that_holds_too_much_is_replaced_without_a_gap(
    target: Path, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.cli.supervisor._SETTLED", 0.0)
    monkeypatch.setattr("natsrpc.cli.supervisor._CARE_INTERVAL", 0.05)
    target.write_text(
        SERVICE + "\nHELD = []\n"
        '@service.handler("stuck.hold", name="hold")\n'
        "async def hold() -> None:\n"
        '    HELD.append(b"x" * 300_000_000)\n'
    )
    pool = Pool(target, nats_server, max_memory=250_000_000)
    await pool.supervisor.start()
    try:
        (before,) = pool.supervisor.pids
        async with natsrpc.connect(nats_server.url) as client:
            await client.call("stuck.hold")
            await eventually(lambda: pool.supervisor.pids not in ([before], []), timeout=30)
        assert pool.said[0].startswith(f"worker 1 (pid {before}) holds ")
        assert pool.said[0].endswith(" MiB of memory and is replaced")
        assert pool.supervisor.restarts == 0
    finally:
        assert await pool.supervisor.stop()


async def test_reloads_asked_for_amid_one_are_one_more(
    target: Path, nats_server: NatsServer
) -> None:
    pool = Pool(target, nats_server)
    await pool.supervisor.start()
    try:
        first = asyncio.create_task(pool.supervisor.reload())
        await eventually(lambda: len(pool.supervisor.workers) == 2)
        assert (
            await asyncio.gather(first, *(pool.supervisor.reload() for _ in range(4))) == [True] * 5
        )
        assert pool.said == ["all workers are replaced"] * 2
    finally:
        assert await pool.supervisor.stop()


async def test_a_process_that_cannot_be_started_is_tried_again(
    target: Path, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where Python is being replaced, or no descriptors are left for a while."""
    pool = Pool(target, nats_server)
    await pool.supervisor.start()
    (before,) = pool.supervisor.pids
    failures = iter(range(3))

    async def failing(*arguments: Any, **settings: Any) -> WorkerProcess:
        if next(failures, None) is not None:
            raise OSError(24, "Too many open files")
        return await spawn(*arguments, **settings)

    monkeypatch.setattr("natsrpc.cli.supervisor.spawn", failing)
    try:
        assert not await pool.supervisor.reload()
        why = "no process can be started: [Errno 24] Too many open files"
        assert pool.said == [f"the new worker 1 failed, the old ones stay: {why}"]
        os.kill(before, signal.SIGKILL)
        await eventually(lambda: "is back" in pool.said[-1], timeout=30)
        assert sum(why in each for each in pool.said) == 3
        assert await pool.supervisor.reload()
    finally:
        assert await pool.supervisor.stop()


async def test_a_worker_that_dies_is_replaced_while_the_one_before_it_drains(
    target: Path, nats_server: NatsServer
) -> None:
    pool = Pool(target, nats_server, drain=60.0)
    await pool.supervisor.start()
    try:
        (before,) = pool.supervisor.pids
        async with natsrpc.connect(nats_server.url) as client:
            call = asyncio.create_task(client.call("stuck.wait", timeout=60.0))
            await asyncio.sleep(0)  # let it be written
            await client.connection.flush()
            reload = asyncio.create_task(pool.supervisor.reload())
            await eventually(lambda: pool.supervisor.pids != [before], timeout=30)
            (after,) = pool.supervisor.pids
            os.kill(after, signal.SIGKILL)
            await eventually(lambda: pool.supervisor.pids != [after], timeout=30)
            assert before in [worker.pid for worker in pool.supervisor.workers]
            assert not reload.done()
            call.cancel()
            assert await reload
    finally:
        assert await pool.supervisor.stop()


async def test_however_long_a_service_s_description_is_it_is_served(
    target: Path, nats_server: NatsServer
) -> None:
    target.write_text(SERVICE.replace('"1.0.0"', '"1.0.0", description="x" * 300_000'))
    config = {"version": 1, "disable_existing_loggers": False, "filters": {"x" * 100_000: {}}}
    pool = Pool(target, nats_server, logs=LogSettings(config=config))
    await pool.supervisor.start()
    try:
        (worker,) = pool.supervisor.workers
        assert len(worker.services[0]["description"]) == 300_000
    finally:
        assert await pool.supervisor.stop()


async def test_however_long_an_error_is_its_beginning_and_its_end_are_told(
    target: Path, nats_server: NatsServer
) -> None:
    target.write_text("raise ValueError('x' * 300_000 + 'the end')")
    with pytest.raises(WorkerFailedError, match=r"(?s)raised an error.+x \[...\] x.+the end$") as e:
        await Pool(target, nats_server).supervisor.start()
    assert len(str(e.value)) < 70_000


async def test_replacements_of_a_worn_worker_that_fail_are_tried_less_and_less_often(
    target: Path, nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits: list[int] = []

    def wait_after(failures: int) -> float:
        waits.append(failures)
        return 0.0

    monkeypatch.setattr("natsrpc.cli.supervisor._CARE_INTERVAL", 0.02)
    monkeypatch.setattr("natsrpc.cli.supervisor._wait_after", wait_after)
    pool = Pool(target, nats_server, max_requests=1)
    await pool.supervisor.start()
    try:
        target.write_text("raise ValueError")
        async with natsrpc.connect(nats_server.url) as client:
            await client.call("stuck.sleep", 0.0)
            await eventually(lambda: len(waits) == 3, timeout=60)
        assert waits == [0, 1, 2]
    finally:
        assert await pool.supervisor.stop()


async def test_a_name_that_two_services_have_since_a_reload_is_told(
    target: Path, tmp_path: Path, nats_server: NatsServer
) -> None:
    other = tmp_path / "other.py"
    other.write_text(SERVICE.replace('"stuck"', '"other"'))
    pool = Pool(target, nats_server, other)
    await pool.supervisor.start()
    try:
        other.write_text(SERVICE)
        assert await pool.supervisor.reload()
        assert re.match("warning: two services have the name 'stuck', in ", pool.said[-1])
    finally:
        assert await pool.supervisor.stop()
