"""Bounded concurrency: so many run, so many wait, the rest is refused at once; no deadlock."""

from __future__ import annotations

import asyncio
import time

import pytest

from natsrpc.errors import OverloadedError, RpcError
from natsrpc.rpc import Client, Service
from natsrpc.rpc.headers.depth import MAX_DEPTH
from natsrpc.rpc.serving.slots import Admitted, Gate, Lane
from tests.core.harness import eventually, turns


def never(admitted: Admitted) -> None:
    raise AssertionError("nothing is to be started")


def test_lanes_of_one_gate_take_turns() -> None:
    gate = Gate(1)
    gate.free = 0
    started: list[str] = []
    lanes = {
        name: Lane(gate, 5, 5, lambda _, name=name: started.append(name))  # type: ignore[misc]
        for name in "ab"
    }
    for name in "aaabb":
        assert lanes[name].put(Admitted(), 0)
    for _ in range(5):
        gate.free += 1
        lane = next(lane for lane in lanes.values() if lane.free < 6)
        gate.attend()
        assert lane.gate.free == 0
    assert "".join(started) == "ababa"
    assert not gate.hungry


def test_a_full_lane_does_not_hold_up_others() -> None:
    gate = Gate(2)
    started: list[Admitted] = []
    full, open_ = Lane(gate, 1, 5, never), Lane(gate, 1, 5, started.append)
    full.free = 0
    waiting = Admitted()
    full.put(Admitted(), 0)
    open_.put(waiting, 0)
    gate.attend()
    assert started == [waiting]
    assert gate.attention


def test_what_ends_where_it_starts_lets_all_the_others_start() -> None:
    """As eager tasks do: each request ends, and gives its slots back, inside its own start."""
    gate = Gate(1)
    ended: list[Admitted] = []

    def run(admitted: Admitted) -> None:
        ended.append(admitted)
        assert admitted.lane is not None
        admitted.lane.free += 1
        gate.free += 1
        if gate.attention:
            gate.attend()

    lanes = [Lane(gate, 1, 50, run) for _ in range(3)]
    waiting = []
    for lane in lanes * 20:
        admitted = Admitted()
        admitted.lane = lane
        waiting.append(admitted)
        lane.put(admitted, 0)
    gate.attend()
    assert ended == waiting
    assert gate.idle
    assert gate.free == 1


def test_waiting_is_bounded_in_number_and_bytes() -> None:
    gate = Gate(1)
    lane = Lane(gate, 1, 2, never)
    assert lane.put(Admitted(), 0)
    assert lane.put(Admitted(), 0)
    assert not lane.put(Admitted(), 0)
    heavy = Lane(gate, 1, 1000, never)
    heavy.waiting_bytes = Lane.MAX_WAITING_BYTES - 10
    assert not heavy.put(Admitted(), 11)
    assert heavy.put(Admitted(), 10)


def test_what_is_taken_out_leaves_the_gate_idle() -> None:
    gate = Gate(1)
    lane = Lane(gate, 1, 2, never)
    told: list[int] = []
    waiting = Admitted()
    lane.put(waiting, 3)
    gate.watch(lambda: told.append(1))
    assert not gate.idle
    lane.remove(waiting)
    assert gate.idle
    assert lane.waiting_bytes == 0
    assert told


@pytest.mark.live
async def test_so_many_run_so_many_wait_the_rest_is_refused(
    client: Client, other: Client, unique: str
) -> None:
    running = peak = 0
    release = asyncio.Event()
    service = Service("bounded", version="1.0.0")

    @service.handler(unique, max_concurrency=3, max_waiting=4)
    async def work() -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await release.wait()
        running -= 1

    async with other.serve(service) as server:
        calls = [asyncio.ensure_future(client.call(unique)) for _ in range(10)]
        done, _ = await asyncio.wait(calls, timeout=0.2)
        assert server.inflight == 7
        assert peak == 3
        refused = [call.exception() for call in done]
        assert [type(error) for error in refused] == [OverloadedError] * 3
        release.set()
        await asyncio.gather(*(call for call in calls if call not in done))
        assert server.inflight == 0
    assert peak == 3


@pytest.mark.live
async def test_the_services_limit_spans_its_endpoints(
    client: Client, other: Client, unique: str
) -> None:
    running = peak = 0
    release = asyncio.Event()
    service = Service("span", version="1.0.0", max_concurrency=2)

    async def work() -> None:
        nonlocal running, peak
        running += 1
        peak = max(peak, running)
        await release.wait()
        running -= 1

    for name in "abc":
        service.handler(f"{unique}.{name}")(work)
    async with other.serve(service) as server:
        calls = [asyncio.ensure_future(client.call(f"{unique}.{name}")) for name in "abcabc"]
        await eventually(lambda: server.inflight == 6)
        await turns(20)  # a third would have begun
        assert running == 2
        release.set()
        await asyncio.gather(*calls)
    assert peak == 2


@pytest.mark.live
@pytest.mark.parametrize("limit", [1, 4])
async def test_services_that_call_each_other_do_not_deadlock(
    client: Client, other: Client, unique: str, limit: int
) -> None:
    service = Service("ring", version="1.0.0", max_concurrency=limit)
    group = service.group(unique)

    @group.handler("a")
    async def a(depth: int) -> int:
        return 0 if depth == 0 else 1 + await other.call(f"{unique}.b", depth - 1)

    @group.handler("b")
    async def b(depth: int) -> int:
        return 0 if depth == 0 else 1 + await other.call(f"{unique}.a", depth - 1)

    async with other.serve(service):
        results = await asyncio.gather(*(client.call(f"{unique}.a", 6) for _ in range(30)))
    assert results == [6] * 30


@pytest.mark.live
async def test_an_endless_chain_of_calls_is_cut(client: Client, unique: str) -> None:
    count = 0
    service = Service("endless", version="1.0.0")

    @service.handler(unique)
    async def again() -> None:
        nonlocal count
        count += 1
        await client.call(unique)

    async with client.serve(service):
        with pytest.raises(RpcError) as caught:
            await client.call(unique)
    assert caught.value.code == 429
    assert count == MAX_DEPTH


@pytest.mark.live
async def test_a_flood_is_refused_and_the_service_stays_up(
    client: Client, other: Client, unique: str
) -> None:
    """Endpoints have no pending limit that could be passed; a slow subscription beside them has."""
    service = Service("flood", version="1.0.0")

    @service.handler(unique, max_concurrency=1, max_waiting=1)
    async def work() -> None:
        await asyncio.sleep(0.001)  # why: a handler slower than the flood

    async with other.serve(service) as server:
        slow = await other.connection.subscribe(f"{unique}.slow", pending_msgs_limit=1)
        await other.connection.flush()
        for _ in range(3):
            for _ in range(10):
                await client.publish(f"{unique}.slow")
            calls = [client.call(unique) for _ in range(1000)]
            outcomes = await asyncio.gather(*calls, return_exceptions=True)
            assert {type(outcome) for outcome in outcomes} == {type(None), OverloadedError}
        await eventually(lambda: slow.dropped >= 20)
        assert server.inflight == 0
        await client.call(unique)


@pytest.mark.live
@pytest.mark.alone
@pytest.mark.slow
async def test_overload_keeps_accepted_calls_quick_and_refuses_the_rest_at_once(
    client: Client, other: Client, unique: str
) -> None:
    """Ten times the capacity for a while: what is accepted waits at most for its place in line."""
    service = Service("overload", version="1.0.0")

    @service.handler(unique, max_concurrency=10, max_waiting=10)
    async def work() -> None:
        await asyncio.sleep(0.01)  # why: with ten at a time, a capacity of 1000 a second

    accepted: list[float] = []
    refused: list[float] = []
    other_errors: list[BaseException] = []

    async def one() -> None:
        began = time.perf_counter()
        try:
            await client.call(unique)
        except OverloadedError:
            refused.append(time.perf_counter() - began)
        except Exception as error:
            other_errors.append(error)
        else:
            accepted.append(time.perf_counter() - began)

    async with other.serve(service) as server:
        for _ in range(40):
            await asyncio.gather(*(one() for _ in range(200)))
        assert server.inflight == 0
        endpoint = server.services[0].endpoints[0]
        assert not endpoint.taken
        assert endpoint.inflight == 0
    assert other_errors == []
    assert len(accepted) >= 40 * 20
    assert len(refused) + len(accepted) == 40 * 200
    accepted.sort()
    assert accepted[len(accepted) // 2] < 0.1
