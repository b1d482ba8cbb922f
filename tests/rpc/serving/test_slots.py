"""Bounded concurrency: so many run, so many wait, the rest is refused at once; no deadlock."""

from __future__ import annotations

import asyncio
import contextlib
import math
import time
from typing import Any, cast

import pytest

from natsrpc.core.link.stalls import LATE, PULSE
from natsrpc.errors import NatsTimeoutError, OverloadedError, UpstreamError
from natsrpc.rpc import Client, Policy, Service
from natsrpc.rpc.headers.depth import MAX_DEPTH
from natsrpc.rpc.serving.slots import MAX_EVENTS, MAX_WAITING_BYTES, Admitted, Gate, Lane, Waiting
from tests.core.harness import eventually, turns


class Link:
    """An output that is congested when it is told so."""

    def __init__(self) -> None:
        self.congested = False
        self.freed = asyncio.Event()

    @property
    def outbound(self) -> Link:
        return self

    async def writable(self) -> None:
        await self.freed.wait()


class Host:
    """An endpoint that keeps what is started, and has a clock in the test's hands."""

    def __init__(self, starts: bool = True) -> None:
        self.started: list[Admitted] = []
        self.refused: list[Admitted] = []
        self.time = 0.0
        self.takes = 0.0
        self._starts = starts

    def start(self, admitted: Admitted) -> None:
        assert self._starts
        self.started.append(admitted)

    def shed(self, admitted: Admitted) -> None:
        self.refused.append(admitted)

    def expected(self) -> float:
        return self.takes

    def now(self) -> float:
        return self.time


def gate_of(limit: int, link: Link | None = None) -> Gate:
    return Gate(cast(Any, link or Link()), limit)


def wait(
    lane: Lane,
    size: int = 0,
    *,
    since: float = 0.0,
    deadline: float = math.inf,
    is_event: bool = False,
) -> Admitted:
    admitted = Admitted()
    admitted.lane = lane
    assert lane.put(admitted, Waiting(size, since, deadline), is_event=is_event)
    return admitted


async def test_lanes_of_one_gate_take_turns() -> None:
    gate, host = gate_of(1), Host()
    gate.free = 0
    lanes = {name: Lane(gate, 5, 5, host) for name in "ab"}
    order = {wait(lanes[name]): name for name in "aaabb"}
    for _ in range(5):
        gate.free += 1
        gate.attend()
        assert gate.free == 0
    assert "".join(order[admitted] for admitted in host.started) == "ababa"
    assert not gate.hungry


async def test_a_full_lane_does_not_hold_up_others() -> None:
    gate, host = gate_of(2), Host()
    full, open_ = Lane(gate, 1, 5, Host(starts=False)), Lane(gate, 1, 5, host)
    full.free = 0
    wait(full)
    waiting = wait(open_)
    gate.attend()
    assert host.started == [waiting]
    assert gate.attention


async def test_what_ends_where_it_starts_lets_all_the_others_start() -> None:
    """As eager tasks do: each request ends, and gives its slots back, inside its own start."""
    gate = gate_of(1)

    class Eager(Host):
        def start(self, admitted: Admitted) -> None:
            super().start(admitted)
            assert admitted.lane is not None
            admitted.lane.free += 1
            gate.free += 1
            if gate.attention:
                gate.attend()

    host = Eager()
    lanes = [Lane(gate, 1, 50, host) for _ in range(3)]
    waiting = [wait(lane) for lane in lanes * 20]
    gate.attend()
    assert host.started == waiting
    assert gate.idle
    assert gate.free == 1


async def test_waiting_is_bounded_in_number_and_bytes() -> None:
    gate = gate_of(1)
    lane = Lane(gate, 1, 2, Host(starts=False))
    entry = Waiting(10, 0.0, math.inf)
    assert lane.put(Admitted(), entry)
    assert lane.put(Admitted(), entry)
    assert not lane.put(Admitted(), entry)
    heavy = Lane(gate, 1, 1000, Host(starts=False))
    wait(heavy, MAX_WAITING_BYTES - 10)
    assert not heavy.put(Admitted(), Waiting(11, 0.0, math.inf))
    assert heavy.put(Admitted(), entry)


async def test_messages_without_a_reply_subject_take_no_place_of_a_request() -> None:
    gate = gate_of(1)
    lane = Lane(gate, 1, 2, Host(starts=False))
    for _ in range(MAX_EVENTS):
        assert lane.put(Admitted(), Waiting(0, 0.0, math.inf), is_event=True)
    assert not lane.put(Admitted(), Waiting(0, 0.0, math.inf), is_event=True)
    wait(lane)
    wait(lane)
    assert not lane.put(Admitted(), Waiting(0, 0.0, math.inf))
    assert lane.waiting == MAX_EVENTS + 2


async def test_the_rows_are_served_by_age_and_in_turns_where_requests_are_in_need() -> None:
    gate, host = gate_of(1), Host()
    lane = Lane(gate, 99, 99, host)
    first, second = wait(lane, is_event=True), wait(lane, since=0.1, deadline=1.1)
    events = [wait(lane, since=0.2, is_event=True) for _ in range(3)]
    requests = [wait(lane, since=0.3 + n / 100, deadline=1.3 + n / 100) for n in range(3)]
    for now in (0.4, 0.5):
        host.time, gate.free = now, 1
        gate.attend()
    assert host.started == [first, second]
    del host.started[:]
    host.time = 0.9
    for _ in range(6):
        gate.free = 1
        gate.attend()
    assert host.started == [
        events[0], requests[2], events[1], requests[1], events[2], requests[0],
    ]  # fmt: skip


async def test_what_is_taken_out_leaves_the_gate_idle() -> None:
    gate = gate_of(1)
    lane = Lane(gate, 1, 2, Host(starts=False))
    told: list[int] = []
    waiting = wait(lane, 3)
    gate.watch(lambda: told.append(1))
    assert not gate.idle
    lane.remove(waiting)
    assert gate.idle
    assert lane.requests.size == 0
    assert told


async def test_what_waits_for_the_output_goes_on_when_that_is_free() -> None:
    link, host = Link(), Host()
    gate = gate_of(5, link)
    lane = Lane(gate, 5, 5, host)
    link.congested = True
    waiting = [wait(lane) for _ in range(3)]
    gate.attend()
    gate.attend()
    assert host.started == []
    link.congested = False
    link.freed.set()
    for _ in range(3):
        await asyncio.sleep(0)
    assert host.started == waiting


async def test_what_cannot_finish_in_its_time_is_refused_unrun() -> None:
    gate, host = gate_of(1), Host()
    lane = Lane(gate, 1, 9, host)
    late, intime = wait(lane, deadline=1.0), wait(lane, deadline=3.0)
    host.time, host.takes = 0.6, 0.5
    gate.attend()
    assert (host.refused, host.started) == ([late], [intime])


async def test_the_newest_is_first_where_the_oldest_has_waited_for_half_of_its_time() -> None:
    gate, host = gate_of(1), Host()
    lane = Lane(gate, 9, 9, host)
    old = wait(lane, since=0.0, deadline=1.0)
    middle = wait(lane, since=0.3, deadline=1.3)
    new = wait(lane, since=0.5, deadline=1.5)
    host.time = 0.4
    gate.attend()
    gate.free, host.time = 1, 0.6
    gate.attend()
    assert host.started == [old, middle]
    again = wait(lane, since=0.6, deadline=1.6)
    gate.free, host.time = 1, 1.2
    gate.attend()
    assert host.started == [old, middle, again]
    assert list(lane.requests.entries) == [new]


async def test_those_with_little_time_get_every_second_slot() -> None:
    gate, host = gate_of(1), Host()
    gate.free = 0
    lane = Lane(gate, 99, 99, host)
    long = [wait(lane, deadline=math.inf if n else 60.0) for n in range(4)]
    short = [wait(lane, deadline=1.0 + n / 10) for n in range(2)]
    after = [wait(lane, deadline=60.0) for _ in range(2)]
    for _ in range(6):
        gate.free = 1
        gate.attend()
    assert host.started == [short[0], long[0], short[1], long[1], after[1], long[2]]


async def test_nothing_starts_while_a_gate_is_held() -> None:
    gate, host = gate_of(2), Host()
    lane = Lane(gate, 9, 9, host, lambda: True)
    gate.hold()
    gate.hold()
    assert gate.free < 0
    waiting = wait(lane)
    gate.attend()
    assert host.started == []
    gate.release()
    gate.release()
    assert host.started == [waiting]
    assert gate.free == 1


@pytest.mark.parametrize("is_event", [False, True])
@pytest.mark.parametrize("why", ["held", "congested"])
async def test_slots_that_are_free_make_room_in_the_row(why: str, is_event: bool) -> None:
    """A service without a row refuses nobody for whom it has a slot, held up as it may be."""
    link, host = Link(), Host()
    gate = gate_of(3, link)
    lane = Lane(gate, 2, 0, host)
    lane.events.most = 0
    if why == "held":
        gate.hold()
    else:
        link.congested = True
    waiting = [wait(lane, is_event=is_event) for _ in range(2)]
    assert not lane.put(Admitted(), Waiting(0, 0.0, math.inf), is_event=is_event)
    gate.attend()
    assert host.started == []
    link.congested = False
    gate.release()
    gate.attend()
    assert host.started == waiting
    assert not lane.put(Admitted(), Waiting(0, 0.0, math.inf), is_event=is_event)
    link.freed.set()
    await turns()


async def test_one_that_is_owed_starts_without_a_slot() -> None:
    gate, host = gate_of(0), Host()
    owed = True
    lane = Lane(gate, 9, 9, host, lambda: owed)
    first = wait(lane)
    gate.attend()
    owed = False
    wait(lane)
    gate.attend()
    assert host.started == [first]


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
        with pytest.raises(UpstreamError) as caught:
            await client.call(unique)
    assert caught.value.details["code"] == 429  # of the innermost, as all above it saw
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
async def test_a_service_without_a_row_uses_its_slots_after_its_loop_was_blocked(
    client: Client, other: Client, unique: str
) -> None:
    service = Service("blocked", version="1.0.0")

    @service.handler(unique, max_concurrency=5, max_waiting=0)
    async def work() -> None:
        await turns()

    async with other.serve(service):
        for _ in range(3):
            calls = [asyncio.ensure_future(client.call(unique)) for _ in range(5)]
            await asyncio.sleep(0)
            time.sleep(2 * (PULSE + LATE))  # noqa: ASYNC251  # why: a stall
            await asyncio.gather(*calls)


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


@pytest.mark.live
@pytest.mark.alone
@pytest.mark.parametrize("attempts", [1, 3])
async def test_what_runs_under_overload_runs_for_somebody(
    client: Client, other: Client, unique: str, attempts: int
) -> None:
    """Ten times the capacity, and a row that is longer than the time of its requests."""
    service = Service("goodput", version="1.0.0", max_concurrency=10)
    ran = values = 0

    @service.handler(unique)
    async def work() -> None:
        nonlocal ran
        ran += 1
        await asyncio.sleep(0.05)  # why: with ten at a time, a capacity of 200 a second

    async def one(policy: Policy) -> None:
        nonlocal values
        with contextlib.suppress(OverloadedError, NatsTimeoutError):
            await client.call(unique, timeout=0.5, policy=policy)
            values += 1

    async with other.serve(service) as server:
        policy = Policy(attempts=attempts)
        began = time.perf_counter()
        calls = []
        for _ in range(75):
            calls += [asyncio.create_task(one(policy)) for _ in range(40)]
            await asyncio.sleep(0.02)  # why: 2000 a second are offered
        offering = time.perf_counter() - began
        await asyncio.gather(*calls)
        assert server.inflight == 0
    assert values >= 0.9 * ran
    assert ran >= 0.6 * 200 * offering
