"""Requests of both styles on a real server, answered by natsrpc and by nats-py."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import nats
import pytest
from nats.aio.msg import Msg as TheirMsg

from natsrpc.core import Connection, Msg, connect, new_inbox
from natsrpc.errors import (
    BadHeaderError,
    BadSubjectError,
    BadTimeoutError,
    ConfigError,
    ConnectionClosedError,
    InvalidMsgError,
    MaxPayloadError,
    MsgNoReplyError,
    MsgNotBoundError,
    NatsTimeoutError,
    NoRespondersError,
    PermissionsError,
    ReconnectBufferExceededError,
)
from natsrpc.testing import NatsServer
from tests.core.connected import connected
from tests.core.harness import Proxy, eventually, no_leaks, turns

pytestmark = pytest.mark.live

both_styles = pytest.mark.parametrize("old_style", [False, True], ids=["mux", "old style"])


@pytest.fixture
def subject() -> str:
    return new_inbox("ask")


@pytest.fixture
async def echo(nats_server: NatsServer, subject: str) -> AsyncIterator[Connection]:
    """Somebody who answers with what was asked."""
    async with connect(nats_server.url) as nc:

        async def answer(msg: Msg) -> None:
            await msg.respond(msg.data)

        await nc.subscribe(subject, cb=answer)
        await nc.flush()
        yield nc


def _spawn(awaitable: Coroutine[Any, Any, None]) -> None:
    """From a plain callback: let it run by itself."""
    running = asyncio.ensure_future(awaitable)
    _running.add(running)
    running.add_done_callback(_running.discard)


_running: set[asyncio.Future[None]] = set()


async def nothing_left(nc: Connection) -> None:
    """No token, no inbox subscription, here or at the server."""
    await nc.flush()
    assert not nc.link.requests.pending
    assert nc.subscriptions == []
    assert len(nc.link.sinks) <= 1, "at most the mux's"


@both_styles
@pytest.mark.parity("R1", "R10")
async def test_the_first_reply_wins(nats_server: NatsServer, subject: str, old_style: bool) -> None:
    async with (
        connect(nats_server.url, old_style_requests=old_style) as nc,
        connect(nats_server.url) as server,
    ):

        async def answer(msg: Msg) -> None:
            for i in range(3):
                await msg.respond(b"%d:" % i + msg.data)

        await server.subscribe(subject, cb=answer)
        await server.flush()
        assert (await nc.request(subject, b"x")).data == b"0:x"
        assert (await nc.request(subject)).data == b"0:"
        reply = await nc.request(subject, memoryview(b"view"), timeout=None)
        assert reply.data == b"0:view"
        await nothing_left(nc)


@both_styles
@pytest.mark.parity("R1", "X1", "E8")
async def test_no_reply_in_time_is_a_timeout_that_names_the_subject(
    nats_server: NatsServer, subject: str, old_style: bool
) -> None:
    async with connect(nats_server.url, old_style_requests=old_style) as nc:
        await nc.subscribe(subject, cb=lambda _: None)
        with pytest.raises(
            NatsTimeoutError, match=re.escape(f"no reply on {subject!r} within 0.02")
        ):
            await nc.request(subject, timeout=0.02)
        with pytest.raises(TimeoutError):
            await nc.request(subject, timeout=0.02)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.02):
                await nc.request(subject, timeout=None)
        assert not nc.link.requests.pending
        assert len(nc.subscriptions) == 1


@pytest.mark.parametrize("bad", [0, -1, float("nan"), True, "1"])
@both_styles
@pytest.mark.parity("R1", "E18")
async def test_a_request_needs_a_time_above_zero(
    nats_server: NatsServer, bad: Any, old_style: bool
) -> None:
    async with connect(nats_server.url, old_style_requests=old_style) as nc:
        with pytest.raises(BadTimeoutError, match="above 0"):
            await nc.request("a", timeout=bad)
        await nothing_left(nc)


@pytest.mark.parity("R2", "R3", "R4", "I2")
async def test_one_inbox_serves_all_requests_and_its_tokens_are_random() -> None:
    async with connected() as (nc, peer, _):
        asking = [asyncio.create_task(nc.request("a", b"%d" % i)) for i in range(200)]
        sub = await peer.expect(b"SUB")
        assert re.fullmatch(rb"_INBOX\.[0-9A-Za-z]{22}\.\*", sub.subject)
        asked = [await peer.expect(b"PUB") for _ in asking]
        assert peer.ops().count(b"SUB") == 1
        prefix = sub.subject[:-1]
        tokens = [frame.reply.removeprefix(prefix) for frame in asked]
        assert all(re.fullmatch(rb"[0-9A-Za-z]{8}", token) for token in tokens)
        assert len(set(tokens)) == 200
        assert tokens != sorted(tokens)
        random.shuffle(asked)
        for frame in asked:
            peer.msg(frame.reply, sub.sid, frame.payload)
            peer.msg(frame.reply, sub.sid, b"late")
        peer.msg(prefix + b"unknown", sub.sid, b"?")
        replies = await asyncio.gather(*asking)
        assert [int(reply.data) for reply in replies] == list(range(200))
        await peer.synced()
        assert nc.stats().unmatched_replies == 201
        assert nc.subscriptions == []


@both_styles
@pytest.mark.parity("R5", "X2")
async def test_no_way_to_fail_leaves_anything(
    nats_server: NatsServer, subject: str, old_style: bool
) -> None:
    async with connect(nats_server.url, old_style_requests=old_style) as nc:
        silent = await nc.subscribe(subject, cb=lambda _: None)
        with pytest.raises(MaxPayloadError):
            await nc.request(subject, b"x" * (nc.max_payload + 1))
        with pytest.raises(BadSubjectError):
            await nc.request("bad subject")
        with pytest.raises(BadHeaderError):
            await nc.request(subject, headers={"a": "b\r\nc: d"})
        with pytest.raises(NatsTimeoutError):
            await nc.request(subject, timeout=0.01)
        task = asyncio.create_task(nc.request(subject))
        await turns()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await silent.unsubscribe()
        with pytest.raises(NoRespondersError):
            await nc.request(subject)
        await nothing_left(nc)


@both_styles
@pytest.mark.parity("R6", "R10", "E1")
async def test_close_releases_every_request_at_once(
    nats_server: NatsServer, subject: str, old_style: bool
) -> None:
    async with no_leaks(), connect(nats_server.url, old_style_requests=old_style) as nc:
        await nc.subscribe(subject, cb=lambda _: None)
        asking = [asyncio.create_task(nc.request(subject, timeout=30)) for _ in range(5)]
        await asyncio.sleep(0)  # let it be written
        await nc.flush()
        await nc.close()
        await asyncio.wait(asking, timeout=1)
        assert {type(task.exception()) for task in asking} == {ConnectionClosedError}
        with pytest.raises(ConnectionClosedError):
            await nc.request(subject)


@both_styles
@pytest.mark.parity("R7", "B9")
async def test_a_request_waits_over_a_lost_connection(
    nats_server: NatsServer, subject: str, old_style: bool
) -> None:
    async with (
        Proxy(nats_server.port) as proxy,
        connect(nats_server.url) as server,
        connect(
            proxy.url, old_style_requests=old_style, reconnect_wait=0.01, reconnect_jitter=0
        ) as nc,
    ):
        questions = await server.subscribe(subject)
        await server.flush()
        early = asyncio.create_task(nc.request(subject, b"early"))
        asked = await questions.next_msg(2)
        proxy.refuse()
        proxy.cut()
        await eventually(lambda: nc.is_reconnecting)
        down = asyncio.create_task(nc.request(subject, b"down"))
        await turns()
        await proxy.listen()
        await (await questions.next_msg(5)).respond(b"asked while down")
        assert (await down).data == b"asked while down"
        await asked.respond(b"answered after the reconnect")
        assert (await early).data == b"answered after the reconnect"
        await nothing_left(nc)


@both_styles
@pytest.mark.parity("R8")
async def test_a_callback_may_ask(
    nats_server: NatsServer, subject: str, echo: Connection, old_style: bool
) -> None:
    answers: list[bytes] = []
    async with connect(nats_server.url, old_style_requests=old_style) as nc:

        async def handle(msg: Msg) -> None:
            answers.append((await nc.request(subject, msg.data, timeout=1)).data)

        await nc.subscribe(f"{subject}.go", cb=handle)
        for i in range(3):
            await nc.publish(f"{subject}.go", b"%d" % i)
        await eventually(lambda: answers == [b"0", b"1", b"2"])


@both_styles
@pytest.mark.parity("R9", "L-no-responders", "E20")
async def test_nobody_there_is_told_at_once(
    nats_server: NatsServer, subject: str, old_style: bool
) -> None:
    async with connect(nats_server.url, old_style_requests=old_style) as nc:
        loop = asyncio.get_running_loop()
        start = loop.time()
        with pytest.raises(NoRespondersError) as caught:
            await nc.request(subject, timeout=5)
        assert loop.time() - start < 1
        assert caught.value.subject == subject
        await nothing_left(nc)


@both_styles
async def test_a_reply_that_only_looks_like_a_status_is_a_reply(
    nats_server: NatsServer, subject: str, old_style: bool
) -> None:
    async with (
        connect(nats_server.url, old_style_requests=old_style) as nc,
        connect(nats_server.url) as server,
    ):

        async def answer(msg: Msg) -> None:
            server.link.send(msg.raw_reply, b"body", b"", b"NATS/1.0 503\r\n\r\n")

        async def header(msg: Msg) -> None:
            await msg.respond(headers={"Status": "503"})

        await server.subscribe(f"{subject}.status", cb=answer)
        await server.subscribe(f"{subject}.header", cb=header)
        await server.flush()
        assert (await nc.request(f"{subject}.status")).data == b"body"
        assert (await nc.request(f"{subject}.header")).headers["Status"] == "503"


@pytest.mark.parity("R10")
async def test_an_old_style_request_has_an_inbox_of_its_own_and_ends_it() -> None:
    async with connected(old_style_requests=True) as (nc, peer, _):
        inboxes = set()
        for _ in range(2):
            asking = asyncio.create_task(nc.request("a", b"?"))
            sub = await peer.expect(b"SUB")
            assert re.fullmatch(rb"_INBOX\.[0-9A-Za-z]{22}", sub.subject)
            assert (await peer.expect(b"UNSUB")).raw == b"UNSUB %b 1\r\n" % sub.sid
            asked = await peer.expect(b"PUB")
            assert asked.reply == sub.subject
            inboxes.add(sub.subject)
            assert nc.subscriptions == []
            peer.msg(asked.reply, sub.sid, b"!")
            assert (await asking).data == b"!"
        assert len(inboxes) == 2
        asking = asyncio.create_task(nc.request("a"))
        sub = await peer.expect(b"SUB")
        asked = await peer.expect(b"PUB")
        peer.no_responders(asked.reply, sub.sid)
        with pytest.raises(NoRespondersError):
            await asking
        assert (await peer.expect(b"UNSUB %b\r\n" % sub.sid)).sid == sub.sid, "503 is not counted"


@pytest.mark.parity("R12", "U8")
async def test_answering_strangers_and_being_answered_by_them(
    nats_server: NatsServer, subject: str, echo: Connection
) -> None:
    stranger = await nats.connect(nats_server.url)
    try:
        assert (await stranger.request(subject, b"hello", timeout=2)).data == b"hello"

        async def answer(msg: TheirMsg) -> None:
            await stranger.publish(msg.reply, b"from " + msg.data, headers={"X": "1"})

        await stranger.subscribe(f"{subject}.theirs", cb=answer)
        await stranger.flush()
        async with connect(nats_server.url) as nc:
            reply = await nc.request(f"{subject}.theirs", b"us", headers={"Y": "2"})
            assert (reply.data, reply.headers["X"]) == (b"from us", "1")
    finally:
        await stranger.close()


@pytest.mark.parity("R12")
async def test_a_plain_callback_answers_without_waiting(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        kept: list[Msg] = []

        def answer(msg: Msg) -> None:
            kept.append(msg)
            if msg.reply:
                msg.respond_nowait(msg.data * 2, headers={"A": "b"})

        await nc.subscribe(subject, cb=answer)
        reply = await nc.request(subject, b"12")
        assert (reply.data, reply.headers["A"]) == (b"1212", "b")
        await nc.publish(subject, b"no reply wanted")
        await nc.flush()
        with pytest.raises(MsgNoReplyError):
            kept[1].respond_nowait()
        with pytest.raises(InvalidMsgError, match="str"):
            kept[0].respond_nowait("text")  # type: ignore[arg-type]  # what is refused


@pytest.mark.parity("P3", "R12", "E20")
async def test_an_answer_copies_no_headers_and_needs_a_reply_subject(
    nats_server: NatsServer, subject: str
) -> None:
    async with connect(nats_server.url) as nc:
        taken: list[Msg] = []

        async def answer(msg: Msg) -> None:
            taken.append(msg)
            if msg.reply:
                await msg.respond_msg(Msg("unused", b"copy", headers={"Mine": "1"}))

        await nc.subscribe(subject, cb=answer)
        await nc.subscribe(f"{subject}.bare", cb=lambda msg: _spawn(msg.respond()))
        bare = await nc.request(f"{subject}.bare", headers={"Authorization": "secret"})
        assert bare.raw_headers == b""
        reply = await nc.request(subject, headers={"Authorization": "secret", "Mine": "0"})
        assert list(reply.headers.items()) == [("Mine", "1")]
        assert taken[0].headers["Authorization"] == "secret"
        assert taken[0].sub in nc.subscriptions
        await nc.publish(subject)
        await eventually(lambda: len(taken) == 2)
        with pytest.raises(MsgNoReplyError):
            await taken[1].respond(b"")
        with pytest.raises(MsgNotBoundError):
            await Msg("a", reply="b").respond(b"")
        with pytest.raises(MaxPayloadError):
            await taken[0].respond(b"x" * (nc.max_payload + 1))
    with pytest.raises(ConnectionClosedError):
        await taken[0].respond(b"")


@pytest.mark.parity("R13")
async def test_a_reply_under_a_rewritten_subject_is_the_only_requests() -> None:
    async with connected() as (nc, peer, _):
        asking = asyncio.create_task(nc.request("a"))
        sub = await peer.expect(b"SUB")
        await peer.expect(b"PUB")
        peer.msg(b"mapped.elsewhere", sub.sid, b"mine")
        assert (await asking).data == b"mine"


@pytest.mark.parity("X3")
async def test_one_deadline_over_several_requests_may_be_moved(
    nats_server: NatsServer, subject: str, echo: Connection
) -> None:
    async with connect(nats_server.url) as nc:
        await nc.subscribe(f"{subject}.silent", cb=lambda _: None)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05) as scope:
                for _ in range(3):
                    await nc.request(subject, timeout=None)
                await nc.request(f"{subject}.silent", timeout=None)
        assert scope.expired()
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(0.02) as scope:
            scope.reschedule(loop.time() + 5)
            task = asyncio.create_task(nc.request(f"{subject}.silent", timeout=0.05))
            with pytest.raises(NatsTimeoutError):
                await task
        assert not scope.expired()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(-1):
                await nc.request(subject, timeout=None)
        await nothing_left_but(nc, 1)


async def nothing_left_but(nc: Connection, subscriptions: int) -> None:
    await nc.flush()
    assert not nc.link.requests.pending
    assert len(nc.subscriptions) == subscriptions


# permissions


@both_styles
@pytest.mark.parity("A7")
async def test_a_denied_request_fails_at_once(old_style: bool) -> None:
    config = """
        authorization { users: [ { user: u, password: p, permissions: {
            publish: { deny: ["Secret.>"] }, subscribe: { deny: ["_INBOX.>"] } } } ] }
    """
    async with NatsServer(config) as server:
        login: dict[str, Any] = {"user": "u", "password": "p", "old_style_requests": old_style}
        async with connect(server.url, inbox_prefix="mine", **login) as nc:
            with pytest.raises(PermissionsError) as caught:
                await nc.request("Secret.plan", timeout=5)
            assert caught.value.subject == "Secret.plan"
            with pytest.raises(PermissionsError):
                async for _ in nc.request_many("Secret.plan", timeout=5):
                    pass
            with pytest.raises(NoRespondersError):
                await nc.request("open", timeout=5)
            await nothing_left(nc)
        async with connect(server.url, **login) as nc:
            for _ in range(2):
                with pytest.raises(PermissionsError) as caught:
                    await nc.request("open", timeout=5)
                assert caught.value.operation == "subscribe"
            await nothing_left(nc)


# buffers


@both_styles
async def test_a_request_that_no_buffer_takes_fails_and_leaves_nothing(old_style: bool) -> None:
    async with connected(reconnect_buffer_size=-1, old_style_requests=old_style) as pair:
        nc, peer, server = pair
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        with pytest.raises(ReconnectBufferExceededError):
            await nc.request("a")
        assert not nc.link.requests.pending
        assert nc.subscriptions == []


async def test_a_request_waits_for_room_and_that_counts_towards_its_time() -> None:
    async with connected(receive_buffer=4096) as (nc, peer, _):
        peer.stall()
        while not nc.link.congested:
            nc.link.send(b"flood", b"x" * 100_000)
            await asyncio.sleep(0)
        with pytest.raises(NatsTimeoutError, match="congested"):
            await nc.request("a", timeout=0.02)
        asking = asyncio.create_task(nc.request("a", b"in the end"))
        await turns()
        assert not nc.link.requests.pending
        peer.resume()
        asked = await peer.expect(b"PUB a ")
        assert asked.payload == b"in the end"
        mux = next(frame for frame in peer.frames if frame.op == b"SUB")
        peer.msg(asked.reply, mux.sid, b"yes")
        assert (await asking).data == b"yes"


# inboxes


@pytest.mark.parity("I1", "I2")
async def test_inboxes_are_unique_and_need_no_connection() -> None:
    inboxes = {new_inbox() for _ in range(10_000)}
    assert len(inboxes) == 10_000
    assert all(re.fullmatch(r"_INBOX\.[0-9A-Za-z]{22}", inbox) for inbox in inboxes)
    assert new_inbox("mine").startswith("mine.")


@both_styles
@pytest.mark.parity("I1", "I3", "L-inbox-prefix")
async def test_a_prefix_of_ones_own_is_used_by_requests_of_every_kind(
    nats_server: NatsServer, subject: str, old_style: bool
) -> None:
    async with (
        connect(nats_server.url) as server,
        connect(nats_server.url, inbox_prefix="_INBOX_alice", old_style_requests=old_style) as nc,
    ):
        replies: list[str] = []

        async def answer(msg: Msg) -> None:
            replies.append(msg.reply)
            await msg.respond(b"")

        await server.subscribe(subject, cb=answer)
        await server.flush()
        await nc.request(subject)
        assert [msg.data async for msg in nc.request_many(subject, max_msgs=1)] == [b""]
        assert len(replies) == 2
        assert all(reply.startswith("_INBOX_alice.") for reply in [*replies, nc.new_inbox()])


@pytest.mark.parametrize("bad", ["", "a.", ".a", "a b", "a.*", ">", "a\n"])
@pytest.mark.parity("I3")
async def test_a_bad_prefix_is_refused(bad: str) -> None:
    with pytest.raises((BadSubjectError, ConfigError), match=re.escape(repr(bad))):
        await connect("nats://127.0.0.1:1", inbox_prefix=bad)


# exactness


@both_styles
async def test_random_cancellations_leave_nothing(
    nats_server: NatsServer, subject: str, echo: Connection, old_style: bool
) -> None:
    dice = random.Random(11)
    async with connect(nats_server.url, old_style_requests=old_style) as nc:
        answered = 0
        for _ in range(60):
            asking = [asyncio.create_task(nc.request(subject, b"x", timeout=5)) for _ in range(20)]
            await turns(dice.randrange(12))
            for task in dice.sample(asking, 10):
                task.cancel()
            results = await asyncio.gather(*asking, return_exceptions=True)
            answered += sum(isinstance(result, Msg) for result in results)
            assert {type(r) for r in results} <= {Msg, asyncio.CancelledError}
        assert answered >= 600
        await nothing_left(nc)


async def test_a_request_is_answered_while_a_thousand_subscriptions_are_idle(
    nats_server: NatsServer, subject: str, echo: Connection
) -> None:
    async with connect(nats_server.url) as nc:
        for i in range(1000):
            await nc.subscribe(f"{subject}.idle.{i}", cb=lambda _: None)
        assert (await nc.request(subject, b"x")).data == b"x"
        assert nc.link.requests.subject.endswith(".*")
        del echo


async def test_the_inbox_is_restored_before_what_was_buffered() -> None:
    async with connected() as (nc, peer, server):
        asking = asyncio.create_task(nc.request("a", b"1"))
        first = await peer.expect(b"SUB _INBOX")
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        more = asyncio.create_task(nc.request("a", b"2"))
        await turns()
        await server.listen()
        again = await server.accept()
        asked = await again.expect(b"PUB a")
        ops = [frame.op for frame in again.frames]
        assert ops.index(b"SUB") < ops.index(b"PUB")
        assert next(frame.sid for frame in again.frames if frame.op == b"SUB") == first.sid
        again.msg(asked.reply, first.sid, b"two")
        assert (await more).data == b"two"
        asking.cancel()
