"""Child processes started in a thread, also when that is cancelled."""

from __future__ import annotations

import asyncio
import os

import pytest

from natsrpc.server import NatsServer

pytestmark = pytest.mark.live


async def test_async_with_starts_and_ends_the_process() -> None:
    async with NatsServer() as server:
        pid = server.pid
        folder = server.folder
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()
    assert not server.is_running


async def test_cancelled_start_leaves_no_process_behind() -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(NatsServer):
        def _await_ready(self) -> None:
            loop.call_soon_threadsafe(begun.set)
            super()._await_ready()

    server = Slow()
    task = asyncio.create_task(server.__aenter__())
    await begun.wait()
    process = server.process
    assert process is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.poll() is not None
