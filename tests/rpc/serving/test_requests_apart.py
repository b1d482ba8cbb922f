"""What requests must not share, and bodies that are no JSON."""

from __future__ import annotations

import asyncio
import contextvars
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from pydantic import BaseModel

from natsrpc.errors import ConflictError, InternalError, InvalidRequestError, NotFoundError
from natsrpc.rpc import Client, Context, Header, Next, Service
from tests.core.harness import eventually


class Measure(BaseModel):
    """A body with a float."""

    value: float


async def test_a_default_is_not_shared_between_requests() -> None:
    service = Service("s", version="1.0.0")

    @service.handler("h")
    async def work(tags: list[str] = []) -> list[str]:  # noqa: B006 — what is tested
        tags.append("x")
        return tags

    async with service.test() as client:
        for _ in range(2):
            assert (await client.connection.request("h")).data == b'["x"]'


async def test_headers_that_a_handler_changes_are_its_own() -> None:
    service = Service("s", version="1.0.0")

    @service.handler("h")
    async def work(context: Context, a: Annotated[str, Header("X-A")]) -> str:
        before = context.headers["X-A"]
        context.headers.set("X-A", "changed")
        return f"{before} {a}"

    async with service.test() as client:
        for _ in range(3):
            reply = await client.connection.request("h", headers={"X-A": "sent"})
            assert reply.data == b'"sent sent"'


@pytest.mark.live
async def test_a_request_that_waited_has_no_variables_of_the_one_before(
    client: Client, other: Client, unique: str
) -> None:
    user: contextvars.ContextVar[str] = contextvars.ContextVar("user", default="nobody")
    service = Service("s", version="1.0.0")
    go_on = asyncio.Event()

    @service.handler(unique, max_concurrency=1)
    async def work(name: str) -> str:
        before = user.get()
        user.set(name)
        await go_on.wait()
        return before

    async with other.serve(service) as server:
        calls = [asyncio.ensure_future(client.call(work, name)) for name in ("ada", "bob", "eve")]
        await eventually(lambda: server.inflight == 3)
        go_on.set()
        assert await asyncio.gather(*calls) == ["nobody"] * 3


@pytest.mark.parametrize("body", [b"NaN", b"Infinity", b"-Infinity", b'"NaN"'])
async def test_nan_is_the_caller_s_mistake(body: bytes, caplog: pytest.LogCaptureFixture) -> None:
    service = Service("s", version="1.0.0")

    @service.handler("whole")
    async def whole(x: float) -> float:
        return x

    @service.handler("model")
    async def model(x: Measure) -> float:
        return x.value

    @service.handler("fields")
    async def fields(a: float, b: int = 1) -> float:
        return a

    @service.handler("upload")
    async def upload(items: AsyncIterator[float]) -> float:
        return sum([item async for item in items])

    async with service.test() as client:
        request = client.connection.request
        for subject, form in (
            ("whole", b"%b"),
            ("model", b'{"value":%b}'),
            ("fields", b'{"a":%b}'),
        ):
            reply = await request(subject, form % body)
            assert reply.headers["Nats-Service-Error-Code"] in ("400", "422")

        async def items() -> AsyncIterator[str]:
            yield "NaN"

        with pytest.raises(InvalidRequestError):
            await client.upload("upload", items(), returns=float)
    assert caplog.records == []


async def test_nan_in_an_answer_is_an_error_of_the_service(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = Service("s", version="1.0.0")

    @service.handler("h")
    async def work() -> float:
        return float("nan")

    async with service.test() as client:
        with pytest.raises(InternalError):
            await client.call(work)
    assert "NaN is not JSON" in caplog.text


async def test_the_real_error_of_a_task_group_is_answered(caplog: pytest.LogCaptureFixture) -> None:
    service = Service("s", version="1.0.0")
    seen: list[str] = []

    @service.middleware
    async def watch(context: Context, call_next: Next[Context]) -> object:
        try:
            return await call_next(context)
        except* NotFoundError as group:
            seen.append(type(group).__name__)
            raise

    async def fail(error: Exception) -> None:
        raise error

    @service.handler("one")
    async def one() -> None:
        async with asyncio.TaskGroup() as outer, asyncio.TaskGroup() as inner:
            outer.create_task(asyncio.sleep(0))
            inner.create_task(fail(NotFoundError("no such order")))

    @service.handler("mixed")
    async def mixed() -> None:
        async with asyncio.TaskGroup() as group:
            group.create_task(fail(ConflictError("taken")))
            group.create_task(fail(ZeroDivisionError("the bug")))

    async with service.test() as client:
        with pytest.raises(NotFoundError, match="no such order"):
            await client.call(one)
        assert caplog.records == []
        with pytest.raises(InternalError):
            await client.call(mixed)
    assert seen == ["ExceptionGroup"]
    assert "the bug" in caplog.text
