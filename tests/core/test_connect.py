"""The first connect: each server once, the most telling error, and nothing left behind."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from natsrpc.core import Connection, Options, Status, connect
from natsrpc.errors import (
    AuthorizationError,
    ConfigError,
    ConnectError,
    ConnectTimeoutError,
    MaxConnectionsError,
    NatsError,
    NoServersError,
    NoServersTimeoutError,
    RemoteProtocolError,
    TLSError,
)
from natsrpc.testing import NatsServer
from tests.core.answers import refuses
from tests.core.harness import Peer, Proxy, ScriptedServer, eventually, no_leaks, turns, warped

live = pytest.mark.usefixtures("nats_server")

QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}


@pytest.fixture
def closed_port() -> Iterator[int]:
    """A port that nobody listens on, and nobody will."""
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]


def all_callbacks(told: list[str]) -> dict[str, Any]:
    names = [
        "on_connect", "on_disconnect", "on_reconnect", "on_reconnect_error", "on_close", "on_error",
        "on_discovered_servers", "on_lame_duck",
    ]  # fmt: skip
    return {name: (lambda *_, name=name: told.append(name)) for name in names}


# the ways to call it


@live
@pytest.mark.parity("C1")
async def test_a_connection_is_awaited_or_entered(nats_server: NatsServer) -> None:
    async with no_leaks():
        nc = await connect(nats_server.url)
        assert isinstance(nc, Connection)
        assert nc.is_connected
        async with nc:
            await nc.flush()
        assert nc.is_closed
        async with connect(f" {nats_server.url} ,, {nats_server.url}/ ", name="x") as nc:
            await nc.flush()
        assert nc.status is Status.CLOSED
        async with connect([f"127.0.0.1:{nats_server.port}"]) as nc:
            await nc.flush()


@live
@pytest.mark.parity("C2")
async def test_the_default_port_is_dialed_where_none_is_given(
    monkeypatch: pytest.MonkeyPatch, nats_server: NatsServer
) -> None:
    dialed: list[tuple[str, int]] = []

    async def dial(make: Any, host: str, port: int) -> Any:
        dialed.append((host, port))
        loop = asyncio.get_running_loop()
        return await loop.create_connection(make, "127.0.0.1", nats_server.port)

    for servers in ("", "host", "nats://host/", "[::1]"):
        async with connect(servers, dialer=dial) as nc:
            await nc.flush()
    assert dialed == [("127.0.0.1", 4222), ("host", 4222), ("host", 4222), ("::1", 4222)]


@pytest.mark.parity("C9")
async def test_a_dialer_of_ones_own_opens_the_socket(closed_port: int) -> None:
    async with no_leaks(), ScriptedServer() as server:

        async def dial(make: Any, host: str, port: int) -> Any:
            assert (host, port) == ("anywhere", 7)
            return await asyncio.get_running_loop().create_connection(
                make, "127.0.0.1", server.port
            )

        async with connect("anywhere:7", dialer=dial) as nc:
            await nc.flush()


async def test_the_body_of_an_async_with_may_fail() -> None:
    async with no_leaks(), ScriptedServer() as server:
        with pytest.raises(RuntimeError, match="mine"):
            async with connect(server.url) as nc:
                raise RuntimeError("mine")
        assert nc.is_closed


async def test_options_given_with_servers_beside_them_are_refused() -> None:
    with pytest.raises(ConfigError, match="not both"):
        await connect("nats://a:1", options=Options(servers="nats://b:2"))


# the order


@pytest.mark.parity("C5", "C6")
async def test_servers_are_tried_in_order_until_one_stands(closed_port: int) -> None:
    async with (
        no_leaks(),
        ScriptedServer() as refusing,
        ScriptedServer() as good,
        ScriptedServer() as spare,
    ):
        refusing.auto_pong = False
        refusing.listeners.append(refuses("maximum connections exceeded"))
        told: list[str] = []
        pool = [f"127.0.0.1:{closed_port}", refusing.url, good.url, spare.url]
        async with connect(pool, randomize_servers=False, **all_callbacks(told)) as nc:
            assert nc.connected_url == good.url
            assert nc.stats().attempts == 3
            await eventually(lambda: told)
        assert told[0] == "on_connect"
        assert spare.peers == []


@pytest.mark.parity("C5")
async def test_the_first_server_is_tried_first() -> None:
    async with ScriptedServer() as one, ScriptedServer() as two:
        for _ in range(5):
            async with connect([one.url, two.url], first_server=two.url) as nc:
                assert nc.connected_url == two.url


@pytest.mark.parity("C6")
async def test_a_server_that_turns_us_away_may_name_others() -> None:
    async with ScriptedServer() as good, ScriptedServer(auto_pong=False) as full:
        full.info["connect_urls"] = [full.address, good.address]
        full.listeners.append(refuses("maximum connections exceeded"))
        told: list[str] = []
        async with connect(full.url, **all_callbacks(told)) as nc:
            assert nc.connected_url == good.url
            await turns()
        assert "on_discovered_servers" not in told
        with pytest.raises(MaxConnectionsError):
            await connect(full.url, ignore_discovered_servers=True)


async def test_all_addresses_of_a_name_are_tried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the first refuses, as ::1 does where a server listens on 127.0.0.1 alone."""
    async with ScriptedServer() as server, no_leaks():
        loop = asyncio.get_running_loop()
        found = [
            (socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, server.port))
            for address in ("127.9.9.9", "127.0.0.1", "127.0.0.1")
        ]

        async def lookup(*_: object, **__: object) -> Any:
            return found

        monkeypatch.setattr(loop, "getaddrinfo", lookup)
        async with connect(f"nats://many.example:{server.port}", randomize_servers=False) as nc:
            assert nc.server_address == ("127.0.0.1", server.port)


# failures


@pytest.mark.parity("C7", "E10")
async def test_servers_that_cannot_be_reached_are_all_named(closed_port: int) -> None:
    async with no_leaks():
        pool = [f"nats://127.0.0.1:{closed_port}", "nats://no-such-host.invalid:1"]
        with pytest.raises(NoServersError) as caught:
            await connect(pool, randomize_servers=False)
    error = caught.value
    assert [server for server, _ in error.attempts] == pool
    assert all(type(cause) is ConnectError for _, cause in error.attempts)
    assert error.__cause__ is error.attempts[-1][1]
    assert isinstance(error.attempts[0][1].__cause__, ConnectionRefusedError)
    assert isinstance(error, ConnectionError)
    for part in ("no-such-host.invalid", str(closed_port), "refused"):
        assert part in str(error)


@pytest.mark.parity("C7", "A5")
@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_a_refusal_is_told_before_servers_that_are_down(
    closed_port: int, order: tuple[int, int]
) -> None:
    async with no_leaks(), ScriptedServer(auto_pong=False) as server:
        server.listeners.append(refuses("Authorization Violation"))
        both = [server.url, f"nats://127.0.0.1:{closed_port}"]
        with pytest.raises(AuthorizationError) as caught:
            await connect([both[i] for i in order], randomize_servers=False)
        assert caught.value.server == server.url
        (note,) = caught.value.__notes__
        assert all(url in note for url in both)


async def test_the_most_telling_of_several_failures_is_told() -> None:
    async def failing(*texts: str) -> NatsError:
        async with (
            ScriptedServer(auto_pong=False) as one,
            ScriptedServer(auto_pong=False) as two,
        ):
            for server, text in zip((one, two), texts, strict=True):
                if text == "garbage":
                    server.handshake = False
                    server.accepted = _garbling(server)  # type: ignore[method-assign]
                elif text == "tls":
                    server.info["tls_required"] = True
                else:
                    server.listeners.append(refuses(text))
            urls = [one.url, two.url]
            with pytest.raises(NatsError) as caught:
                await connect(urls, randomize_servers=False, tls=False)
            return caught.value

    violation, full = "Authorization Violation", "maximum connections exceeded"
    for first, second, kind in [
        (violation, "tls", AuthorizationError),
        ("tls", full, TLSError),
        (full, "garbage", MaxConnectionsError),
        ("Authentication Timeout", "garbage", RemoteProtocolError),
    ]:
        assert isinstance(await failing(first, second), kind)
        assert isinstance(await failing(second, first), kind)


def _garbling(server: ScriptedServer) -> Any:
    def accepted(peer: Peer) -> None:
        server.peers.append(peer)
        peer.send(b"SSH-2.0-x\r\n")

    return accepted


@pytest.mark.parity("C6")
async def test_after_a_failure_nothing_was_told_and_nothing_runs(closed_port: int) -> None:
    told: list[str] = []
    async with no_leaks(), ScriptedServer(auto_pong=False) as server:
        server.listeners.append(refuses("Authorization Violation"))
        for url in (server.url, f"127.0.0.1:{closed_port}"):
            before = timers()
            with pytest.raises(NatsError):
                await connect(url, **all_callbacks(told))
            await turns(10)
            assert timers() <= before
            assert len(asyncio.all_tasks()) == 1
    assert told == []


def timers() -> int:
    """How many timers the loop holds that nobody cancelled."""
    scheduled = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]  # noqa: SLF001  nothing public tells
    return sum(not timer.cancelled() for timer in scheduled)


@pytest.mark.parametrize("stage", ["dial", "info", "tls", "credentials", "pong"])
async def test_cancelling_a_connect_leaves_nothing(stage: str) -> None:
    """At whatever step the cancellation comes."""
    waiting = asyncio.Event()

    async def hangs(*_: object) -> Any:
        waiting.set()
        await asyncio.Event().wait()

    by_stage: dict[str, dict[str, Any]] = {
        "dial": {"dialer": hangs},
        "credentials": {"token": hangs},
        "tls": {"tls_verify": False},
    }
    options = by_stage.get(stage, {})
    async with (
        no_leaks(),
        ScriptedServer(handshake=stage not in ("info", "tls"), auto_pong=False) as server,
    ):
        task = asyncio.ensure_future(connect(server.url, **options).__aenter__())
        if stage in ("dial", "credentials"):
            await asyncio.wait_for(waiting.wait(), 5)
        else:
            await eventually(lambda: server.peers)
            if stage == "tls":
                server.peers[0].stall()
                server.peers[0].info(tls_required=True)
            await turns(20)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        if stage != "dial" and stage != "tls":
            await eventually(server.peers[0].closed.is_set)
        server.violations.clear()


@pytest.mark.parity("C8")
@warped
async def test_each_server_has_the_timeout_for_itself_and_all_of_its_handshake() -> None:
    loop = asyncio.get_running_loop()
    async with ScriptedServer(handshake=False) as silent, ScriptedServer(auto_pong=False) as mute:
        before = loop.time()
        with pytest.raises(NoServersError) as caught:
            await connect([silent.url, mute.url], connect_timeout=3, randomize_servers=False)
        assert 6 <= loop.time() - before < 6.5
        first, second = (str(error) for _, error in caught.value.attempts)
        assert "within 3 s (while waiting for INFO)" in first
        assert "use tls_handshake_first=True" in first
        assert "within 3 s (while signing in)" in second


async def test_with_reconnecting_off_a_connect_is_one_try(closed_port: int) -> None:
    async with no_leaks():
        loop = asyncio.get_running_loop()
        before = loop.time()
        with pytest.raises(NoServersError) as caught:
            await connect(f"127.0.0.1:{closed_port}", allow_reconnect=False)
        assert len(caught.value.attempts) == 1
        assert loop.time() - before < 1
    async with no_leaks(), ScriptedServer(auto_pong=False) as server:
        server.listeners.append(refuses("Authorization Violation"))
        before = loop.time()
        with pytest.raises(AuthorizationError):
            await connect(server.url, allow_reconnect=False)
        assert len(server.peers) == 1
        assert loop.time() - before < 1


# going on in the background


@live
@pytest.mark.parity("L-retry")
async def test_a_first_connect_may_go_on_in_the_background() -> None:
    told: list[str] = []
    server = NatsServer()
    server.start()
    try:
        server.kill()
        options = {**QUICK, **all_callbacks(told), "retry_on_failed_connect": True}
        async with no_leaks(), connect(server.url, **options) as nc:
            assert nc.is_reconnecting
            assert not nc.is_connected
            got: asyncio.Queue[Any] = asyncio.Queue()
            await nc.subscribe("early", into=got)
            await nc.publish("early", b"kept")
            await eventually(lambda: "on_reconnect_error" in told)
            await asyncio.to_thread(server.start)
            assert (await asyncio.wait_for(got.get(), 10)).data == b"kept"
            assert nc.status is Status.CONNECTED
            await eventually(lambda: "on_connect" in told)
            assert set(told) == {"on_connect", "on_reconnect_error"}
            assert nc.stats().reconnects == 0
    finally:
        server.stop()


@pytest.mark.parity("L-retry", "A5")
async def test_a_connect_in_the_background_ends_with_the_same_refusal_twice() -> None:
    async with no_leaks(), ScriptedServer(auto_pong=False) as server:
        server.listeners.append(refuses("Authorization Violation"))
        async with connect(server.url, retry_on_failed_connect=True, **QUICK) as nc:
            await asyncio.wait_for(nc.wait_closed(), 5)
            assert isinstance(nc.last_error, AuthorizationError)
        assert len(server.peers) == 2


async def test_a_connect_in_the_background_still_refuses_bad_settings(closed_port: int) -> None:
    async with no_leaks():
        for option in ("credentials", "tls_ca"):
            bad: dict[str, Any] = {option: "/no/such/file"}
            with pytest.raises(ConfigError):
                await connect(f"127.0.0.1:{closed_port}", retry_on_failed_connect=True, **bad)


# fields and modes, on a real server


@live
@pytest.mark.parity("C12")
async def test_verbose_and_pedantic_work_at_the_first_connect_and_after(
    nats_server: NatsServer,
) -> None:
    back, errors = asyncio.Event(), []
    async with (
        Proxy(nats_server.port) as proxy,
        connect(
            proxy.url,
            verbose=True,
            pedantic=True,
            name="wordy",
            on_reconnect=lambda nc: back.set(),
            on_error=lambda nc, sub, error: errors.append(error),
            **QUICK,
        ) as nc,
    ):
        for n in range(2):
            got: asyncio.Queue[Any] = asyncio.Queue()
            sub = await nc.subscribe("wordy.x", into=got)
            await nc.publish("wordy.x", b"hello")
            assert (await asyncio.wait_for(got.get(), 5)).data == b"hello"
            await nc.flush()
            await sub.unsubscribe()
            await nc.flush()
            assert proxy.links[n].down.count(b"+OK\r\n") >= 4
            assert b'"name":"wordy"' in proxy.links[n].up
            if n == 0:
                proxy.cut()
                await asyncio.wait_for(back.wait(), 5)
        assert errors == []


@live
@pytest.mark.parity("L-no-echo")
async def test_without_echo_own_messages_do_not_come_back(nats_server: NatsServer) -> None:
    async with (
        connect(nats_server.url, echo=False) as nc,
        connect(nats_server.url) as other,
    ):
        own: asyncio.Queue[Any] = asyncio.Queue()
        await nc.subscribe("echo.off", into=own)
        await nc.flush()
        await nc.publish("echo.off", b"mine")
        await nc.flush()
        await other.publish("echo.off", b"theirs")
        assert (await asyncio.wait_for(own.get(), 5)).data == b"theirs"


@live
@pytest.mark.parity("C14", "L-facts")
async def test_what_the_server_says_of_itself_is_there(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as nc:
        info = nc.server_info
        assert info is not None
        assert info.port == nats_server.port
        assert info.version.startswith("2.")
        assert nc.max_payload == info.max_payload == 1048576
        assert not info.auth_required
        assert not info.tls_required
        assert info.client_id > 0
        assert info.client_ip == "127.0.0.1"
        assert 0 < await nc.rtt() < 5


async def test_attempts_that_all_timed_out_are_a_timeout() -> None:
    async with ScriptedServer(handshake=False) as silent, ScriptedServer(handshake=False) as mute:
        with pytest.raises(TimeoutError) as caught:
            await connect([silent.url, mute.url], connect_timeout=0.05)
        assert isinstance(caught.value, NoServersTimeoutError)
        assert [type(error) for _, error in caught.value.attempts] == [ConnectTimeoutError] * 2
        mute.refuse()
        with pytest.raises(NoServersError) as partly:
            await connect([silent.url, mute.url], connect_timeout=0.05)
        assert not isinstance(partly.value, TimeoutError)
