"""Deadlines: from the caller's timeout through every nested call, or opted out of."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest

from natsrpc.errors import BadTimeoutError, DeadlineExceededError, NatsTimeoutError
from natsrpc.rpc import Client, Context, Service, no_deadline
from natsrpc.rpc.headers.depth import parse_depth
from natsrpc.rpc.headers.timeout import MAX_TIMEOUT_MS, parse_timeout
from tests.core.harness import eventually
from tests.rpc.paths import either_path

pytestmark = pytest.mark.live

path = either_path


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250", 0.25),
        (" 250 ", 0.25),
        ("0", 0.0),
        ("9" * 18, MAX_TIMEOUT_MS / 1000),
        ("9" * 30, None),
        ("", None),
        ("-5", None),
        ("1.5", None),
        ("1e3", None),
        ("٣", None),
        ("soon", None),
    ],
)
def test_reading_a_timeout(text: str, seconds: float | None) -> None:
    assert parse_timeout(text) == seconds


def test_reading_a_depth() -> None:
    assert [parse_depth(text) for text in ("3", "x", "", "9" * 12)] == [3, 0, 0, 10**6]


async def test_the_callers_timeout_reaches_the_handler(client: Client, unique: str) -> None:
    service = Service("left", version="1.0.0")

    @service.handler(unique)
    async def left(context: Context) -> float | None:
        return context.time_left()

    async with client.serve(service):
        assert 1.8 < await client.call(unique, returns=float, timeout=2.0) <= 2.0
        assert await client.call(unique, timeout=None) is None
        reply = await client.connection.request(unique, headers={"Natsrpc-Timeout": "junk"})
        assert reply.data == b"null"


async def test_a_handlers_own_timeout_is_the_shorter_one(client: Client, unique: str) -> None:
    service = Service("own", version="1.0.0")

    @service.handler(unique, timeout=0.05)
    async def slow() -> None:
        await asyncio.Event().wait()

    async with client.serve(service):
        async with asyncio.timeout(10):
            with pytest.raises(DeadlineExceededError):
                await client.call(slow, timeout=20)
        reply = await client.connection.request(unique)
        assert reply.headers["Nats-Service-Error-Code"] == "504"


async def test_an_expired_request_is_answered_unrun(client: Client, unique: str) -> None:
    ran: list[int] = []
    service = Service("expired", version="1.0.0")

    @service.handler(unique)
    async def handle(n: int) -> None:
        ran.append(n)

    async with client.serve(service):
        reply = await client.connection.request(unique, b"1", headers={"Natsrpc-Timeout": "0"})
    assert reply.headers["Nats-Service-Error-Code"] == "504"
    assert ran == []


async def test_time_spent_waiting_counts(client: Client, other: Client, unique: str) -> None:
    ran: list[int] = []
    release = asyncio.Event()
    service = Service("queued", version="1.0.0")

    @service.handler(unique, max_concurrency=1)
    async def one_at_a_time(n: int) -> None:
        ran.append(n)
        await release.wait()

    async with other.serve(service):
        first = asyncio.ensure_future(client.call(unique, 1))
        await asyncio.sleep(0)  # let it be written
        with pytest.raises(DeadlineExceededError):
            await client.call(unique, 2, timeout=0.05)
        release.set()
        await first
    assert ran == [1]


async def test_a_blocked_worker_does_not_run_what_expired(
    client: Client, other: Client, unique: str
) -> None:
    """The worker is told 40 ms. What asks here waits longer than that, as a call does by its 0.1 s
    of grace, but for as long as a busy machine needs to bring the answers."""
    ran: list[int] = []
    service = Service("blocked", version="1.0.0")

    @service.handler(unique)
    async def handle(n: int) -> None:
        ran.append(n)
        if n == 0:
            # longer than a busy loop may be late: so it makes no difference when the others arrive
            time.sleep(0.4)  # noqa: ASYNC251  # why: a handler that blocks its worker is the case

    async with other.serve(service):
        ask, told = client.connection.request, {"Natsrpc-Timeout": "40"}
        first, *others = await asyncio.gather(
            ask(unique, b"0", timeout=20.0),
            ask(unique, b"1", timeout=20.0, headers=told),
            ask(unique, b"2", timeout=20.0, headers=told),
        )
    assert ran == [0]
    assert first.headers.get("Nats-Service-Error-Code") is None
    assert [reply.headers["Nats-Service-Error-Code"] for reply in others] == ["504", "504"]


@pytest.mark.alone
async def test_nested_calls_inherit_what_is_left(
    client: Client, other: Client, unique: str
) -> None:
    """A (1 s) calls B calls C: each sees less than the one before, all stop at A's deadline."""
    left: dict[str, float] = {}
    stopped: dict[str, float] = {}
    service = Service("chain", version="1.0.0")
    group = service.group(unique)

    async def note(name: str, context: Context, work: Any) -> None:
        left[name] = context.time_left() or -1
        try:
            await work
        finally:
            stopped[name] = time.perf_counter()

    @group.handler("a")
    async def a(context: Context) -> None:
        await note("a", context, other.call(f"{unique}.b", timeout=30))

    @group.handler("b")
    async def b(context: Context) -> None:
        await asyncio.sleep(0.02)  # why: so much less is left for the next one
        await note("b", context, other.call(f"{unique}.c", timeout=30))

    @group.handler("c")
    async def c(context: Context) -> None:
        await asyncio.sleep(0.02)  # why: so much less is left for the next one
        await note("c", context, asyncio.Event().wait())

    async with other.serve(service) as server:
        began = time.perf_counter()
        with pytest.raises(DeadlineExceededError):
            await client.call(f"{unique}.a", timeout=1.0)
        await eventually(lambda: server.inflight == 0)
    assert 1.0 >= left["a"] > left["b"] > left["c"] > 0
    assert left["a"] - left["b"] >= 0.02
    assert left["b"] - left["c"] >= 0.02
    assert stopped.keys() == {"a", "b", "c"}
    assert all(0.95 < end - began < 1.3 for end in stopped.values())


@pytest.mark.alone
async def test_an_own_shorter_timeout_goes_before_the_inherited_one(
    client: Client, unique: str
) -> None:
    service = Service("shorter", version="1.0.0")
    group = service.group(unique)

    @group.handler("inner")
    async def inner(context: Context) -> float:
        return context.time_left() or -1

    @group.handler("outer")
    async def outer() -> float:
        return await client.call(inner, timeout=0.2)

    async with client.serve(service):
        assert 0.1 < await client.call(outer, timeout=5) <= 0.2


async def test_opting_out_of_the_deadline(client: Client, unique: str) -> None:
    service = Service("optout", version="1.0.0")
    group = service.group(unique)

    @group.handler("inner")
    async def inner(context: Context) -> float | None:
        return context.time_left()

    @group.handler("outer")
    async def outer() -> list[float | None]:
        with no_deadline():
            free = await client.call(inner, timeout=None)
        return [free, await client.call(inner, timeout=None)]

    async with client.serve(service):
        free, inherited = await client.call(outer, timeout=3)
    assert free is None
    assert inherited is not None
    assert inherited <= 3


@pytest.mark.usefixtures("patient_callers")
async def test_a_call_after_the_deadline_is_not_sent(client: Client, unique: str) -> None:
    """A handler that swallows its cancellation gets no more work done elsewhere."""
    reached: list[int] = []
    outcome: list[BaseException] = []
    service = Service("late", version="1.0.0")
    group = service.group(unique)

    @group.handler("inner")
    async def inner() -> None:
        reached.append(1)

    @group.handler("outer")
    async def outer() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            try:
                await client.call(inner)
            except NatsTimeoutError as error:
                outcome.append(error)

    async with client.serve(service):
        with pytest.raises(DeadlineExceededError):
            await client.call(outer, timeout=0.3)
        await eventually(lambda: outcome)
        await client.connection.flush()
    assert reached == []
    assert isinstance(outcome[0], DeadlineExceededError)


@pytest.mark.parametrize("timeout", [0, -1, float("nan"), True, "1"])
async def test_a_timeout_is_a_positive_number(client: Client, timeout: Any) -> None:
    with pytest.raises(BadTimeoutError):
        await client.call("anything", timeout=timeout)


@pytest.mark.parametrize("middleware", [False, True])
async def test_a_timeout_names_the_time_its_caller_named(
    client: Client, unique: str, middleware: bool
) -> None:
    """The caller waits a little longer for the worker's own word, and says nothing of that."""
    if middleware:

        @client.middleware
        async def pass_on(call: Any, call_next: Any) -> Any:
            return await call_next(call)

    await client.connection.subscribe(unique, cb=lambda msg: None)
    with pytest.raises(NatsTimeoutError, match=r"within 0\.05 s$"):
        await client.call(unique, timeout=0.05)
    with pytest.raises(NatsTimeoutError, match=r"within 0\.05 s$"):
        async for _ in client.stream(unique, returns=int, timeout=0.05):
            pass
