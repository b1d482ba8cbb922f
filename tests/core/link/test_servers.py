"""Which servers a connection uses: others set while it stands, and the next one chosen by a
function."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from natsrpc.core import Connection, connect
from natsrpc.errors import ConfigError, ConnectionClosedError
from tests.core.harness import ScriptedServer, eventually

QUICK: dict[str, Any] = {
    "reconnect_wait": 0.01, "reconnect_jitter": 0.0, "randomize_servers": False,
}  # fmt: skip


async def left(nc: Connection) -> None:
    await nc.force_reconnect()
    await eventually(lambda: nc.is_connected)


@pytest.mark.parity("L-servers")
async def test_other_servers_are_used_from_the_next_reconnect_on() -> None:
    async with ScriptedServer() as old, ScriptedServer() as new, connect(old.url, **QUICK) as nc:
        nc.set_servers([new.url])
        assert nc.servers == [new.url]
        assert nc.connected_url == old.url
        await nc.flush()
        await left(nc)
        assert nc.connected_url == new.url
        await nc.flush()
        nc.set_servers(f"{old.url},{new.url}")
        assert nc.servers == [new.url, old.url]  # the one that stands is the last to be tried
        await left(nc)
        assert nc.connected_url == old.url


async def test_servers_set_while_none_is_reached_are_tried_at_once() -> None:
    options = {**QUICK, "reconnect_wait": 60.0, "max_reconnect_attempts": -1}
    async with ScriptedServer() as old, ScriptedServer() as new, connect(old.url, **options) as nc:
        old.refuse()
        (await old.accept()).reset()
        await eventually(lambda: nc.stats().attempts > 1)
        nc.set_servers(new.url)
        await eventually(lambda: nc.connected_url == new.url)


async def test_discovered_ones_go_and_come_with_the_next_info() -> None:
    async with ScriptedServer() as one, ScriptedServer() as two, connect(one.url, **QUICK) as nc:
        peer = await one.accept()
        peer.info(connect_urls=[one.address, two.address])
        await eventually(lambda: nc.discovered_servers == [two.url])
        nc.set_servers(one.url)
        assert nc.servers == [one.url]
        peer.info(connect_urls=[one.address, two.address])
        await eventually(lambda: nc.discovered_servers == [two.url])


@pytest.mark.parametrize(
    ("servers", "told"),
    [
        ([], "at least one server"),
        (" , ", "at least one server"),
        ("http://x", "expected the scheme"),
        (["nats://a", "ws://b"], "cannot share a connection"),
        ("ws://a", "cannot go from nats:// to ws://"),
        ("tls://a", "cannot go from nats:// to tls://"),
        ({"nats://a": 1}, "servers must be a str or a sequence of str"),
        (5, "servers must be a str or a sequence of str"),
    ],
)
async def test_servers_that_cannot_be_are_refused_and_nothing_changes(
    servers: Any, told: str
) -> None:
    async with ScriptedServer() as server, connect(server.url, **QUICK) as nc:
        with pytest.raises(ConfigError, match=told):
            nc.set_servers(servers)
        assert nc.servers == [server.url]
        await left(nc)
    with pytest.raises(ConnectionClosedError):
        nc.set_servers("nats://a")


@pytest.mark.parity("L-servers")
async def test_a_function_chooses_the_server_of_each_attempt() -> None:
    offered: list[list[str]] = []

    def choose(addresses: list[str]) -> str | None:
        offered.append(addresses)
        return wanted.url

    async with ScriptedServer() as a, ScriptedServer() as b, ScriptedServer() as c:
        servers = [f"nats://user:s3cret@{server.address}" for server in (a, b, c)]
        async with connect(servers, reconnect_server_cb=choose, **QUICK) as nc:
            for wanted in (c, b, b, a):
                await left(nc)
                assert nc.server_address == ("127.0.0.1", wanted.port)
            assert len(offered) == 4
            assert all(sorted(one) == sorted([a.url, b.url, c.url]) for one in offered)


@pytest.mark.parametrize("answer", [None, "nats://elsewhere:1", 5, ZeroDivisionError])
async def test_a_function_that_chooses_none_leaves_it_to_the_order(
    answer: Any, caplog: pytest.LogCaptureFixture
) -> None:
    def choose(addresses: list[str]) -> Any:
        if isinstance(answer, type):
            raise answer
        return answer

    async with (
        ScriptedServer() as a,
        ScriptedServer() as b,
        connect([a.url, b.url], reconnect_server_cb=choose, **QUICK) as nc,
    ):
        await left(nc)
        assert nc.connected_url == b.url
    assert ("going on in order" in caplog.text) is (answer is not None)


async def test_a_chosen_server_that_is_down_is_tried_no_faster_than_the_wait_says() -> None:
    async with ScriptedServer() as a, ScriptedServer() as b:
        down, options = b.url, {**QUICK, "reconnect_wait": 0.02, "max_reconnect_attempts": 3}
        b.refuse()
        failures: list[Any] = []
        async with connect(
            [a.url, b.url],
            reconnect_server_cb=lambda known: down if down in known else None,
            on_reconnect_error=lambda nc, error: failures.append(nc.link.loop.time()),
            **options,
        ) as nc:
            await nc.force_reconnect()
            await eventually(lambda: nc.connected_url == a.url and len(failures) == 3)
            assert nc.servers == [a.url]  # its attempts are used up
            assert all(y - x > 0.015 for x, y in itertools.pairwise(failures))
