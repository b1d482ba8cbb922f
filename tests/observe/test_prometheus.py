"""Figures of real requests, as a scrape shows them."""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

import natsrpc
from natsrpc.observe.figures import Sheet, measure, render
from natsrpc.observe.prometheus import Metrics
from natsrpc.testing import NatsServer
from tests.core.harness import warped

DASHBOARD = Path(__file__).parents[2] / "deploy" / "grafana" / "natsrpc.json"


class Shop:
    """A service that is counted."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.started = asyncio.Event()
        self.ended = asyncio.Event()
        self.service = natsrpc.Service("shop", version="1.0.0")
        for method in (self.echo, self.sell, self.fail, self.wait, self.count):
            self.service.handler(method.__name__)(method)
        Metrics(registry=self.registry).instrument(self.service)

    async def echo(self, text: str) -> str:
        return text

    async def sell(self) -> None:
        raise natsrpc.ConflictError("gone")

    async def fail(self) -> None:
        raise ValueError("secret")

    async def wait(self) -> None:
        self.started.set()
        try:
            await asyncio.Event().wait()
        finally:
            self.ended.set()

    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    def requests(self, endpoint: str, code: str) -> float | None:
        return self.value("requests_total", endpoint, code=code)

    def value(self, name: str, endpoint: str, **labels: str) -> float | None:
        if endpoint == "placed":  # the subscriber of these tests
            labels["kind"] = "event"
        return self.registry.get_sample_value(
            f"natsrpc_server_{name}", {"service": "shop", "endpoint": endpoint, **labels}
        )


async def test_requests_are_counted_by_code() -> None:
    shop = Shop()
    async with shop.service.test() as client:
        for _ in range(3):
            await client.call("echo", "hello", str)
        with pytest.raises(natsrpc.ConflictError):
            await client.call("sell")
        with pytest.raises(natsrpc.InternalError):
            await client.call("fail")
        assert [n async for n in client.stream("count", 2, returns=int)] == [0, 1]
    assert shop.requests("echo", "200") == 3
    assert shop.requests("sell", "409") == 1
    assert shop.requests("fail", "500") == 1
    assert shop.requests("count", "200") == 1
    assert shop.value("seconds_count", "echo") == 3
    assert shop.value("running", "echo") == 0


async def test_errors_of_nested_calls_are_counted_by_what_is_answered() -> None:
    shop = Shop()

    async def place(subject: str) -> None:
        await client.call(subject)

    shop.service.handler("place")(place)
    async with shop.service.test() as client:
        for subject in ("fail", "nobody", "sell"):
            with pytest.raises(natsrpc.RpcError):
                await client.call("place", subject)
    assert shop.requests("place", "502") == 2
    assert shop.requests("place", "409") == 1


async def test_what_runs_and_what_is_given_up_is_seen() -> None:
    shop = Shop()
    async with shop.service.test() as client:
        call = asyncio.ensure_future(client.call("wait"))
        await shop.started.wait()
        assert shop.value("running", "wait") == 1
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await shop.ended.wait()
    assert shop.requests("wait", "499") == 1
    assert shop.value("running", "wait") == 0


async def test_a_deadline_that_passed_is_seen() -> None:
    shop = Shop()
    async with shop.service.test() as client:
        with pytest.raises(natsrpc.DeadlineExceededError):
            await client.call("wait", timeout=0.05)
    assert shop.requests("wait", "504") == 1


async def test_events_are_counted_as_requests_are_and_dropped_ones_besides() -> None:
    shop = Shop()

    @shop.service.subscriber("placed", max_concurrency=1, max_waiting=1)
    async def placed(order: int) -> None:
        if order:
            raise natsrpc.ConflictError("no")

    async with shop.service.test() as client:
        await client.publish("placed", 0)
        assert await client.settled() == []
        await client.publish("placed", 1)
        assert len(await client.settled()) == 1
    assert (shop.requests("placed", "200"), shop.requests("placed", "409")) == (1, 1)


async def test_a_subscriber_may_have_the_name_of_an_endpoint() -> None:
    shop, sheet = Shop(), Sheet()

    async def placed(order: int) -> None: ...

    shop.service.handler("shop.placed")(placed)
    shop.service.subscriber("placed")(placed)
    measure(sheet, shop.service)
    async with shop.service.test() as client:
        for _ in range(2):
            await client.call("shop.placed", 1)
        await client.publish("placed", 1)
        await client.settled()
    for text in (generate_latest(shop.registry).decode(), render(sheet.series())):
        found = [
            (sample.labels.get("kind"), sample.value)
            for family in text_string_to_metric_families(text)
            for sample in family.samples
            if sample.name == "natsrpc_server_requests_total"
            and (sample.labels["endpoint"], sample.labels["code"]) == ("placed", "200")
        ]
        assert sorted(found, key=str) == [("event", 1), (None, 2)]


async def test_endpoints_of_one_name_are_one_series() -> None:
    shop, sheet = Shop(), Sheet()

    async def find(number: int) -> int:
        return number

    for subject in ("a.find", "b.find"):
        shop.service.handler(subject, name="find")(find)
    measure(sheet, shop.service)
    async with shop.service.test() as client:
        for subject in ("a.find", "b.find", "b.find"):
            await client.call(subject, 1)
    assert shop.requests("find", "200") == 3
    for text in (generate_latest(shop.registry).decode(), render(sheet.series())):
        assert text.count("natsrpc_server_running{") == 6  # no sample twice


async def test_a_dropped_event_is_seen() -> None:
    shop, go = Shop(), asyncio.Event()

    @shop.service.subscriber("placed", max_concurrency=1, max_waiting=1)
    async def placed(order: int) -> None:
        await go.wait()

    async with shop.service.test() as client:
        for order in range(5):
            await client.publish("placed", order)
        await client.connection.flush()
        go.set()
        assert len(await client.settled()) == 3
    assert shop.value("dropped_total", "placed") == 3
    assert shop.requests("placed", "200") == 2


def test_other_targets_are_refused() -> None:
    other: Any = "shop"
    with pytest.raises(natsrpc.ConfigError, match="takes services, not 'shop'"):
        Metrics(registry=CollectorRegistry()).instrument(other)


@warped  # where this process stands still for a moment, the first ones wait as well
async def test_what_waited_for_a_slot_is_seen_of_requests_and_of_events() -> None:
    shop, go = Shop(), asyncio.Event()
    begun, loop = asyncio.Semaphore(0), asyncio.get_running_loop()
    began = loop.time()

    @shop.service.subscriber("placed", max_concurrency=1)
    async def placed(order: int) -> None:
        await go.wait()

    @shop.service.handler("queue", max_concurrency=1)
    async def queue() -> None:
        begun.release()
        await go.wait()

    async with shop.service.test() as client:
        calls = [asyncio.ensure_future(client.call("queue")) for _ in range(3)]
        for order in range(3):
            await client.publish("placed", order)
        await client.connection.flush()
        await begun.acquire()
        go.set()
        await asyncio.gather(*calls)
        await client.settled()
    for endpoint in ("queue", "placed"):
        assert shop.value("wait_seconds_count", endpoint) == 2
        waited = shop.value("wait_seconds_sum", endpoint)
        assert waited is not None
        assert 0 < waited <= 2 * (loop.time() - began)
        assert shop.value("seconds_count", endpoint) == 3


async def test_a_refused_request_is_counted_by_its_code_and_takes_no_time() -> None:
    shop = Shop()
    async with shop.service.test() as client:
        with pytest.raises(natsrpc.UnsupportedCodecError):
            await client.call("echo", "x", headers={"Content-Type": "no/such"})
    assert shop.requests("echo", "415") == 1
    assert shop.value("seconds_count", "echo") == 0


async def test_what_becomes_of_connections_is_seen() -> None:
    shop, back = Shop(), asyncio.Event()

    def value(name: str) -> float | None:
        return shop.registry.get_sample_value(f"natsrpc_connection_{name}")

    async with NatsServer() as server:
        connecting = natsrpc.connect(server.url, on_reconnect=lambda *_: back.set())
        async with connecting as serving, serving.serve(shop.service):
            assert (value("up"), value("reconnects_total")) == (1, 0)
            server.restart()
            await asyncio.wait_for(back.wait(), 10)
            assert (value("up"), value("reconnects_total")) == (1, 1)
        assert value("up") == 0


async def test_a_slow_consumer_is_seen() -> None:
    shop, told = Shop(), asyncio.Event()
    async with (
        NatsServer() as server,
        natsrpc.connect(server.url) as serving,
        serving.serve(shop.service),
    ):
        serving.connection.link.add_listener(lambda _: told.set())
        slow = await serving.connection.subscribe("flood", pending_msgs_limit=1)
        for _ in range(4):
            await serving.connection.publish("flood")
        await asyncio.wait_for(told.wait(), 10)
        assert slow.dropped
        name = "natsrpc_connection_slow_consumers_total"
        assert shop.registry.get_sample_value(name) == 1


async def test_a_service_that_is_served_is_refused() -> None:
    shop = Shop()
    async with shop.service.test():
        with pytest.raises(natsrpc.ConfigError, match="'shop' is served already"):
            Metrics(registry=CollectorRegistry()).instrument(shop.service)


def test_a_registry_takes_one() -> None:
    registry = CollectorRegistry()
    Metrics(registry=registry)
    with pytest.raises(ValueError, match="natsrpc_server"):
        Metrics(registry=registry)


SHARED = """
import asyncio, natsrpc
from prometheus_client import CollectorRegistry, generate_latest, multiprocess
from natsrpc.observe.prometheus import Metrics
service = natsrpc.Service("shop", version="1.0.0")
@service.handler("echo", max_concurrency=1)
async def echo(text: str) -> str:
    return text
@service.handler("sell")
async def sell() -> None:
    raise natsrpc.ConflictError("gone")
@service.handler("relay")
async def relay(code: int) -> None:
    raise natsrpc.RpcError("no", code=code)
async def main() -> None:
    Metrics(registry=CollectorRegistry()).instrument(service)
    async with service.test() as client:
        await asyncio.gather(*(client.call(echo, "x") for _ in range(3)))
        for _ in range(2):
            try:
                await client.call(sell)
            except natsrpc.ConflictError:
                pass
        for code in range(40):
            try:
                await client.call(relay, 1000 + code)
            except natsrpc.RpcError:
                pass
    registry = CollectorRegistry()
    multiprocess.MultiProcessCollector(registry)
    print(generate_latest(registry).decode())
asyncio.run(main())
"""


def test_the_multiprocess_mode_of_prometheus_client_has_them_in_its_files(tmp_path: Path) -> None:
    env = {**os.environ, "PROMETHEUS_MULTIPROC_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SHARED], env=env, capture_output=True, text=True, check=True
    )
    found = {
        (sample.name, sample.labels.get("endpoint", ""), sample.labels.get("code", "")): (
            sample.value
        )
        for family in text_string_to_metric_families(done.stdout)
        for sample in family.samples
        if "le" not in sample.labels
    }
    assert found["natsrpc_server_requests_total", "echo", "200"] == 3
    assert found["natsrpc_server_requests_total", "sell", "409"] == 2
    assert found["natsrpc_server_seconds_count", "echo", ""] == 3
    assert found["natsrpc_server_running", "echo", ""] == 0
    assert found["natsrpc_server_requests_total", "relay", "other"] == 9
    assert found["natsrpc_connection_up", "", ""] == 0


def families(text: str) -> dict[str, str]:
    return {family.name: family.type for family in text_string_to_metric_families(text)}


async def test_codes_without_end_are_few_series() -> None:
    shop = Shop()

    @shop.service.handler("relay")
    async def relay(code: int) -> None:
        raise natsrpc.RpcError("no", code=code)

    async with shop.service.test() as client:
        for code in range(1000, 1040):
            with pytest.raises(natsrpc.RpcError):
                await client.call(relay, code)
        with pytest.raises(natsrpc.RpcError):
            await client.call(relay, 1000)
        with pytest.raises(natsrpc.RpcError):
            await client.call(relay, 503)  # one of ours is told apart, however late
    lines = generate_latest(shop.registry).decode().splitlines()
    relayed = [line for line in lines if "requests_total{" in line and '"relay"' in line]
    assert len(relayed) == 34  # with those of the codes 200 and 503
    assert shop.requests("relay", "503") == 1
    assert shop.requests("relay", "1000") == 2
    assert shop.requests("relay", "other") == 9


async def test_a_pool_and_a_program_show_the_same_metrics() -> None:
    shop, sheet = Shop(), Sheet()
    measure(sheet, shop.service)
    async with shop.service.test() as client:
        await client.call("echo", "x")
    ours = families(generate_latest(shop.registry).decode())
    assert len(ours) == 9
    assert families(render(sheet.series())) == ours


async def test_the_dashboard_uses_only_metrics_and_labels_that_exist() -> None:
    shop, sheet = Shop(), Sheet()

    @shop.service.subscriber("placed")
    async def placed(order: int) -> None: ...

    measure(sheet, shop.service)
    async with shop.service.test() as client:
        await client.call("echo", "x")
        await client.publish("placed", 1)
        await client.settled()
    samples: dict[str, set[str]] = {}
    for family in text_string_to_metric_families(render(sheet.series())):
        for sample in family.samples:
            samples.setdefault(sample.name, set()).update(sample.labels)
    samples |= {"natsrpc_pool_workers": {"target", "state"}, "natsrpc_pool_restarts_total": set()}
    board = json.loads(DASHBOARD.read_text())
    assert {each["name"] for each in board["templating"]["list"]} == {"source", "service"}
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    used: set[str] = set()
    for query in queries:
        names = set(re.findall(r"natsrpc_\w+", query))
        assert names, query
        assert names <= samples.keys(), query
        used |= names
        inside = re.findall(r'(\w+)\s*(?:=~|!~|!=|=)\s*"', query)
        grouped = re.findall(r"by \(([^)]*)\)", query)
        labels = {*inside, *(each.strip() for group in grouped for each in group.split(","))}
        assert labels <= set.union(*(samples[name] for name in names)), query
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in samples}
    assert {name.removesuffix("_bucket") for name in used} == shown


@pytest.mark.once
def test_prometheus_parser_takes_each_query_of_the_dashboard() -> None:
    promql = pytest.importorskip("promql_parser", reason="promql-parser comes with the extra dev")
    board = json.loads(DASHBOARD.read_text())
    queries = [target["expr"] for panel in board["panels"] for target in panel["targets"]]
    assert len(queries) > 10
    for query in queries:
        # Grafana puts values in the place of its variables
        promql.parse(query.replace("$__rate_interval", "1m").replace("$service", ".*"))
    with pytest.raises(ValueError, match="parenthesis"):
        promql.parse(queries[0][:-1].replace("$__rate_interval", "1m"))
