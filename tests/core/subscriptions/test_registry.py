"""The registry: what a new session is told, and which subscriptions may be on two at once."""

from __future__ import annotations

import pytest

from natsrpc.core import Subscription
from tests.core.connected import connected


async def test_subscriptions_are_restored_with_what_is_left_of_their_limits() -> None:
    async with connected() as (nc, peer, _):
        plain = await nc.subscribe("a.*")
        group = await nc.subscribe("b", queue_group="q")
        limited = await nc.subscribe("c", max_msgs=3)
        peer.msg(b"c", b"%d" % limited.sid)
        await peer.synced()
        assert nc.link.subscriptions.restore() == [
            b"SUB a.* %d\r\n" % plain.sid,
            b"SUB b q %d\r\n" % group.sid,
            b"SUB c %d\r\n" % limited.sid,
            b"UNSUB %d 2\r\n" % limited.sid,
        ]


async def test_only_those_that_are_still_there_are_restored() -> None:
    async with connected() as (nc, _, _):
        kept, gone = await nc.subscribe("a"), await nc.subscribe("b")
        sids = [gone.sid, kept.sid]
        await gone.unsubscribe()
        assert nc.link.subscriptions.restore_some(sids) == [b"SUB a %d\r\n" % kept.sid]


async def test_a_subscription_that_drains_is_not_restored() -> None:
    async with connected(auto_pong=False) as (nc, peer, _):
        sub = await nc.subscribe("a")
        draining = nc.link.loop.create_task(sub.drain())
        ping = await peer.expect(b"PING")
        assert nc.link.subscriptions.restore() == []
        assert ping.raw == b"PING\r\n"
        peer.send(b"PONG\r\n")
        await draining


async def test_the_inbox_of_requests_is_restored_behind_the_subscriptions() -> None:
    async with connected() as (nc, _, _):
        inbox = nc.link.requests
        inbox.reply_subject(inbox.new_token())
        sub = await nc.subscribe("a")
        first, second = nc.link.subscriptions.restore()
        assert first == b"SUB a %d\r\n" % sub.sid
        assert second.startswith(b"SUB %b " % inbox.subject.encode())


@pytest.mark.parametrize(
    ("how", "echo", "may"),
    [
        ({}, True, False),
        ({"queue_group": "q"}, True, True),
        ({"queue_group": "q"}, False, False),
        ({"max_msgs": 1}, True, True),
        ({"max_msgs": 1}, False, True),
        ({"queue_group": "q", "max_msgs": 2}, True, False),
    ],
)
async def test_which_subscriptions_may_be_on_two_sessions(
    how: dict[str, object], echo: bool, may: bool
) -> None:
    async with connected() as (nc, _, _):
        sub: Subscription = await nc.subscribe("a", **how)  # type: ignore[arg-type]  # from the table
        shared, plain = nc.link.subscriptions.overlapping(echo=echo)
        assert (shared if may else plain) == [sub.sid]
        assert not (plain if may else shared)
