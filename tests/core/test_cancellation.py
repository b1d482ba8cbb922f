"""Any await may be cancelled: nothing is lost, doubled or left behind."""

from __future__ import annotations

import asyncio
import contextlib
import random
from collections import Counter
from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

import pytest

from natsrpc.core import Connection, Msg, connect
from natsrpc.errors import FlushInterruptedError, NatsError
from natsrpc.testing import NatsServer
from tests.core.connected import connected
from tests.core.harness import eventually, no_leaks, turns

Act: TypeAlias = "Callable[[Connection, random.Random], Coroutine[Any, Any, object]]"


async def ask(nc: Connection, rng: random.Random) -> None:
    timeout = rng.choice([None, 0.002, 5.0])
    await nc.request("cancel.echo", b"x" * rng.randrange(2000), timeout=timeout)


async def ask_nobody(nc: Connection, rng: random.Random) -> None:
    await nc.request("cancel.nobody")


async def ask_silence(nc: Connection, rng: random.Random) -> None:
    await nc.request("cancel.silent", timeout=rng.choice([None, 5.0]))


async def ask_many(nc: Connection, rng: random.Random) -> None:
    async for _ in nc.request_many("cancel.echo", timeout=5.0, max_msgs=rng.choice([None, 1, 2])):
        await asyncio.sleep(0)


async def publish(nc: Connection, rng: random.Random) -> None:
    for _ in range(rng.randrange(4)):
        await nc.publish("cancel.void", b"x" * rng.randrange(5000), headers={"a": "b"})


async def flush(nc: Connection, rng: random.Random) -> None:
    await nc.flush(rng.choice([None, 5.0]))


async def read_one(nc: Connection, rng: random.Random) -> None:
    async with await nc.subscribe("cancel.own", max_msgs=rng.choice([None, 3])) as sub:
        await nc.publish("cancel.own", b"1")
        await sub.next_msg(rng.choice([None, 0.002, 5.0]))
        await sub.next_msg(5.0)


async def read_all(nc: Connection, rng: random.Random) -> None:
    async with await nc.subscribe("cancel.stream") as sub:
        for _ in range(3):
            await nc.publish("cancel.stream", b"1")
        async for _ in sub:
            await asyncio.sleep(0)


async def drain_one(nc: Connection, rng: random.Random) -> None:
    async def handle(msg: Msg) -> None:
        await asyncio.sleep(0)

    sub = await nc.subscribe("cancel.drained", cb=handle, queue_group="q")
    await nc.publish("cancel.drained", b"1")
    await sub.drain()


async def subscribe_checked(nc: Connection, rng: random.Random) -> None:
    async with await nc.subscribe("cancel.checked", check=True):
        await asyncio.sleep(0)


async def watch_events(nc: Connection, rng: random.Random) -> None:
    async for _ in nc.events():
        pass


async def make_room(nc: Connection, rng: random.Random) -> None:
    await nc.link.writable()


ACTS: list[Act] = [
    ask,
    ask,
    ask_nobody,
    ask_silence,
    ask_many,
    publish,
    flush,
    read_one,
    read_all,
    drain_one,
    subscribe_checked,
    watch_events,
    make_room,
]


async def echo(msg: Msg) -> None:
    await msg.respond(msg.data)


async def cancel_at_random(
    nc: Connection, rng: random.Random, count: int, *, old_style: bool = False
) -> Counter[str]:
    """Start acts and cancel each after a random number of loop turns, some hundred at a time."""
    outcome: Counter[str] = Counter()

    async def one() -> None:
        task = asyncio.create_task(rng.choice(ACTS)(nc, rng))
        for _ in range(rng.randrange(12)):
            await asyncio.sleep(0)
        if rng.random() < 0.05:
            await asyncio.sleep(0.003)  # why: an answer may come before it is cancelled
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            outcome["cancelled"] += 1
        except NatsError as error:
            outcome[type(error).__name__] += 1
        else:
            outcome["done"] += 1

    left = count
    while left:
        batch = min(left, 250)
        await asyncio.gather(*(one() for _ in range(batch)))
        left -= batch
    return outcome


def parked_flushes(nc: Connection) -> list[object]:
    parked: list[object] = vars(vars(nc.link)["_flushes"])["_parked"]
    return parked


async def check_nothing_is_left(nc: Connection, tasks: set[asyncio.Task[Any]], subs: int) -> None:
    async def settled() -> bool:
        with contextlib.suppress(FlushInterruptedError):  # a reset may be on its way still
            await nc.flush()
        return (
            nc.is_connected
            and len(nc.subscriptions) == subs
            and not nc.link.requests.pending
            and not nc.link.requests.streams
            and asyncio.all_tasks() <= tasks
        )

    await eventually(settled)
    # what the connection keeps for each wait is gone too
    link = nc.link
    assert parked_flushes(nc) == []
    assert not vars(link.subscriptions)["_finishing"]
    assert len(link.sinks) == subs + (link.subscriptions.request_inbox is not None)
    session = vars(link.session)
    assert [waiter for waiter in session["_pongs"] if waiter is not None] == []
    assert not vars(session["transport"])["_waiters"]


@pytest.mark.parametrize("seed", [1, 2])
@pytest.mark.parametrize("old_style", [False, True], ids=["mux", "old style"])
async def test_cancellations_at_random_points_leave_nothing_behind(
    nats_server: NatsServer, seed: int, old_style: bool
) -> None:
    """2 500 for each style and seed: 10 000 in all."""
    rng = random.Random(seed)
    async with no_leaks(), connect(nats_server.url) as worker:
        await worker.subscribe("cancel.echo", cb=echo)
        await worker.subscribe("cancel.silent", cb=lambda msg: None)
        await worker.flush()
        async with connect(nats_server.url, old_style_requests=old_style) as nc:
            await nc.flush()
            tasks = asyncio.all_tasks()
            outcome = await cancel_at_random(nc, rng, 2500)
            await check_nothing_is_left(nc, tasks, subs=0)
            assert outcome["cancelled"] > 1000
            assert sum(outcome.values()) == 2500
            assert (await nc.request("cancel.echo", b"still well")).data == b"still well"
            await check_nothing_is_left(nc, tasks, subs=0)


async def test_cancellations_while_the_link_breaks_leave_nothing_behind() -> None:
    """The same on a connection whose peer answers nothing and keeps resetting it."""
    rng = random.Random(3)
    async with no_leaks(), connected() as (nc, _, server):
        tasks = asyncio.all_tasks()
        over = asyncio.Event()

        async def break_links() -> None:
            while not over.is_set():
                await turns(rng.randrange(5, 60))
                for other in server.peers:
                    other.reset()

        breaking = asyncio.create_task(break_links())
        outcome = await cancel_at_random(nc, rng, 1500)
        over.set()
        await breaking
        await eventually(lambda: nc.is_connected)
        await check_nothing_is_left(nc, tasks, subs=0)
        assert outcome["cancelled"] > 500
        assert nc.stats().reconnects > 3


async def test_cancelled_reads_lose_no_message(nats_server: NatsServer) -> None:
    rng = random.Random(4)
    got: list[int] = []
    async with connect(nats_server.url) as nc:
        sub = await nc.subscribe("cancel.reads")
        await nc.flush()

        async def read() -> None:
            msg = await sub.next_msg(rng.choice([None, 5.0]))
            got.append(int(msg.data))

        sent = 0
        while sent < 1500:
            readers = [asyncio.create_task(read()) for _ in range(rng.randrange(1, 4))]
            for _ in range(rng.randrange(3)):
                await nc.publish("cancel.reads", b"%d" % sent)
                sent += 1
            await turns(rng.randrange(6))
            if rng.random() < 0.2:
                await nc.flush()
            for reader in readers:
                reader.cancel()
            await asyncio.wait(readers)
        await nc.flush()
        while sub.pending_msgs:
            got.append(int((await sub.next_msg()).data))
        assert sorted(got) == list(range(sent))
        assert (sub.pending_msgs, sub.pending_bytes, sub.delivered) == (0, 0, sent)


async def test_connecting_can_be_cancelled_at_any_turn(nats_server: NatsServer) -> None:
    async with no_leaks():
        for turn in range(40):
            connecting = asyncio.ensure_future(connect(nats_server.url))
            for _ in range(turn):
                await asyncio.sleep(0)
            connecting.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                nc = await connecting
                await nc.close()


async def test_a_blocked_publisher_obeys_the_first_cancel() -> None:
    async with connected(receive_buffer=4096) as (nc, peer, _):
        peer.stall()

        async def publish_on() -> None:
            while True:
                await nc.publish("a", bytes(100_000))

        publishing = asyncio.create_task(publish_on())
        assert nc.link.session is not None
        transport = vars(nc.link.session.transport)
        await eventually(lambda: transport["_full"] and transport["_waiters"])
        publishing.cancel()
        await turns(3)
        assert publishing.cancelled()
        assert not transport["_waiters"]
        peer.resume()


async def test_a_flush_cancelled_while_reconnecting_is_forgotten() -> None:
    async with connected() as (nc, peer, server):
        server.refuse()
        peer.reset()
        await eventually(lambda: nc.is_reconnecting)
        flushing = asyncio.create_task(nc.flush())
        await turns(3)
        flushing.cancel()
        await turns(3)
        assert parked_flushes(nc) == []


@pytest.mark.parametrize("end", ["close", "drain"])
async def test_an_end_that_is_cancelled_still_comes(nats_server: NatsServer, end: str) -> None:
    for turn in range(12):
        async with no_leaks():
            nc = await connect(nats_server.url)
            await nc.subscribe("cancel.end", cb=echo)
            ending: asyncio.Task[None] = asyncio.create_task(getattr(nc, end)())
            await turns(turn)
            ending.cancel()
            await asyncio.wait({ending})
            if turn or end == "drain":
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(0.05 if not turn else 5):
                        await nc.wait_closed()
            await nc.close()
            assert nc.is_closed
