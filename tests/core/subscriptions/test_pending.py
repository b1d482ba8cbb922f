"""The pending queue: limits, peaks, and waiters that lose nothing."""

from __future__ import annotations

import asyncio
import gc
from typing import Any

import pytest

from natsrpc.core import Msg
from natsrpc.core.subscriptions.pending import Pending, limits_of, shown
from natsrpc.errors import ConfigError
from tests.core.harness import turns, warped


def make(msgs: int | None = None, bytes_: int | None = None) -> Pending:
    return Pending(asyncio.get_running_loop(), limits_of(msgs, bytes_))


async def test_messages_come_out_in_order_and_the_size_is_kept() -> None:
    pending = make()
    for data in (b"1", b"22"):
        assert pending.put(Msg("a", data, headers={"A": "b"}))
    block = len(Msg("a", headers={"A": "b"}).raw_headers)
    assert pending.size == 3 + 2 * block
    assert pending.take().data == b"1"
    assert pending.size == 2 + block
    pending.clear()
    assert (list(pending.msgs), pending.size) == ([], 0)


async def test_what_exceeds_a_limit_is_refused_and_seen_in_the_peaks() -> None:
    pending = make(2, 10)
    assert pending.put(Msg("a", b"12345"))
    assert not pending.put(Msg("a", b"123456"))
    assert pending.put(Msg("a", b"12345"))
    assert not pending.put(Msg("a"))
    assert (len(pending.msgs), pending.size) == (2, 10)
    assert (pending.peak_msgs, pending.peak_bytes) == (3, 11)


@pytest.mark.parametrize("bad", [0, True, 1.5, "1"])
def test_a_bad_limit_is_refused(bad: Any) -> None:
    for limits in ((5, bad), (bad, 5)):
        with pytest.raises(ConfigError):
            limits_of(*limits)


def test_limits_are_shown_as_they_were_given() -> None:
    assert [shown(limit) for limit in limits_of(-1, None)] == [None, None]
    assert [shown(limit) for limit in limits_of(3, 4)] == [3, 4]


async def test_each_message_wakes_one_waiter_in_turn() -> None:
    pending = make()
    woken: list[int] = []

    async def wait(number: int) -> None:
        await pending.wait()
        woken.append(number)

    waits = [asyncio.create_task(wait(i)) for i in range(3)]
    await turns()
    pending.put(Msg("a"))
    await turns()
    assert woken == [0]
    pending.wake_all()
    await asyncio.gather(*waits)
    assert woken == [0, 1, 2]
    pending.wake_one()


@pytest.mark.parametrize("late", [False, True], ids=["before its wake-up", "after its wake-up"])
async def test_a_cancelled_waiter_passes_its_wake_up_on(late: bool) -> None:
    pending = make()
    first, second = (asyncio.create_task(pending.wait()) for _ in range(2))
    await turns()
    if not late:
        first.cancel()
    pending.put(Msg("a"))
    if late:
        first.cancel()
    await asyncio.wait_for(second, 1)
    with pytest.raises(asyncio.CancelledError):
        await first


@warped
async def test_a_waiter_that_gave_up_is_not_woken_in_place_of_another() -> None:
    pending = make()
    patient = asyncio.create_task(pending.wait())
    hasty = asyncio.create_task(pending.wait(0.1))
    with pytest.raises(TimeoutError):
        await hasty
    last = asyncio.create_task(pending.wait(10))
    await turns()
    pending.put(Msg("a"))
    await patient
    pending.put(Msg("a"))
    await last


async def test_waiters_that_gave_up_are_forgotten() -> None:
    pending = make()
    gc.collect()
    before = len(gc.get_objects())
    for _ in range(2000):
        task = asyncio.create_task(pending.wait())
        await turns(1)
        task.cancel()
        await asyncio.wait({task})
    del task
    gc.collect()
    assert len(gc.get_objects()) < before + 1000
