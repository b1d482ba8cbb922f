"""The errors: one tree, each raised where it belongs, and each -ERR of a real server as its own."""

from __future__ import annotations

import asyncio
import inspect
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import pytest

from natsrpc import errors
from natsrpc.core import Connection, Options, connect
from natsrpc.core.wire import frames
from natsrpc.errors import (
    AuthExpiredError,
    BadHeaderError,
    BadQueueNameError,
    BadSubjectError,
    BadSubscriptionError,
    BadTimeoutError,
    ConfigError,
    ConfigTypeError,
    ConnectError,
    ConnectionClosedError,
    FlushInterruptedError,
    HeadersNotSupportedError,
    InvalidMsgError,
    LocalProtocolError,
    MaxConnectionsError,
    MaxMessagesError,
    MaxPayloadError,
    MaxSubscriptionsError,
    MsgNoReplyError,
    MsgNotBoundError,
    NatsError,
    NatsRpcError,
    NatsTimeoutError,
    NoRespondersError,
    NoServersError,
    PermissionsError,
    ReconnectBufferExceededError,
    RpcError,
    ServerClosedConnectionError,
    ServerError,
    StaleConnectionError,
    SubscriptionError,
    SubscriptionTypeError,
    SyncSubRequiredError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected
from tests.core.harness import Proxy, ScriptedServer, eventually, warped
from tests.core.identities import Key, Operator

live = pytest.mark.usefixtures("nats_server")

QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}


# the tree


def is_code_of_rpc(kind: object) -> bool:
    """Whether it is one of the classes that stand for a code, told by their own words."""
    return inspect.isclass(kind) and issubclass(kind, errors.RpcError)


@pytest.mark.parity("E20")
def test_the_tree_in_the_docstring_is_the_tree_in_the_code() -> None:
    tree = re.search(r"```\n(.*?)```", inspect.getdoc(errors) or "", re.DOTALL)
    assert tree is not None
    drawn: dict[str, str] = {}
    path: list[str] = []
    for line in tree[1].splitlines():
        found = re.match(r"([│├└─ ]*)(\w+)(?: \(\w+\))?(.*)", line)
        assert found is not None
        stem, leaves = found[1], re.sub(r"\([^)]*\)", "", found[3])
        if re.search(r"[├└]", stem) or not path:
            depth = len(stem) // 3
            path[depth:] = [found[2]]
            drawn[found[2]] = path[depth - 1] if depth else "Exception"
        else:  # leaves of the branch above
            leaves = f"{found[2]}{leaves}"
        drawn |= dict.fromkeys(re.findall(r"\b[A-Z]\w+", leaves), path[-1])
    codes = {kind.__name__ for kind in vars(errors).values() if is_code_of_rpc(kind)}
    assert set(drawn) | codes == {
        name
        for name, kind in vars(errors).items()
        if inspect.isclass(kind) and issubclass(kind, NatsRpcError)
    }
    for name, parent in drawn.items():
        assert any(base.__name__ == parent for base in getattr(errors, name).__bases__), name


@pytest.mark.parity("E8", "E18", "E20")
def test_errors_are_also_the_builtin_ones_that_fit() -> None:
    for kind, builtin in [
        (NatsTimeoutError, TimeoutError),
        (ConnectError, ConnectionError),
        (NoServersError, ConnectionError),
        (ConnectionClosedError, ConnectionError),
        (ConfigError, ValueError),
        (ConfigTypeError, TypeError),
        (BadTimeoutError, ValueError),
        (BadSubjectError, ValueError),
        (MaxPayloadError, ValueError),
        (SubscriptionTypeError, TypeError),
        (SyncSubRequiredError, TypeError),
    ]:
        assert issubclass(kind, builtin)
    assert not issubclass(RpcError, NatsError)
    assert not issubclass(ConfigError, NatsError)


# each where it belongs


@live
@pytest.mark.parity("E1", "S8", "H12")
async def test_after_the_close_everything_says_closed(nats_server: NatsServer) -> None:
    nc = await connect(nats_server.url)
    pull = await nc.subscribe("closing.pull")
    waiting = [
        asyncio.ensure_future(pull.next_msg(5)),
        asyncio.ensure_future(nc.request("closing.req", timeout=5)),
    ]
    other = await nc.subscribe("closing.req")
    await nc.flush()
    await nc.close()
    for result in await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 1):
        assert isinstance(result, ConnectionClosedError)
    uses: list[Callable[[], Awaitable[object]]] = [
        lambda: nc.publish("a"),
        lambda: nc.request("a"),
        lambda: nc.subscribe("a"),
        nc.flush,
        nc.rtt,
        other.unsubscribe,
        lambda: other.next_msg(1),
        nc.force_reconnect,
    ]
    for use in uses:
        with pytest.raises(ConnectionClosedError):
            await use()
    await nc.close()


@live
@pytest.mark.parity("E4", "E5", "E12", "E13")
async def test_a_subscription_used_as_it_is_not(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as nc:
        called = await nc.subscribe("use.cb", cb=lambda msg: None)
        queue: asyncio.Queue[Any] = asyncio.Queue()
        filled = await nc.subscribe("use.into", into=queue)
        for sub in (called, filled):
            with pytest.raises(SyncSubRequiredError):
                await sub.next_msg(0.1)
            with pytest.raises(SyncSubRequiredError):
                await anext(sub.__aiter__())
        with pytest.raises(SubscriptionTypeError):
            filled.set_pending_limits(1, 1)
        pull = await nc.subscribe("use.pull", max_msgs=1)
        await nc.publish("use.pull")
        await pull.next_msg(5)
        with pytest.raises(MaxMessagesError):
            await pull.next_msg(1)
        gone = await nc.subscribe("use.gone")
        await gone.unsubscribe()
        for use in (gone.unsubscribe, lambda: gone.next_msg(1)):
            with pytest.raises(BadSubscriptionError) as caught:
                await use()
            assert isinstance(caught.value, SubscriptionError)


@live
@pytest.mark.parity("E6", "E11", "E16", "E18", "E20")
async def test_what_is_refused_here_is_quoted_and_never_sent(nats_server: NatsServer) -> None:
    async with Proxy(nats_server.port) as proxy, connect(proxy.url) as nc:
        await nc.flush()
        before = bytes(proxy.links[0].up)
        big = b"x" * (nc.max_payload + 1)
        refused: list[tuple[Callable[[], Awaitable[object]], type[NatsError], str]] = [
            (lambda: nc.publish(""), BadSubjectError, "''"),
            (lambda: nc.publish("a b"), BadSubjectError, "'a b'"),
            (lambda: nc.publish("a\r\nPUB x 0\r\n"), BadSubjectError, r"'a\r\nPUB x 0\r\n'"),
            (lambda: nc.publish("a..b"), BadSubjectError, "'a..b'"),
            (lambda: nc.publish("a", reply="b c"), BadSubjectError, "'b c'"),
            (lambda: nc.request("a b"), BadSubjectError, "'a b'"),
            (lambda: nc.subscribe("a..b"), BadSubjectError, "'a..b'"),
            (lambda: nc.subscribe("a", queue_group="q q"), BadQueueNameError, "'q q'"),
            (lambda: nc.publish("a", headers={"A\r\n": "b"}), BadHeaderError, r"'A\r\n'"),
            (lambda: nc.publish("a", big), MaxPayloadError, str(len(big))),
            (lambda: nc.publish("a", big[:-2], headers={"A": "b"}), MaxPayloadError, "headers"),
            (lambda: nc.publish_msg(5), InvalidMsgError, "5"),  # type: ignore[arg-type]  # the point
            (lambda: nc.publish("a", "text"), InvalidMsgError, "str"),  # type: ignore[arg-type]  # as above
            (lambda: nc.request("a", timeout=0), BadTimeoutError, "0"),
            (lambda: nc.flush(-1), BadTimeoutError, "-1"),
        ]
        for use, kind, told in refused:
            with pytest.raises(kind) as caught:
                await use()
            assert isinstance(caught.value, LocalProtocolError)
            assert told in str(caught.value)
        assert nc.last_error is None
        await nc.flush()
        assert bytes(proxy.links[0].up) == before + b"PING\r\n"


@live
@pytest.mark.parity("E8", "E20")
async def test_times_that_run_out_and_nobody_there(nats_server: NatsServer) -> None:
    async with Proxy(nats_server.port) as proxy, connect(proxy.url) as nc:
        sub = await nc.subscribe("timing.out")
        with pytest.raises(NatsTimeoutError):
            await sub.next_msg(0.02)
        with pytest.raises(TimeoutError):
            await nc.request("timing.out", timeout=0.02)
        msg = await sub.next_msg(1)
        with pytest.raises(NoRespondersError) as nobody:
            await nc.request("timing.nobody", timeout=5)
        assert nobody.value.subject == "timing.nobody"
        proxy.stall()
        with pytest.raises(NatsTimeoutError):
            await nc.flush(0.02)
        proxy.resume()
        await msg.respond(b"late")
        await nc.publish("timing.out")
        with pytest.raises(MsgNoReplyError):
            await (await sub.next_msg(1)).respond(b"x")


async def test_a_message_made_by_hand_cannot_be_answered() -> None:
    from natsrpc.core import Msg  # noqa: PLC0415  only here

    with pytest.raises(MsgNotBoundError):
        await Msg("a", reply="b").respond(b"x")


@pytest.mark.parity("E15", "B8", "F4")
async def test_while_reconnecting_the_buffer_has_an_end() -> None:
    async with connected(reconnect_buffer_size=32, auto_pong=False) as (nc, peer, server):
        flushing = asyncio.ensure_future(nc.flush())
        await peer.expect(b"PING")
        server.refuse()
        peer.close()
        with pytest.raises(FlushInterruptedError):
            await asyncio.wait_for(flushing, 5)
        await nc.publish("foo", b"1234")
        await nc.publish("foo", b"1234")
        with pytest.raises(ReconnectBufferExceededError, match="34 of 32 bytes"):
            await nc.publish("foo", b"1234")
        assert nc.is_reconnecting


@pytest.mark.parity("E17", "B15", "H13")
@warped
async def test_a_server_that_answers_no_ping_is_stale() -> None:
    async with connected(auto_pong=False, ping_interval=5, allow_reconnect=False) as (nc, _, _):
        before = nc.link.loop.time()
        await asyncio.wait_for(nc.wait_closed(), 60)
        assert 14.9 < nc.link.loop.time() - before < 16
        assert isinstance(nc.last_error, StaleConnectionError)
        with pytest.raises(ConnectionClosedError) as caught:
            await nc.publish("a")
        assert "PING" in str(nc.last_error)
        assert caught.value is not nc.last_error


@pytest.mark.parity("E20")
async def test_headers_for_a_server_without_them_are_refused() -> None:
    async with connected(info={"headers": None}) as (nc, peer, _):
        with pytest.raises(HeadersNotSupportedError):
            await nc.publish("a", headers={"A": "b"})
        await nc.flush()
        assert peer.ops() == [b"CONNECT", b"PING", b"PING"]


# what a real server says


@dataclass
class Heard:
    """A connection to a real server, and what it told."""

    nc: Connection
    errors: list[Exception]
    lost: list[Exception | None]
    back: asyncio.Event

    def write(self, data: bytes) -> None:
        """Send what the client's own checks would never let out."""
        current = self.nc.link.session
        assert current is not None
        current.transport.write(data)

    async def one(self) -> Exception:
        await eventually(lambda: self.errors)
        return self.errors[0]

    async def reconnected(self) -> None:
        await asyncio.wait_for(self.back.wait(), 5)
        await self.nc.flush()


@asynccontextmanager
async def heard(config: str = "# none", **options: Any) -> AsyncIterator[Heard]:
    errors: list[Exception] = []
    lost: list[Exception | None] = []
    back = asyncio.Event()
    async with (
        NatsServer(config) as server,
        connect(
            server.url,
            on_error=lambda nc, sub, error: errors.append(error),
            on_disconnect=lambda nc, error: lost.append(error),
            on_reconnect=lambda nc: back.set(),
            **QUICK,
            **options,
        ) as nc,
    ):
        await nc.flush()
        yield Heard(nc, errors, lost, back)


CLOSING = [
    ("# none", b"BOGUS x\r\n", "Unknown Protocol Operation", ServerClosedConnectionError),
    ("# none", b"PUB a 2\r\nhelloworld\r\n", "Unknown Protocol", ServerClosedConnectionError),
    ("max_control_line: 600", b"SUB " + b"x" * 700 + b" 9\r\n", "maximum control line exceeded",
     ServerClosedConnectionError),
]  # fmt: skip


@live
@pytest.mark.parity("A9", "B2")
@pytest.mark.parametrize(("config", "data", "text", "kind"), CLOSING)
async def test_a_fault_that_closes_is_told_and_reconnected_from(
    config: str, data: bytes, text: str, kind: type[ServerError]
) -> None:
    async with heard(config) as it:
        it.write(data)
        error = await it.one()
        assert type(error) is kind
        assert isinstance(error, ServerError)
        assert error.text.lower().startswith(text.lower())
        await it.reconnected()
        assert it.lost == [error]


@live
@pytest.mark.parity("B2")
async def test_a_payload_over_the_limit_is_reconnected_from() -> None:
    """A reload lowers the limit unannounced. The server resets while we write, so that its -ERR
    may be lost on the way."""
    async with heard("max_payload: 1000") as it:
        it.nc.link.outbound.max_payload = 10_000
        await it.nc.publish("a", b"x" * 1001)
        await it.reconnected()
        assert {type(error) for error in it.errors} <= {ServerClosedConnectionError}
        assert it.nc.max_payload == 1000


@live
async def test_a_connect_longer_than_a_control_line_is_refused_by_the_server() -> None:
    async with NatsServer() as server:
        with pytest.raises(ServerClosedConnectionError, match="maximum control line exceeded"):
            await connect(server.url, token="x" * 5000)


@live
@pytest.mark.parity("A8", "E20")
async def test_an_account_that_expires_is_told() -> None:
    operator, key = Operator(expires_in=1.999), Key()
    jwt = operator.user(key)
    async with heard(operator.config, credentials=(jwt, key.seed)) as it:
        await asyncio.wait_for(it.nc.wait_closed(), 10)
        assert isinstance(it.errors[0], AuthExpiredError)
        assert "Account Authentication Expired" in str(it.errors[0])


@live
@pytest.mark.parity("E20")
async def test_connections_over_the_limit_are_turned_away() -> None:
    async with NatsServer("max_connections: 1") as server, connect(server.url):
        with pytest.raises(MaxConnectionsError, match="maximum connections exceeded"):
            await connect(server.url)
    operator, key = Operator(limits={"conn": 1}), Key()
    async with NatsServer(operator.config) as server:
        mine = (operator.user(key), key.seed)
        async with connect(server.url, credentials=mine):
            with pytest.raises(MaxConnectionsError, match="account active connections exceeded"):
                await connect(server.url, credentials=mine)


@live
async def test_ports_for_others_are_named() -> None:
    cluster = ["--cluster_name", "c", "--cluster", "nats://127.0.0.1:-1"]
    async with NatsServer(args=cluster) as server:
        with pytest.raises(NoServersError, match="the port for cluster routes"):
            await connect(f"127.0.0.1:{server.cluster_port}", ignore_discovered_servers=True)


@live
@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"protocol": 2}, "invalid client protocol"),
        ({"headers": False}, "no responders requires headers support"),
    ],
)
async def test_a_connect_that_is_wrong_in_itself_is_refused(
    wrong: dict[str, Any], text: str, monkeypatch: pytest.MonkeyPatch, nats_server: NatsServer
) -> None:
    right = frames.connect
    monkeypatch.setattr(frames, "connect", lambda fields: right({**fields, **wrong}))
    with pytest.raises(ServerClosedConnectionError, match=text):
        await connect(nats_server.url)


@live
@pytest.mark.slow
@pytest.mark.parity("E17", "B15")
async def test_a_server_that_gets_no_pong_says_stale() -> None:
    """Through a proxy that holds our PONGs back."""
    lost: list[Exception | None] = []
    async with (
        NatsServer('ping_interval: "1s"\nping_max: 1') as server,
        Proxy(server.port) as proxy,
        connect(proxy.url, on_disconnect=lambda nc, error: lost.append(error), **QUICK) as nc,
    ):
        await nc.flush()
        proxy.stall(down=False)
        await eventually(lambda: lost, timeout=10)
        proxy.resume()
        assert isinstance(lost[0], StaleConnectionError)
        await eventually(lambda: nc.is_connected)


PERMISSIONS = """
authorization { users: [ { user: "me", password: "p", permissions: {
  publish: { allow: ["Ok.>", "_INBOX.>"] }, subscribe: ["Ok.>", "_INBOX.>", "Work v1"] } } ] }
"""


@live
@pytest.mark.parity("A7", "E20")
async def test_what_is_denied_is_told_in_its_own_case() -> None:
    async with heard(PERMISSIONS, user="me", password="p") as it:
        await it.nc.publish("No.Way")
        sub = await it.nc.subscribe("Not.This")
        await it.nc.subscribe("Work", queue_group="V2")
        await it.nc.subscribe("Work", queue_group="v1")
        await it.nc.flush()
        await eventually(lambda: len(it.errors) == 3)
        facts = []
        for error in it.errors:
            assert isinstance(error, PermissionsError)
            facts.append((error.operation, error.subject, error.queue_group))
        assert facts == [
            ("publish", "No.Way", ""),
            ("subscribe", "Not.This", ""),
            ("subscribe", "Work", "V2"),
        ]
        assert not sub.is_valid
        assert it.nc.is_connected
        assert it.lost == []
        with pytest.raises(PermissionsError):
            await it.nc.subscribe("Nor.That", check=True)
        with pytest.raises(PermissionsError):
            await it.nc.request("No.Answer", timeout=5)


@live
@pytest.mark.parity("A7")
async def test_rights_removed_by_a_reload_name_the_subscription() -> None:
    errors: list[Exception] = []
    async with (
        NatsServer(PERMISSIONS) as server,
        connect(
            server.url, user="me", password="p",
            on_error=lambda nc, sub, error: errors.append(error), **QUICK,
        ) as nc,
    ):  # fmt: skip
        keeps = await nc.subscribe("Ok.a")
        loses = await nc.subscribe("Ok.b")
        await nc.flush()
        await asyncio.to_thread(
            server.reload, PERMISSIONS.replace('subscribe: ["Ok.>"', 'subscribe: ["Ok.a"')
        )
        await eventually(lambda: errors)
        (error,) = errors
        assert isinstance(error, PermissionsError)
        assert error.sid == loses.sid
        assert not loses.is_valid
        assert keeps.is_valid


@live
@pytest.mark.parity("S7", "E20")
async def test_limits_of_a_server_close_nothing() -> None:
    async with heard("max_subscriptions: 2\nmax_subscription_tokens: 3") as it:
        for n in range(3):
            await it.nc.subscribe(f"limited.{n}")
        error = await it.one()
        assert type(error) is MaxSubscriptionsError
        assert it.lost == []
    async with heard("max_subscription_tokens: 3") as it:
        sub = await it.nc.subscribe("a.b.c.d")
        error = await it.one()
        assert isinstance(error, PermissionsError)
        assert (error.operation, error.subject) == ("subscribe", "a.b.c.d")
        assert not sub.is_valid
        assert it.lost == []


@live
@pytest.mark.parity("S7")
async def test_subjects_the_server_refuses_close_nothing() -> None:
    async with heard(pedantic=True) as it:
        for data, text in [
            (b"SUB a..b 77\r\n", "Invalid Subject"),
            (b"PUB a.* 0\r\n\r\n", "Invalid Publish Subject"),
        ]:
            it.write(data)
            error = await it.one()
            assert type(error) is ServerError
            assert error.text == text
            it.errors.clear()
        await it.nc.flush()
        assert it.lost == []


@live
async def test_a_frame_the_server_closes_on_without_a_word_is_reconnected_from() -> None:
    async with heard() as it:
        it.write(b"SUB a b c d 5\r\n")
        await it.reconnected()
        assert it.errors == []
        assert isinstance(it.lost[0], ConnectionClosedError)


# never the secrets


async def test_errors_of_the_options_show_no_identity() -> None:
    secret = "hunter2-very-secret"
    for values in (
        {"user": "u", "password": secret, "token": secret, "connect_timeout": -1},
        {"token": secret, "nkey_seed": secret, "credentials": secret},
        {"password": secret},
        {"servers": f"nats://u:{secret}@h", "tls": False, "tls_verify": False},
    ):
        with pytest.raises(ConfigError) as caught:
            Options.of(values)
        assert secret not in f"{caught.value!r}{caught.value}"
    async with ScriptedServer() as server:
        with pytest.raises(ConfigError) as caught:
            await connect([server.url, f"tls://u:{secret}@h"], tls=False)
        assert secret not in str(caught.value)
