"""Requests over one inbox: each answered once, and none leaves anything behind."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc.core.requests.inbox import TOKEN_SIZE
from natsrpc.core.requests.mux import RequestMux
from natsrpc.core.session.transport import Transport
from natsrpc.core.wire import Msg, Parser
from natsrpc.errors import (
    ConnectionClosedError,
    MaxPayloadError,
    NatsTimeoutError,
    NoRespondersError,
    PermissionsError,
)
from tests.core.harness import elapse, turns, warped


class Sender:
    """A way out that records what is sent, and lets the test answer."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.sent: list[tuple[bytes, bytes, bytes, bytes]] = []
        self.subscribed: list[bytes] = []
        self.refusal: Exception | None = None
        self.room = asyncio.Event()
        self.room.set()
        self.pushed = 0
        self.transport: Transport | None = None
        self.only_collected = False
        self.sink: Callable[[Msg], None]

    @property
    def congested(self) -> bool:
        return not self.room.is_set()

    def push(self) -> None:
        self.pushed += 1
        if self.only_collected:
            self.room.set()

    async def writable(self) -> None:
        await self.room.wait()

    def send(self, subject: bytes, data: bytes, reply: bytes = b"", headers: bytes = b"") -> None:
        assert self.subscribed
        if self.refusal is not None:
            raise self.refusal
        self.sent.append((subject, data, reply, headers))

    def subscribe(self, subject: bytes, sink: Callable[[Msg], None]) -> None:
        self.subscribed.append(subject)
        self.sink = sink

    def answer(self, reply: bytes, data: bytes = b"", headers: bytes = b"") -> None:
        size, total = len(headers), len(headers) + len(data)
        line = b"HMSG %b 1 %d %d\r\n" % (reply, size, total)
        (msg,) = Parser().feed(line + headers + data + b"\r\n")
        assert isinstance(msg, Msg)
        self.sink(msg)


def muxed() -> tuple[RequestMux, Sender]:
    sender = Sender()
    return RequestMux(sender, sender.subscribe, "_INBOX"), sender


async def start(mux: RequestMux, sender: Sender, *args: Any, **kwargs: Any) -> asyncio.Task[Msg]:
    """A request whose message has been sent."""
    before = len(sender.sent)
    task = asyncio.create_task(mux.request(*args, **kwargs))
    await turns(1)
    assert len(sender.sent) == before + 1
    return task


async def test_a_reply_goes_to_its_request_whatever_the_order() -> None:
    mux, sender = muxed()
    tasks = [await start(mux, sender, b"s", b"%d" % number) for number in range(20)]
    order = list(zip(tasks, sender.sent, strict=True))
    random.Random(1).shuffle(order)
    for _, (_, data, reply, _) in order:
        sender.answer(reply, b"re " + data)
    results = [(await task).data for task in tasks]
    assert results == [b"re %d" % number for number in range(20)]
    assert not mux.pending
    assert mux.unmatched == 0


async def test_the_inbox_is_subscribed_once_before_the_first_request() -> None:
    mux, sender = muxed()
    assert sender.subscribed == []
    tasks = [await start(mux, sender, b"s", b"") for _ in range(3)]
    (subject,) = sender.subscribed
    assert subject.decode() == mux.subject
    prefix, star, nothing = subject.partition(b"*")
    assert (star, nothing) == (b"*", b"")
    replies = [reply for _, _, reply, _ in sender.sent]
    assert all(reply.startswith(prefix) for reply in replies)
    assert {len(reply) - len(prefix) for reply in replies} == {TOKEN_SIZE}
    assert len(set(replies)) == 3
    for task, reply in zip(tasks, replies, strict=True):
        sender.answer(reply)
        await task


async def test_a_publish_that_fails_leaves_no_token() -> None:
    mux, sender = muxed()
    sender.refusal = MaxPayloadError(2, 1)
    for _ in range(3):
        with pytest.raises(MaxPayloadError):
            await mux.request(b"s", b"")
    assert not mux.pending


@warped
async def test_a_request_without_reply_times_out_and_leaves_no_token() -> None:
    mux, sender = muxed()
    loop = asyncio.get_running_loop()
    before = loop.time()
    with pytest.raises(NatsTimeoutError, match=r"'some\.subject'") as caught:
        await mux.request(b"some.subject", b"", timeout=3.0)
    assert isinstance(caught.value, TimeoutError)
    assert 2.9 < loop.time() - before < 3.2
    assert not mux.pending
    sender.answer(sender.sent[0][2], b"late")
    assert mux.unmatched == 1


@warped
async def test_a_request_without_limit_waits_as_long_as_it_takes() -> None:
    mux, sender = muxed()
    task = await start(mux, sender, b"s", b"", timeout=None)
    await elapse(100_000)
    sender.answer(sender.sent[0][2], b"at last")
    assert (await task).data == b"at last"


async def test_a_late_or_second_reply_is_counted_not_delivered() -> None:
    mux, sender = muxed()
    task = await start(mux, sender, b"s", b"")
    reply = sender.sent[0][2]
    sender.answer(reply, b"first")
    sender.answer(reply, b"second")
    assert (await task).data == b"first"
    sender.answer(reply, b"third")
    assert mux.unmatched == 2


async def test_a_cancelled_request_leaves_no_token_and_its_reply_is_counted() -> None:
    mux, sender = muxed()
    task = await start(mux, sender, b"s", b"")
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert not mux.pending
    sender.answer(sender.sent[0][2])
    assert mux.unmatched == 1


async def test_a_reply_in_the_turn_of_the_cancellation_harms_nothing() -> None:
    mux, sender = muxed()
    for answer_first in (True, False):
        task = await start(mux, sender, b"s", b"")
        reply = sender.sent[-1][2]
        steps = [lambda reply=reply: sender.answer(reply), task.cancel]
        for step in steps if answer_first else steps[::-1]:
            step()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert not mux.pending


@warped
async def test_10_000_cancellations_at_random_points_leave_nothing() -> None:
    mux, sender = muxed()
    dice = random.Random(3)
    outcomes = {"answered": 0, "cancelled": 0, "timed out": 0}
    for _ in range(100):
        tasks = [
            asyncio.create_task(mux.request(b"s", b"", timeout=dice.choice([0.01, 1.0, 5.0])))
            for _ in range(100)
        ]
        before = len(sender.sent)
        await turns(dice.randrange(3))
        for _, _, reply, _ in dice.sample(sender.sent[before:], len(sender.sent[before:]) // 2):
            sender.answer(reply)
        await turns(dice.randrange(2))
        for task in dice.sample(tasks, 60):
            task.cancel()
        await elapse(dice.choice([0, 0.02]))
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            match result:
                case Msg():
                    outcomes["answered"] += 1
                case asyncio.CancelledError():
                    outcomes["cancelled"] += 1
                case NatsTimeoutError():
                    outcomes["timed out"] += 1
                case _:
                    raise AssertionError(result)
    assert min(outcomes.values()) > 100
    assert not mux.pending
    await mux.idle()
    assert {task for task in asyncio.all_tasks() if not task.done()} == {asyncio.current_task()}


# No responders, and what only looks like it


@pytest.mark.parametrize(
    "block",
    [
        b"NATS/1.0 503\r\n\r\n",
        b"NATS/1.0 503\r\nNats-Subject: s\r\n\r\n",
        b"NATS/1.0 503 No Responders\r\n\r\n",
    ],
)
async def test_no_responders_is_an_error_at_once(block: bytes) -> None:
    mux, sender = muxed()
    task = await start(mux, sender, b"nobody.here", b"")
    sender.answer(sender.sent[0][2], headers=block)
    with pytest.raises(NoRespondersError) as caught:
        await task
    assert caught.value.subject == "nobody.here"
    assert not mux.pending


@pytest.mark.parametrize(
    ("block", "data"),
    [
        (b"NATS/1.0 503\r\n\r\n", b"payload"),
        (b"NATS/1.0\r\nStatus: 503\r\n\r\n", b""),
        (b"NATS/1.0\r\nStatus: 503\r\nDescription: No Responders\r\n\r\n", b"payload"),
        (b"NATS/1.0 5030\r\n\r\n", b""),
        (b"NATS/1.0 100\r\n\r\n", b""),
        (b"garbage 503", b""),
        (b"", b""),
    ],
)
async def test_an_answer_that_looks_like_no_responders_is_an_answer(
    block: bytes, data: bytes
) -> None:
    mux, sender = muxed()
    task = await start(mux, sender, b"s", b"")
    sender.answer(sender.sent[0][2], data, block)
    assert ((await task).raw_headers, (await task).data) == (block, data)


# Replies that were rewritten on their way


async def test_a_rewritten_reply_is_the_only_requests_answer() -> None:
    mux, sender = muxed()
    task = await start(mux, sender, b"s", b"")
    sender.answer(b"mapped.elsewhere", b"yes")
    assert (await task).data == b"yes"
    assert not mux.pending


async def test_a_rewritten_reply_among_several_requests_is_nobodys() -> None:
    mux, sender = muxed()
    tasks = [await start(mux, sender, b"s", b"") for _ in range(2)]
    sender.answer(b"mapped.elsewhere", b"whose?")
    await turns()
    assert not any(task.done() for task in tasks)
    assert mux.unmatched == 1
    mux.fail_all(ConnectionClosedError())
    await asyncio.gather(*tasks, return_exceptions=True)


# Permissions


def denied(**facts: Any) -> PermissionsError:
    return PermissionsError("permission denied", **facts)


async def test_a_denied_inbox_fails_pending_and_later_requests_until_allowed_again() -> None:
    mux, sender = muxed()
    tasks = [await start(mux, sender, b"s", b"") for _ in range(2)]
    error = denied(operation="subscribe", subject=mux.subject)
    assert mux.deny(error)
    for task in tasks:
        with pytest.raises(PermissionsError):
            await task
    with pytest.raises(PermissionsError):
        await mux.request(b"s", b"")
    with pytest.raises(PermissionsError):
        mux.reply_subject(mux.new_token())
    assert len(sender.sent) == 2
    assert not mux.pending
    mux.allow_again()
    task = await start(mux, sender, b"s", b"")
    sender.answer(sender.sent[-1][2])
    await task


async def test_a_denied_publish_fails_the_oldest_request_on_that_subject() -> None:
    mux, sender = muxed()
    other = await start(mux, sender, b"other", b"")
    first, second = [await start(mux, sender, b"No.Way", b"") for _ in range(2)]
    assert mux.deny(denied(operation="publish", subject="No.Way"))
    with pytest.raises(PermissionsError):
        await first
    await turns()
    assert not second.done()
    assert not other.done()
    assert mux.deny(denied(operation="publish", reply=sender.sent[2][2].decode()))
    with pytest.raises(PermissionsError):
        await second
    mux.fail_all(ConnectionClosedError())
    with pytest.raises(ConnectionClosedError):
        await other


async def test_a_denial_of_something_else_concerns_no_request() -> None:
    mux, sender = muxed()
    task = await start(mux, sender, b"s", b"")
    for error in (
        denied(operation="publish", subject="t"),
        denied(operation="subscribe", subject="s"),
        denied(),
    ):
        assert not mux.deny(error)
    sender.answer(sender.sent[0][2])
    await task


# Congestion, closing, idling


async def test_a_request_waits_for_room_before_it_is_sent() -> None:
    mux, sender = muxed()
    sender.room.clear()
    task = asyncio.create_task(mux.request(b"s", b""))
    await turns()
    assert sender.sent == []
    sender.room.set()
    await turns()
    sender.answer(sender.sent[0][2], b"yes")
    assert (await task).data == b"yes"


async def test_what_one_turn_collected_is_pushed_instead_of_waited_for() -> None:
    mux, sender = muxed()
    sender.room.clear()
    sender.only_collected = True
    task = await start(mux, sender, b"s", b"")
    assert sender.pushed == 1
    sender.answer(sender.sent[0][2], b"yes")
    assert (await task).data == b"yes"
    await start(mux, sender, b"s", b"")
    assert sender.pushed == 1


@warped
async def test_waiting_for_room_counts_towards_the_timeout() -> None:
    mux, sender = muxed()
    sender.room.clear()
    with pytest.raises(NatsTimeoutError):
        await mux.request(b"s", b"", timeout=2.0)
    assert sender.sent == []
    loop = asyncio.get_running_loop()
    before = loop.time()
    loop.call_later(1.5, sender.room.set)
    with pytest.raises(NatsTimeoutError):
        await mux.request(b"s", b"", timeout=2.0)
    assert loop.time() - before < 2.3


async def test_closing_wakes_every_request_with_its_reason() -> None:
    mux, sender = muxed()
    tasks = [await start(mux, sender, b"s", b"", timeout=t) for t in (None, 5.0, 60.0)]
    mux.stop(ConnectionClosedError("closed by its user"))
    for task in tasks:
        with pytest.raises(ConnectionClosedError, match="closed by its user"):
            await task
    assert not mux.pending


async def test_idle_waits_for_the_last_reply() -> None:
    mux, sender = muxed()
    await mux.idle()
    tasks = [await start(mux, sender, b"s", b"") for _ in range(3)]
    waiting = asyncio.create_task(mux.idle())
    sender.answer(sender.sent[0][2])
    tasks[1].cancel()
    await turns()
    assert not waiting.done()
    sender.answer(sender.sent[2][2])
    await asyncio.wait_for(waiting, 1)
    await asyncio.gather(*tasks, return_exceptions=True)


@warped
async def test_idle_ends_when_the_last_request_times_out() -> None:
    mux, sender = muxed()
    task = await start(mux, sender, b"s", b"", timeout=2.0)
    await asyncio.wait_for(mux.idle(), 5)
    with pytest.raises(NatsTimeoutError):
        await task


async def test_streams_take_every_message_of_their_token() -> None:
    mux, sender = muxed()
    token = mux.new_token()
    got: list[bytes] = []
    mux.streams[token] = lambda msg: got.append(msg.data)
    reply = mux.reply_subject(token)
    assert sender.subscribed
    for data in (b"1", b"2", b"3"):
        sender.answer(reply, data)
    del mux.streams[token]
    sender.answer(reply, b"4")
    assert got == [b"1", b"2", b"3"]
    assert mux.unmatched == 1


async def test_a_token_in_use_is_not_given_out_again(monkeypatch: pytest.MonkeyPatch) -> None:
    mux, sender = muxed()
    task = await start(mux, sender, b"s", b"")
    used = next(iter(mux.pending))[-TOKEN_SIZE:]
    monkeypatch.setattr(mux, "_inboxes", [])
    monkeypatch.setattr("natsrpc.core.requests.mux.new_tokens", lambda: [b"freetokn", used])
    second = await start(mux, sender, b"s", b"")
    sender.answer(sender.sent[0][2], b"first")
    assert (await task).data == b"first"
    sender.answer(sender.sent[1][2], b"second")
    assert (await second).data == b"second"


async def test_a_stream_has_a_token_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    mux, sender = muxed()
    monkeypatch.setattr(
        "natsrpc.core.requests.mux.new_tokens", lambda: [b"freetokn", b"sametokn"] * 2
    )
    first = mux.new_token()
    got: list[Msg] = []
    mux.streams[first] = got.append
    monkeypatch.setattr(mux, "_inboxes", [])
    assert mux.new_token() != first
    monkeypatch.setattr(mux, "_inboxes", [])
    task = await start(mux, sender, b"s", b"")  # drawn the same
    sender.answer(sender.sent[0][2], b"reply")
    assert (await task).data == b"reply"
    assert not got
