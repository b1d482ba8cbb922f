"""Entries expire once, in time, and cost a timer a delay instead of a timer each."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import pytest

from natsrpc.core.timers import Due, Expiring
from tests.core.harness import warped


@warped
async def test_an_entry_expires_after_its_delay_and_is_gone_before_it_is_told() -> None:
    loop = asyncio.get_running_loop()
    told: list[tuple[str, int, float, int]] = []
    entries: Expiring[str, int] = Expiring(
        loop, lambda key, value: told.append((key, value, loop.time(), len(entries)))
    )
    start = loop.time()
    entries.add("late", 2, 20.0)
    entries.add("soon", 1, 5.0)
    await asyncio.sleep(4.9)
    assert not told
    await asyncio.sleep(30)
    (first, second) = told
    assert first[:2] == ("soon", 1)
    assert second[:2] == ("late", 2)
    assert 5.0 <= first[2] - start + 0.01 < 5.5
    assert 20.0 <= second[2] - start + 0.01 < 20.5
    assert (first[3], second[3]) == (1, 0)


@warped
async def test_an_entry_removed_in_time_never_expires() -> None:
    told: list[str] = []
    entries: Expiring[str, None] = Expiring(
        asyncio.get_running_loop(), lambda key, _: told.append(key)
    )
    for name in "abc":
        entries.add(name, None, 1.0)
    del entries["a"]
    assert entries.pop("b") is None
    await asyncio.sleep(2)
    assert told == ["c"]
    entries.expire("c")
    assert told == ["c"]


@warped
async def test_entries_set_without_delay_stay() -> None:
    told: list[str] = []
    entries: Expiring[str, int] = Expiring(
        asyncio.get_running_loop(), lambda key, _: told.append(key)
    )
    entries["for ever"] = 1
    entries.add("a", 2, 1.0)
    await asyncio.sleep(1000)
    assert told == ["a"]
    assert entries == {"for ever": 1}


@warped
async def test_a_callback_may_add_entries() -> None:
    told: list[int] = []

    def again(key: int, value: None) -> None:
        told.append(key)
        if key < 5:
            entries.add(key + 1, None, 1.0)

    entries: Expiring[int, None] = Expiring(asyncio.get_running_loop(), again)
    entries.add(0, None, 1.0)
    await asyncio.sleep(10)
    assert told == [0, 1, 2, 3, 4, 5]


@warped
async def test_stop_leaves_entries_and_tells_nothing() -> None:
    told: list[str] = []
    entries: Expiring[str, None] = Expiring(
        asyncio.get_running_loop(), lambda key, _: told.append(key)
    )
    entries.add("a", None, 1.0)
    entries.stop()
    await asyncio.sleep(5)
    assert told == []
    assert "a" in entries


@warped
async def test_many_entries_of_one_delay_share_one_timer(monkeypatch: pytest.MonkeyPatch) -> None:
    loop = asyncio.get_running_loop()
    timers = []

    def call_at(when: float, *args: Any) -> asyncio.TimerHandle:
        timers.append(when)
        return real(when, *args)

    real = loop.call_at
    monkeypatch.setattr(loop, "call_at", call_at)
    entries: Expiring[int, None] = Expiring(loop, lambda *_: None)
    for number in range(50_000):
        entries.add(number, None, 5.0)
        del entries[number]
    assert len(timers) == 1


@warped
async def test_random_adds_and_removals_expire_exactly_what_is_left() -> None:
    loop = asyncio.get_running_loop()
    dice = random.Random(7)
    due: dict[int, float] = {}
    told: dict[int, float] = {}

    def expired(key: int, value: None) -> None:
        assert key not in told
        told[key] = loop.time()

    entries: Expiring[int, None] = Expiring(loop, expired)
    for key in range(3000):
        delay = dice.choice([0.5, 1.0, 1.0, 2.0, 30.0])
        entries.add(key, None, delay)
        due[key] = loop.time() + delay
        if dice.random() < 0.6:
            gone = dice.choice(list(entries))
            del entries[gone], due[gone]
        if dice.random() < 0.05:
            await asyncio.sleep(dice.random())
    await asyncio.sleep(40)
    assert not entries
    assert told.keys() == due.keys()
    assert all(-0.01 < told[key] - due[key] < 0.1 for key in due)


@warped
async def test_delays_that_are_all_different_share_a_few_timers_and_none_is_early(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    loop = asyncio.get_running_loop()
    timers = 0
    call_at = loop.call_at

    def counted(*args: Any, **kwargs: Any) -> asyncio.TimerHandle:
        nonlocal timers
        timers += 1
        return call_at(*args, **kwargs)

    late: dict[float, float] = {}
    entries: Expiring[float, float] = Expiring(
        loop, lambda delay, due: late.__setitem__(delay, loop.time() - due)
    )
    dice = random.Random(3)
    monkeypatch.setattr(loop, "call_at", counted)
    for _ in range(10_000):
        delay = dice.uniform(1.0, 5.0)
        entries.add(delay, loop.time() + delay, delay)
    assert timers < 250
    monkeypatch.undo()
    await asyncio.sleep(6)
    assert len(late) == 10_000
    assert all(-0.001 <= lateness <= delay / 32 + 0.1 for delay, lateness in late.items())


@warped
async def test_a_few_delays_are_kept_exactly() -> None:
    loop = asyncio.get_running_loop()
    told: dict[float, float] = {}
    start = loop.time()
    entries: Expiring[float, None] = Expiring(
        loop, lambda delay, _: told.__setitem__(delay, loop.time() - start)
    )
    delays = [i + 0.123 for i in range(16)]
    for delay in delays:
        entries.add(delay, None, delay)
    await asyncio.sleep(20)
    assert list(told) == delays
    assert all(abs(when - delay) < 0.05 for delay, when in told.items())


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
            await asyncio.sleep(dice.random())
    await asyncio.sleep(40)
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
    for key in range(1000):
        put(due, key, 5.0)
        await asyncio.sleep(0.05)
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
    await asyncio.sleep(10)
    assert told == [0, 1, 2, 3, 4, 5]
    assert not due


@warped
async def test_a_stopped_watch_tells_nothing() -> None:
    told: dict[int, float] = {}
    due = due_to(told)
    put(due, 1, 1.0)
    due.stop()
    put(due, 2, 1.0)
    await asyncio.sleep(5)
    assert told == {}
    assert len(due) == 2
