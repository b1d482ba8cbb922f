"""The order system: all of it in memory, and its five pools of two workers on a real server."""

from __future__ import annotations

import asyncio
import json
import re
import signal
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest
from sqlalchemy.ext.asyncio import AsyncSession

import natsrpc
from examples.services.orders import billing, desk, mail, placing, reading, shop, stock
from examples.services.orders.api import NewOrder, NoSuchOrder, Order, OutOfStock, Stock, placed
from examples.services.orders.database import session_of_request
from natsrpc.testing import NatsServer, serve_in_memory
from tests.cli.processes import Command, all_gone
from tests.core.harness import eventually

SERVICES = {"stock": stock, "shop": shop, "billing": billing, "mail": mail, "desk": desk}
FIVE = {"sku": "teapot", "count": 5}
TWO = NewOrder(sku="teapot", count=2, region="us")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the services keep their databases and letters."""
    monkeypatch.setenv("ORDERS_FOLDER", str(tmp_path))
    return tmp_path


@pytest.fixture
async def client(folder: Path) -> AsyncIterator[natsrpc.Client]:
    """A client of the whole system, which is served in memory; five teapots are on the shelf."""
    services = [each.service for each in SERVICES.values()]
    async with serve_in_memory(*services) as client:
        await client.call(stock.put, FIVE)
        yield client


async def orders_of(client: natsrpc.Client, sku: str) -> list[Order]:
    return [order async for order in client.stream(reading.listing, sku)]


async def test_an_order_is_taken_from_stock_written_down_and_told(
    client: natsrpc.Client, folder: Path
) -> None:
    order = await client.call(placing.place, TWO)
    assert await client.settled() == []
    assert await client.call(stock.left, "teapot") == 3
    assert await client.call(reading.get, tokens={"id": order.id}) == order
    assert await orders_of(client, "teapot") == [order]
    assert await client.call(billing.count) == (1, 1)
    letters = (folder / "mail.txt").read_text(encoding="utf-8")
    assert letters == f"{order.id}: 2 of teapot are on their way\n"


async def test_an_error_of_stock_reaches_the_caller_of_orders(client: natsrpc.Client) -> None:
    with pytest.raises(OutOfStock) as caught:
        await client.call(placing.place, NewOrder(sku="teapot", count=6))
    assert (caught.value.code, caught.value.sku, caught.value.left) == (409, "teapot", 5)
    assert caught.value.relayed  # orders had begun its work: no policy takes it for a refusal
    assert await client.settled() == []
    assert await orders_of(client, "teapot") == []
    assert await client.call(billing.count) == (0, 0)


async def test_a_reservation_is_made_once_however_often_it_is_asked_for(
    client: natsrpc.Client,
) -> None:
    of_order = client.bind(Stock)
    assert [await of_order.reserve("o1", "teapot", 2) for _ in range(3)] == [3, 3, 3]
    with pytest.raises(OutOfStock):
        await of_order.reserve("o2", "teapot", 4)
    assert await of_order.reserve("o2", "teapot", 3) == 0  # what failed has reserved nothing


async def test_an_order_that_is_not_there_is_an_error_of_its_own(client: natsrpc.Client) -> None:
    with pytest.raises(NoSuchOrder) as caught:
        await client.call(reading.get, tokens={"id": "none"})
    assert (caught.value.code, caught.value.id) == (404, "none")


async def test_a_commit_that_fails_is_the_answer_and_nobody_hears_of_the_order(
    client: natsrpc.Client,
) -> None:
    async def broken(context: natsrpc.Context) -> AsyncIterator[AsyncSession]:
        async for session in session_of_request(context):
            yield session
            raise natsrpc.UnavailableError("the disk is full")

    with (
        shop.service.override(session_of_request, broken),
        pytest.raises(natsrpc.UnavailableError),
    ):
        await client.call(placing.place, TWO)
    assert await client.settled() == []
    assert await orders_of(client, "teapot") == []
    assert await client.call(billing.count) == (0, 0)


async def test_what_no_order_is_reaches_nobody(client: natsrpc.Client) -> None:
    with pytest.raises(natsrpc.InvalidRequestError):
        await client.call("orders.place", {"sku": "teapot", "count": 0})
    assert await client.call(stock.left, "teapot") == 5


async def test_an_order_that_mail_cannot_find_is_told_as_a_failed_event(
    client: natsrpc.Client,
) -> None:
    unknown = Order(sku="teapot", count=1, id="unknown")
    await client.enqueue(placed, unknown, tokens={"region": "eu"})
    (error,) = await client.settled()
    assert isinstance(error, NoSuchOrder)
    assert await client.call(billing.count) == (1, 1)  # the worker has it all the same


async def test_an_order_that_is_told_twice_is_charged_once(client: natsrpc.Client) -> None:
    order = await client.call(placing.place, TWO)
    assert await client.settled() == []
    told = order.model_dump_json().encode()
    await client.connection.publish("shop.events.us.placed", told)  # without the id of the event
    assert await client.settled() == []
    assert await client.call(billing.count) == (1, 1)


async def letters_of(client: natsrpc.Client) -> list[desk.DeadLetter]:
    return [letter async for letter in client.stream(desk.listing)]


async def test_what_billing_cannot_read_comes_to_the_desk(client: natsrpc.Client) -> None:
    await client.connection.publish("shop.events.eu.placed", b'{"sku": "teapot"}')
    await client.settled()
    (letter,) = await letters_of(client)
    assert (letter.worker, letter.subject) == ("billing/charge", "shop.events.eu.placed")
    assert "count" in letter.reason
    assert letter.body == '{"sku": "teapot"}'
    await client.call(desk.drop, letter.number)
    assert await letters_of(client) == []
    with pytest.raises(desk.NoSuchLetter):
        await client.call(desk.drop, letter.number)


async def test_a_letter_that_is_requeued_is_worked_on_again(client: natsrpc.Client) -> None:
    async def broken(context: natsrpc.Context) -> AsyncIterator[AsyncSession]:
        raise natsrpc.Reject("the ledger is closed")
        yield

    with billing.service.override(session_of_request, broken):
        await client.call(placing.place, TWO)
        await client.settled()
    (letter,) = await letters_of(client)
    assert "the ledger is closed" in letter.reason
    assert await client.call(billing.count) == (0, 0)
    await client.call(desk.again, letter.number)
    await client.settled()
    assert await letters_of(client) == []
    assert await client.call(billing.count) == (1, 1)


# on a real server, as its first lines say to run it


def pids_of(line: str) -> list[int]:
    found = re.search(r"\(([\d, ]+)\)", line)
    assert found is not None, line
    return [int(pid) for pid in found[1].split(",")]


def connections(server: NatsServer) -> Counter[str]:
    """How many connections of each name the server has, by its own count."""
    with urlopen(f"http://127.0.0.1:{server.monitor_port}/connz?limit=1000") as answer:
        found: dict[str, Any] = json.load(answer)
    return Counter(each.get("name", "") for each in found["connections"])


async def reload(pool: Command) -> None:
    """Replace all workers of a pool, as after an update of the code."""
    pool.signal(signal.SIGHUP)
    await asyncio.to_thread(pool.wait_for, "all workers are replaced")


@pytest.mark.live
@pytest.mark.slow
async def test_each_worker_has_one_connection_and_300_orders_outlive_a_rolling_reload(
    folder: Path,
) -> None:
    server = NatsServer("http: 127.0.0.1:-1", jetstream=True)
    async with server, AsyncExitStack() as stack:
        pools: dict[str, Command] = {}
        for name in SERVICES:
            target = f"examples.services.orders.{name}"
            arguments = ("run", target, "--workers", "2", "--server", server.url)
            pools[name] = stack.enter_context(Command(*arguments))
        pids: list[int] = []
        for pool in pools.values():
            pids += pids_of(await asyncio.to_thread(pool.wait_for, "is served by 2 workers"))
        two_each = {f"natsrpc run examples.services.orders.{name}": 2 for name in SERVICES}
        assert connections(server) == two_each

        client = await stack.enter_async_context(natsrpc.connect(server.url, name="customer"))
        await client.call(stock.put, {"sku": "teapot", "count": 1_000_000})
        orders = [await client.call(placing.place, TWO)]
        assert connections(server) == two_each | {"customer": 1}  # calling has added none

        reloading = asyncio.gather(*map(reload, pools.values()))

        async def keep_ordering() -> None:
            while not reloading.done() or len(orders) < 300:
                orders.append(await client.call(placing.place, TWO, timeout=20.0))

        async with asyncio.TaskGroup() as group:  # raises if one of them fails
            for _ in range(4):
                group.create_task(keep_ordering())
        await reloading
        assert all_gone(pids)
        assert connections(server) == two_each | {"customer": 1}

        assert len({order.id for order in orders}) == len(orders) >= 300
        assert await client.call(stock.left, "teapot") == 1_000_000 - 2 * len(orders)
        letters = folder / "mail.txt"
        await eventually(lambda: letters.read_text().count("\n") >= len(orders), timeout=30.0)

        async def all_charged() -> bool:
            return await client.call(billing.count) == (len(orders), len(orders))

        await eventually(all_charged, timeout=30.0)
        for pool in pools.values():
            pool.signal(signal.SIGTERM)
        for pool in pools.values():
            assert await asyncio.to_thread(pool.wait) == 0, pool.output

        # each subscriber has handled each event once: nobody is left who could handle more
        async with client.serve(billing.service):
            assert await client.call(billing.count) == (len(orders), len(orders))
        lines = [line.partition(":")[0] for line in letters.read_text().splitlines()]
        assert sorted(lines) == sorted(order.id for order in orders)
