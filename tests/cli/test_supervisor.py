"""natsrpc.cli.supervisor: what the pool does about workers that are slow, stuck or strange."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest

import natsrpc
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
    """A supervisor of one worker, and what it said."""

    def __init__(
        self, target: Path, server: NatsServer, *, ready: float = 30.0, max_memory: int = 0
    ) -> None:
        self.said: list[str] = []
        settings = WorkSettings(
            [str(target)],
            [server.url],
            {"drain_timeout": 0.2},
            ready_timeout=ready,
            drain_timeout=0.2,
            max_memory=max_memory,
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

    async def noting(*arguments: object) -> asyncio.Server:
        server = await start_server(*arguments)  # type: ignore[arg-type]  # passed on as they are
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
