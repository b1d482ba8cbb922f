"""Every request that reaches a service gets exactly one answer, and the caller its own error."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import Any

import pytest
from pydantic import BaseModel

from natsrpc.core import Msg
from natsrpc.errors import (
    BadRequestError,
    CallCancelledError,
    DeadlineExceededError,
    InternalError,
    InvalidRequestError,
    NatsTimeoutError,
    NoRespondersError,
    OverloadedError,
    ReplyTooLargeError,
    RpcError,
    UnavailableError,
    UnsupportedCodecError,
)
from natsrpc.rpc import Client, Service
from tests.core.harness import eventually
from tests.rpc.paths import either_path

pytestmark = pytest.mark.live

path = either_path


class Item(BaseModel):
    sku: str


class OutOfStock(RpcError, code=409):  # noqa: N818 — as users name theirs
    """Nothing left."""

    sku: str


class Other(BaseModel):
    number: int = 1


def failing_service(prefix: str) -> Service:
    service = Service("failing", version="1.0.0")
    group = service.group(prefix)

    @group.handler("echo")
    async def echo(item: Item) -> Item:
        return item

    @group.handler("boom")
    async def boom() -> None:
        raise ValueError("the password is hunter2")

    @group.handler("unserialisable")
    async def unserialisable() -> Item:
        return object()  # type: ignore[return-value]  # what cannot be written

    @group.handler("other")
    async def other() -> Item:
        return Other()  # type: ignore[return-value]  # written as `{}` if nobody looks

    @group.handler("stock")
    async def stock() -> None:
        raise OutOfStock("none left", sku="A-7")

    @group.handler("large")
    async def large() -> str:
        return "x" * 2_000_000

    @group.handler("slow")
    async def slow() -> None:
        await asyncio.Event().wait()

    @group.handler("narrow", max_concurrency=1, max_waiting=0)
    async def narrow() -> None:
        await asyncio.Event().wait()

    @group.handler("swallow")
    async def swallow() -> str:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)  # why: a handler that is slow to end
        return "too late"

    return service


Failure = tuple[type[Exception], int, Callable[[Client, str], Any]]

FAILURES: dict[str, Failure] = {
    "undecodable": (
        BadRequestError,
        400,
        lambda client, prefix: client.call(f"{prefix}.echo", b"{nix"),
    ),
    "invalid": (
        InvalidRequestError,
        422,
        lambda client, prefix: client.call(f"{prefix}.echo", {"sku": 5}),
    ),
    "unknown codec": (
        UnsupportedCodecError,
        415,
        lambda client, prefix: client.call(
            f"{prefix}.echo", b"x", headers={"Content-Type": "application/x-unheard-of"}
        ),
    ),
    "raises": (InternalError, 500, lambda client, prefix: client.call(f"{prefix}.boom")),
    "unserialisable": (
        InternalError,
        500,
        lambda client, prefix: client.call(f"{prefix}.unserialisable"),
    ),
    "another model": (InternalError, 500, lambda client, prefix: client.call(f"{prefix}.other")),
    "own error": (OutOfStock, 409, lambda client, prefix: client.call(f"{prefix}.stock")),
    "too large": (
        ReplyTooLargeError,
        413,
        lambda client, prefix: client.call(f"{prefix}.large", headers={"Natsrpc-Max-Reply": "0"}),
    ),
    "expired": (
        DeadlineExceededError,
        504,
        lambda client, prefix: client.call(f"{prefix}.slow", timeout=0.02),
    ),
    "overloaded": (OverloadedError, 429, lambda client, prefix: _second(client, prefix)),
    "nobody": (NoRespondersError, 0, lambda client, prefix: client.call(f"{prefix}.nobody")),
}


async def _second(client: Client, prefix: str) -> None:
    first = asyncio.ensure_future(client.call(f"{prefix}.narrow"))
    await asyncio.sleep(0)  # let it be written
    try:
        await client.call(f"{prefix}.narrow")
    finally:
        first.cancel()


@pytest.mark.alone
@pytest.mark.parametrize("kind", FAILURES)
async def test_each_failure_is_its_own_error_at_once(
    client: Client, other: Client, unique: str, kind: str
) -> None:
    error_class, code, call = FAILURES[kind]
    async with other.serve(failing_service(unique)):
        await client.connection.flush()
        began = time.perf_counter()
        with pytest.raises(error_class) as caught:
            await call(client, unique)
        took = time.perf_counter() - began
    assert took < 0.1
    assert type(caught.value) is error_class
    if isinstance(caught.value, RpcError):
        assert caught.value.code == code


async def test_what_a_handler_raised_stays_in_its_process(
    client: Client, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with client.serve(failing_service(unique)):
        with caplog.at_level(logging.ERROR, logger="natsrpc.rpc"):
            reply = await client.connection.request(f"{unique}.boom")
            with pytest.raises(InternalError) as caught:
                await client.call(f"{unique}.boom")
    assert b"hunter2" not in reply.data + reply.raw_headers
    assert "ValueError" not in str(caught.value)
    assert caught.value.details["error_id"] in caplog.text
    assert "hunter2" in caplog.text


async def test_the_input_is_never_sent_back(client: Client, unique: str) -> None:
    async with client.serve(failing_service(unique)):
        reply = await client.connection.request(f"{unique}.echo", b'{"sku":["hunter2"]}')
    assert reply.headers["Nats-Service-Error-Code"] == "422"
    assert b"hunter2" not in reply.data + reply.raw_headers


async def test_an_error_arrives_with_its_fields(client: Client, unique: str) -> None:
    async with client.serve(failing_service(unique)):
        with pytest.raises(OutOfStock) as caught:
            await client.call(f"{unique}.stock")
        reply = await client.connection.request(f"{unique}.stock")
    assert (caught.value.sku, caught.value.message, caught.value.code) == ("A-7", "none left", 409)
    assert reply.data == b'{"sku":"A-7"}'
    assert dict(reply.headers.items()) == {
        "Nats-Service-Error": "none left",
        "Nats-Service-Error-Code": "409",
        "Natsrpc-Error": "OutOfStock",
        "Content-Type": "application/json",
    }


async def test_an_error_class_unknown_here_arrives_as_rpc_error(
    client: Client, unique: str
) -> None:
    async def answer(msg: Msg) -> None:
        headers = {
            "Nats-Service-Error": "gone away",
            "Nats-Service-Error-Code": "410",
            "Natsrpc-Error": "NeverHeardOf",
        }
        await msg.respond(b'{"since":3}', headers)

    await client.connection.subscribe(unique, cb=answer)
    with pytest.raises(RpcError) as caught:
        await client.call(unique)
    error = caught.value
    assert type(error) is RpcError
    assert (error.code, error.name, error.details) == (410, "NeverHeardOf", {"since": 3})


@pytest.mark.parametrize(
    ("headers", "code", "text"),
    [
        ({"Nats-Service-Error": "bad"}, 500, "bad"),
        ({"Nats-Service-Error-Code": "404"}, 404, "error 404"),
        ({"nats-service-error": "low", "nats-service-error-code": "400"}, 400, "low"),
        ({"Nats-Service-Error": "odd", "Nats-Service-Error-Code": "E7"}, 500, "odd (code 'E7')"),
    ],
)
async def test_errors_of_strangers_are_read_leniently(
    client: Client, unique: str, headers: dict[str, str], code: int, text: str
) -> None:
    async def answer(msg: Msg) -> None:
        await msg.respond(b"", headers)

    await client.connection.subscribe(unique, cb=answer)
    with pytest.raises(RpcError) as caught:
        await client.call(unique)
    assert (caught.value.code, caught.value.message) == (code, text)


async def test_nothing_is_answered_twice(client: Client, other: Client, unique: str) -> None:
    """A handler that swallows its cancellation and returns has been answered for already."""
    answers: list[Msg] = []
    await client.connection.subscribe(f"{unique}.inbox", cb=answers.append)
    async with other.serve(failing_service(unique)) as server:
        await client.connection.publish(
            f"{unique}.swallow", reply=f"{unique}.inbox", headers={"Natsrpc-Timeout": "20"}
        )
        await eventually(lambda: answers)
        await eventually(lambda: server.inflight == 0)
        await other.connection.flush()
    await client.connection.flush()
    assert [msg.headers["Nats-Service-Error-Code"] for msg in answers] == ["504"]


@pytest.mark.usefixtures("patient_callers")
async def test_a_handler_that_ignores_its_cancellation_is_logged_by_name(
    client: Client, unique: str, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.rpc.serving.endpoint.STUBBORN_AFTER", 0.01)
    async with client.serve(failing_service(unique)):
        with pytest.raises(DeadlineExceededError):
            await client.call(f"{unique}.swallow", timeout=0.3)
        await eventually(lambda: "swallow" in caplog.text)


async def test_a_request_without_reply_is_run_and_its_result_dropped(
    client: Client, unique: str
) -> None:
    service = Service("silent", version="1.0.0")
    seen: list[str] = []

    @service.handler(unique)
    async def note(text: str) -> str:
        seen.append(text)
        if text == "bad":
            raise ValueError
        return text

    async with client.serve(service) as server:
        await client.publish(unique, "one")
        await client.publish(unique, "bad")
        await client.connection.publish(unique, b"{")
        await client.connection.flush()
        endpoint = server.services[0].endpoints[0]
        await eventually(lambda: endpoint.answers.num_requests == 3)
    assert seen == ["one", "bad", "{"]
    assert (endpoint.answers.num_requests, endpoint.answers.num_errors) == (3, 1)


async def test_an_error_too_large_to_send_loses_its_body_only(client: Client, unique: str) -> None:
    service = Service("large-error", version="1.0.0")

    @service.handler(unique)
    async def handle() -> None:
        raise RpcError("large", code=418, details="x" * 2_000_000)

    async with client.serve(service):
        with pytest.raises(RpcError) as caught:
            await client.call(unique)
    assert (caught.value.code, caught.value.message, caught.value.details) == (418, "large", None)


async def test_a_code_that_is_none_is_refused_where_it_is_made(
    client: Client, unique: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service("odd-code", version="1.0.0")

    @service.handler(unique)
    async def handle() -> None:
        raise RpcError("odd", code="abc")  # type: ignore[arg-type]  # the mistake

    async with client.serve(service):
        with pytest.raises(InternalError):
            await client.call(unique)
    assert "code of 'RpcError' is 'abc': expected a number, 100 to 9999" in caplog.text


async def test_details_that_cannot_be_written_become_an_internal_error(
    client: Client, unique: str
) -> None:
    service = Service("odd-details", version="1.0.0")

    @service.handler(unique)
    async def handle() -> None:
        raise RpcError("odd", code=418, details=object())

    async with client.serve(service):
        with pytest.raises(InternalError):
            await client.call(unique)


async def test_a_multi_line_message_is_sent_on_one_line(client: Client, unique: str) -> None:
    service = Service("lines", version="1.0.0")

    @service.handler(unique)
    async def handle() -> None:
        raise RpcError("one\r\nX-Evil: 1\ntwo", code=400)

    async with client.serve(service):
        reply = await client.connection.request(unique)
    assert reply.headers["Nats-Service-Error"] == "one X-Evil: 1 two"
    assert "X-Evil" not in reply.headers


async def test_a_cancelled_call_cancels_its_handler(
    client: Client, other: Client, unique: str
) -> None:
    started, ended = asyncio.Event(), asyncio.Event()
    service = Service("cancel", version="1.0.0")

    @service.handler(unique)
    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with other.serve(service) as server:
        call = asyncio.ensure_future(client.call(unique, timeout=None))
        await asyncio.wait_for(started.wait(), 1)
        call.cancel()
        await asyncio.wait_for(ended.wait(), 1)
        with pytest.raises(asyncio.CancelledError):
            await call
        await eventually(lambda: server.inflight == 0)
        endpoint = server.services[0].endpoints[0]
        assert endpoint.answers.last_error.startswith("499:")


async def test_a_cancelled_call_that_still_waits_is_never_run(
    client: Client, other: Client, unique: str
) -> None:
    ran: list[int] = []
    gate = asyncio.Event()
    service = Service("cancel-waiting", version="1.0.0")

    @service.handler(unique, max_concurrency=1)
    async def one_at_a_time(n: int) -> int:
        ran.append(n)
        await gate.wait()
        return n

    async with other.serve(service) as server:
        first = asyncio.ensure_future(client.call(unique, 1))
        second = asyncio.ensure_future(client.call(unique, 2))
        await eventually(lambda: server.inflight == 2)
        second.cancel()
        await eventually(lambda: server.inflight == 1)
        gate.set()
        assert await first == 1
    assert ran == [1]


async def test_a_dead_worker_is_a_timeout_and_not_a_service_error(
    client: Client, unique: str
) -> None:
    await client.connection.subscribe(unique, cb=lambda msg: None)
    with pytest.raises(NatsTimeoutError) as caught:
        await client.call(unique, timeout=0.05)
    assert not isinstance(caught.value, RpcError)


async def test_the_end_of_a_drains_patience_is_answered(
    client: Client, other: Client, unique: str
) -> None:
    server = await other.serve(failing_service(unique))
    call = asyncio.ensure_future(client.call(f"{unique}.slow"))
    await eventually(lambda: server.inflight == 1)
    draining = asyncio.ensure_future(server.drain(0.02))
    with pytest.raises(UnavailableError) as caught:
        await call
    assert (type(caught.value), caught.value.code) == (UnavailableError, 503)
    await draining


def test_codes_of_the_family() -> None:
    family: dict[type[RpcError], int] = {
        BadRequestError: 400,
        CallCancelledError: 499,
        DeadlineExceededError: 504,
    }
    for error_class, code in family.items():
        assert error_class().code == code
    assert isinstance(DeadlineExceededError(), TimeoutError)


class Careless(RpcError, code=418):  # noqa: N818 — as users name theirs
    """Without a message that is text."""

    def __init__(self) -> None:
        super().__init__("fine")
        self.message = None  # type: ignore[assignment]  # the mistake


class Coded(RpcError):  # noqa: N818 — as users name theirs
    """With a code that no caller could read."""

    def __init__(self) -> None:
        super().__init__("fine")
        self.code = "E7"  # type: ignore[assignment]  # the mistake


@pytest.mark.parametrize("plain", [False, True])
@pytest.mark.parametrize(
    "error", [SystemExit(3), Careless(), Coded(), ExceptionGroup("x", [OSError()])]
)
async def test_whatever_is_raised_is_answered_and_ends_no_worker(
    client: Client, other: Client, unique: str, error: BaseException, plain: bool
) -> None:
    service = Service("careless", version="1.0.0")

    if plain:

        @service.handler(unique)
        def raise_in_a_thread(fail: bool) -> str:
            if fail:
                raise error
            return "goes on"
    else:

        @service.handler(unique)
        async def raise_it(fail: bool) -> str:
            if fail:
                raise error
            return "goes on"

    async with other.serve(service) as server:
        with pytest.raises(InternalError):
            await client.call(unique, True, timeout=2.0)
        assert await client.call(unique, False) == "goes on"
        (endpoint,) = server.services[0].endpoints
        assert (endpoint.answers.num_requests, endpoint.answers.num_errors) == (2, 1)
