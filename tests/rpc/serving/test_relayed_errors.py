"""Errors across hops: what a handler answers that did not catch the error of its own call.

The callers that look at the wire, and some of the services called, are written with nats-py.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import nats
import pytest

from natsrpc.errors import (
    CallCancelledError,
    DeadlineExceededError,
    InternalError,
    NatsRpcError,
    NatsTimeoutError,
    NoRespondersError,
    NotFoundError,
    OverloadedError,
    RpcError,
    UnavailableError,
    UpstreamError,
)
from natsrpc.rpc import Client, Context, Depends, Next, Policy, Service, connect
from natsrpc.testing import NatsServer

pytestmark = pytest.mark.live

QUICK = Policy(attempts=4, wait=0.001)


class SoldOutError(RpcError, code=409, retryable=True):
    sku: str


@pytest.fixture
async def stranger(nats_server: NatsServer) -> AsyncIterator[Any]:
    """A nats-py client."""
    nc = await nats.connect(nats_server.url)
    yield nc
    await nc.close()


async def reached(stranger: Any) -> None:
    """Wait until the server has what nats-py was told to send.

    Its PING goes past what still waits to be written, so that the first PONG says nothing of it.
    """
    await stranger.flush()
    await stranger.flush()


def refusing(subject: str, error: Callable[[], BaseException]) -> Service:
    """A service that refuses all."""
    service = Service("inner", version="1.0.0")

    @service.handler(subject)
    async def refuse(context: Context) -> int:
        context.reply_headers["X-Inner"] = "1"
        raise error()

    return service


async def refused(stranger: Any, subject: str, headers: dict[str, str], body: bytes = b"") -> None:
    """Answer all requests so, by nats-py."""

    async def answer(msg: Any) -> None:
        await stranger.publish(msg.reply, body, headers=headers)

    await stranger.subscribe(subject, cb=answer)
    await reached(stranger)


class Outer:
    """A service that does what it is given, and counts how often."""

    def __init__(self, subject: str, does: Callable[[], Awaitable[Any]]) -> None:
        self.subject = subject
        self.runs = 0
        self.service = Service("outer", version="1.0.0")

        @self.service.handler(subject)
        async def outer(context: Context) -> Any:
            self.runs += 1
            context.reply_headers["X-Outer"] = "1"
            return await does()


async def test_a_nested_refusal_is_not_repeated(client: Client, other: Client, unique: str) -> None:
    inner = Service("inner", version="1.0.0")
    entered, leave = asyncio.Event(), asyncio.Event()

    @inner.handler(f"{unique}.b", max_concurrency=1, max_waiting=0)
    async def b() -> None:
        entered.set()
        await leave.wait()

    outer = Outer(f"{unique}.a", lambda: other.call(f"{unique}.b"))
    async with other.serve(inner, outer.service):
        first = asyncio.ensure_future(client.call(outer.subject))
        await entered.wait()
        with pytest.raises(UpstreamError) as caught:
            await client.call(outer.subject, policy=QUICK)
        assert outer.runs == 2
        with pytest.raises(UpstreamError):
            await client.call(outer.subject, policy=Policy(wait=0.001, idempotent=True))
        assert outer.runs == 5
        leave.set()
        await first
    assert caught.value.relayed
    assert caught.value.details == {
        "subject": f"{unique}.b",
        "code": 429,
        "error": "OverloadedError",
    }


async def test_a_refusal_of_the_handlers_own_is_repeated(client: Client, unique: str) -> None:
    async def refuse() -> None:
        raise OverloadedError("on purpose")

    outer = Outer(unique, refuse)
    async with client.serve(outer.service):
        with pytest.raises(OverloadedError) as caught:
            await client.call(unique, policy=QUICK)
    assert (outer.runs, caught.value.relayed) == (4, False)


async def test_a_caught_refusal_may_become_the_handlers_own(client: Client, unique: str) -> None:
    async def refuse() -> None:
        try:
            await client.call(f"{unique}.b")
        except OverloadedError as error:
            raise OverloadedError("on purpose") from error

    outer = Outer(unique, refuse)
    async with client.serve(outer.service, refusing(f"{unique}.b", OverloadedError)):
        with pytest.raises(OverloadedError) as caught:
            await client.call(unique, policy=QUICK)
    assert (outer.runs, caught.value.relayed) == (4, False)


async def test_an_error_of_the_application_keeps_class_code_and_fields(
    client: Client, stranger: Any, unique: str
) -> None:
    outer = Outer(unique, lambda: client.call(f"{unique}.b"))
    inner = refusing(f"{unique}.b", lambda: SoldOutError("none left", sku="a"))
    async with client.serve(outer.service, inner):
        with pytest.raises(SoldOutError, match="none left") as caught:
            await client.call(unique, policy=QUICK)
        assert outer.runs == 1  # though it is `retryable`
        msg = await stranger.request(unique, b"", timeout=2)
    assert (caught.value.code, caught.value.sku, caught.value.relayed) == (409, "a", True)
    assert caught.value.headers == {"X-Outer": "1"}
    assert msg.headers == {
        "Nats-Service-Error": "none left",
        "Nats-Service-Error-Code": "409",
        "Natsrpc-Error": "SoldOutError",
        "Natsrpc-Relayed": "1",
        "Content-Type": "application/json",
        "X-Outer": "1",
    }
    assert json.loads(msg.data) == {"sku": "a"}


async def test_an_error_of_the_framework_is_named_and_not_told(
    client: Client, stranger: Any, unique: str
) -> None:
    headers = {
        "Nats-Service-Error": "field `password` is wrong",
        "Nats-Service-Error-Code": "422",
        "Natsrpc-Error": "InvalidRequestError",
        "Content-Type": "application/json",
    }
    await refused(stranger, f"{unique}.b", headers, b'[{"path":"password","reason":"is wrong"}]')
    outer = Outer(unique, lambda: client.call(f"{unique}.b"))
    async with client.serve(outer.service):
        msg = await stranger.request(unique, b"", timeout=2)
    assert msg.headers == {
        "Nats-Service-Error": f"a call of '{unique}.b' failed: 422 InvalidRequestError",
        "Nats-Service-Error-Code": "502",
        "Natsrpc-Error": "UpstreamError",
        "Natsrpc-Relayed": "1",
        "Content-Type": "application/json",
        "X-Outer": "1",
    }
    assert json.loads(msg.data) == {
        "subject": f"{unique}.b",
        "code": 422,
        "error": "InvalidRequestError",
    }


@pytest.mark.parametrize("name", ["", "NeverHeardOf"])
async def test_an_error_of_an_unknown_class_keeps_name_code_and_details(
    client: Client, stranger: Any, unique: str, name: str
) -> None:
    headers = {"Nats-Service-Error": "busy", "Nats-Service-Error-Code": "429"}
    if name:
        headers["Natsrpc-Error"] = name
    await refused(stranger, f"{unique}.b", headers, b'{"in":"two hours"}')
    outer = Outer(unique, lambda: client.call(f"{unique}.b"))
    async with client.serve(outer.service):
        with pytest.raises(RpcError, match="busy") as caught:
            await client.call(unique, policy=QUICK)
    error = caught.value
    assert type(error) is RpcError
    assert (error.code, error.name) == (429, name or "RpcError")
    assert (error.details, error.relayed, outer.runs) == ({"in": "two hours"}, True, 1)


async def test_a_stranger_may_say_that_it_relays(
    client: Client, stranger: Any, unique: str
) -> None:
    headers = {
        "nats-service-error": "busy",
        "nats-service-error-code": "429",
        "natsrpc-error": "OverloadedError",
        "natsrpc-relayed": "1",
        "retry-after": "30",
    }
    await refused(stranger, unique, headers)
    with pytest.raises(OverloadedError) as caught:
        await client.call(unique, policy=QUICK)
    assert caught.value.relayed
    assert caught.value.headers == {"retry-after": "30"}


async def test_two_hops_name_the_innermost(client: Client, unique: str) -> None:
    outermost = Outer(unique, lambda: client.call(f"{unique}.b"))
    middle = Outer(f"{unique}.b", lambda: client.call(f"{unique}.c"))
    inner = refusing(f"{unique}.c", lambda: ValueError("secret"))
    async with client.serve(outermost.service, middle.service, inner):
        with pytest.raises(UpstreamError) as caught:
            await client.call(unique)
    details = {"subject": f"{unique}.c", "code": 500, "error": "InternalError"}
    assert (caught.value.details, caught.value.relayed) == (details, True)


async def test_two_hops_keep_an_error_of_the_application(client: Client, unique: str) -> None:
    outermost = Outer(unique, lambda: client.call(f"{unique}.b"))
    middle = Outer(f"{unique}.b", lambda: client.call(f"{unique}.c"))
    inner = refusing(f"{unique}.c", lambda: SoldOutError("none", sku="a"))
    async with client.serve(outermost.service, middle.service, inner):
        with pytest.raises(SoldOutError) as caught:
            await client.call(unique)
    assert (caught.value.sku, caught.value.relayed) == ("a", True)


async def test_a_call_that_nobody_serves_is_named(
    client: Client, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    outer = Outer(unique, lambda: client.call(f"{unique}.b"))
    with caplog.at_level(logging.ERROR, "natsrpc.rpc"):
        async with client.serve(outer.service):
            with pytest.raises(UpstreamError) as caught:
                await client.call(unique, policy=QUICK)
    details = {"subject": f"{unique}.b", "code": 503, "error": "NoRespondersError"}
    assert (caught.value.details, outer.runs) == (details, 1)
    assert not caplog.records


@pytest.mark.parametrize("old_style", [False, True])
@pytest.mark.parametrize("way", ["typed", "policy", "raw"])
async def test_a_call_that_is_not_answered_is_named(
    nats_server: NatsServer, client: Client, unique: str, way: str, old_style: bool
) -> None:
    asking = await connect(nats_server.url, old_style_requests=old_style)
    await client.connection.subscribe(f"{unique}.b", cb=lambda msg: None)

    async def ask() -> None:
        if way == "typed":
            await asking.call(f"{unique}.b", timeout=0.01)
        elif way == "policy":
            await asking.call(f"{unique}.b", timeout=0.01, policy=QUICK)
        else:
            await asking.connection.request(f"{unique}.b", timeout=0.01)

    outer = Outer(unique, ask)
    async with asking, client.serve(outer.service):
        with pytest.raises(UpstreamError) as caught:
            await client.call(unique)
    assert caught.value.details == {
        "subject": f"{unique}.b",
        "code": 504,
        "error": "NatsTimeoutError",
    }


async def test_a_timeout_that_is_none_of_a_call_is_an_internal_error(
    client: Client, unique: str
) -> None:
    async def wait() -> None:
        async with await client.connection.subscribe(f"{unique}.x") as sub:
            await sub.next_msg(0.01)

    outer = Outer(unique, wait)
    async with client.serve(outer.service):
        with pytest.raises(InternalError):
            await client.call(unique)


@pytest.mark.usefixtures("patient_callers")
async def test_the_end_of_the_time_that_a_handler_has_is_its_own(
    client: Client, unique: str
) -> None:
    """Its call ends at the same moment, and may be told of it a little sooner."""
    outer = Service("outer", version="1.0.0")

    @outer.handler(unique)
    async def nearly_late(context: Context) -> None:
        left = context.time_left()
        assert left is not None
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(left - 0.005):
                await asyncio.Event().wait()
        await client.call(f"{unique}.b")

    inner = refusing(f"{unique}.b", lambda: DeadlineExceededError("ended by its deadline"))
    async with client.serve(outer, inner):
        with pytest.raises(DeadlineExceededError) as caught:
            await client.call(unique, timeout=0.1)
    assert not caught.value.relayed


async def test_a_nested_deadline_that_is_shorter_is_not_the_handlers(
    client: Client, unique: str
) -> None:
    inner = Service("inner", version="1.0.0")

    @inner.handler(f"{unique}.b")
    async def b() -> None:
        await asyncio.Event().wait()

    outer = Outer(unique, lambda: client.call(f"{unique}.b", timeout=0.01))
    async with client.serve(outer.service, inner):
        with pytest.raises(UpstreamError) as caught:
            await client.call(unique)
    assert caught.value.details["error"] == "DeadlineExceededError"


async def in_task_group(ask: Callable[[], Awaitable[Any]]) -> Any:
    return (await asyncio.gather(ask(), asyncio.sleep(0)))[0]


async def raised_again(ask: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await ask()
    except NatsRpcError:
        raise


async def raised_from(ask: Callable[[], Awaitable[Any]]) -> Any:
    try:
        return await ask()
    except NatsRpcError as error:
        raise error from ValueError("the cause")


async def raised_later(ask: Callable[[], Awaitable[Any]]) -> Any:
    found = await asyncio.gather(ask(), return_exceptions=True)
    raise found[0]


@pytest.mark.parametrize("way", [in_task_group, raised_again, raised_from, raised_later])
async def test_ways_to_let_an_error_pass(
    client: Client, unique: str, way: Callable[[Any], Awaitable[Any]]
) -> None:
    outer = Outer(unique, lambda: way(lambda: client.call(f"{unique}.b")))
    async with client.serve(outer.service, refusing(f"{unique}.b", OverloadedError)):
        with pytest.raises(UpstreamError):
            await client.call(unique, policy=QUICK)
    assert outer.runs == 1


async def test_the_one_error_of_a_task_group_is_relayed(client: Client, unique: str) -> None:
    async def ask() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(client.call(f"{unique}.b"))

    outer = Outer(unique, ask)
    async with client.serve(outer.service, refusing(f"{unique}.b", OverloadedError)):
        with pytest.raises(UpstreamError) as failed:
            await client.call(unique, policy=QUICK)
    assert failed.value.relayed
    assert failed.value.details["error"] == "OverloadedError"
    assert outer.runs == 1


async def test_errors_of_a_dependency_and_through_middleware_are_relayed(
    client: Client, unique: str
) -> None:
    service = Service("outer", version="1.0.0")
    seen: list[str] = []

    async def user() -> str:
        return str(await client.call(f"{unique}.b"))

    @service.middleware
    async def watch(context: Context, call_next: Next[Context]) -> Any:
        context.reply_headers["X-Trace"] = "t"
        try:
            return await call_next(context)
        except OverloadedError as error:
            seen.append(error.came_from)
            raise

    @service.handler(unique)
    async def outer(user: Annotated[str, Depends(user)]) -> str:
        return user

    async with client.serve(service, refusing(f"{unique}.b", OverloadedError)):
        with pytest.raises(UpstreamError) as caught:
            await client.call(unique, policy=QUICK)
    assert seen == [f"{unique}.b"]
    assert caught.value.headers == {"X-Trace": "t"}


async def test_elements_of_a_gather_are_relayed_where_they_are_raised(
    client: Client, unique: str
) -> None:
    inner = Service("inner", version="1.0.0", queue_group="")

    @inner.handler(f"{unique}.b")
    async def b() -> None:
        raise OverloadedError("full")

    async def ask() -> None:
        (found,) = await client.gather(f"{unique}.b", max_responses=1)
        raise found

    outer = Outer(unique, ask)
    async with client.serve(outer.service, inner):
        with pytest.raises(UpstreamError):
            await client.call(unique, policy=QUICK)
    assert outer.runs == 1


@pytest.mark.parametrize("error", [OverloadedError("full"), SoldOutError("none", sku="a")])
async def test_a_stream_ends_with_a_relayed_error_after_its_items(
    client: Client, unique: str, error: RpcError
) -> None:
    service = Service("outer", version="1.0.0")

    @service.handler(unique)
    async def outer(context: Context) -> AsyncIterator[int]:
        context.reply_headers["X-Outer"] = "1"
        yield 1
        await client.call(f"{unique}.b")

    async with client.serve(service, refusing(f"{unique}.b", lambda: error)):
        got: list[int] = []
        with pytest.raises(RpcError) as caught:
            async for item in client.stream(unique, returns=int):
                got.append(item)  # noqa: PERF401  what came before the error is to stay
    assert got == [1]
    assert caught.value.relayed
    assert caught.value.headers == {"X-Outer": "1"}
    expected = UpstreamError if isinstance(error, OverloadedError) else SoldOutError
    assert type(caught.value) is expected


async def test_a_nested_stream_that_is_refused_is_relayed(client: Client, unique: str) -> None:
    inner = Service("inner", version="1.0.0")

    @inner.handler(f"{unique}.b")
    async def b() -> AsyncIterator[int]:
        yield 1
        raise OverloadedError("full")

    async def ask() -> list[int]:
        return [item async for item in client.stream(f"{unique}.b", returns=int)]

    outer = Outer(unique, ask)
    async with client.serve(outer.service, inner):
        with pytest.raises(UpstreamError):
            await client.call(unique, policy=QUICK)
    assert outer.runs == 1


async def test_a_nested_stream_that_breaks_is_an_upstream_error(
    client: Client, stranger: Any, unique: str
) -> None:
    """Its error is made by this side: no reply said so."""

    async def answer(msg: Any) -> None:
        await stranger.publish(msg.reply, b"", headers={"Natsrpc-Frame": "gone 0"})

    await stranger.subscribe(f"{unique}.b", cb=answer)
    await reached(stranger)

    async def ask() -> list[int]:
        return [item async for item in client.stream(f"{unique}.b", returns=int)]

    outer = Outer(unique, ask)
    async with client.serve(outer.service):
        with pytest.raises(UpstreamError) as caught:
            await client.call(unique, policy=QUICK)
    details = {"subject": f"{unique}.b", "code": 503, "error": "UnavailableError"}
    assert (caught.value.details, outer.runs) == (details, 1)


@pytest.mark.parametrize(
    ("size", "code", "name"),
    [(9_000_000, 413, "ReplyTooLargeError"), (10, 504, "NatsTimeoutError")],
)
async def test_a_nested_large_reply_that_does_not_come_is_an_upstream_error(
    client: Client, stranger: Any, unique: str, size: int, code: int, name: str
) -> None:
    await refused_by_head(stranger, f"{unique}.b", size)
    outer = Outer(unique, lambda: client.call(f"{unique}.b", timeout=0.05))
    async with client.serve(outer.service):
        with pytest.raises(UpstreamError) as caught:
            await client.call(unique)
    assert caught.value.details == {"subject": f"{unique}.b", "code": code, "error": name}


async def refused_by_head(stranger: Any, subject: str, size: int) -> None:
    """Announce a body of `size` bytes to all requests, and send none."""
    address = stranger.new_inbox()
    await stranger.subscribe(address)

    async def answer(msg: Any) -> None:
        headers = {"Natsrpc-Frame": f"large {size}"}
        await stranger.publish(msg.reply, b"", reply=address, headers=headers)

    await stranger.subscribe(subject, cb=answer)
    await reached(stranger)


async def test_what_the_items_of_an_upload_raise_is_the_handlers_own(
    client: Client, unique: str
) -> None:
    inner = Service("inner", version="1.0.0")

    @inner.handler(f"{unique}.b")
    async def b(numbers: AsyncIterator[int]) -> int:
        return sum([number async for number in numbers])

    async def numbers() -> AsyncIterator[int]:
        yield 1
        raise OverloadedError("on purpose")

    outer = Outer(unique, lambda: client.upload(f"{unique}.b", numbers()))
    async with client.serve(outer.service, inner):
        with pytest.raises(OverloadedError) as caught:
            await client.call(unique)
    assert not caught.value.relayed


async def test_an_upload_has_the_headers_of_its_error(client: Client, unique: str) -> None:
    service = Service("uploads", version="1.0.0")

    @service.handler(unique)
    async def take(context: Context, numbers: AsyncIterator[int]) -> int:
        context.reply_headers["Retry-After"] = "30"
        async for _ in numbers:
            raise NotFoundError("no room")
        return 0

    async def numbers() -> AsyncIterator[int]:
        yield 1

    async with client.serve(service):
        with pytest.raises(NotFoundError) as caught:
            await client.upload(unique, numbers(), returns=int)
    assert caught.value.headers == {"Retry-After": "30"}


async def test_headers_that_cannot_be_sent_make_an_internal_error(
    client: Client, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service("odd", version="1.0.0")

    @service.handler(unique)
    async def odd(context: Context) -> None:
        context.reply_headers["X"] = "two\r\nlines"
        raise NotFoundError("x")

    async with client.serve(service):
        with pytest.raises(InternalError) as caught:
            await client.call(unique)
    assert caught.value.details["error_id"] in caplog.text


async def test_a_relayed_error_too_large_to_send_is_still_relayed(
    client: Client, stranger: Any, unique: str
) -> None:
    body = json.dumps("x" * 1_048_000).encode()
    headers = {"Nats-Service-Error": "busy", "Nats-Service-Error-Code": "429"}
    await refused(stranger, f"{unique}.b", headers, body)
    service = Service("outer", version="1.0.0")

    @service.handler(unique)
    async def outer(context: Context) -> None:
        context.reply_headers["X-Long"] = "y" * 2000
        await client.call(f"{unique}.b")

    async with client.serve(service):
        with pytest.raises(RpcError, match="busy") as caught:
            await client.call(unique)
    assert (caught.value.code, caught.value.relayed, caught.value.details) == (429, True, None)


async def test_a_cancel_that_the_caller_did_not_send_is_unavailability(
    client: Client, stranger: Any, unique: str
) -> None:
    headers = {
        "Nats-Service-Error": "the caller cancelled the call",
        "Nats-Service-Error-Code": "499",
        "Natsrpc-Error": "CallCancelledError",
    }
    await refused(stranger, unique, headers)
    with pytest.raises(UnavailableError, match="not by its caller"):
        await client.call(unique)
    with pytest.raises(UnavailableError, match="not by its caller"):
        async for _ in client.stream(unique, returns=int):
            pass
    outer = Outer(f"{unique}.a", lambda: client.call(unique))
    async with client.serve(outer.service):
        with pytest.raises(UpstreamError) as caught:
            await client.call(outer.subject)
    assert caught.value.details["code"] == 503


async def test_a_caller_that_cancels_still_tells_strangers_499(
    client: Client, stranger: Any, unique: str
) -> None:
    service = Service("slow", version="1.0.0")
    entered = asyncio.Event()

    @service.handler(unique)
    async def slow() -> None:
        entered.set()
        await asyncio.Event().wait()

    async with client.serve(service):
        inbox = stranger.new_inbox()
        answers = await stranger.subscribe(inbox)
        await stranger.publish(unique, b"", reply=inbox)
        await entered.wait()
        await stranger.publish(f"{unique}._NATSRPC.cancel", inbox.encode())
        msg = await answers.next_msg(timeout=2)
    assert msg.headers["Natsrpc-Error"] == CallCancelledError.__name__


async def test_413_names_what_the_caller_takes(
    nats_server: NatsServer, client: Client, stranger: Any, unique: str
) -> None:
    service = Service("large", version="1.0.0")

    @service.handler(unique)
    async def large(size: int) -> str:
        return "x" * size

    async with client.serve(service):
        headers = {"Natsrpc-Max-Reply": "2000000"}
        msg = await stranger.request(unique, b"3000000", timeout=2, headers=headers)
        assert "2000000" in msg.headers["Nats-Service-Error"]
        assert "max_payload" not in msg.headers["Nats-Service-Error"]
        msg = await stranger.request(unique, b"3000000", timeout=2)
        assert "max_payload of 1048576" in msg.headers["Nats-Service-Error"]


async def test_a_large_request_that_nobody_serves_names_both_causes_and_is_repeated(
    client: Client, other: Client, unique: str
) -> None:
    causes = r"nobody is subscribed to .*; or nobody there takes requests larger"
    with pytest.raises(NoRespondersError, match=causes) as caught:
        await client.call(unique, "x" * 2_000_000)
    assert caught.value.subject == unique
    service = Service("late", version="1.0.0")

    @service.handler(unique)
    async def late(text: str) -> int:
        return len(text)

    call = asyncio.ensure_future(
        client.call(unique, "x" * 2_000_000, int, policy=Policy(attempts=50, wait=0.02))
    )
    async with other.serve(service):
        assert await call == 2_000_000


async def test_timeouts_name_what_was_called(client: Client, unique: str) -> None:
    await client.connection.subscribe(unique, cb=lambda msg: None)
    with pytest.raises(NatsTimeoutError) as caught:
        async for _ in client.stream(unique, timeout=0.01):
            pass
    assert caught.value.subject == unique
