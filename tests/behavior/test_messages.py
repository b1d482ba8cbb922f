"""Messages on both back ends: what one does, the other does."""

from __future__ import annotations

import asyncio

import pytest

from natsrpc.core import Connection, Headers, Msg
from natsrpc.errors import (
    BadSubscriptionError,
    MaxMessagesError,
    MaxPayloadError,
    NatsTimeoutError,
    NoRespondersError,
)

from .conftest import MAX_PAYLOAD, BackEnd


async def test_messages_come_in_order(nc: Connection, other: Connection, subject: str) -> None:
    sub = await nc.subscribe(subject)
    await nc.flush()
    for number in range(100):
        await other.publish(subject, str(number).encode())
    got = [int((await sub.next_msg()).data) for _ in range(100)]
    assert got == list(range(100))


@pytest.mark.parametrize(
    ("pattern", "matching", "other"),
    [
        ("*.b", ["a.b", "x.b"], ["a.c", "a.b.c", "b"]),
        ("a.>", ["a.b", "a.b.c"], ["a", "b.a"]),
        (">", ["a", "a.b.c"], []),
        ("a.*.c", ["a.b.c"], ["a.c", "a.b.c.d"]),
    ],
)
async def test_wildcards(
    nc: Connection, subject: str, pattern: str, matching: list[str], other: list[str]
) -> None:
    sub = await nc.subscribe(f"{subject}.{pattern}")
    for tail in other + matching:
        await nc.publish(f"{subject}.{tail}")
    got = [(await sub.next_msg()).subject for _ in matching]
    assert got == [f"{subject}.{tail}" for tail in matching]
    await nc.flush()
    assert sub.pending_msgs == 0


async def test_a_queue_group_gets_each_message_once(nc: Connection, subject: str) -> None:
    members = [await nc.subscribe(subject, queue_group="q") for _ in range(3)]
    everyone = await nc.subscribe(subject)
    for _ in range(30):
        await nc.publish(subject, b"x")
    await nc.flush()
    assert sum(member.pending_msgs for member in members) == 30
    assert all(member.pending_msgs for member in members)
    assert everyone.pending_msgs == 30


async def test_headers_arrive_as_sent(nc: Connection, subject: str) -> None:
    sub = await nc.subscribe(subject)
    headers = Headers({"A": "1", "b": ["2", "3"]})
    await nc.publish(subject, b"data", headers=headers)
    msg = await sub.next_msg()
    assert msg.data == b"data"
    assert list(msg.headers.items()) == [("A", "1"), ("b", "2"), ("b", "3")]


async def test_bytes_arrive_untouched(nc: Connection, subject: str) -> None:
    sub = await nc.subscribe(subject)
    data = bytes(range(256)) + b"\r\nMSG x 1 2\r\n"
    await nc.publish(subject, data)
    await nc.publish(subject, b"")
    assert (await sub.next_msg()).data == data
    assert (await sub.next_msg()).data == b""


async def test_a_request_gets_its_reply(nc: Connection, other: Connection, subject: str) -> None:
    async def double(msg: Msg) -> None:
        await msg.respond(msg.data * 2)

    await other.subscribe(subject, cb=double)
    await other.flush()
    replies = await asyncio.gather(*(nc.request(subject, b"%d" % n) for n in range(50)))
    assert [reply.data for reply in replies] == [b"%d" % n * 2 for n in range(50)]


async def test_a_request_to_nobody_fails_at_once(nc: Connection, subject: str) -> None:
    with pytest.raises(NoRespondersError, match=subject):
        await nc.request(subject, b"", timeout=60)
    inbox = await nc.subscribe(nc.new_inbox())
    await nc.publish(subject, reply=inbox.subject)
    with pytest.raises(NoRespondersError):
        await inbox.next_msg(60)


async def test_a_request_of_the_old_style(
    back_end: BackEnd, other: Connection, subject: str
) -> None:
    async def answer(msg: Msg) -> None:
        await msg.respond(b"yes")

    async with back_end.connect(old_style_requests=True) as nc:
        with pytest.raises(NoRespondersError):
            await nc.request(subject)
        await other.subscribe(subject, cb=answer)
        await other.flush()
        assert (await nc.request(subject)).data == b"yes"
        assert nc.subscriptions == []


async def test_a_request_nobody_answers_times_out(nc: Connection, subject: str) -> None:
    await nc.subscribe(subject)
    with pytest.raises(NatsTimeoutError):
        await nc.request(subject, timeout=0.02)


async def test_many_replies_to_one_request(nc: Connection, subject: str) -> None:
    async def answer(msg: Msg) -> None:
        for number in range(5):
            await msg.respond(str(number).encode())
        await msg.respond(b"")

    await nc.subscribe(subject, cb=answer)
    replies = nc.request_many(subject, timeout=5, sentinel=lambda msg: not msg.data)
    assert [msg.data async for msg in replies] == [b"0", b"1", b"2", b"3", b"4"]


async def test_a_subscription_ends_at_its_limit(nc: Connection, subject: str) -> None:
    sub = await nc.subscribe(subject, max_msgs=2)
    for _ in range(5):
        await nc.publish(subject)
    await sub.next_msg()
    await sub.next_msg()
    with pytest.raises(MaxMessagesError):
        await sub.next_msg()


async def test_nothing_comes_after_unsubscribe(nc: Connection, subject: str) -> None:
    sub = await nc.subscribe(subject)
    await sub.unsubscribe()
    with pytest.raises(NoRespondersError):
        await nc.request(subject)
    with pytest.raises(BadSubscriptionError):
        await sub.next_msg()


async def test_no_echo(back_end: BackEnd, other: Connection, subject: str) -> None:
    async with back_end.connect(echo=False) as nc:
        sub = await nc.subscribe(subject)
        await nc.flush()
        await nc.publish(subject, b"own")
        await nc.flush()
        await other.publish(subject, b"other's")
        assert (await sub.next_msg()).data == b"other's"
        with pytest.raises(NoRespondersError):
            await nc.request(subject)


async def test_a_message_of_the_largest_size(nc: Connection, subject: str) -> None:
    assert nc.max_payload == MAX_PAYLOAD
    sub = await nc.subscribe(subject)
    await nc.publish(subject, bytes(MAX_PAYLOAD))
    assert len((await sub.next_msg()).data) == MAX_PAYLOAD
    with pytest.raises(MaxPayloadError):
        await nc.publish(subject, bytes(MAX_PAYLOAD + 1))


async def test_a_drained_subscription_handles_all_it_was_sent(
    nc: Connection, other: Connection, subject: str
) -> None:
    handled = []

    async def handle(msg: Msg) -> None:
        await asyncio.sleep(0)
        handled.append(msg.data)

    sub = await nc.subscribe(subject, cb=handle)
    await nc.flush()
    for number in range(100):
        await other.publish(subject, b"%d" % number)
    await other.flush()
    await sub.drain()
    assert len(handled) == 100


async def test_a_reconnect_restores_subscriptions(
    back_end: BackEnd, other: Connection, subject: str
) -> None:
    back = asyncio.Event()
    async with back_end.connect(on_reconnect=lambda _: back.set()) as nc:
        sub = await nc.subscribe(subject)
        await nc.force_reconnect()
        await nc.publish(subject, b"buffered")
        await back.wait()
        await nc.flush()
        await other.publish(subject, b"after")
        assert (await sub.next_msg()).data == b"buffered"
        assert (await sub.next_msg()).data == b"after"
