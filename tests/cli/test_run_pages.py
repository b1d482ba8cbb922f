"""`natsrpc run --http`: health and figures of a whole pool, whatever happens to its workers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from pathlib import Path

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .pool import pages_of, start, until, write
from .processes import Command

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]


async def test_a_gauge_of_a_killed_worker_ends_with_it(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    write(tmp_path, "shop")
    running = 'natsrpc_server_running{service="shop",endpoint="hold"}'
    with start(tmp_path, fresh_server, "shop") as command:
        pages = await pages_of(command)
        line = await asyncio.to_thread(command.wait_for, "is served by 1 worker")
        async with natsrpc.connect(fresh_server.url) as client:
            call = asyncio.create_task(client.call("shop.hold", timeout=60))
            await asyncio.sleep(0)  # let it be written
            await client.connection.flush()
            await client.call("shop.pid", returns=int)
            assert (await pages.samples())[running] == 1
            os.kill(int(re.findall(r"\((\d+)\)", line)[0]), signal.SIGKILL)
            await asyncio.to_thread(command.wait_for, "is back")
            assert (await pages.samples())[running] == 0
            call.cancel()


async def test_readyz_knows_probes_the_connection_and_the_drain(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    write(tmp_path, "shop")
    with start(tmp_path, fresh_server, "shop", "-o", "reconnect_wait=50ms") as command:
        pages = await pages_of(command)
        await asyncio.to_thread(command.wait_for, "is served by 1 worker")
        code, told = await pages.ready()
        assert (code, told["status"], told["workers"][0]["connection"]) == (200, "ok", "connected")
        (tmp_path / "unwell").touch()
        code, told = await pages.ready()
        assert (code, told["status"]) == (503, "unwell")
        assert told["workers"][0]["services"]["shop"]["status"] == "unwell"
        (tmp_path / "unwell").unlink()
        assert await pages.status() == "ok"
        async with natsrpc.connect(fresh_server.url) as client:
            call = asyncio.create_task(client.call("shop.hold", timeout=60))
            await asyncio.sleep(0)  # let it be written
            await client.connection.flush()
            await client.call("shop.pid", returns=int)
            command.signal(signal.SIGTERM)
            await asyncio.to_thread(command.wait_for, "draining")
            assert await pages.status() == "draining"
            command.signal(signal.SIGTERM)
            assert await asyncio.to_thread(command.wait) == 1
            call.cancel()


async def test_readyz_is_unwell_while_the_server_is_away(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    write(tmp_path, "shop")
    with start(tmp_path, fresh_server, "shop", "-o", "reconnect_wait=50ms") as command:
        pages = await pages_of(command)
        await asyncio.to_thread(command.wait_for, "is served by 1 worker")
        await asyncio.to_thread(fresh_server.stop)
        await until(pages, "unwell")
        assert (await pages.ready())[1]["workers"][0]["status"] == "disconnected"
        assert (await pages.get("/livez"))[0] == 200


async def test_info_names_services_and_workers(tmp_path: Path, fresh_server: NatsServer) -> None:
    write(tmp_path, "shop")
    with start(tmp_path, fresh_server, "shop") as command:
        pages = await pages_of(command)
        await asyncio.to_thread(command.wait_for, "is served by 1 worker")
        code, text = await pages.get("/info")
        told = json.loads(text)
        assert code == 200
        assert told["targets"] == ["shop"]
        assert told["started"].endswith("Z")
        assert [each["name"] for each in told["services"]] == ["shop"]
        assert {"name": "add", "subject": "shop.add", "queue_group": "q"} in told["services"][0][
            "endpoints"
        ]
        assert [each["state"] for each in told["workers"]] == ["ready"]


async def test_what_services_count_themselves_is_on_the_page_once(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    write(tmp_path, "shop")
    with (tmp_path / "shop.py").open("a") as file:
        file.write(
            """
import prometheus_client
from natsrpc.observe import prometheus
SOLD = prometheus_client.Counter("shop_sold", "Sold things.")

@service.handler("shop.sell", name="sell")
async def sell(count: int) -> None:
    SOLD.inc(count)

prometheus.Metrics().instrument(service)
"""
        )
    with start(tmp_path, fresh_server, "shop", "--workers", "2") as command:
        pages = await pages_of(command)
        await asyncio.to_thread(command.wait_for, "is served by 2 workers")
        async with natsrpc.connect(fresh_server.url) as client:
            for _ in range(20):
                await client.call("shop.sell", 3)
        samples = await pages.samples()
        assert samples["shop_sold_total"] == 60
        name = 'natsrpc_server_requests_total{service="shop",endpoint="sell",code="200"}'
        assert samples[name] == 20


async def test_what_ended_workers_have_counted_themselves_stays_in_one_file(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    write(tmp_path, "shop")
    with (tmp_path / "shop.py").open("a") as file:
        file.write(
            """
import prometheus_client
SOLD = prometheus_client.Counter("shop_sold", "Sold things.")
TOOK = prometheus_client.Histogram("shop_took", "Seconds.")

@service.handler("shop.sell", name="sell")
async def sell(count: int) -> None:
    SOLD.inc(count)
    TOOK.observe(count)
"""
        )
    memory = tmp_path / "memory"
    memory.mkdir()
    arguments = ("run", "shop", "--http", "127.0.0.1:0", "--server", fresh_server.url)
    with Command(*arguments, cwd=tmp_path, env={"TMPDIR": str(memory)}) as command:
        pages = await pages_of(command)
        await asyncio.to_thread(command.wait_for, "is served by 1 worker")
        async with natsrpc.connect(fresh_server.url) as client:
            for _ in range(3):
                await client.call("shop.sell", 2)
                command.signal(signal.SIGHUP)
                await asyncio.to_thread(command.wait_for, "all workers are replaced")
        samples = await pages.samples()
        assert samples["shop_sold_total"] == 6
        assert samples["shop_took_sum"] == 6
        assert samples['shop_took_bucket{le="+Inf"}'] == samples["shop_took_count"] == 3
        (worker,) = json.loads((await pages.get("/info"))[1])["workers"]
        assert {path.name for path in memory.glob("natsrpc-run-*/prometheus/*")} == {
            f"{kind}_{pid}.db" for kind in ("counter", "histogram") for pid in (0, worker["pid"])
        }


async def test_what_a_killed_supervisor_left_in_memory_is_removed_by_the_next(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    write(tmp_path, "shop")
    memory = tmp_path / "memory"
    memory.mkdir()
    arguments = ("run", "shop", "--http", "127.0.0.1:0", "--server", fresh_server.url)

    def start() -> Command:
        return Command(*arguments, cwd=tmp_path, env={"TMPDIR": str(memory)})

    def folders() -> list[Path]:
        found = sorted(memory.glob("natsrpc-run-*"))
        for folder in found:
            os.utime(folder, (0, 0))  # of long ago
        return found

    with start() as killed, start() as living:
        for command in (killed, living):
            await asyncio.to_thread(command.wait_for, "is served by 1 worker")
        both = folders()
        killed.signal(signal.SIGKILL)
        await asyncio.to_thread(killed.wait)
        with start() as next_one:
            await asyncio.to_thread(next_one.wait_for, "is served by 1 worker")
            left = folders()
            assert len(left) == 2
            assert len({*left} & {*both}) == 1
            for command in (living, next_one):
                command.signal(signal.SIGTERM)
                assert await asyncio.to_thread(command.wait) == 0
    assert folders() == []


async def test_files_of_prometheus_that_are_torn_cost_only_theirs(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    write(tmp_path, "shop")
    folder = tmp_path / "prometheus"
    folder.mkdir()
    (folder / "counter_99.db").write_bytes(b"\0\0")
    arguments = ("run", "shop", "--http", "127.0.0.1:0", "--server", fresh_server.url)
    env = {"PROMETHEUS_MULTIPROC_DIR": str(folder)}
    with Command(*arguments, cwd=tmp_path, env=env) as command:
        pages = await pages_of(command)
        await asyncio.to_thread(command.wait_for, "is served by 1 worker")
        for _ in range(3):
            assert "natsrpc_pool_restarts_total" in await pages.samples()
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0
    assert command.output.count("/metrics leaves out what services count") == 1
