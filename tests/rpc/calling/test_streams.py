"""Streams as calls: policies, middleware, slots of their own, handlers that will not stop."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import pytest

from natsrpc.errors import (
    ConfigError,
    DeadlineExceededError,
    NoRespondersError,
    OverloadedError,
    RpcError,
    SubscriptionError,
    UnavailableError,
)
from natsrpc.rpc import Call, Client, Context, Next, Policy, Service, no_deadline
from natsrpc.testing import Broker, Clock
from tests.core.harness import eventually, turns
from tests.rpc.paths import either_path

pytestmark = pytest.mark.live

path = either_path

PATIENT = Policy(attempts=30, wait=0.01)


async def numbers(count: int) -> AsyncIterator[int]:
    for number in range(count):
        yield number


class Flaky:
    """Streams that fail so many times, before their first item or after it."""

    def __init__(self, subject: str, error: RpcError, **options: Any) -> None:
        self.error = error
        self.failures = 2
        self.runs = 0
        self.service = Service("flaky", version="1.0.0")
        self.service.handler(f"{subject}.first", **options)(self.first)
        self.service.handler(f"{subject}.later", **options)(self.later)
        self.service.handler(f"{subject}.both", **options)(self.both)

    def fail(self) -> None:
        self.runs += 1
        if self.runs <= self.failures:
            raise self.error

    async def first(self) -> AsyncIterator[int]:
        self.fail()
        for number in range(3):
            yield number

    async def later(self) -> AsyncIterator[int]:
        yield 0
        self.fail()
        yield 1

    async def both(self, items: AsyncIterator[int]) -> AsyncIterator[int]:
        self.fail()
        async for item in items:
            yield item


async def test_a_stream_is_tried_again_until_its_first_item(client: Client, unique: str) -> None:
    flaky = Flaky(unique, OverloadedError("busy"))
    async with client.serve(flaky.service):
        stream = client.stream(flaky.first, policy=PATIENT)
        assert [item async for item in stream] == [0, 1, 2]
        assert flaky.runs == 3
        flaky.runs = 0
        got: list[int] = []
        with pytest.raises(OverloadedError):
            async for item in client.stream(flaky.later, policy=PATIENT):
                got.append(item)  # noqa: PERF401 — kept when the stream fails
        assert (got, flaky.runs) == ([0], 1)
        flaky.runs = 0
        with pytest.raises(OverloadedError):  # what was sent cannot be read again
            _ = [item async for item in client.stream(flaky.both, numbers(3), policy=PATIENT)]
        assert flaky.runs == 1
        flaky.runs = 0
        with pytest.raises(OverloadedError):
            _ = [item async for item in client.stream(flaky.first)]
        assert not client.connection.link.requests.streams


@pytest.mark.parametrize("idempotent", [True, False])
async def test_what_may_have_run_is_repeated_only_if_it_is_idempotent(
    client: Client, unique: str, idempotent: bool
) -> None:
    flaky = Flaky(unique, UnavailableError("going"), idempotent=idempotent)
    async with client.serve(flaky.service):
        stream = client.stream(flaky.first, policy=PATIENT)
        if idempotent:
            assert [item async for item in stream] == [0, 1, 2]
        else:
            with pytest.raises(UnavailableError):
                await anext(stream)
        assert flaky.runs == (3 if idempotent else 1)


async def test_a_stream_of_nothing_is_opened_once(client: Client, unique: str) -> None:
    service = Service("empty", version="1.0.0")

    @service.handler(unique)
    async def nothing() -> AsyncIterator[int]:
        return
        yield 1

    async with client.serve(service):
        assert [item async for item in client.stream(nothing, policy=PATIENT)] == []


async def test_a_stream_waits_for_its_service_to_start(
    client: Client, other: Client, unique: str
) -> None:
    flaky = Flaky(unique, OverloadedError())
    flaky.failures = 0
    stream = client.stream(flaky.first, policy=PATIENT, timeout=5)
    opening = asyncio.ensure_future(anext(stream))
    await eventually(lambda: client.connection.stats().out_msgs > 1)  # it was refused, and asks on
    async with other.serve(flaky.service):
        assert await opening == 0
        await stream.aclose()
        await eventually(lambda: not client.connection.link.requests.streams)


async def test_the_closest_policy_counts(client: Client, unique: str) -> None:
    flaky = Flaky(unique, OverloadedError("busy"))

    @flaky.service.handler(f"{unique}.call")
    async def call() -> int:
        flaky.fail()
        return flaky.runs

    async def runs(**options: Any) -> int:
        flaky.runs, flaky.failures = 0, 2
        try:
            return await client.call(call, **options)
        except OverloadedError:
            return -flaky.runs

    twice, once = Policy(attempts=2, wait=0), Policy(attempts=1)
    thrice = Policy(attempts=3, wait=0)
    async with client.serve(flaky.service):
        assert await runs() == -1
        with thrice.scope():
            assert await runs() == 3
            with twice.scope():
                assert await runs() == -2
                assert await runs(policy=thrice) == 3
            assert await runs(policy=once) == -1
            flaky.runs, flaky.failures = 0, 2
            assert [item async for item in client.stream(flaky.first)] == [0, 1, 2]
        assert await runs() == -1
        client.policy = thrice
        assert await runs() == 3
        with once.scope():
            assert await runs() == -1


async def test_a_scope_reaches_tasks_made_inside_and_no_handler(
    client: Client, other: Client, unique: str
) -> None:
    service = Service("scoped", version="1.0.0")

    @service.handler(unique)
    async def relay() -> str:
        with no_deadline():
            await other.call(f"{unique}.nobody")
        return "never"

    async with other.serve(service):
        with PATIENT.scope():
            with pytest.raises(RpcError):  # the handler's own call is made once, and fails
                await client.call(relay, timeout=2)
            asked = client.connection.stats().out_msgs
            task = asyncio.ensure_future(client.call(f"{unique}.late"))
        await eventually(lambda: client.connection.stats().out_msgs > asked + 1)  # it asks on

        @service.handler(f"{unique}.late")
        async def late() -> str:
            return "here"

        assert await task == "here"


async def test_middleware_sees_every_kind_of_call(client: Client, unique: str) -> None:
    flaky = Flaky(unique, OverloadedError())
    flaky.failures = 0

    @flaky.service.handler(f"{unique}.total")
    async def total(items: AsyncIterator[int], context: Context) -> str:
        return f"{sum([item async for item in items])} {context.headers.get('X-Who')}"

    @flaky.service.handler(f"{unique}.all", queue_group=None)
    async def everyone(context: Context) -> str:
        return context.headers["X-Who"]

    seen: list[tuple[str, Any]] = []

    async def doubled(items: Any) -> AsyncIterator[Any]:
        async for item in items:
            yield item * 2

    @client.middleware
    async def look(call: Call, call_next: Next[Call]) -> Any:
        call.headers["X-Who"] = "me"
        response = await call_next(call)
        seen.append((call.kind, call.target))
        return doubled(response) if call.kind == "stream" else response

    async with client.serve(flaky.service):
        assert [item async for item in client.stream(flaky.first)] == [0, 2, 4]
        assert [item async for item in client.stream(flaky.both, items=numbers(2))] == [0, 2]
        assert await client.upload(total, numbers(4)) == "6 me"
        assert await client.gather(everyone, max_responses=1) == ["me"]
        assert await client.call(everyone) == "me"
        assert [kind for kind, _ in seen] == ["stream", "stream", "upload", "gather", "call"]
        stream = client.stream(flaky.first)
        assert await anext(stream) == 0
        await stream.aclose()
        await eventually(lambda: not client.connection.link.requests.streams)


async def test_middleware_of_a_service_is_around_the_whole_stream(
    client: Client, unique: str
) -> None:
    flaky = Flaky(unique, OverloadedError())
    flaky.failures = 0
    events: list[str] = []

    @flaky.service.middleware
    async def around(context: Context, call_next: Next[Context]) -> Any:
        events.append(f"before {context.endpoint.kind}")
        try:
            return await call_next(context)
        finally:
            events.append("after")

    async with client.serve(flaky.service):
        events += [str(item) async for item in client.stream(flaky.first)]
    assert events[0] == "before response_stream"
    assert sorted(events[1:]) == ["0", "1", "2", "after"]


async def test_streams_do_not_take_the_slots_of_calls(
    client: Client, other: Client, unique: str
) -> None:
    service = Service("full", version="1.0.0", max_concurrency=2, max_waiting=0)
    forever = asyncio.Event()

    @service.handler(f"{unique}.watch")
    async def watch() -> AsyncIterator[int]:
        yield 1
        await forever.wait()

    @service.handler(f"{unique}.call")
    async def call() -> str:
        return "ran"

    async with other.serve(service) as server:
        streams = [client.stream(watch) for _ in range(2)]
        assert [await anext(stream) for stream in streams] == [1, 1]
        with pytest.raises(OverloadedError):  # streams are bounded, among themselves
            await anext(client.stream(watch))
        assert await client.call(call) == "ran"
        assert server.inflight == 2
        forever.set()
        for stream in streams:
            assert [item async for item in stream] == []
        assert server.inflight == 0


@pytest.mark.usefixtures("patient_callers")
async def test_a_stream_that_will_not_stop_is_logged_by_name(
    client: Client, unique: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.rpc.serving.endpoint.STUBBORN_AFTER", 0.05)
    service = Service("stubborn", version="1.0.0")
    release = asyncio.Event()

    @service.handler(unique)
    async def will_not_stop() -> AsyncIterator[int]:
        yield 1
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    with caplog.at_level(logging.WARNING, "natsrpc.rpc"):
        async with client.serve(service) as server:
            with pytest.raises(DeadlineExceededError):
                async for _ in client.stream(will_not_stop, timeout=0.5):
                    pass
            await eventually(lambda: "will_not_stop" in caplog.text)
            assert server.inflight == 1  # it holds its slot for as long as it runs
            release.set()
            await eventually(lambda: server.inflight == 0)


async def test_errors_of_an_endpoint_s_subscription_are_counted_there(
    client: Client, unique: str
) -> None:
    flaky = Flaky(unique, OverloadedError())
    async with client.serve(flaky.service) as server:
        first, later, _ = server.services[0].endpoints
        (sub,) = [
            each for each in client.connection.subscriptions if each.subject == f"{unique}.first"
        ]
        client.connection.link.report(SubscriptionError("something is wrong with it"), sub)
        client.connection.link.report(SubscriptionError("with the connection"), None)
        await eventually(lambda: first.answers.num_errors == 1)
        assert first.answers.last_error == "SubscriptionError: something is wrong with it"
        assert later.answers.num_errors == 0


async def test_gather_inherits_the_deadline_of_the_handler_it_is_called_in(
    client: Client, other: Client, unique: str
) -> None:
    service = Service("gathering", version="1.0.0")
    left: list[float | None] = []

    @service.handler(f"{unique}.all", queue_group=None)
    async def each(context: Context) -> int:
        left.append(context.time_left())
        return 1

    @service.handler(unique)
    async def ask() -> int:
        return len(await other.gather(each, timeout=60, max_responses=1))

    async with other.serve(service):
        assert await client.call(ask, timeout=2) == 1
        assert left[0] is not None
        assert left[0] <= 2
        with pytest.raises(NoRespondersError):
            await client.gather(f"{unique}.nobody")


async def test_a_slow_reader_is_no_idle_stream() -> None:
    service = Service("plenty", version="1.0.0")
    broker, clock = Broker(), Clock.install()

    @service.handler("plenty")
    async def plenty() -> AsyncIterator[int]:
        for number in range(1000):
            yield number

    async with service.test(broker=broker) as client:
        stream = client.stream(plenty, idle_timeout=0.3)
        assert await anext(stream) == 0
        await clock.advance(0.31)  # looked once: nothing was taken, 31 items are here
        await clock.advance(0.28)
        with broker.fault("_INBOX.>", delay=0.1):  # the next ones take a while
            got = [await anext(stream) for _ in range(31)]
            await clock.advance(0.04)  # looked again: all that was here is taken
        rest = asyncio.create_task(_all(stream))
        await clock.advance(0.1)
        assert got + await rest == list(range(1, 1000))


async def _all(stream: AsyncIterator[int]) -> list[int]:
    return [item async for item in stream]


async def test_cancelling_the_end_of_a_stream_is_not_swallowed(
    client: Client, other: Client, unique: str
) -> None:
    asked, release = asyncio.Event(), asyncio.Event()
    service = Service("ends", version="1.0.0")

    @service.handler(unique)
    async def first(items: AsyncIterator[int]) -> AsyncIterator[int]:
        yield await anext(items)

    async def stubborn() -> AsyncIterator[int]:
        yield 1
        asked.set()
        try:
            await asyncio.Event().wait()
        finally:
            await release.wait()

    async def read() -> None:
        async for _ in client.stream(first, stubborn()):
            pass

    async with other.serve(service) as server:
        reader = asyncio.ensure_future(read())
        await asyncio.wait_for(asked.wait(), 5)
        await eventually(lambda: server.inflight == 0)  # the handler has ended, and
        await other.connection.flush()
        await client.connection.flush()  # its caller has heard of that
        await turns()
        assert not reader.done()  # it waits for its source to end
        reader.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reader
        release.set()


async def test_a_handler_may_return_an_iterator_of_any_kind(client: Client, unique: str) -> None:
    class Countdown:
        def __init__(self) -> None:
            self.left = 3

        def __aiter__(self) -> Countdown:
            return self

        async def __anext__(self) -> int:
            self.left -= 1
            if self.left < 0:
                raise StopAsyncIteration
            return self.left

    service = Service("iterators", version="1.0.0")

    @service.handler(unique)
    def countdown() -> AsyncIterator[int]:
        return Countdown()

    async with client.serve(service):
        assert [item async for item in client.stream(countdown)] == [2, 1, 0]


async def test_gather_has_a_limit(client: Client, unique: str) -> None:
    forever: Any = None
    with pytest.raises(ConfigError, match="timeout"):
        await client.gather(unique, timeout=forever)
