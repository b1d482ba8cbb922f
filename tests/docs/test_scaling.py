"""docs/scaling.md: what it says of interest, of partitions and of who is asked, on real servers.

Figures of time and CPU are those of `benchmarks/scaling`, and no test judges them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import urllib.request
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest

import natsrpc
from natsrpc.server import Cluster, NatsServer
from tests.behavior.matrix import topologies
from tests.core.harness import eventually, steady

from .blocks import BLOCKS

pytestmark = pytest.mark.live

(PARTITIONS,) = (
    block.text for block in BLOCKS if block.page.name == "scaling.md" and block.kind == "conf"
)


def place(name: str) -> natsrpc.Service:
    service = natsrpc.Service("fleet", version="1.0.0")

    @service.handler("fleet.where")
    async def where() -> str:
        return name

    return service


@contextlib.asynccontextmanager
async def near_and_far(start: Callable[[], Any]) -> AsyncIterator[set[str]]:
    """Who answers the caller of a topology while there are workers at both sides."""
    found: set[str] = set()
    with start() as topology:
        near, far = natsrpc.connect(topology.caller), natsrpc.connect(topology.worker)
        async with near as here, far as there, there.serve(place("far")):
            async with asyncio.timeout(20):
                while not found:  # servers that have not met yet
                    with contextlib.suppress(natsrpc.NoRespondersError):
                        found.add(await here.call("fleet.where", returns=str))
            assert found == {"far"}
            found.clear()
            async with here.serve(place("near")):
                found |= {await here.call("fleet.where", returns=str) for _ in range(60)}
            yield found


@pytest.mark.parametrize("start", [topologies.gateway, topologies.leaf])
async def test_over_gateways_and_leaf_nodes_near_members_are_asked(start: Any) -> None:
    async with near_and_far(start) as found:
        assert found == {"near"}


async def test_in_a_cluster_all_members_are_asked() -> None:
    async with near_and_far(topologies.cluster) as found:
        assert found == {"near", "far"}


async def test_partitions_keep_keys_together_and_let_large_requests_through() -> None:
    with NatsServer(PARTITIONS) as server:
        async with natsrpc.connect(server.url) as client:
            for number in range(3):
                await client.serve(partition(number))
            found = {}
            for order in range(30):
                answers = [
                    await client.call(f"orders.{order}", body, int)
                    for body in (b"x", b"x", bytes(1_500_000))
                ]
                assert len(set(answers)) == 1
                found[order] = answers[0]
            assert set(found.values()) == {0, 1, 2}


def partition(number: int) -> natsrpc.Service:
    service = natsrpc.Service("orders", version="1.0.0")

    @service.handler(f"part.{number}.{{order}}", name="put")
    async def put(order: Annotated[str, natsrpc.Token("order")], data: bytes) -> int:
        return number

    return service


@pytest.mark.parametrize(("instances", "endpoints"), [(1, 1), (3, 4)])
async def test_interest_is_what_the_page_says(instances: int, endpoints: int) -> None:
    with Cluster(2, "http: 127.0.0.1:-1\n") as servers:
        own, other = servers.servers
        # the servers' own interest is known to both once all their routes stand
        await eventually(
            lambda: len({(routes(each), interest(each)) for each in (own, other)}) == 1
        )
        before = await steady(lambda: (interest(own), interest(other)))
        async with natsrpc.connect(own.url) as client:
            for _ in range(instances):
                await client.serve(many(endpoints))

            def added() -> tuple[int, int]:
                return interest(own) - before[0], interest(other) - before[1]

            expected = instances * (3 * endpoints + 3), 3 * endpoints + 2 + instances
            await eventually(lambda: added() == expected, what=f"interest {expected}")


def many(endpoints: int) -> natsrpc.Service:
    service = natsrpc.Service("fleet", version="1.0.0")

    async def echo(data: bytes) -> bytes:
        return data

    for number in range(endpoints):
        service.handler(f"fleet.endpoint{number}", name=f"endpoint{number}")(echo)
    return service


def interest(server: NatsServer) -> int:
    return number_of(server, "subsz", "num_subscriptions")


def routes(server: NatsServer) -> int:
    return number_of(server, "routez", "num_routes")


def number_of(server: NatsServer, page: str, name: str) -> int:
    with urllib.request.urlopen(f"http://127.0.0.1:{server.monitor_port}/{page}") as answer:
        found: int = json.load(answer)[name]
    return found
