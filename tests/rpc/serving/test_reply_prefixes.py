"""`Service(reply_prefixes=...)`, and subjects that reach no handler."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from natsrpc.errors import BadSubjectError, ConfigError
from natsrpc.rpc import Client, Service
from natsrpc.rpc.serving.replies import check_prefixes, guarded
from tests.core.harness import eventually
from tests.rpc.scripted import message

pytestmark = pytest.mark.live

MIB = 1024 * 1024


def numbers(prefix: str, **options: Any) -> tuple[Service, list[int]]:
    """A service that notes what it was asked, with `add` and the stream `count`."""
    service = Service("careful", version="1.0.0", **options)
    group = service.group(prefix)
    seen: list[int] = []

    @group.handler("add")
    async def add(n: int) -> int:
        seen.append(n)
        return n + 1

    @group.handler("count")
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            seen.append(number)
            yield number

    @group.handler("size")
    async def size(data: bytes) -> int:
        return len(data)

    return service, seen


@pytest.mark.parametrize("prefixes", ["_INBOX.", (), ("",), ("$JS.",), ("a b",), (1,), ("a.*",)])
def test_prefixes_that_begin_no_reply_subject_are_refused(prefixes: Any) -> None:
    with pytest.raises(ConfigError, match="reply_prefixes"):
        Service("x", version="1.0.0", reply_prefixes=prefixes)


@pytest.mark.parametrize("reply", [b"", b"_R_.a", b"_GR_.a.b", b"_INBOX.a", b"_svc.a", b"_INBOXa"])
def test_what_servers_write_between_accounts_is_answered(reply: bytes) -> None:
    """Clients may not publish with such a reply subject; the server denies it."""
    taken: list[object] = []
    dropped: list[int] = []
    guard = guarded(taken.append, check_prefixes(("_INBOX.", "_svc.")), lambda: dropped.append(1))
    guard(message(reply=reply))
    assert len(taken) == (reply != b"_INBOXa")
    assert len(taken) + len(dropped) == 1


async def test_only_requests_from_where_callers_are_get_an_answer(
    client: Client, other: Client, unique: str
) -> None:
    service, seen = numbers(unique, reply_prefixes=("_INBOX.",))
    evil = other.connection
    async with client.serve(service) as server:
        (running,) = server.services
        others = await evil.subscribe(f"{unique}.victim")
        for number, reply in enumerate([f"{unique}.victim", "_INBOX.x", None, "_INBOXES"]):
            await evil.publish(f"{unique}.add", str(number).encode(), reply=reply)
        headers = {"Natsrpc-Frame": "open 5 5000"}
        await evil.publish(f"{unique}.count", b"5", reply=f"{unique}.victim", headers=headers)
        headers = {"Natsrpc-Frame": "large 5"}
        large = f"{unique}.size._NATSRPC.large"
        await evil.publish(large, reply=f"{unique}.victim", headers=headers)
        await evil.publish("$SRV.PING.careful", reply=f"{unique}.victim")
        await eventually(lambda: running.num_dropped == 5)
        await eventually(lambda: sorted(seen) == [1, 2])
        assert await other.call(f"{unique}.add", 7, int) == 8
        assert [n async for n in other.stream(f"{unique}.count", 3, returns=int)] == [0, 1, 2]
        assert await other.call(f"{unique}.size", b"x" * 2 * MIB, int) == 2 * MIB
        stats = await evil.request("$SRV.STATS.careful")
        assert b'"dropped":5' in stats.data
        assert others.pending_msgs == 0


async def test_a_stream_may_not_move_to_where_no_callers_are(
    client: Client, other: Client, unique: str
) -> None:
    service, seen = numbers(unique, reply_prefixes=("_INBOX.",))
    evil = other.connection
    async with client.serve(service) as server:
        victim = await evil.subscribe(f"{unique}.victim")
        mine = await evil.subscribe("_INBOX.mine")
        headers = {"Natsrpc-Frame": "open 3 1000"}
        await evil.publish(f"{unique}.count", b"5000", reply="_INBOX.mine", headers=headers)
        address = (await mine.next_msg(1)).reply
        headers = {"Natsrpc-Frame": "credit 5000 100000"}
        await evil.publish(address, reply=f"{unique}.victim", headers=headers)
        await eventually(lambda: server.inflight == 0)
        assert len(seen) < 10
        await evil.flush()
        assert victim.pending_msgs == 0


async def test_without_prefixes_discovery_answers_no_subject_of_the_servers(
    client: Client, other: Client, unique: str
) -> None:
    service, _ = numbers(unique)
    async with client.serve(service) as server:
        target = await other.connection.subscribe("$X.DELETE")
        await other.connection.publish("$SRV.PING.careful", reply="$X.DELETE")
        await eventually(lambda: server.services[0].num_dropped == 1)
        await other.connection.flush()
        assert target.pending_msgs == 0


# subjects of ours


@pytest.mark.parametrize("subject", ["_NATSRPC", "a._NATSRPC.large", "_NATSRPC.>", "*._NATSRPC"])
def test_no_handler_is_registered_under_a_subject_of_ours(subject: str) -> None:
    service = Service("x", version="1.0.0")
    with pytest.raises(ConfigError, match="`_NATSRPC` is the token of what natsrpc itself sends"):
        service.handler(subject)(_nothing)
    with pytest.raises(ConfigError, match="_NATSRPC"):
        service.group("_NATSRPC").handler("a")(_nothing)


async def _nothing() -> None: ...


@pytest.mark.parametrize("subject", ["_NATSRPC", "a._NATSRPC.large", "a._NATSRPC"])
async def test_no_call_goes_to_a_subject_of_ours(client: Client, subject: str) -> None:
    text = "`_NATSRPC` is the token of what natsrpc"
    for call in (
        client.call(subject),
        client.upload(subject, _items()),
        client.gather(subject, timeout=1.0),
    ):
        with pytest.raises(BadSubjectError, match=text):
            await call
    with pytest.raises(BadSubjectError, match=text):
        client.stream(subject)


async def _items() -> AsyncIterator[int]:
    yield 1


async def test_a_token_of_a_subject_is_not_ours_either(client: Client, unique: str) -> None:
    service = Service("x", version="1.0.0")

    @service.handler(f"{unique}.{{user}}.get")
    async def get(user: str) -> str:
        return user

    with pytest.raises(BadSubjectError):
        await client.call(get, tokens={"user": "_NATSRPC"})


@pytest.mark.parametrize("pattern", ["*", "*.*", "*.*.*", ">"])
@pytest.mark.parametrize("kind", ["unary", "stream"])
async def test_endpoints_with_wildcards_get_no_subject_of_ours_as_a_value(
    client: Client, other: Client, unique: str, pattern: str, kind: str
) -> None:
    service = Service("wild", version="1.0.0")
    seen: list[str] = []

    async def take(data: bytes) -> None:
        seen.append("called")

    async def give(data: bytes) -> AsyncIterator[int]:
        seen.append("called")
        yield 1

    service.handler(f"{unique}.{pattern}")(take if kind == "unary" else give)
    evil = other.connection
    async with client.serve(service) as server:
        (endpoint,) = server.services[0].endpoints
        depth = 3 if pattern == ">" else pattern.count("*")
        tokens = ["_NATSRPC", "a", "b"][:depth]
        await evil.publish(f"{unique}.{'.'.join(tokens)}", b"x", reply=evil.new_inbox())
        await evil.publish(f"{unique}.{'.'.join(tokens[::-1])}", b"x", reply=evil.new_inbox())
        await eventually(lambda: endpoint.answers.num_dropped == 2)
        assert seen == []


async def test_an_endpoint_of_all_subjects_takes_heads_and_ignores_cancels(
    client: Client, other: Client, unique: str
) -> None:
    service = Service("all", version="1.0.0")
    started, seen = asyncio.Event(), []

    @service.handler(f"{unique}.>")
    async def size(data: bytes) -> int:
        if data == b"wait":
            started.set()
            await asyncio.Event().wait()
        seen.append(len(data))
        return len(data)

    async with client.serve(service) as server:
        (endpoint,) = server.services[0].endpoints
        assert await other.call(f"{unique}.any.thing", b"x" * 3 * MIB, int) == 3 * MIB
        waiting = asyncio.ensure_future(other.call(f"{unique}.one", b"wait", int, timeout=1.0))
        await asyncio.wait_for(started.wait(), 5)
        waiting.cancel()
        await eventually(lambda: endpoint.answers.num_dropped == 1)
        assert server.inflight == 1  # its deadline ends it
        assert seen == [3 * MIB]
        await eventually(lambda: server.inflight == 0)
