"""What a message costs in memory while it is held, and that nothing is left of it afterwards."""

from __future__ import annotations

import gc
import tracemalloc
from collections.abc import Callable
from functools import partial

import pytest

from natsrpc.core import Msg, connect
from natsrpc.core.wire import Parser
from natsrpc.testing import NatsServer

from .allocations import left_by
from .budgets import BLOCK_HEADROOM, MEMORY, SIZE_HEADROOM, THIS_PYTHON, memory_of
from .operations import HELD_THINGS, OPERATIONS
from .tracing import hindrance


def grown(work: Callable[[], object]) -> int:
    """Bytes allocated by `work` and still held by what it returns."""
    gc.collect()
    tracemalloc.start()
    try:
        kept = work()
        gc.collect()
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()
        del kept


def test_a_parsed_message_costs_one_object_and_its_bytes() -> None:
    data, subject, reply = bytes(128), b"some.subject", b"_INBOX.abcdefghijklmnopqrstuv.12345678"
    plain = b"MSG %b 1 128\r\n%b\r\n" % (subject, data)
    block = b"NATS/1.0\r\nA: bcd\r\n\r\n"
    full = b"HMSG %b 1 %b 20 148\r\n%b%b\r\n" % (subject, reply, block, data)
    for frame, values in ((plain, (subject, data)), (full, (subject, reply, block, data))):
        chunk = frame * 1000
        reader = Parser()
        reader.feed(frame)
        each = grown(partial(reader.feed, chunk)) / 1000
        # 33 bytes are a bytes object's own, 130 the message and its place in the list.
        assert each < sum(len(value) + 33 for value in values) + 130


@pytest.mark.live
async def test_requests_leave_nothing_behind(nats_server: NatsServer) -> None:
    async with connect(nats_server.url) as nc:

        def answer(msg: Msg) -> None:
            nc.link.send(msg.raw_reply, msg.data)

        await nc.subscribe("perf.memory", cb=answer)
        await nc.flush()

        async def requests(count: int) -> None:
            for _ in range(count):
                await nc.request("perf.memory", b"x" * 1000)

        await requests(1000)  # tokens, lanes and caches reach their size
        gc.collect()
        tracemalloc.start()
        try:
            await requests(1000)
            gc.collect()
            left, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert left < 60_000  # fresh tokens at most
    assert peak < 450_000


@pytest.mark.live
# many at a time are held by the task that gathered them until that goes on
@pytest.mark.parametrize("operation", [name for name in OPERATIONS if "at a time" not in name])
async def test_messages_that_are_done_leave_nothing_behind(
    nats_server: NatsServer, operation: str
) -> None:
    """What stays is a few dozen objects replaced in place: counters, and timers that expire."""
    measured = OPERATIONS[operation]
    async with measured.start(nats_server.url) as run:
        left = await left_by(run, 1000, measured.per)
    assert left.blocks < 120, left.table()
    assert left.size < 12_000, left.table()


@pytest.mark.live
@pytest.mark.parametrize("thing", HELD_THINGS)
async def test_what_is_held_takes_no_more_objects_than_it_did(
    nats_server: NatsServer, thing: str
) -> None:
    hindered = hindrance()
    if hindered:
        pytest.skip(f"memory cannot be compared: {hindered}")
    memory = await memory_of(thing, nats_server.url)
    if THIS_PYTHON not in MEMORY:
        pytest.skip(f"no budget was measured on Python {THIS_PYTHON} yet: {memory!r}")
    blocks, size = MEMORY[THIS_PYTHON][thing]
    told = f"{thing}: {blocks:.2f} blocks of {size:.0f} bytes were measured before; now it is\n"
    assert memory.blocks <= blocks + BLOCK_HEADROOM, told + memory.table()
    assert memory.size <= size * SIZE_HEADROOM, told + memory.table()
