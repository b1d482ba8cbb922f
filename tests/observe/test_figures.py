"""Figures in shared memory: what one process writes and another reads, also after its death."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

import natsrpc
from natsrpc.observe.figures import Ledger, Page, Series, measure, read, render

WRITER = """
import os, signal, sys
from natsrpc.observe.figures import Page
page = Page(sys.argv[1])
count = page.add("count", "counter", {"who": "child"})
level = page.add("level", "gauge", {"who": "child"})
page.values[level] = 5
for _ in range(1000):
    page.values[count] += 1
os.kill(os.getpid(), signal.SIGKILL)
"""


def values(series: list[Series]) -> dict[str, list[float]]:
    return {each.name: each.values for each in series}


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_all_that_a_killed_process_counted_is_there(tmp_path: Path) -> None:
    name = tmp_path / "page"
    done = subprocess.run([sys.executable, "-c", WRITER, str(name)], check=False)
    assert done.returncode == -signal.SIGKILL
    ledger = Ledger()
    assert values(ledger.series([name])) == {"count": [1000.0], "level": [5.0]}
    ledger.close(name)
    assert values(ledger.series()) == {"count": [1000.0]}  # its gauges ended with it
    assert list(tmp_path.iterdir()) == []


def test_pages_are_added_up(tmp_path: Path) -> None:
    ledger = Ledger()
    pages = []
    for number in (1, 2, 3):
        page = Page(tmp_path / str(number))
        pages.append(page)
        page.values[page.add("count", "counter", {"who": "all"})] = number
        page.values[page.add("count", "counter", {"who": str(number)})] = 1
    ledger.close(tmp_path / "1")
    found = {
        each.labels["who"]: each.values for each in ledger.series([tmp_path / "2", tmp_path / "3"])
    }
    assert found == {"all": [6.0], "1": [1.0], "2": [1.0], "3": [1.0]}
    again = ledger.series([tmp_path / "2"])
    assert {each.labels["who"]: each.values for each in again}["all"] == [3.0]
    for page in pages:
        page.close()


def test_a_page_that_is_not_there_or_half_written_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    assert read(tmp_path / "none") == []
    page = Page(tmp_path / "half")
    page.values[page.add("count", "counter", {})] = 2
    with (tmp_path / "half.names").open("ab") as file:
        file.write(b'[1, "torn", "coun')
    assert values(read(tmp_path / "half")) == {"count": [2.0]}
    page.close()


def test_a_full_page_drops_further_series(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    page = Page(tmp_path / "page")
    bounds = [float(n) for n in range(10_000)]
    for number in range(8):
        page.values[page.add("big", "histogram", {"n": str(number)}, bounds)] += 1
    assert len(read(tmp_path / "page")) == 6
    assert [record.message for record in caplog.records] == [
        "60012 figures are too many: further series are not shown"
    ]
    page.close()


def test_the_text_is_what_prometheus_reads(tmp_path: Path) -> None:
    odd = 'quote " backslash \\ line\nend'
    text = render(
        [
            Series("a_requests", "counter", {"code": odd}, [3.0]),
            Series("b_level", "gauge", {}, [0.5]),
            Series("c_seconds", "histogram", {"x": "y"}, [1.0, 2.0, 4.0, 9.5], [0.1, 1.0]),
        ]
    )
    families = {each.name: each for each in text_string_to_metric_families(text)}
    assert families["a_requests"].samples[0].labels == {"code": odd}
    assert families["b_level"].samples[0].value == 0.5
    samples = {
        (each.name, each.labels.get("le")): each.value for each in families["c_seconds"].samples
    }
    assert samples == {
        ("c_seconds_bucket", "0.1"): 1,
        ("c_seconds_bucket", "1"): 3,
        ("c_seconds_bucket", "+Inf"): 7,
        ("c_seconds_sum", None): 9.5,
        ("c_seconds_count", None): 7,
    }


class Shop:
    """A service whose requests are counted on a page."""

    def __init__(self, folder: Path) -> None:
        self.page = Page(folder / "page")
        self.name = folder / "page"
        self.started = asyncio.Event()
        self.service = natsrpc.Service("shop", version="1.0.0", max_concurrency=1, max_waiting=1)
        for method in (self.echo, self.sell, self.fail, self.wait, self.count, self.later):
            self.service.handler(method.__name__)(method)
        self.service.subscriber("shop.events")(self.heard)
        measure(self.page, self.service)

    async def echo(self, number: int) -> int:
        return number

    async def sell(self) -> None:
        raise natsrpc.ConflictError("gone")

    def fail(self) -> None:
        raise ValueError("secret")

    async def wait(self) -> None:
        self.started.set()
        await asyncio.Event().wait()

    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number
        if to > 2:
            raise natsrpc.NotFoundError("no more")

    async def later(self, context: natsrpc.Context) -> int:
        context.after_reply(lambda: None)
        return 1

    async def heard(self, value: int) -> None:
        if value < 0:
            raise natsrpc.ConflictError("negative")

    def requests(self) -> dict[tuple[str, str], int]:
        """The number of requests by endpoint and code."""
        return {
            (each.labels["endpoint"], each.labels["code"]): int(each.values[0])
            for each in read(self.name)
            if each.name == "natsrpc_server_requests" and each.values[0]
        }

    def value(self, name: str, endpoint: str) -> list[float]:
        (found,) = [
            each.values
            for each in read(self.name)
            if each.name == name and each.labels.get("endpoint") == endpoint
        ]
        return found


async def test_requests_are_counted_once_by_how_they_ended(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    async with shop.service.test() as client:
        for _ in range(3):
            await client.call("echo", 5, int)
        assert await client.call("later", returns=int) == 1
        with pytest.raises(natsrpc.ConflictError):
            await client.call("sell")
        with pytest.raises(natsrpc.InternalError):
            await client.call("fail")
        with pytest.raises(natsrpc.InvalidRequestError):
            await client.call("echo", "x")
        assert [n async for n in client.stream("count", 2, returns=int)] == [0, 1]
        with pytest.raises(natsrpc.NotFoundError):
            assert [n async for n in client.stream("count", 3, returns=int)] == []
        waiting = asyncio.ensure_future(client.call("wait", timeout=30))
        await shop.started.wait()
        assert shop.value("natsrpc_server_running", "wait") == [1.0]
        also = asyncio.ensure_future(client.call("wait", timeout=30))
        await asyncio.sleep(0)  # let it be written
        await client.connection.flush()
        with pytest.raises(natsrpc.OverloadedError):
            await client.call("wait")
        also.cancel()
        waiting.cancel()
        await asyncio.gather(also, waiting, return_exceptions=True)
        await client.connection.flush()
        for value in (1, 2, -1):
            await client.publish("shop.events", value)
        await client.connection.flush()
    assert shop.requests() == {
        ("echo", "200"): 3,
        ("echo", "422"): 1,
        ("later", "200"): 1,
        ("sell", "409"): 1,
        ("fail", "500"): 1,
        ("count", "200"): 1,
        ("count", "404"): 1,
        ("wait", "429"): 1,
        ("wait", "499"): 2,
        ("heard", "200"): 2,
        ("heard", "409"): 1,
    }
    assert shop.value("natsrpc_server_running", "wait") == [0.0]
    assert sum(shop.value("natsrpc_server_seconds", "echo")[:-1]) == 4
    shop.page.close()


async def test_endpoints_that_come_later_are_counted_too(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    async with shop.service.test() as client:

        @shop.service.handler("late")
        async def late() -> int:
            return 1

        await client.connection.flush()
        assert await client.call("late", returns=int) == 1
    assert shop.requests()["late", "200"] == 1
    shop.page.close()


def test_a_page_is_private_to_its_user(tmp_path: Path) -> None:
    page = Page(tmp_path / "page")
    assert os.stat(tmp_path / "page.names").st_mode & 0o077 == 0
    page.close()
