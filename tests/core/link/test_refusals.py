"""Subscriptions that a server has no place for, which it does not name: who is told, and what is
left alone."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natsrpc.core import connect
from natsrpc.errors import MaxSubscriptionsError
from natsrpc.testing import NatsServer
from tests.core.connected import connected
from tests.core.harness import eventually

pytestmark = pytest.mark.live

QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}


@pytest.mark.parametrize("old_style", [False, True])
async def test_a_request_whose_inbox_is_one_too_many_fails_at_once(old_style: bool) -> None:
    with NatsServer("max_subscriptions: 1") as server:
        async with connect(server.url, old_style_requests=old_style) as nc:
            one = await nc.subscribe("one")
            for _ in range(3):
                with pytest.raises(MaxSubscriptionsError):
                    await asyncio.wait_for(nc.request("nobody", timeout=60), 10)
            assert one.is_valid
            await nc.publish("one", b"1")
            assert (await one.next_msg(2)).data == b"1"


async def test_requests_go_on_once_there_is_a_place_for_their_inbox() -> None:
    with NatsServer("max_subscriptions: 1") as server:
        async with connect(server.url) as nc, connect(server.url) as other:
            await other.subscribe("ask", cb=lambda msg: other.link.send(msg.raw_reply, b"yes"))
            await other.flush()
            one = await nc.subscribe("one")
            with pytest.raises(MaxSubscriptionsError):
                await nc.request("ask", timeout=60)
            await one.unsubscribe()

            async def is_answered() -> bool:
                try:
                    return (await nc.request("ask", timeout=60)).data == b"yes"
                except MaxSubscriptionsError:
                    return False

            await eventually(is_answered)


async def test_one_that_is_refused_is_told_and_those_before_it_go_on() -> None:
    told: list[tuple[object, Exception]] = []
    with NatsServer("max_subscriptions: 2") as server:
        async with connect(
            server.url, on_error=lambda nc, sub, error: told.append((sub, error))
        ) as nc:
            first, second, third = [await nc.subscribe(name) for name in ("a", "b", "c")]
            await eventually(lambda: not third.is_valid)
            assert isinstance(third.end_error, MaxSubscriptionsError)
            assert (first.is_valid, second.is_valid) == (True, True)
            with pytest.raises(MaxSubscriptionsError):
                await third.next_msg()
            await eventually(lambda: third in [sub for sub, _ in told])
            for sub in (first, second):
                await nc.publish(sub.subject, b"1")
                assert (await sub.next_msg(2)).data == b"1"


@pytest.mark.parametrize("then", ["request_many", "subscribe"])
async def test_one_that_is_refused_while_another_is_looked_for_is_found_too(then: str) -> None:
    told: list[object] = []
    with NatsServer("max_subscriptions: 3") as server:
        async with connect(server.url, on_error=lambda nc, sub, _: told.append(sub)) as nc:
            kept = [await nc.subscribe(name) for name in ("a", "b", "c")]  # all are asked for again
            with pytest.raises(MaxSubscriptionsError):
                await nc.request("ask", timeout=60)
            if then == "subscribe":
                late = await nc.subscribe("late")
                await eventually(lambda: late in told)
                assert isinstance(late.end_error, MaxSubscriptionsError)
            else:
                with pytest.raises(MaxSubscriptionsError):
                    await anext(aiter(nc.request_many("ask", timeout=60)))
            await eventually(lambda: nc.subscriptions == kept)


async def test_a_server_with_fewer_places_is_found_out_after_a_reconnect() -> None:
    with NatsServer("max_subscriptions: 3") as server:
        async with connect(server.url, **QUICK) as nc:
            subs = [await nc.subscribe(name, check=True) for name in ("a", "b", "c")]
            server.config = "max_subscriptions: 2"
            await asyncio.to_thread(server.restart)
            await eventually(lambda: [sub.is_valid for sub in subs] == [True, True, False])
            server.config = "max_subscriptions: 3"
            await asyncio.to_thread(server.restart)
            await eventually(lambda: all(sub.is_valid for sub in subs))


async def test_subscriptions_that_were_accepted_are_left_alone() -> None:
    async with connected() as (nc, peer, _):
        await nc.subscribe("accepted", check=True)
        sub = await nc.subscribe("too.many")
        peer.err("maximum subscriptions exceeded")
        await peer.expect(b"UNSUB 2")
        await nc.flush()
        assert [frame.raw for frame in peer.frames if frame.op == b"UNSUB"] == [b"UNSUB 2\r\n"]
        assert sub.is_valid  # the peer had nothing against it this time
