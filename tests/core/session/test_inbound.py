"""What a server may send, however odd: delivered, told or ended, and never a crash."""

from __future__ import annotations

import asyncio
import json
import logging
import tracemalloc
from typing import Any

import pytest

from natsrpc.core import Connection, Headers, Msg, Subscription
from natsrpc.core.wire import MAX_UNASKED, Parser
from natsrpc.errors import (
    AuthExpiredError,
    AuthorizationError,
    BadHeaderError,
    ConnectionClosedError,
    MaxSubscriptionsError,
    NatsError,
    PermissionsError,
    ServerClosedConnectionError,
    ServerError,
    SlowConsumerError,
)
from tests.core.connected import connected, sid_of
from tests.core.harness import ScriptedServer, elapse, eventually, turns, warped


class Told:
    """Callbacks that remember."""

    def __init__(self) -> None:
        self.errors: list[tuple[Subscription | None, Exception]] = []
        self.events: list[str] = []

    def options(self) -> dict[str, Any]:
        return {
            "on_error": lambda nc, sub, error: self.errors.append((sub, error)),
            "on_disconnect": lambda nc, error: self.events.append("disconnect"),
            "on_reconnect": lambda nc: self.events.append("reconnect"),
            "on_close": lambda nc: self.events.append("close"),
        }


async def test_a_utf8_subject_and_odd_bytes_in_it_are_delivered() -> None:
    got: list[Msg] = []
    async with connected() as (nc, peer, _):
        await nc.subscribe(">", cb=got.append)
        sid = await sid_of(peer, b">")
        peer.msg("größe.東京".encode(), sid, b"1")
        peer.msg(b"bad.\xff\xfe", sid, b"2", reply=b"re.\x80")
        await peer.synced()
        assert [msg.subject for msg in got] == ["größe.東京", "bad.\udcff\udcfe"]
        assert got[1].reply == "re.\udc80"
        await got[1].respond(b"back")
        await nc.publish("größe.東京", b"out")
        await nc.flush()
        assert [f.raw for f in peer.frames if f.op == b"PUB"] == [
            b"PUB re.\x80 4\r\nback\r\n",
            "PUB größe.東京 3\r\nout\r\n".encode(),
        ]


async def test_an_info_of_hundreds_of_servers_connects() -> None:
    urls = [f"10.1.{number >> 8}.{number & 255}:4222" for number in range(900)]
    async with connected(info={"connect_urls": urls}) as (nc, peer, _):
        assert len(json.dumps(urls)) > 4096
        assert len(nc.discovered_servers) == 900
        peer.info(connect_urls=[f"10.2.{n >> 8}.{n & 255}:4222" for n in range(20_000)])
        await peer.synced()
        assert nc.is_connected
        assert len(nc.servers) <= 1000


@pytest.mark.parametrize(
    "block", [b"garbage", b"NATS/1.0\r\nno colon\r\n\r\n", b"\xff\xfe\x00", b"NATS/9\r\n\r\n"]
)
async def test_poisoned_headers_are_delivered_and_told(block: bytes) -> None:
    told = Told()
    got: list[Msg] = []
    async with connected(**told.options()) as (nc, peer, _):
        sub = await nc.subscribe("a", cb=got.append)
        sid = await sid_of(peer, b"a")
        peer.msg(b"a", sid, b"data", headers=block)
        peer.msg(b"a", sid, b"next", headers=b"NATS/1.0\r\nA: \xff\r\n\r\n")
        await peer.synced()
        await eventually(lambda: told.errors)
        assert nc.is_connected
        assert [msg.data for msg in got] == [b"data", b"next"]
        assert (got[0].raw_headers, got[0].headers.malformed) == (block, True)
        assert got[1].headers["A"] == "\udcff"
        assert [(s, type(error)) for s, error in told.errors] == [(sub, BadHeaderError)]


@pytest.mark.parametrize("over", [0, 1])
async def test_large_headers_are_not_read_unasked(
    over: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[bytes] = []
    decode = Headers.decode

    def noted(block: bytes) -> Headers:
        read.append(block)
        return decode(block)

    monkeypatch.setattr(Headers, "decode", noted)
    got: list[Msg] = []
    async with connected() as (nc, peer, _):
        await nc.subscribe("a", cb=got.append)
        sid = await sid_of(peer, b"a")
        block = b"NATS/1.0\r\nA: %b\r\n\r\n" % (b"x" * (MAX_UNASKED + over - 17))
        peer.msg(b"a", sid, b"data", headers=block)
        await peer.synced()
        assert got[0].data == b"data"
        assert read == ([] if over else [block])
        assert len(got[0].headers["A"]) == len(block) - 17


async def test_ever_new_headers_are_not_kept() -> None:
    async with connected() as (nc, peer, _):
        await nc.subscribe("a", cb=lambda msg: None)
        await nc.flush()
        tracemalloc.start()
        try:
            for number in range(100):
                block = b"NATS/1.0\r\nA: %d%b\r\n\r\n" % (number, b"x" * 100_000)
                peer.msg(b"a", b"1", headers=block)
                await peer.synced()
            current, _ = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
        assert current < 2_000_000


async def test_a_message_larger_than_max_payload_is_delivered() -> None:
    async with connected(info={"max_payload": 1000}) as (nc, peer, _):
        sub = await nc.subscribe("a")
        peer.msg(b"a", await sid_of(peer, b"a"), bytes(300_000))
        assert len((await sub.next_msg()).data) == 300_000
        assert nc.is_connected


async def test_a_message_over_the_cap_ends_the_session_not_the_connection() -> None:
    async with connected(max_message_size=1000) as (nc, peer, server):
        await nc.subscribe("a")
        peer.msg(b"a", await sid_of(peer, b"a"), bytes(1001))
        await server.accept()
        await nc.flush()
        assert nc.is_connected


async def test_a_message_for_an_unknown_subscription_is_dropped() -> None:
    got: list[Msg] = []
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", cb=got.append)
        sid = await sid_of(peer, b"a")
        await sub.unsubscribe()
        peer.msg(b"a", sid, b"late")
        peer.msg(b"a", b"no number", b"never ours")
        await peer.synced()
        assert nc.is_connected
        assert got == []


async def test_frames_cut_anywhere_are_delivered() -> None:
    got: list[bytes] = []
    async with connected() as (nc, peer, _):
        await nc.subscribe("a", cb=lambda msg: got.append(msg.data))
        sid = await sid_of(peer, b"a")
        await peer.send_split(
            b"MSG a %b 3\r\none\r\nHMSG a %b 12 15\r\nNATS/1.0\r\n\r\ntwo\r\n" % (sid, sid)
        )
        await peer.synced()
        assert got == [b"one", b"two"]


@pytest.mark.parametrize(
    "garbage", [b"NOPE\r\n", b"MSG a\r\n", b"\x00\xff\r\n", b"MSG a 1 2\r\nxyz\r\n"]
)
async def test_garbage_ends_the_session_and_the_next_one_takes_over(garbage: bytes) -> None:
    told = Told()
    async with connected(**told.options()) as (nc, peer, server):
        await nc.subscribe("a")
        peer.send(garbage)
        await peer.closed.wait()
        again = await server.accept()
        assert (await again.expect(b"SUB a")).sid == b"1"
        await nc.flush()
        await eventually(lambda: told.events == ["disconnect", "reconnect"])


async def test_a_malformed_later_info_is_told_and_ignored() -> None:
    told = Told()
    async with connected(info={"max_payload": 100}, **told.options()) as (nc, peer, _):
        peer.send(b"INFO {broken\r\n")
        peer.info(max_payload="many")
        await peer.synced()
        await eventually(lambda: len(told.errors) == 2)
        assert nc.is_connected
        assert nc.max_payload == 100


# -ERR


@pytest.mark.parametrize("quote", ["'", ""])
async def test_an_error_is_understood_with_and_without_quotes(quote: str) -> None:
    told = Told()
    async with connected(**told.options()) as (nc, peer, _):
        text = 'Permissions Violation for Publish to "Foo.BAR"'
        peer.send(f"-ERR {quote}{text}{quote}\r\n".encode())
        await peer.synced()
        await eventually(lambda: told.errors)
        ((sub, error),) = told.errors
        assert sub is None
        assert isinstance(error, PermissionsError)
        assert (error.operation, error.subject) == ("publish", "Foo.BAR")
        assert nc.is_connected
        assert nc.last_error is error


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("Invalid Subject", ServerError),
        ("Invalid Publish Subject", ServerError),
        ("maximum subscriptions exceeded", MaxSubscriptionsError),
        ('Permissions Violation for Publish to "a"', PermissionsError),
    ],
)
@warped
async def test_an_error_that_keeps_the_socket_open_keeps_the_session(
    text: str, kind: type[NatsError]
) -> None:
    told = Told()
    got: list[Msg] = []
    async with connected(pedantic=True, **told.options()) as (nc, peer, server):
        await nc.subscribe("a", cb=got.append)
        peer.err(text)
        await elapse(60)
        peer.msg(b"a", b"1", b"still here")
        await peer.synced()
        assert len(got) == 1
        assert [type(error) for _, error in told.errors] == [kind]
        assert (told.events, len(server.peers)) == ([], 1)


@pytest.mark.parametrize(
    "text",
    [
        "Maximum Payload Violation",
        "maximum control line exceeded",
        "Unknown Protocol Operation",
        "Something New",
        "User Authentication Expired",
        "User Authentication Revoked",
        "Stale Connection",
    ],
)
async def test_an_error_that_closes_the_socket_is_the_cause_of_one_reconnect(text: str) -> None:
    told, causes = Told(), []
    options = told.options() | {"on_disconnect": lambda nc, error: causes.append(error)}
    async with connected(**options) as (nc, peer, server):
        await nc.subscribe("a")
        peer.err(text)
        peer.close()
        again = await server.accept()
        await again.expect(b"SUB a")
        await nc.flush()
        await eventually(lambda: "reconnect" in told.events)
        (cause,) = causes
        assert isinstance(cause, NatsError)
        assert nc.is_connected


@warped
async def test_an_unknown_error_without_an_end_is_given_up_after_a_while() -> None:
    async with connected() as (nc, peer, server):
        peer.err("Something New")
        await peer.synced()
        assert nc.is_connected
        again = await server.accept(timeout=5)
        await again.expect(b"PING")
        await nc.flush()


async def test_a_denied_subscription_ends_with_the_error_and_others_stay() -> None:
    told = Told()
    async with connected(**told.options()) as (nc, peer, _):
        denied = await nc.subscribe("Secret.>")
        grouped = await nc.subscribe("Secret.>", queue_group="Q")
        fine = await nc.subscribe("fine")
        waiting = asyncio.create_task(denied.next_msg(timeout=None))
        await turns()
        peer.err('Permissions Violation for Subscription to "Secret.>"')
        await peer.synced()
        with pytest.raises(PermissionsError):
            await waiting
        assert (denied.is_valid, grouped.is_valid, fine.is_valid) == (False, True, True)
        peer.err('Permissions Violation for Subscription to "Secret.>" using queue "Q"')
        await peer.synced()
        assert (grouped.is_valid, fine.is_valid) == (False, True)
        peer.err(f'Permissions Violation for Subscription to "fine" (sid "{fine.sid}")')
        await peer.synced()
        assert not fine.is_valid
        assert [sub for sub, _ in told.errors] == [denied, grouped, fine]


async def test_a_denied_inbox_fails_requests_at_once_and_a_new_session_may_allow_it() -> None:
    async with connected() as (nc, peer, server):
        requests = [asyncio.create_task(nc.request("a", timeout=60)) for _ in range(3)]
        await peer.expect(b"PUB a")
        peer.err(f'Permissions Violation for Subscription to "{nc.link.requests.subject}"')
        for request in requests:
            with pytest.raises(PermissionsError):
                await asyncio.wait_for(request, 2)
        with pytest.raises(PermissionsError):
            await asyncio.wait_for(nc.request("a", timeout=60), 2)
        assert not nc.link.requests.pending
        peer.reset()
        again = await server.accept()
        await nc.flush()
        request = asyncio.create_task(nc.request("a", timeout=60))
        sid = await sid_of(again, nc.link.requests.subject.encode())
        again.msg((await again.expect(b"PUB a")).reply, sid, b"yes")
        assert (await request).data == b"yes"


async def test_a_denied_request_subject_fails_that_request_at_once() -> None:
    async with connected() as (nc, peer, _):
        denied = asyncio.create_task(nc.request("No.Way", timeout=60))
        other = asyncio.create_task(nc.request("fine", timeout=60))
        reply = (await peer.expect(b"PUB fine")).reply
        peer.err('Permissions Violation for Publish to "No.Way"')
        with pytest.raises(PermissionsError, match=r"No\.Way"):
            await asyncio.wait_for(denied, 2)
        peer.msg(reply, b"1", b"yes")
        assert (await other).data == b"yes"


# Authentication that ends while connected


async def test_expired_credentials_are_fetched_anew_for_the_next_attempt() -> None:
    tokens = iter(["first", "second", "third"])
    async with connected(token=lambda: next(tokens)) as (nc, peer, server):
        peer.err("User Authentication Expired")
        peer.close()
        again = await server.accept()
        assert again.frames[0].options["auth_token"] == "second"
        await nc.flush()
        assert nc.is_connected


async def test_the_same_refusal_twice_from_one_server_closes_the_connection() -> None:
    async with connected(token="t") as (nc, peer, server):
        server.auto_pong = False
        peer.err("User Authentication Expired")
        peer.close()
        for _ in range(2):
            refused = await server.accept()
            refused.err("Authorization Violation")
            refused.close()
        await asyncio.wait_for(nc.wait_closed(), 5)
        assert isinstance(nc.last_error, AuthorizationError)
        assert len(server.peers) == 3


async def test_different_refusals_in_turn_do_not_close_the_connection() -> None:
    async with connected(token="t") as (nc, peer, server):
        server.auto_pong = False
        peer.reset()
        for text in ("Authorization Violation", "User Authentication Expired") * 2:
            refused = await server.accept()
            refused.err(text)
            refused.close()
        server.auto_pong = True
        await server.accept()
        await nc.flush()
        assert nc.is_connected


async def test_refusals_are_survived_for_ever_if_asked() -> None:
    async with connected(token="t", ignore_auth_error_abort=True) as (nc, peer, server):
        server.auto_pong = False
        peer.reset()
        for _ in range(5):
            refused = await server.accept()
            refused.err("Authorization Violation")
            refused.close()
        server.auto_pong = True
        await server.accept()
        await nc.flush()


async def test_expiry_is_told_as_such() -> None:
    told = Told()
    async with connected(**told.options()) as (nc, peer, server):
        peer.err("User Authentication Expired")
        peer.close()
        await server.accept()
        await nc.flush()
        assert [type(error) for _, error in told.errors] == [AuthExpiredError]


# User code, in the way of nothing


async def test_a_callback_that_never_returns_stops_no_message() -> None:
    started = asyncio.Event()

    async def stuck(nc: Connection, sub: Subscription | None, error: Exception) -> None:
        started.set()
        await asyncio.Event().wait()

    got: list[Msg] = []
    async with connected(on_error=stuck) as (nc, peer, _):
        slow = await nc.subscribe("slow", pending_msgs_limit=1)
        await nc.subscribe("a", cb=got.append)
        for _ in range(100):
            peer.msg(b"slow", b"%d" % slow.sid)
        await started.wait()
        for _ in range(100):
            peer.msg(b"a", b"2", b"x")
        await peer.synced()
        assert len(got) == 100
        assert slow.dropped == 99
        nc.set_callback("on_error", None)
        tasks = {task for task in asyncio.all_tasks() if "callbacks" in task.get_name()}
        for task in tasks:
            task.cancel()


async def test_a_flood_at_a_slow_consumer_is_told_once_an_episode_and_counted() -> None:
    told = Told()
    async with connected(**told.options()) as (nc, peer, _):
        sub = await nc.subscribe("a", pending_msgs_limit=10)
        before = len(asyncio.all_tasks())
        for _ in range(5000):
            peer.msg(b"a", b"1", b"x")
        await peer.synced()
        assert len(asyncio.all_tasks()) <= before + 1
        assert (sub.pending_msgs, sub.dropped) == (10, 4990)
        assert [(s, type(error)) for s, error in told.errors] == [(sub, SlowConsumerError)]
        with pytest.raises(SlowConsumerError):
            await sub.next_msg()
        for _ in range(10):
            await sub.next_msg()
        for _ in range(20):
            peer.msg(b"a", b"1", b"x")
        await peer.synced()
        assert sub.dropped == 5000
        assert len(told.errors) == 2


async def test_a_callback_that_raises_costs_its_message_only() -> None:
    told = Told()
    got: list[bytes] = []

    def fails(msg: Msg) -> None:
        got.append(msg.data)
        if msg.data == b"bad":
            raise ZeroDivisionError

    async with connected(**told.options()) as (nc, peer, _):
        sub = await nc.subscribe("a", cb=fails)
        for data in (b"1", b"bad", b"2"):
            peer.msg(b"a", b"1", data)
        await peer.synced()
        await eventually(lambda: told.errors)
        assert got == [b"1", b"bad", b"2"]
        assert [(s, type(error)) for s, error in told.errors] == [(sub, ZeroDivisionError)]
        assert nc.is_connected


async def test_a_cancellation_let_through_by_a_plain_callback_costs_its_message_only() -> None:
    told = Told()
    got: list[bytes] = []
    cancelled: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    cancelled.cancel()

    def looks_at_a_cancelled_future(msg: Msg) -> None:
        got.append(msg.data)
        if msg.data == b"1":
            cancelled.result()

    async with connected(**told.options()) as (nc, peer, server):
        sub = await nc.subscribe("a", cb=looks_at_a_cancelled_future)
        await nc.flush()
        peer.send(b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\n")
        await peer.synced()
        await eventually(lambda: told.errors)
        assert got == [b"1", b"2"]
        ((told_of, error),) = told.errors
        assert told_of is sub
        assert isinstance(error.__cause__, asyncio.CancelledError)
        assert len(server.peers) == 1


async def test_a_cancellation_inside_a_credentials_function_is_a_failed_attempt() -> None:
    calls = 0

    async def token() -> str:
        nonlocal calls
        calls += 1
        if calls == 2:
            raise asyncio.CancelledError  # as when the task that fetches it is cancelled
        return "t"

    async with connected(token=token) as (nc, peer, server):
        peer.reset()
        await eventually(lambda: calls == 3)
        await nc.flush()
        assert nc.is_connected
        assert [b"CONNECT" in peer.ops() for peer in server.peers] == [True, False, True]


async def test_an_unexpected_error_while_reading_is_a_lost_session(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    told = Told()
    async with connected(**told.options()) as (nc, peer, server):
        await nc.subscribe("a")
        await nc.flush()
        monkeypatch.setattr(Parser, "feed", broken_feed)
        with caplog.at_level(logging.CRITICAL, "asyncio"):
            peer.msg(b"a", b"1", b"x")
            await peer.closed.wait()
        monkeypatch.undo()
        again = await server.accept()
        await again.expect(b"SUB a")
        await nc.flush()
        await eventually(lambda: told.events == ["disconnect", "reconnect"])


def broken_feed(parser: Parser, data: bytes) -> list[Any]:
    raise RuntimeError("a bug")


@pytest.mark.parametrize("how", ["close", "force_reconnect"])
async def test_nothing_is_dispatched_once_the_session_is_declared_lost(how: str) -> None:
    got: list[bytes] = []
    tasks: list[asyncio.Task[None]] = []

    async with connected() as (nc, peer, _):
        session_end = {"close": nc.close, "force_reconnect": nc.force_reconnect}[how]

        def end(msg: Msg) -> None:
            got.append(msg.data)
            coroutine = session_end()
            try:
                coroutine.send(None)  # runs in place up to its first wait
            except StopIteration:
                return
            tasks.append(asyncio.ensure_future(finish(coroutine)))

        async def finish(coroutine: Any) -> None:
            coroutine.close()

        await nc.subscribe("a", cb=end)
        await nc.flush()
        peer.send(b"MSG a 1 1\r\n1\r\nMSG a 1 1\r\n2\r\nPING\r\n")
        await peer.closed.wait()
        await asyncio.gather(*tasks)
        assert got == [b"1"]


async def test_closed_means_closed_for_those_who_wait() -> None:
    async with ScriptedServer() as server, connected() as (nc, peer, _):
        assert server.peers == []
        sub = await nc.subscribe("a")
        waits: list[asyncio.Task[Any]] = [
            asyncio.create_task(sub.next_msg(timeout=None)),
            asyncio.create_task(nc.request("a", timeout=None)),
        ]
        peer.auto_pong = False
        waits.append(asyncio.create_task(nc.flush(None)))
        await peer.expect(b"PUB a")
        await nc.close()
        for wait in waits:
            with pytest.raises(ConnectionClosedError):
                await asyncio.wait_for(wait, 1)


async def test_a_closing_error_is_kept_as_the_last_error() -> None:
    async with connected(allow_reconnect=False) as (nc, peer, _):
        peer.err("Maximum Payload Violation")
        peer.close()
        await asyncio.wait_for(nc.wait_closed(), 2)
        assert isinstance(nc.last_error, ServerClosedConnectionError)
