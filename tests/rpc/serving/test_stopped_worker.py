"""A worker process that was stopped runs nothing whose caller had its timeout meanwhile."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import textwrap
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Literal

import pytest

from natsrpc.errors import NatsTimeoutError
from natsrpc.rpc import Client, connect
from natsrpc.testing import NatsServer

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

STOPPED = 1.5
"""Seconds that the process is stopped for."""

PROGRAM = """
    import sys
    import natsrpc

    service = natsrpc.Service("stopped", version="1.0.0")
    ran = []

    @service.handler(sys.argv[2] + ".pay")
    async def pay(n: int) -> int:
        ran.append(n)
        return n

    @service.handler(sys.argv[2] + ".ran")
    async def all_that_ran() -> list[int]:
        return ran

    natsrpc.run(service, servers=sys.argv[1], on_ready=lambda: print("ready", flush=True))
"""


@asynccontextmanager
async def worker(server: NatsServer, prefix: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A process that serves, killed at the end."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        textwrap.dedent(PROGRAM),
        server.url,
        prefix,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"ready\n"
        yield process
    finally:
        process.kill()
        await process.communicate()


@pytest.mark.parametrize("clock", ["relative", "wall"])
async def test_a_stopped_worker_does_not_run_what_expired(
    nats_server: NatsServer, unique: str, clock: Literal["relative", "wall"]
) -> None:
    async with (
        worker(nats_server, unique) as process,
        connect(nats_server.url, deadline_clock=clock) as client,
    ):
        assert await pay(client, unique, 0) == 0
        process.send_signal(signal.SIGSTOP)
        calls = [pay(client, unique, n, timeout=0.3) for n in range(1, 6)]
        given_up = asyncio.ensure_future(pay(client, unique, 6, timeout=60))
        patient = asyncio.ensure_future(pay(client, unique, 7, timeout=60))
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert {type(each) for each in results} == {NatsTimeoutError}
        given_up.cancel()
        await asyncio.sleep(STOPPED)  # why: a stop much longer than what a busy loop is late by
        process.send_signal(signal.SIGCONT)
        assert await patient == 7
        assert await client.call(f"{unique}.ran", returns=list[int], timeout=20) == [0, 7]


async def pay(client: Client, prefix: str, n: int, timeout: float = 20) -> int:
    return await client.call(f"{prefix}.pay", n, int, timeout=timeout)
