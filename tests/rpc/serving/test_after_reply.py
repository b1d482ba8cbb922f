"""`Context.after_reply`: work that begins when the answer is out, and that a drain waits for."""

from __future__ import annotations

import asyncio
import contextvars
import functools
import threading
from collections.abc import AsyncIterator, Callable
from typing import Annotated, Any

import pytest

from natsrpc import Client, Context, Depends, Server, Service
from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    DeadlineExceededError,
    InternalError,
    NatsRpcError,
    ReplyTooLargeError,
    RpcError,
)
from natsrpc.rpc import Next, connect
from natsrpc.testing import Broker
from tests.core.harness import eventually, turns

variable = contextvars.ContextVar("variable", default="unset")


class Shop:
    """A service whose handlers leave work behind; `ran` is what of it was done, in order."""

    def __init__(self, **options: Any) -> None:
        self.service = Service("shop", version="1.0.0", **options)
        self.ran: list[Any] = []
        self.gate = asyncio.Event()

    async def wait(self, name: str) -> None:
        self.ran.append(f"{name} began")
        await self.gate.wait()
        self.ran.append(f"{name} ended")

    def note(self, name: Any) -> None:
        self.ran.append(name)

    async def served(self, broker: Broker) -> tuple[Server, Client, Client]:
        worker = await connect(**broker.options())
        return await worker.serve(self.service), worker, await connect(**broker.options())


async def test_it_runs_once_the_answer_is_out_and_in_order() -> None:
    shop = Shop()

    @shop.service.handler("order")
    async def order(n: int, context: Context) -> int:
        context.after_reply(shop.wait, "first")
        context.after_reply(shop.note, "second")
        context.after_reply(functools.partial(shop.note, name="third"))
        shop.note("handler")
        return n

    async with shop.service.test() as client:
        assert await client.call(order, 3) == 3
        await eventually(lambda: len(shop.ran) == 2)
        assert shop.ran == ["handler", "first began"]
        shop.gate.set()
        await eventually(lambda: len(shop.ran) == 5)
    assert shop.ran == ["handler", "first began", "first ended", "second", "third"]


async def test_plain_functions_run_in_threads() -> None:
    shop = Shop()

    @shop.service.handler("order")
    def order(context: Context) -> None:  # which itself runs in a thread
        context.after_reply(lambda: shop.note(threading.current_thread().name))
        context.after_reply(lambda: shop.wait("returned"))

    shop.gate.set()
    async with shop.service.test() as client:
        await client.call(order)
        await eventually(lambda: len(shop.ran) == 3)
    assert shop.ran[0].startswith("natsrpc-handler")
    assert shop.ran[1:] == ["returned began", "returned ended"]


async def test_it_sees_the_context_variables_of_the_moment_it_was_asked_for() -> None:
    shop = Shop()

    @shop.service.middleware
    async def middleware(context: Context, call_next: Next[Context]) -> Any:
        token = variable.set("of the request")
        try:
            return await call_next(context)
        finally:
            variable.reset(token)

    async def later() -> None:
        shop.note(variable.get())

    @shop.service.handler("order")
    async def order(context: Context) -> None:
        context.after_reply(later)
        context.after_reply(lambda: shop.note(variable.get()))

    async with shop.service.test() as client:
        await client.call(order)
        await eventually(lambda: len(shop.ran) == 2)
    assert shop.ran == ["of the request"] * 2


async def test_dependencies_are_cleaned_up_before_it_runs() -> None:
    shop = Shop()

    async def session() -> AsyncIterator[str]:
        yield "session"
        shop.note("committed")

    @shop.service.handler("order")
    async def order(context: Context, db: Annotated[str, Depends(session)]) -> str:
        context.after_reply(shop.note, "later")
        return db

    async with shop.service.test() as client:
        assert await client.call(order) == "session"
        await eventually(lambda: len(shop.ran) == 2)
    assert shop.ran == ["committed", "later"]


@pytest.mark.parametrize("error", [ValueError("secret"), RpcError("secret"), SystemExit(3)])
async def test_an_error_in_it_is_logged_and_counted_and_stops_no_other(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    shop, broker = Shop(), Broker()

    def fail() -> None:
        raise error

    async def fail_async() -> None:
        raise error

    @shop.service.handler("order")
    async def order(context: Context) -> str:
        for function in (fail, fail_async):
            context.after_reply(function)
        context.after_reply(shop.note, "others")
        return "fine"

    server, _, client = await shop.served(broker)
    assert await client.call(order) == "fine"
    await eventually(lambda: shop.ran == ["others"])
    (endpoint,) = server.services[0].endpoints
    assert endpoint.answers.num_errors == 2
    assert "fail" in endpoint.answers.last_error
    assert "secret" not in endpoint.answers.last_error
    errors = [record for record in caplog.records if record.levelname == "ERROR"]
    assert ["error id" in record.getMessage() for record in errors] == [True, True]
    assert all(record.exc_info and record.exc_info[1] is error for record in errors)
    await client.close()
    await server.drain()
    caplog.clear()


async def raises() -> None:
    raise NatsRpcError("x")


async def waits() -> None:
    await asyncio.Event().wait()


async def cannot_be_written() -> Any:
    return object()


async def too_large() -> Any:
    return "x" * 100_000


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (raises, InternalError),
        (waits, DeadlineExceededError),
        (cannot_be_written, InternalError),
        (too_large, ReplyTooLargeError),
    ],
)
async def test_it_does_not_run_where_the_request_fails(
    work: Callable[[], Any], expected: type[Exception]
) -> None:
    shop = Shop()
    contexts: list[Context] = []

    @shop.service.handler("order")
    async def order(context: Context) -> Any:
        contexts.append(context)
        context.after_reply(shop.note, "later")
        return await work()

    @shop.service.handler("other")
    async def other() -> None: ...

    async with shop.service.test(broker=Broker(max_payload=50_000), max_body=0) as client:
        with pytest.raises(expected):
            await client.call(order, timeout=0.2)
        await client.call(other)
        with pytest.raises(ConfigError, match="when the request was over"):
            contexts[0].after_reply(shop.note, "too late")
    assert shop.ran == []


async def test_it_does_not_run_where_the_caller_cancels() -> None:
    shop, entered, ended = Shop(), asyncio.Event(), asyncio.Event()

    @shop.service.handler("order")
    async def order(context: Context) -> None:
        context.after_reply(shop.note, "later")
        entered.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with shop.service.test() as client:
        call = asyncio.ensure_future(client.call(order))
        await entered.wait()
        call.cancel()
        await ended.wait()
    assert shop.ran == []


async def test_neither_deadline_nor_cancel_stops_it_once_the_answer_is_out() -> None:
    """Its own calls have no deadline either, and their depth is that of the handler's."""
    shop, broker = Shop(), Broker()
    depths: list[str | None] = []

    @shop.service.handler("inner")
    async def inner(context: Context) -> str:
        depths.append(context.headers.get("Natsrpc-Depth"))
        return f"left: {context.time_left()}"

    async def later(context: Context) -> None:
        await shop.wait("later")
        shop.note(context.time_left())
        shop.note(await context.client.call(inner, timeout=None))

    @shop.service.handler("order")
    async def order(context: Context) -> None:
        context.after_reply(later, context)

    server, _, client = await shop.served(broker)
    await client.call(order, timeout=0.05)
    await eventually(lambda: shop.ran == ["later began"])
    (request,) = [each for each in broker.published if each.subject == "order"]
    server.services[0].endpoints[1].cancel(request.reply.encode())
    taken = server.services[0].endpoints[1].taken
    await eventually(lambda: not taken)  # its deadline has passed, too
    shop.gate.set()
    await eventually(lambda: len(shop.ran) == 4)
    assert shop.ran == ["later began", "later ended", None, "left: None"]
    assert depths == ["1"]
    await client.close()
    await server.drain()


async def test_it_keeps_the_slot_of_its_request() -> None:
    shop = Shop(max_concurrency=1, max_waiting=10)

    @shop.service.handler("order")
    async def order(n: int, context: Context) -> int:
        shop.note(f"order {n}")
        context.after_reply(shop.wait, f"{n}")
        return n

    async with shop.service.test() as client:
        assert await client.call(order, 1) == 1
        second = asyncio.ensure_future(client.call(order, 2))
        await turns(50)
        assert shop.ran == ["order 1", "1 began"]
        shop.gate.set()
        assert await second == 2
    assert shop.ran == ["order 1", "1 began", "1 ended", "order 2", "2 began", "2 ended"]


async def test_its_time_is_not_that_of_the_handler() -> None:
    """By which requests would be refused that can be answered in time."""
    shop = Shop()

    @shop.service.handler("order")
    async def order(context: Context) -> None:
        context.after_reply(asyncio.sleep, 0.05)

    server, _, client = await shop.served(Broker())
    (endpoint,) = server.services[0].endpoints
    await client.call(order)
    await eventually(lambda: endpoint.answers.num_requests == 1)
    assert 0 < endpoint.answers.processing_time_ns < 50_000_000
    await client.close()
    await server.drain()


async def test_a_drain_waits_for_it() -> None:
    shop = Shop()

    @shop.service.handler("order")
    async def order(context: Context) -> None:
        context.after_reply(shop.wait, "first")
        context.after_reply(shop.note, "second")

    server, _, client = await shop.served(Broker())
    await client.call(order)
    draining = asyncio.ensure_future(server.drain())
    await turns(50)
    assert (draining.done(), server.inflight) == (False, 1)
    shop.gate.set()
    await draining
    assert shop.ran == ["first began", "first ended", "second"]
    await client.close()


async def test_the_end_of_a_drain_cancels_it_and_tells_what_was_not_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    shop = Shop()

    @shop.service.handler("order")
    async def order(context: Context) -> None:
        context.after_reply(shop.wait, "first")
        context.after_reply(shop.note, "second")

    server, _, client = await shop.served(Broker())
    await client.call(order)
    await eventually(lambda: bool(shop.ran))
    await server.drain(0.01)
    assert server.inflight == 0
    assert shop.ran == ["first began"]
    assert "'Shop.wait', to be called after the reply of" in caplog.text
    assert "'Shop.note', to be called after the reply of" in caplog.text
    assert server.services[0].endpoints[0].answers.num_errors == 2
    await client.close()


async def test_it_runs_after_the_last_item_of_a_stream() -> None:
    shop = Shop()

    @shop.service.handler("items")
    async def items(context: Context) -> AsyncIterator[int]:
        context.after_reply(shop.wait, "later")
        for number in range(3):
            shop.note(str(number))
            yield number

    async with shop.service.test() as client:
        assert [item async for item in client.stream(items)] == [0, 1, 2]
        assert shop.ran == ["0", "1", "2", "later began"]
        shop.gate.set()
    assert shop.ran[-1] == "later ended"


async def test_it_does_not_run_where_a_stream_is_left() -> None:
    shop, ended = Shop(), asyncio.Event()

    @shop.service.handler("items")
    async def items(context: Context) -> AsyncIterator[int]:
        context.after_reply(shop.note, "later")
        try:
            while True:
                yield 1
        finally:
            ended.set()

    async with shop.service.test() as client:
        async for _ in (found := client.stream(items)):
            break
        await found.aclose()
        await ended.wait()
    assert shop.ran == []


async def test_it_runs_after_an_answer_that_goes_in_frames() -> None:
    shop = Shop()

    @shop.service.handler("large")
    async def large(context: Context) -> str:
        context.after_reply(shop.wait, "later")
        return "x" * 200_000

    async with shop.service.test(broker=Broker(max_payload=50_000)) as client:
        assert len(await client.call(large)) == 200_000
        await eventually(lambda: shop.ran == ["later began"])
        shop.gate.set()


async def test_it_runs_for_a_message_that_nobody_waits_for() -> None:
    shop = Shop()

    @shop.service.handler("order")
    async def order(n: int, context: Context) -> None:
        context.after_reply(shop.note, n)

    async with shop.service.test() as client:
        await client.publish("order", 3)
        await eventually(lambda: shop.ran == [3])


async def test_it_may_ask_for_more() -> None:
    shop = Shop()

    async def later(context: Context, n: int) -> None:
        shop.note(n)
        if n:
            context.after_reply(later, context, n - 1)

    @shop.service.handler("order")
    async def order(context: Context) -> None:
        context.after_reply(later, context, 2)

    async with shop.service.test() as client:
        await client.call(order)
        await eventually(lambda: len(shop.ran) == 3)
    assert shop.ran == [2, 1, 0]


async def test_what_comes_too_late_is_refused() -> None:
    """It would be lost: nobody looks for it any more."""
    shop, contexts = Shop(), []

    @shop.service.handler("order")
    async def order(context: Context, more: bool) -> None:
        contexts.append(context)
        if more:
            context.after_reply(shop.note, "later")

    async with shop.service.test() as client:
        for more in (True, False):
            await client.call(order, more)
        await eventually(lambda: shop.ran == ["later"])
        await turns(5)
        for context in contexts:
            with pytest.raises(ConfigError, match="when the request was over"):
                context.after_reply(shop.note, "too late")


@pytest.mark.parametrize("what", [3, None, "coroutine"])
async def test_what_is_no_function_is_refused(what: Any) -> None:
    shop = Shop()
    refused: list[str] = []

    @shop.service.handler("order")
    async def order(context: Context) -> None:
        with pytest.raises(ConfigTypeError, match="as in after_reply") as error:
            wrong: Any = shop.wait("x") if what == "coroutine" else what
            context.after_reply(wrong)
        refused.append(str(error.value))

    async with shop.service.test() as client:
        await client.call(order)
    assert len(refused) == 1


async def test_its_own_cancellation_stops_no_other(caplog: pytest.LogCaptureFixture) -> None:
    shop = Shop()

    async def cancelled() -> None:
        raise asyncio.CancelledError

    @shop.service.handler("order")
    async def order(context: Context) -> None:
        context.after_reply(cancelled)
        context.after_reply(shop.note, "others")

    async with shop.service.test() as client:
        await client.call(order)
        await eventually(lambda: shop.ran == ["others"])
    assert "was cancelled" in caplog.text
