"""What a hostile caller holds of a service, and for how long.

It has a raw connection, and publishes what it likes to the subjects of one service.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest

from natsrpc.core import Connection, Msg
from natsrpc.rpc import Client, Server, Service
from natsrpc.rpc.serving.slots import RESERVE
from natsrpc.rpc.serving.streams import UNPROVEN_ITEMS
from natsrpc.rpc.streams import MAX_BODY, conversations_of
from tests.core.harness import eventually

pytestmark = [pytest.mark.live, pytest.mark.alone]

MIB = 1024 * 1024
SOON = 2.0
"""Seconds within which a service must answer after the last hostile message."""

LARGE_REPLY = b"x" * 2 * MIB

OPEN = {"Natsrpc-Frame": "open 32 262144"}


class Shop:
    """A service with a handler of each kind."""

    def __init__(self, prefix: str, **options: Any) -> None:
        self.prefix = prefix
        self.yielded = 0
        self.running = self.peak = 0
        self.closed = asyncio.Event()
        self.release = asyncio.Event()
        options = {"progress_timeout": 1.0, **options}
        self.service = Service("hostile", version="1.0.0", **options)
        group = self.service.group(prefix)
        for function in (
            self.add,
            self.size,
            self.items,
            self.sum,
            self.watch,
            self.quiet,
            self.give,
        ):
            group.handler(function.__name__)(function)
        group.handler("slow")(self.slow)

    async def add(self, a: int, b: int) -> int:
        return a + b

    async def size(self, data: bytes) -> int:
        return len(data)

    async def give(self) -> bytes:
        return LARGE_REPLY

    async def items(self, values: list[Any]) -> int:
        return len(values)

    async def sum(self, numbers: AsyncIterator[bytes]) -> int:
        return sum([len(number) async for number in numbers])

    async def watch(self, since: int) -> AsyncIterator[int]:
        try:
            while True:
                self.yielded += 1
                yield since + self.yielded
                await asyncio.sleep(0)
        finally:
            self.closed.set()

    async def quiet(self) -> AsyncIterator[int]:
        try:
            await asyncio.Event().wait()
            yield 1
        finally:
            self.closed.set()

    async def slow(self) -> None:
        self.running += 1
        self.peak = max(self.peak, self.running)
        try:
            await self.release.wait()
        finally:
            self.running -= 1


async def numbers(count: int) -> AsyncIterator[bytes]:
    for _ in range(count):
        yield b"1"


async def answered(good: Client, shop: Shop) -> None:
    """Every kind of request of somebody else is served, within `SOON`."""
    began = time.monotonic()
    prefix = shop.prefix
    assert await good.call(f"{prefix}.add", {"a": 1, "b": 2}, int, timeout=SOON) == 3
    size = min(2 * MIB, shop.service.definition.max_body)
    assert await good.call(f"{prefix}.size", b"x" * size, int, timeout=SOON) == size
    total = await good.upload(f"{prefix}.sum", numbers(3), returns=int, timeout=SOON)
    assert total == 3
    assert time.monotonic() - began < SOON


async def nothing_held(server: Server, client: Client, within: float = 4.0) -> None:
    """No slot, place, channel, window or account byte is taken any more."""
    all_ = conversations_of(client.connection.link)
    await eventually(lambda: server.inflight == 0 and len(all_) == 0, timeout=within)
    for service in server.services:
        assert not any(endpoint.taken for endpoint in service.endpoints)
    assert not client.connection.link.requests.streams
    assert all_.account.free == all_.account.size
    assert all_.window.free == all_.window.size


async def box(evil: Connection, answer: Callable[[Msg], Awaitable[object]]) -> str:
    """Addresses of the attacker, whose messages are handled by `answer`."""
    inbox = evil.new_inbox()
    await evil.subscribe(f"{inbox}.*", cb=answer)
    return inbox


async def ignore(msg: Msg) -> None:
    """Nothing is said."""


# heads, openings, and who answers them


@pytest.mark.parametrize("said", ["", "alive 0", "credit 5 5"])
async def test_heads_without_bodies_hold_places_to_receive_and_no_slots(
    client: Client, other: Client, unique: str, said: str
) -> None:
    shop = Shop(unique)
    evil = other.connection

    async def answer(msg: Msg) -> None:
        if said and msg.reply:
            await evil.publish(msg.reply, headers={"Natsrpc-Frame": said}, reply=msg.subject)

    async with client.serve(shop.service) as server:
        inbox = await box(evil, answer)
        for number in range(300):
            headers = {"Natsrpc-Frame": "large 1"}
            reply = f"{inbox}.{number}"
            await evil.publish(f"{unique}.add._NATSRPC.large", reply=reply, headers=headers)
        await evil.flush()
        called = await other.call(f"{unique}.add", {"a": 1, "b": 2}, int, timeout=SOON)
        assert called == 3
        await nothing_held(server, client)
        await answered(other, shop)


@pytest.mark.parametrize("said", ["", "alive 0", "credit 1 1"])
async def test_large_replies_that_nobody_takes_hold_no_slots(
    client: Client, other: Client, unique: str, said: str
) -> None:
    shop = Shop(unique, progress_timeout=3.0)
    evil = other.connection
    heard: list[str] = []

    async def answer(msg: Msg) -> None:
        heard.append(msg.headers.get("Nats-Service-Error-Code") or "")
        if said and msg.reply:
            await evil.publish(msg.reply, headers={"Natsrpc-Frame": said}, reply=msg.subject)

    async with client.serve(shop.service) as server:
        inbox = await box(evil, answer)
        for number in range(300):
            headers = {"Natsrpc-Max-Reply": "9000000"}
            await evil.publish(f"{unique}.give", reply=f"{inbox}.{number}", headers=headers)
        await evil.flush()
        called = await other.call(f"{unique}.add", {"a": 1, "b": 2}, int, timeout=SOON)
        assert called == 3
        assert "503" in heard  # beyond the places: the handler ran, so this is no refusal
        await nothing_held(server, client, within=8.0)
        assert await other.call(f"{unique}.give", returns=bytes, timeout=SOON) == LARGE_REPLY
        await answered(other, shop)


@pytest.mark.parametrize("kind", ["add._NATSRPC.large", "sum"])
async def test_a_conversation_with_who_answers_otherwise_ends_at_once(
    client: Client, other: Client, unique: str, kind: str
) -> None:
    """Somebody who answers errors, or plain messages, is no caller."""
    shop = Shop(unique, progress_timeout=30.0)
    async with client.serve(shop.service) as server:
        headers = OPEN if kind == "sum" else {"Natsrpc-Frame": "large 1"}
        for number in range(256):
            victim = f"{unique}.{('add', 'size')[number % 2]}"
            await other.connection.publish(f"{unique}.{kind}", reply=victim, headers=headers)
        await other.connection.flush()
        await nothing_held(server, client, within=1.0)
        await answered(other, shop)


async def test_who_sends_back_what_it_gets_is_no_caller(
    client: Client, other: Client, unique: str
) -> None:
    shop = Shop(unique, progress_timeout=30.0)
    evil = other.connection

    async def echo(msg: Msg) -> None:
        if msg.reply:
            await evil.publish(msg.reply, msg.data, headers=dict(msg.headers.items()))

    async with client.serve(shop.service) as server:
        inbox = await box(evil, echo)
        await evil.publish(f"{unique}.quiet", reply=f"{inbox}.1", headers=OPEN)
        await asyncio.wait_for(shop.closed.wait(), SOON)
        await nothing_held(server, client, within=1.0)


# whom a service can be made to send to


async def test_a_request_that_opens_no_stream_gets_a_thousand_items(
    client: Client, other: Client, unique: str
) -> None:
    shop = Shop(unique)
    got: list[Msg] = []

    async def keep(msg: Msg) -> None:
        got.append(msg)

    async with client.serve(shop.service) as server:
        inbox = await box(other.connection, keep)
        await other.connection.publish(f"{unique}.watch", b"7", reply=f"{inbox}.1")
        await asyncio.wait_for(shop.closed.wait(), 5)
        await nothing_held(server, client, within=1.0)
        await eventually(lambda: len(got) > UNPROVEN_ITEMS)
    assert len(got) == UNPROVEN_ITEMS + 1
    assert shop.yielded == UNPROVEN_ITEMS + 1
    last = got[-1].headers
    assert last["Nats-Service-Error-Code"] == "413"
    assert "Natsrpc-Frame: open" in last["Nats-Service-Error"]


async def test_a_request_that_opens_no_stream_gets_so_many_bytes(
    client: Client, other: Client, unique: str
) -> None:
    service = Service("large-items", version="1.0.0")
    closed = asyncio.Event()
    got: list[Msg] = []

    @service.handler(unique)
    async def large() -> AsyncIterator[bytes]:
        try:
            while True:
                yield b"x" * 500_000
        finally:
            closed.set()

    async def keep(msg: Msg) -> None:
        got.append(msg)

    async with client.serve(service) as server:
        inbox = await box(other.connection, keep)
        await other.connection.publish(unique, reply=f"{inbox}.1")
        await asyncio.wait_for(closed.wait(), 10)
        await nothing_held(server, client, within=1.0)
        await eventually(lambda: bool(got) and "Nats-Service-Error-Code" in got[-1].headers)
    assert 10 * MIB < sum(len(msg.data) for msg in got) <= 16 * MIB
    assert got[-1].headers["Nats-Service-Error-Code"] == "413"


async def test_a_quiet_stream_that_was_not_opened_does_not_last(
    client: Client, other: Client, unique: str
) -> None:
    """Somebody who says nothing may be subscribed there, or an attacker who does not care."""
    shop = Shop(unique)
    async with client.serve(shop.service) as server:
        mine = await other.connection.subscribe(f"{unique}.mine")
        await other.connection.publish(f"{unique}.quiet", reply=f"{unique}.mine")
        await asyncio.wait_for(shop.closed.wait(), 4)
        await nothing_held(server, client, within=1.0)
        told = (await mine.next_msg(1)).headers
        assert told["Nats-Service-Error-Code"] == "503"
        assert "Natsrpc-Frame: open" in (told["Nats-Service-Error"] or "")


async def test_an_opening_for_somebody_else_gets_no_more_until_its_caller_is_heard(
    client: Client, other: Client, unique: str
) -> None:
    """The address may be that of a subscriber who says nothing, whatever credit is named."""
    shop = Shop(unique, presence_timeout=1.0)
    got: list[Msg] = []

    async def victim(msg: Msg) -> None:
        got.append(msg)

    async with client.serve(shop.service) as server:
        await other.connection.subscribe(f"{unique}.victim", cb=victim)
        headers = {"Natsrpc-Frame": "open 1000000000 1000000000000"}
        subject, reply = f"{unique}.watch", f"{unique}.victim"
        await other.connection.publish(subject, b"7", reply=reply, headers=headers)
        await asyncio.wait_for(shop.closed.wait(), 5)
        await nothing_held(server, client)
        items = [msg for msg in got if b"Natsrpc-Frame: item " in msg.raw_headers]
    assert len(items) == UNPROVEN_ITEMS


async def test_an_opening_whose_caller_is_heard_has_all_its_credit(
    client: Client, other: Client, unique: str
) -> None:
    shop = Shop(unique)
    evil = other.connection
    got: list[Msg] = []

    async def caller(msg: Msg) -> None:
        got.append(msg)
        if msg.reply:
            await evil.publish(msg.reply, headers={"Natsrpc-Frame": "alive 0"}, reply=msg.subject)

    async with client.serve(shop.service):
        inbox = await box(evil, caller)
        headers = {"Natsrpc-Frame": "open 3000 1000000"}
        await evil.publish(f"{unique}.watch", b"7", reply=f"{inbox}.1", headers=headers)
        await eventually(lambda: len(got) > 3000)
        (address,) = {msg.reply for msg in got if msg.reply}
        await evil.publish(address, headers={"Natsrpc-Frame": "stop 0"})
        await asyncio.wait_for(shop.closed.wait(), 5)


@pytest.mark.parametrize("reply", ["$JS.API.STREAM.DELETE.X", "x._NATSRPC.large", "_NATSRPC"])
async def test_a_stream_that_moves_to_a_subject_that_is_not_answered_ends(
    client: Client, other: Client, unique: str, reply: str
) -> None:
    shop = Shop(unique, progress_timeout=30.0)
    evil = other.connection

    async def answer(msg: Msg) -> None:
        if msg.reply:
            headers = {"Natsrpc-Frame": "credit 100 1000000"}
            await evil.publish(msg.reply, reply=reply, headers=headers)

    async with client.serve(shop.service) as server:
        victim = await evil.subscribe("*._NATSRPC.large" if reply[0] != "$" else reply)
        inbox = await box(evil, answer)
        await evil.publish(f"{unique}.watch", b"7", reply=f"{inbox}.1", headers=OPEN)
        await asyncio.wait_for(shop.closed.wait(), SOON)
        await nothing_held(server, client, within=1.0)
        await evil.flush()
        assert victim.pending_msgs == 0


# slots, the account, the loop


@pytest.mark.parametrize("max_waiting", [0, 1000])
async def test_a_forged_depth_gets_no_more_than_the_reserve_and_one_a_level(
    client: Client, other: Client, unique: str, max_waiting: int
) -> None:
    shop = Shop(unique, max_concurrency=4, max_waiting=max_waiting)
    async with client.serve(shop.service) as server:
        (endpoint,) = filter(
            lambda each: each.contract.name == "slow", server.services[0].endpoints
        )
        inbox = await box(other.connection, ignore)
        for number in range(160):
            headers = {"Natsrpc-Depth": str(number % 16)}
            reply = f"{inbox}.{number}"
            await other.connection.publish(f"{unique}.slow", reply=reply, headers=headers)
        await other.connection.flush()
        await eventually(lambda: server.inflight + endpoint.answers.num_requests == 160)
        await eventually(lambda: shop.peak >= 4 + RESERVE)
        await client.connection.flush()
        assert shop.peak <= 4 + RESERVE + 16
        shop.release.set()
        await nothing_held(server, client)


async def test_half_items_of_many_uploads_stay_within_the_account(
    client: Client, other: Client, unique: str
) -> None:
    shop = Shop(unique, max_body=MIB)
    evil = other.connection
    sent: dict[str, int] = {}
    parts: dict[str, int] = {}
    all_ = conversations_of(client.connection.link)

    async def send_half(msg: Msg) -> None:
        """Use all the credit there is, for an item of which the last byte never comes."""
        word, *rest = (msg.headers.get("Natsrpc-Frame") or "none").split()
        me = msg.subject
        so_far = sent.get(me, 0)
        room = min(int(rest[1]) - so_far, MIB - 1 - so_far, 900_000) if word == "credit" else 0
        if room > 0:
            sent[me] = so_far + room
            parts[me] = parts.get(me, 0) + 1
            headers = {"Natsrpc-Frame": f"part {parts[me]} {MIB - sent[me]}"}
            await evil.publish(msg.reply, b"x" * room, headers=headers)

    async with client.serve(shop.service) as server:
        all_.account.free -= all_.account.size - 4 * MIB  # as if `max_body` were this for all
        all_.account.size = 4 * MIB
        inbox = await box(evil, send_half)
        for number in range(12):
            await evil.publish(f"{unique}.sum", reply=f"{inbox}.{number}", headers=OPEN)
        await eventually(lambda: sum(sent.values()) > 4 * MIB)
        await eventually(lambda: all_.account.free == 0)
        assert sum(sent.values()) <= 4 * MIB + 12 * 256 * 1024  # what each may be ahead at first
        called = await other.call(f"{unique}.add", {"a": 1, "b": 2}, int, timeout=SOON)
        assert called == 3
        await nothing_held(server, client)
        await answered(other, shop)


async def test_heads_that_reserve_the_account_do_not_keep_others_out_for_long(
    client: Client, other: Client, unique: str
) -> None:
    shop = Shop(unique)
    async with client.serve(shop.service) as server:
        inbox = await box(other.connection, ignore)
        for number in range(8):
            headers = {"Natsrpc-Frame": f"large {MAX_BODY}"}
            subject, reply = f"{unique}.size._NATSRPC.large", f"{inbox}.{number}"
            await other.connection.publish(subject, reply=reply, headers=headers)
        await other.connection.flush()
        assert await other.call(f"{unique}.size", b"x" * 2 * MIB, int, timeout=10) == 2 * MIB
        await nothing_held(server, client)


async def test_a_body_beyond_the_default_limit_is_refused_by_its_head(
    client: Client, other: Client, unique: str
) -> None:
    shop = Shop(unique)
    async with client.serve(shop.service) as server:
        headers = {"Natsrpc-Frame": f"large {64 * MIB}"}
        subject = f"{unique}.items._NATSRPC.large"
        refused = await other.connection.request(subject, headers=headers)
        assert refused.headers["Nats-Service-Error-Code"] == "413"
        assert str(8 * MIB) in refused.headers["Nats-Service-Error"]
        await nothing_held(server, client, within=1.0)


async def test_an_item_that_only_drips_ends_in_time(
    client: Client, other: Client, unique: str
) -> None:
    shop = Shop(unique)
    evil = other.connection
    async with client.serve(shop.service) as server:
        mine = await evil.subscribe(f"{unique}.mine")
        await evil.publish(f"{unique}.sum", reply=f"{unique}.mine", headers=OPEN)
        address = (await mine.next_msg(1)).reply
        began = time.monotonic()
        for number in range(1, 30):
            headers = {"Natsrpc-Frame": f"part {number} {8192 - number}"}
            await evil.publish(address, b"x", headers=headers)
            await asyncio.sleep(0.2)  # why: as slowly as counts for progress
            if not server.inflight:
                break
        assert time.monotonic() - began < 4
        await nothing_held(server, client)
