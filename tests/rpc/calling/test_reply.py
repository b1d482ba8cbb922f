"""`Client.request`: the value of an answer and what came with it."""

from __future__ import annotations

import pickle
from collections.abc import AsyncIterator
from typing import Annotated, Any

import nats
import pytest

import natsrpc
from natsrpc.errors import (
    ContractError,
    NatsTimeoutError,
    NoRespondersError,
    NotFoundError,
    OverloadedError,
)
from natsrpc.rpc import Call, Client, Context, Next, Policy, Reply, Service, Token, connect
from natsrpc.testing import NatsServer

pytestmark = pytest.mark.live


def pages(prefix: str) -> Service:
    service = Service("pages", version="1.0.0")
    group = service.group(prefix)

    @group.handler("page", idempotent=True)
    async def page(number: int, context: Context) -> list[int]:
        context.reply_headers["X-Next-Page"] = str(number + 1)
        return [number] * number

    @group.handler("plain.{user}")
    async def plain(user: Annotated[str, Token()]) -> str:
        return user

    @group.handler("none")
    async def none(context: Context) -> int:
        context.reply_headers["Retry-After"] = "30"
        raise NotFoundError("no page")

    return service


@pytest.fixture
async def served(client: Client, unique: str) -> AsyncIterator[str]:
    async with client.serve(pages(unique)):
        yield unique


async def test_a_reply_has_value_headers_and_subject(client: Client, served: str) -> None:
    reply = await client.request(f"{served}.page", 2, list[int])
    assert isinstance(reply, natsrpc.Reply)
    assert reply == Reply([2, 2], natsrpc.Headers({"X-Next-Page": "3"}), f"{served}.page")
    assert reply.headers["x-next-page"] == "3"
    assert pickle.loads(pickle.dumps(reply)) == reply


async def test_a_reply_without_headers_has_empty_ones(client: Client, served: str) -> None:
    reply = await client.request(f"{served}.plain.ann", returns=str)
    assert (reply.value, len(reply.headers)) == ("ann", 0)


async def test_a_handler_is_asked_with_its_types_and_tokens(client: Client, unique: str) -> None:
    service = Service("typed", version="1.0.0")

    @service.handler(f"{unique}.{{user}}.get")
    async def get(number: int, user: Annotated[str, Token()]) -> str:
        return user * number

    async with client.serve(service):
        reply = await client.request(get, 2, tokens={"user": "ann"})
        assert (reply.value, reply.subject) == ("annann", f"{unique}.ann.get")


async def test_calls_and_requests_of_one_subject_are_kept_apart(
    client: Client, served: str
) -> None:
    for _ in range(2):
        assert await client.call(f"{served}.page", 1, list[int]) == [1]
        assert (await client.request(f"{served}.page", 1, list[int])).value == [1]
        errors = (NotFoundError,)
        assert await client.call(f"{served}.page", 1, list[int], errors=errors) == [1]
        assert (await client.request(f"{served}.page", 1, list[int], errors=errors)).value == [1]


async def test_errors_have_the_headers(client: Client, served: str) -> None:
    for ask in (client.request, client.call):
        with pytest.raises(NotFoundError) as caught:
            await ask(f"{served}.none")
        assert caught.value.headers == {"Retry-After": "30"}
        assert (caught.value.came_from, caught.value.relayed) == (f"{served}.none", False)


async def test_errors_on_the_way_are_those_of_a_call(client: Client, unique: str) -> None:
    with pytest.raises(NoRespondersError):
        await client.request(unique)
    await client.connection.subscribe(unique, cb=lambda msg: None)
    with pytest.raises(NatsTimeoutError, match=r"within 0\.05 s") as late:
        await client.request(unique, timeout=0.05)
    assert late.value.subject == unique


async def test_a_reply_that_does_not_fit_is_refused(client: Client, served: str) -> None:
    for subject in (f"{served}.plain.ann", f"{served}.page"):
        with pytest.raises(ContractError):
            await client.request(subject, 1, dict[str, int])


@pytest.mark.parametrize("size", [0, 600_000])
async def test_requests_and_replies_larger_than_a_message(
    client: Client, unique: str, size: int
) -> None:
    service = Service("large", version="1.0.0")

    @service.handler(unique)
    async def echo(context: Context, text: str) -> str:
        context.reply_headers["X-Size"] = str(len(text))
        return text * 2

    async with client.serve(service):
        text = "x" * (size or 2_000_000)
        reply = await client.request(unique, text, str)
    assert reply.value == text * 2
    assert reply.headers == {"X-Size": str(len(text))}


async def test_policies_repeat_requests(client: Client, unique: str) -> None:
    service = Service("busy", version="1.0.0")
    runs: list[int] = []

    @service.handler(unique)
    async def busy(context: Context) -> int:
        runs.append(1)
        context.reply_headers["X-Runs"] = str(len(runs))
        if len(runs) < 3:
            raise OverloadedError("not yet")
        return len(runs)

    async with client.serve(service):
        reply = await client.request(unique, returns=int, policy=Policy(attempts=3, wait=0.001))
        assert (reply.value, reply.headers["X-Runs"]) == (3, "3")
        runs.clear()
        with Policy(attempts=2, wait=0.001).scope(), pytest.raises(OverloadedError) as caught:
            await client.request(unique, returns=int)
    assert caught.value.headers == {"X-Runs": "2"}


async def test_idempotent_requests_are_hedged_and_give_replies(client: Client, served: str) -> None:
    policy = Policy(idempotent=True, hedge_after=0.001)
    reply = await client.request(f"{served}.page", 1, list[int], policy=policy)
    assert reply.headers == {"X-Next-Page": "2"}


async def test_middleware_sees_requests_and_their_replies(client: Client, served: str) -> None:
    seen: list[Any] = []

    @client.middleware
    async def watch(call: Call, call_next: Next[Call]) -> Any:
        response = await call_next(call)
        seen.append((call.kind, response))
        return response

    reply = await client.request(f"{served}.page", 1, list[int])
    assert seen == [("request", reply)]
    assert await client.call(f"{served}.page", 1, list[int]) == [1]
    assert seen[1] == ("call", [1])


@pytest.mark.parametrize("old_style", [False, True])
async def test_a_reply_of_a_stranger(nats_server: NatsServer, unique: str, old_style: bool) -> None:
    nc = await nats.connect(nats_server.url)

    async def answer(msg: Any) -> None:
        headers = {"Content-Type": "application/json", "X-Page": "2"}
        await nc.publish(msg.reply, b"[1]", headers=headers)

    await nc.subscribe(unique, cb=answer)
    await nc.flush()
    try:
        async with connect(nats_server.url, old_style_requests=old_style) as client:
            reply = await client.request(unique, returns=list[int])
    finally:
        await nc.close()
    assert reply.value == [1]
    assert reply.headers == {"Content-Type": "application/json", "X-Page": "2"}
