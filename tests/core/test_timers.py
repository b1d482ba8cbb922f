"""Entries expire once, in time, and share one timer."""

from __future__ import annotations

import asyncio
import random

from natsrpc.core.timers import Due, clock
from natsrpc.testing import Clock
from tests.core.harness import elapse, warped


def due_to(told: dict[int, float]) -> Due[int, tuple[float]]:
    loop = asyncio.get_running_loop()

    def expired(key: int, entry: tuple[float]) -> None:
        assert key not in told
        told[key] = loop.time() - entry[0]

    return Due(loop, expired)


def put(due: Due[int, tuple[float]], key: int, delay: float) -> None:
    deadline = asyncio.get_running_loop().time() + delay
    if deadline < due.next:
        due.watch(deadline)
    due[key] = (deadline,)


@warped
async def test_random_deadlines_pass_in_time_for_exactly_what_is_left() -> None:
    dice = random.Random(7)
    told: dict[int, float] = {}
    due = due_to(told)
    kept = set()
    for key in range(3000):
        put(due, key, dice.choice([0.5, 1.0, 1.0, dice.random(), 30.0, float("inf")]))
        kept.add(key)
        if dice.random() < 0.6:
            gone = dice.choice(list(due))
            del due[gone]
            kept.discard(gone)
        if dice.random() < 0.05:
            await elapse(dice.random())
    await elapse(40)
    assert told.keys() == kept - due.keys()
    assert all(deadline == float("inf") for (deadline,) in due.values())
    assert all(-0.01 < late < 0.1 for late in told.values())
    assert due.next == float("inf")


@warped
async def test_what_is_removed_in_time_needs_one_look_a_timeout() -> None:
    looks: list[float] = []

    class Counted(Due[int, tuple[float]]):
        def watch(self, deadline: float) -> None:
            looks.append(deadline)
            super().watch(deadline)

    told: list[int] = []
    due = Counted(asyncio.get_running_loop(), lambda key, _: told.append(key))
    for key in range(200):
        put(due, key, 5.0)
        await elapse(0.25)
        del due[key]
    assert not told
    assert len(looks) <= 12  # fifty seconds of entries that may take five


@warped
async def test_an_expiry_may_add_and_remove_entries() -> None:
    loop = asyncio.get_running_loop()
    told: list[int] = []

    def expired(key: int, entry: tuple[float]) -> None:
        told.append(key)
        due.pop(key + 100, None)
        if key < 5:
            put(due, key + 1, 1.0)

    due: Due[int, tuple[float]] = Due(loop, expired)
    put(due, 0, 1.0)
    put(due, 100, 1.0)
    await elapse(10)
    assert told == [0, 1, 2, 3, 4, 5]
    assert not due


@warped
async def test_a_stopped_watch_tells_nothing() -> None:
    told: dict[int, float] = {}
    due = due_to(told)
    put(due, 1, 1.0)
    due.stop()
    put(due, 2, 1.0)
    await elapse(5)
    assert told == {}
    assert len(due) == 2


async def test_the_clock_is_the_loops_whatever_that_is() -> None:
    loop = asyncio.get_running_loop()
    before = loop.time()
    now = clock(loop)()
    assert before <= now <= loop.time()
    warped_clock = Clock.install()
    read = clock(loop)
    await warped_clock.advance(1000.0)
    assert read() - now > 999


def test_the_clock_of_a_loop_with_a_time_of_its_own_is_asked() -> None:
    class Late(asyncio.SelectorEventLoop):
        def time(self) -> float:
            return super().time() - 1000

    loop = Late()
    try:
        assert abs(clock(loop)() - loop.time()) < 10
    finally:
        loop.close()
