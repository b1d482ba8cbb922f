"""Subscriptions that a server denies, or takes away, and gives back: real servers and reloads."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import Any

import pytest

from natsrpc.core import Msg, Subscription, SubscriptionStatus, connect
from natsrpc.errors import PermissionsError
from natsrpc.testing import NatsServer
from tests.core.connected import connected, sid_of
from tests.core.harness import eventually, no_leaks, turns

pytestmark = pytest.mark.live

USER = "authorization {{ users: [ {{ user: u, password: p, permissions: {{ {0} }} }} ] }}"
ALL = USER.format('publish: ">", subscribe: ">"')
SOME = USER.format('publish: ">", subscribe: { deny: ["secret.>"] }')
NO_INBOX = USER.format('publish: ">", subscribe: { deny: ["_INBOX.>"] }')
SIGN_IN = {"user": "u", "password": "p"}
QUICK: dict[str, Any] = {**SIGN_IN, "reconnect_wait": 0.01, "reconnect_jitter": 0.0}


@pytest.fixture
def server() -> Iterator[NatsServer]:
    with NatsServer(ALL) as server:
        yield server


async def reload(server: NatsServer, config: str) -> None:
    await asyncio.to_thread(server.reload, config)


async def test_what_is_taken_away_and_given_back_is_subscribed_again_by_a_reconnect(
    server: NatsServer,
) -> None:
    seen: list[Msg] = []
    async with connect(server.url, **QUICK) as nc:

        async def handle(msg: Msg) -> None:
            seen.append(msg)

        worked = await nc.subscribe("secret.worked", cb=handle)
        placed = await nc.subscribe("secret.placed", cb=seen.append, queue_group="q")
        queue: asyncio.Queue[Msg] = asyncio.Queue()
        queued = await nc.subscribe("secret.queued", into=queue)
        limited = await nc.subscribe("secret.limited", max_msgs=2)
        read = await nc.subscribe("secret.read")
        every = [worked, placed, queued, limited, read]
        reader = asyncio.ensure_future(read.next_msg(None))
        await nc.publish("secret.limited", b"first")
        await nc.flush()
        await reload(server, SOME)
        with pytest.raises(PermissionsError):
            await reader
        await eventually(lambda: not any(sub.is_valid for sub in every))
        assert nc.subscriptions == []
        assert "denied" in repr(read)
        await reload(server, ALL)
        await nc.force_reconnect()
        await nc.flush()
        assert nc.subscriptions == every
        assert not any(sub.end_error for sub in every)
        for sub in every:
            await nc.publish(sub.subject, b"again")
        assert (await read.next_msg(2)).data == b"again"
        assert (await asyncio.wait_for(queue.get(), 2)).data == b"again"
        assert [msg.data async for msg in limited] == [b"first", b"again"]
        await eventually(lambda: len(seen) == 2)


async def test_what_is_still_denied_in_the_next_session_is_told_again(server: NatsServer) -> None:
    told: list[object] = []
    async with connect(server.url, **QUICK, on_error=lambda nc, sub, e: told.append(sub)) as nc:
        sub = await nc.subscribe("secret.plan")
        await nc.flush()
        await reload(server, SOME)
        await eventually(lambda: told == [sub])
        await nc.force_reconnect()
        await eventually(lambda: told == [sub, sub])
        assert not sub.is_valid


@pytest.mark.parametrize("how", ["unsubscribe", "drain", "detach"])
async def test_one_that_is_denied_can_be_ended_and_does_not_come_back(
    server: NatsServer, how: str
) -> None:
    async with connect(server.url, **QUICK) as nc:
        sub = await nc.subscribe("secret.plan")
        await nc.flush()
        await reload(server, SOME)
        await eventually(lambda: not sub.is_valid)
        if how == "unsubscribe":
            await sub.unsubscribe()
        elif how == "drain":
            await sub.drain()
        else:
            nc.link.detach(sub)
        await reload(server, ALL)
        await nc.force_reconnect()
        await nc.flush()
        assert (sub.is_valid, nc.subscriptions) == (False, [])


async def test_asking_again_tells_whether_it_is_given_back_and_troubles_nobody(
    server: NatsServer,
) -> None:
    told: list[object] = []
    async with connect(server.url, **QUICK, on_error=lambda nc, sub, e: told.append(e)) as nc:
        sub = await nc.subscribe("secret.plan")
        other = await nc.subscribe("open")
        await nc.flush()
        await reload(server, SOME)
        await eventually(lambda: not sub.is_valid)
        for _ in range(3):
            await nc.link.ask_again([sub, other])
            assert (sub.is_valid, other.is_valid) == (False, True)
        await eventually(lambda: len(told) == 1)
        await reload(server, ALL)
        await nc.link.ask_again([sub, other])
        assert sub.is_valid
        await nc.publish("secret.plan", b"1")
        assert (await sub.next_msg(2)).data == b"1"
        assert len(told) == 1


async def test_what_a_reload_takes_away_is_asked_for_until_it_is_given_back(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.core.link.regaining.FIRST_WAIT", 0.01)
    monkeypatch.setattr("natsrpc.core.link.regaining.LONGEST_WAIT", 0.03)
    errors: list[object] = []
    seen: list[bytes] = []
    statuses: list[SubscriptionStatus] = []
    async with (
        no_leaks(),
        connect(server.url, **QUICK, on_error=lambda nc, sub, e: errors.append(sub)) as nc,
    ):
        taken = await nc.subscribe("secret.cb", cb=lambda msg: seen.append(msg.data))
        taken.on_status = lambda sub, status: statuses.append(status)
        read = await nc.subscribe("secret.read")
        ended = await nc.subscribe("secret.ended")
        bare = nc.link.attach("secret.bare", lambda msg: seen.append(msg.data))
        await nc.flush()
        await reload(server, SOME)
        await eventually(lambda: len(errors) == 4)
        await ended.unsubscribe()

        def refused(subject: str) -> int:
            """How often, as the server logs it."""
            lines = server.log.splitlines()
            return sum("Subscription Violation" in line and subject in line for line in lines)

        await eventually(lambda: refused("secret.read") >= 4)
        with pytest.raises(PermissionsError):
            await read.next_msg(2)
        await reload(server, ALL)
        await eventually(lambda: taken.is_valid and read.is_valid)
        await eventually(lambda: SubscriptionStatus.ACTIVE in statuses)
        assert statuses == [SubscriptionStatus.DENIED, SubscriptionStatus.ACTIVE]
        assert (bare.is_valid, ended.is_valid) == (False, False)  # a bare one's owner asks for it
        assert refused("secret.bare") <= 1
        for subject in ("secret.cb", "secret.read"):
            await nc.publish(subject, b"back")
        assert (await read.next_msg(2)).data == b"back"
        await eventually(lambda: seen == [b"back"])
        assert set(errors) == {taken, read, ended, bare}
        assert len(errors) == 4  # what was still denied was told to nobody
        tasks = asyncio.all_tasks
        await eventually(lambda: "natsrpc denied" not in [task.get_name() for task in tasks()])


@pytest.mark.parametrize("how", ["waits", "drained", "drains"])
async def test_of_two_alike_the_second_is_denied_where_the_first_was(
    server: NatsServer, how: str
) -> None:
    await reload(server, SOME)
    told: list[object] = []
    async with connect(server.url, **QUICK, on_error=lambda nc, sub, e: told.append(sub)) as nc:
        first = await nc.subscribe("secret.plan")
        if how == "waits":
            await nc.flush()
        draining = asyncio.ensure_future(first.drain()) if how != "waits" else None
        if draining is not None and how == "drained":
            await draining
        with pytest.raises(PermissionsError):
            await nc.subscribe("secret.plan", check=True)
        if draining is not None:
            await draining
        assert isinstance(first.end_error, PermissionsError)
        ended = SubscriptionStatus.DENIED if how == "waits" else SubscriptionStatus.CLOSED
        assert first.status is ended
        await eventually(lambda: len(told) == 2)
        assert told[0] is first


async def test_of_two_alike_that_is_denied_which_was_asked_for_first() -> None:
    """Servers answer in order, and one that is asked for again is the last of them."""
    denial = 'Permissions Violation for Subscription to "secret"'
    async with connected() as (nc, peer, _):
        old = await nc.subscribe("secret")
        await sid_of(peer, b"secret")
        peer.err(denial)
        await peer.synced()
        assert not old.is_valid
        new = await nc.subscribe("secret")
        await nc.link.ask_again([old])
        peer.err(denial)
        await peer.synced()
        assert (old.is_valid, new.is_valid) == (True, False)


@pytest.mark.parametrize("by", ["reload", "restart"])
async def test_all_of_several_alike_that_worked_are_asked_for_until_they_are_given_back(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    monkeypatch.setattr("natsrpc.core.link.regaining.FIRST_WAIT", 0.01)
    monkeypatch.setattr("natsrpc.core.link.regaining.LONGEST_WAIT", 0.03)
    got: list[int] = []
    statuses: list[SubscriptionStatus] = []
    async with connect(server.url, **QUICK, on_error=lambda *_: None) as nc:
        alike = [
            await nc.subscribe("secret.plan", cb=lambda msg: got.append(int(msg.sid)))
            for _ in range(3)
        ]
        for sub in alike:
            sub.on_status = lambda _, status: statuses.append(status)
        await nc.flush()
        if by == "reload":
            await reload(server, SOME)
        else:
            server.config = SOME
            await asyncio.to_thread(server.restart)
        # each was told of, and asked for again and again
        await eventually(lambda: server.log.count("Subscription Violation") >= 12)
        assert statuses == 3 * [SubscriptionStatus.DENIED]
        assert nc.subscriptions == []
        await reload(server, ALL)
        await eventually(lambda: len(statuses) == 6)
        assert statuses[3:] == 3 * [SubscriptionStatus.ACTIVE]
        assert nc.subscriptions == alike
        await nc.publish("secret.plan", b"")
        await eventually(lambda: sorted(got) == [sub.sid for sub in alike])


async def test_one_that_was_never_allowed_is_asked_for_by_the_next_session_only(
    server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("natsrpc.core.link.regaining.FIRST_WAIT", 0.01)
    await reload(server, SOME)
    async with connect(server.url, **QUICK, on_error=lambda *_: None) as nc:
        sub = await nc.subscribe("secret.plan")
        await eventually(lambda: not sub.is_valid)
        assert "natsrpc denied" not in [task.get_name() for task in asyncio.all_tasks()]
        await reload(server, ALL)
        await nc.force_reconnect()
        await nc.flush()
        assert sub.is_valid


async def test_a_connection_with_a_denied_subscription_drains(server: NatsServer) -> None:
    async with connect(server.url, **QUICK) as nc:
        sub = await nc.subscribe("secret.plan")
        await nc.flush()
        await reload(server, SOME)
        await eventually(lambda: not sub.is_valid)
        await nc.drain()
        assert nc.is_closed


async def test_what_a_denied_one_received_is_still_handled() -> None:
    handled: list[bytes] = []
    go_on = asyncio.Event()

    async def handle(msg: Msg) -> None:
        await go_on.wait()
        handled.append(msg.data)

    async with connected() as (nc, peer, _):
        sub: Subscription = await nc.subscribe("secret", cb=handle)
        sid = await sid_of(peer, b"secret")
        for data in (b"1", b"2"):
            peer.msg(b"secret", sid, data)
        peer.err(f'Permissions Violation for Subscription to "secret" (sid "{sub.sid}")')
        await peer.synced()
        assert not sub.is_valid
        draining = asyncio.ensure_future(sub.drain())
        await turns()
        go_on.set()
        await draining
        assert handled == [b"1", b"2"]


async def test_an_inbox_that_is_given_back_is_asked_for_again_by_the_requests_that_fail(
    server: NatsServer,
) -> None:
    async with connect(server.url, **QUICK) as nc, connect(server.url, **QUICK) as other:
        await other.subscribe("ask", cb=lambda msg: other.link.send(msg.raw_reply, b"yes"))
        await other.flush()
        assert (await nc.request("ask")).data == b"yes"
        await reload(server, NO_INBOX)

        async def is_denied() -> bool:
            try:
                await nc.request("ask", timeout=60)
            except PermissionsError:
                return True
            return False

        await eventually(is_denied)
        await reload(server, ALL)
        await eventually(lambda: _answered(nc.request("ask", timeout=60)))


async def _answered(request: Awaitable[Msg]) -> bool:
    try:
        return (await request).data == b"yes"
    except PermissionsError:
        return False
