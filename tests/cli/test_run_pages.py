"""`natsrpc run --http`: health and figures of a whole pool, whatever happens to its workers."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

from .processes import Command

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

SERVICE = """
import asyncio, os, pathlib
import natsrpc

service = natsrpc.Service({name!r}, version="1.0.0")

@service.handler("{name}.add", name="add")
async def add(a: int, b: int) -> int:
    return a + b

@service.handler("{name}.sold", name="sold")
async def sold() -> None:
    raise natsrpc.ConflictError("gone")

@service.handler("{name}.fail", name="fail")
def fail() -> None:
    raise ValueError("secret")

@service.handler("{name}.hold", name="hold")
async def hold() -> None:
    await asyncio.Event().wait()

@service.handler("{name}.pid", name="pid")
async def pid(context: natsrpc.Context) -> int:
    return os.getpid()

@service.probe
def database() -> bool:
    return not pathlib.Path({flag!r}).exists()
"""


class Pages:
    """The pages of a pool, read as a scraper reads them."""

    def __init__(self, line: str) -> None:
        found = re.search(r"(http://\S+)/livez", line)
        assert found is not None, line
        self.url = found[1]

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as answer:  # noqa: S310  # ours
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    async def get(self, path: str) -> tuple[int, str]:
        return await asyncio.to_thread(self._get, path)

    async def ready(self) -> tuple[int, dict[str, Any]]:
        code, text = await self.get("/readyz")
        return code, json.loads(text)

    async def status(self) -> str:
        return str((await self.ready())[1]["status"])

    async def samples(self) -> dict[str, float]:
        code, text = await self.get("/metrics")
        assert code == 200
        lines = [line.rpartition(" ") for line in text.splitlines() if line[0] != "#"]
        assert len({name for name, _, _ in lines}) == len(lines)
        types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(set(types)) == len(types)
        return {name: float(value) for name, _, value in lines}

    async def requests(self) -> Counter[tuple[str, str, str]]:
        found: Counter[tuple[str, str, str]] = Counter()
        for name, value in (await self.samples()).items():
            if name.startswith("natsrpc_server_requests_total") and value:
                labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
                found[labels["service"], labels["endpoint"], labels["code"]] = int(value)
        return found


def write(folder: Path, name: str) -> None:
    text = SERVICE.format(name=name, flag=str(folder / "unwell"))
    (folder / f"{name}.py").write_text(text)


def start(folder: Path, server: NatsServer, *arguments: str) -> Command:
    return Command("run", *arguments, "--http", "127.0.0.1:0", "--server", server.url, cwd=folder)


async def pages_of(command: Command) -> Pages:
    return Pages(await asyncio.to_thread(command.wait_for, "pages are at"))


def until(pages: Pages, wanted: str) -> Any:
    async def poll() -> None:
        while await pages.status() != wanted:  # noqa: ASYNC110  # a page has no event
            await asyncio.sleep(0.05)  # why: a page is asked again

    return asyncio.wait_for(poll(), 30)


async def test_totals_are_what_callers_counted_whatever_happens_to_workers(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    write(tmp_path, "shop")
    write(tmp_path, "billing")
    with start(tmp_path, fresh_server, "shop", "billing", "--workers", "2") as command:
        pages = await pages_of(command)
        await asyncio.to_thread(command.wait_for, "billing is served by 2 workers")
        counted: Counter[tuple[str, str, str]] = Counter()
        codes: set[int] = set()
        done, paused, quiet = asyncio.Event(), asyncio.Event(), asyncio.Semaphore(0)
        callers = 12

        async def call(client: natsrpc.Client, name: str, number: int) -> None:
            while not done.is_set():
                if paused.is_set():  # a worker is killed while nothing is in flight
                    quiet.release()
                    await eventually(lambda: not paused.is_set(), timeout=60)
                what = ("add", "sold", "fail")[number % 3]
                body = {"a": 1, "b": 2} if what == "add" else None
                try:
                    await client.call(f"{name}.{what}", body, Any, timeout=20)
                    code = "200"
                except natsrpc.RpcError as error:
                    code = str(error.code)
                counted[name, what, code] += 1

        async def look() -> None:
            while not done.is_set():
                codes.add((await pages.get("/readyz"))[0])
                codes.add((await pages.get("/livez"))[0])
                seen = await pages.requests()
                assert all(seen[key] >= 0 for key in seen)

        async with natsrpc.connect(fresh_server.url) as client, asyncio.TaskGroup() as group:
            for number in range(callers):
                group.create_task(call(client, ("shop", "billing")[number % 2], number // 2))
            group.create_task(look())
            # under load: each worker is replaced
            command.signal(signal.SIGHUP)
            await asyncio.to_thread(command.wait_for, "all workers are replaced")
            # a worker that is killed takes nothing of what it counted with it
            paused.set()
            for _ in range(callers):
                await quiet.acquire()
            victim = await client.call("shop.pid", returns=int)
            counted["shop", "pid", "200"] += 1
            os.kill(victim, signal.SIGKILL)
            await asyncio.to_thread(command.wait_for, "was killed by SIGKILL")
            paused.clear()
            await asyncio.to_thread(command.wait_for, "is back")
            # a signal to a worker drains it
            drained = await client.call("billing.pid", returns=int)
            counted["billing", "pid", "200"] += 1
            os.kill(drained, signal.SIGTERM)
            await asyncio.to_thread(command.wait_for, f"(pid {drained}) ended with code 0")
            await asyncio.to_thread(command.wait_for, "is back")
            done.set()
        assert await pages.requests() == counted
        assert codes == {200}
        samples = await pages.samples()
        assert samples["natsrpc_pool_restarts_total"] == 2
        assert samples['natsrpc_pool_workers{target="shop",state="ready"}'] == 2
        running = [v for k, v in samples.items() if k.startswith("natsrpc_server_running")]
        assert running and not any(running)
        count = samples['natsrpc_server_seconds_count{service="shop",endpoint="add"}']
        assert count == counted["shop", "add", "200"]
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0


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
