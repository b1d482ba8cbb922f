"""What a subscription tells of itself: `status` and `on_status`."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from natsrpc.core import Msg, Subscription, SubscriptionStatus, connect
from natsrpc.errors import ConfigTypeError
from natsrpc.testing import NatsServer
from tests.core.connected import connected, sid_of
from tests.core.harness import eventually

ACTIVE, SLOW, DENIED, DRAINING, CLOSED = SubscriptionStatus


class Told(list[SubscriptionStatus]):
    """What `on_status` was told; it must be true at that moment."""

    def __call__(self, sub: Subscription, status: SubscriptionStatus) -> None:
        self.append(status)


@pytest.mark.parity("L-status")
@pytest.mark.parametrize("on_full", ["drop_new", "drop_old", "block"])
async def test_slowness_is_told_once_an_episode(on_full: Any) -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", pending_msgs_limit=1, on_full=on_full)
        sub.on_status = told = Told()
        sid = await sid_of(peer, b"a")
        assert sub.status is ACTIVE
        for _ in range(4):
            peer.msg(b"a", sid, b"x")
        await eventually(lambda: told)
        assert sub.status is SLOW
        assert told == [SLOW]
        if on_full == "block":
            while sub.pending_msgs:
                await sub.next_msg()
            assert sub.status is ACTIVE


async def test_an_end_by_slowness_is_told_as_an_end() -> None:
    async with connected() as (nc, peer, _):
        sub = await nc.subscribe("a", pending_msgs_limit=1, on_full="error")
        sub.on_status = told = Told()
        sid = await sid_of(peer, b"a")
        peer.msg(b"a", sid, b"x")
        peer.msg(b"a", sid, b"x")
        await eventually(lambda: told == [CLOSED])
        assert sub.status is CLOSED


@pytest.mark.parametrize("name", ["on_status", "on_closed"])
async def test_what_cannot_be_called_in_place_is_refused(name: str) -> None:
    async def later(*_: object) -> None:
        """An async callback."""

    async with connected() as (nc, _, _):
        sub = await nc.subscribe("a")
        for wrong in (later, 5):
            with pytest.raises(ConfigTypeError, match=f"{name} must be a plain function"):
                setattr(sub, name, wrong)
        setattr(sub, name, None)


@pytest.mark.parity("L-status")
@pytest.mark.parametrize("how", ["unsubscribe", "drain", "close", "limit"])
async def test_its_end_is_told(how: str) -> None:
    async with connected() as (nc, peer, _):
        go = asyncio.Event()

        async def slowly(msg: Msg) -> None:
            await go.wait()

        sub = await nc.subscribe("a", cb=slowly, max_msgs=1 if how == "limit" else None)
        sub.on_status = told = Told()
        sid = await sid_of(peer, b"a")
        if how == "unsubscribe":
            await sub.unsubscribe()
        elif how == "close":
            await nc.close()
        elif how == "limit":
            peer.msg(b"a", sid, b"x")
            await eventually(lambda: told)
        else:
            peer.msg(b"a", sid, b"x")
            await eventually(lambda: sub.delivered)
            draining = asyncio.create_task(sub.drain())
            await eventually(lambda: told == [DRAINING])
            assert sub.status is DRAINING
            go.set()
            await draining
            assert told.pop(0) is DRAINING
        assert told == [CLOSED]
        assert sub.status is CLOSED
        go.set()


@pytest.mark.parity("L-status")
@pytest.mark.live
async def test_a_denial_and_its_end_are_told() -> None:
    def config(denied: str) -> str:
        deny = f'subscribe: {{ deny: ["{denied}"] }}'
        return (
            f"authorization {{ users: [ {{user: me, password: x, permissions: {{ {deny} }}}} ] }}"
        )

    with NatsServer(config("nothing")) as server:
        async with connect(server.url, user="me", password="x", reconnect_wait=0.01) as nc:
            sub = await nc.subscribe("a", check=True)
            sub.on_status = told = Told()
            await asyncio.to_thread(server.reload, config("a"))
            await eventually(lambda: told == [DENIED])
            assert sub.status is DENIED
            await asyncio.to_thread(server.reload, config("nothing"))
            await nc.force_reconnect()
            await eventually(lambda: told == [DENIED, ACTIVE])
            assert sub.status is ACTIVE


async def test_what_the_function_raises_goes_to_on_error() -> None:
    errors: list[Any] = []
    async with connected(on_error=lambda *event: errors.append(event[2])) as (nc, _, _):
        sub = await nc.subscribe("a")

        def broken(sub: Subscription, status: SubscriptionStatus) -> None:
            raise ZeroDivisionError

        sub.on_status = broken
        await sub.unsubscribe()
        await eventually(lambda: errors)
        assert isinstance(errors[0], ZeroDivisionError)
        assert sub.on_status is broken
