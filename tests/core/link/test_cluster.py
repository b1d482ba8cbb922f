"""What a cluster tells of its servers, and what becomes of a client when one of them goes."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any

import pytest

from natsrpc.core import Msg, Status, connect
from natsrpc.errors import NatsError
from natsrpc.testing import Cluster, NatsServer
from tests.core.connected import connected
from tests.core.harness import ScriptedServer, eventually
from tests.core.recorder import Recorder

QUICK: dict[str, Any] = {"reconnect_wait": 0.02, "reconnect_jitter": 0.0}


@pytest.mark.parity("D1", "D5")
async def test_a_cluster_names_its_servers_at_connect(nats_cluster: Cluster) -> None:
    recorder = Recorder()
    first, *others = nats_cluster.servers
    url = first.url.replace("nats://", "nats://joe:s3cret@")
    async with connect(url, **recorder.options) as nc:
        assert sorted(nc.discovered_servers) == sorted(server.url for server in others)
        assert sorted(nc.servers) == sorted(nats_cluster.urls)
        assert not any("s3cret" in address for address in nc.servers)
        await nc.flush()
        assert "on_discovered_servers" not in recorder.names  # not at the first connect


@pytest.mark.parity("D1", "D2", "D4", "L-cluster")
async def test_servers_that_join_are_told_and_those_that_leave_are_dropped(
    nats_cluster: Cluster,
) -> None:
    recorder = Recorder()
    first, second, third = nats_cluster.servers
    async with connect(first.url, **recorder.options) as nc:
        third.kill()
        await eventually(lambda: third.url not in nc.servers)
        assert sorted(nc.servers) == sorted([first.url, second.url])
        assert recorder.told("on_discovered_servers") == []
        await asyncio.to_thread(third.start)
        await eventually(lambda: third.url in nc.servers)
        await nc.flush()
        assert recorder.told("on_discovered_servers") == []  # it merely came back
        newcomer = NatsServer(
            args=[
                *("--cluster_name", "natsrpc-test", "--cluster", "nats://127.0.0.1:-1"),
                *("--routes", f"nats://127.0.0.1:{first.cluster_port}"),
            ]
        )
        async with newcomer:
            await eventually(lambda: newcomer.url in nc.discovered_servers)
            await eventually(lambda: "on_discovered_servers" in recorder.names)
        assert len(recorder.told("on_discovered_servers")) == 1


@pytest.mark.parity("L-cluster")
async def test_what_a_cluster_names_can_be_ignored(nats_cluster: Cluster) -> None:
    url = nats_cluster.urls[0]
    async with connect(url, ignore_discovered_servers=True) as nc:
        assert (nc.servers, nc.discovered_servers) == ([url], [])


@pytest.mark.parity("B4", "D2")
async def test_a_client_that_knew_one_server_survives_its_death(nats_cluster: Cluster) -> None:
    first = nats_cluster.servers[0]
    async with connect(first.url, reconnect_wait=60) as nc:

        async def answer(msg: Msg) -> None:
            await msg.respond(b"alive")

        await nc.subscribe("cluster.ask", queue_group="q", cb=answer)
        await nc.flush()
        start = nc.link.loop.time()
        first.kill()
        await eventually(lambda: nc.stats().reconnects == 1)
        assert nc.link.loop.time() - start < 5
        assert nc.connected_url in nats_cluster.urls[1:]
        assert (await nc.request("cluster.ask")).data == b"alive"
        assert first.url in nc.servers  # configured ones stay


async def test_clients_on_different_servers_keep_talking_while_each_is_killed_in_turn(
    nats_cluster: Cluster,
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(connect(nats_cluster.urls, first_server=url, **QUICK))
            for url in nats_cluster.urls
        ]
        worker, *askers = clients

        async def answer(msg: Msg) -> None:
            await msg.respond(msg.data)

        await worker.subscribe("cluster.echo", queue_group="q", cb=answer)
        await worker.flush()
        for server in nats_cluster.servers:
            server.kill()
            await eventually(lambda: all(nc.status is Status.CONNECTED for nc in clients))
            for asker in askers:
                async with asyncio.timeout(5):
                    while True:  # until the routes have carried the interest
                        with contextlib.suppress(NatsError):
                            reply = await asker.request("cluster.echo", b"x", timeout=0.5)
                            assert reply.data == b"x"
                            break
            await asyncio.to_thread(server.start)
            await asyncio.to_thread(nats_cluster.await_mesh)
        assert all(nc.stats().reconnects >= 1 for nc in clients)


@pytest.mark.parity("D4")
async def test_news_of_a_reconnect_are_told_too() -> None:
    recorder = Recorder()
    async with ScriptedServer() as other, connected(**recorder.options) as (nc, peer, server):
        server.info["connect_urls"] = [other.address, server.address]
        peer.reset()
        await server.accept()
        await eventually(lambda: "on_reconnect" in recorder.names)
        assert nc.discovered_servers == [other.url]
        assert recorder.names.count("on_discovered_servers") == 1
        assert recorder.names.index("on_discovered_servers") < recorder.names.index("on_reconnect")


@pytest.mark.parity("D1", "D2", "D4")
async def test_each_info_with_something_new_is_told_once() -> None:
    recorder = Recorder()
    async with connected(**recorder.options) as (nc, peer, server):
        for known in (["127.0.0.1:1"], ["127.0.0.1:1"], [], ["127.0.0.1:1", "127.0.0.1:2"]):
            peer.info(connect_urls=[*known, server.address] if known else None)
            await peer.synced()
        assert sorted(nc.discovered_servers) == ["nats://127.0.0.1:1", "nats://127.0.0.1:2"]
        peer.info(connect_urls=["127.0.0.1:2"])
        await peer.synced()
        assert nc.discovered_servers == ["nats://127.0.0.1:2"]
        peer.info(connect_urls=["127.0.0.1:1", "127.0.0.1:2"])  # came back
        await peer.synced()
        assert len(recorder.told("on_discovered_servers")) == 2


@pytest.mark.parity("D2")
async def test_the_server_connected_to_stays_though_nobody_names_it_any_more() -> None:
    async with (
        ScriptedServer() as second,
        connected() as (nc, peer, first),
    ):
        peer.info(connect_urls=[second.address])
        await peer.synced()
        first.refuse()
        peer.reset()
        peer = await second.accept()
        await eventually(lambda: nc.status is Status.CONNECTED)
        peer.info(connect_urls=["127.0.0.1:1"])
        await peer.synced()
        assert second.url in nc.servers
