"""Leaving a server that is about to go: make before break, each message once, in order."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any, NamedTuple

import pytest

from natsrpc.core import Connection, Msg, Reconnected, Status, connect
from natsrpc.errors import ConnectionClosedError, NoRespondersError
from natsrpc.testing import Cluster
from tests.core.harness import (
    Frame,
    Peer,
    ScriptedServer,
    elapse,
    eventually,
    no_leaks,
    turns,
    warped,
)
from tests.core.recorder import Recorder

QUICK: dict[str, Any] = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}
LAME = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "10s"\n'


class Move(NamedTuple):
    """A client on `old`, which is about to be told of `target`."""

    nc: Connection
    old: Peer
    first: ScriptedServer
    target: ScriptedServer

    async def begin(self, *, quiet: bool = True) -> Peer:
        """Lame duck; the client's connection to the other server. `quiet`: the old server answers
        no PING until told to, so the handover stands where plain subscriptions have ended."""
        self.old.auto_pong = not quiet
        self.old.info(ldm=True, connect_urls=[self.target.address])
        new = await self.target.accept()
        await eventually(lambda: self.nc.server_address == ("127.0.0.1", self.target.port))
        return new

    async def settle(self, new: Peer) -> None:
        """The old server answers what it was asked, and goes on answering."""
        asked = self.old.ops().count(b"PING") - 1  # one was the handshake's
        for _ in range(asked):
            self.old.pong()
        self.old.auto_pong = True
        await eventually(lambda: self.nc.stats().reconnects > 0)
        await new.synced()


@contextlib.asynccontextmanager
async def moving(**options: Any) -> AsyncIterator[Move]:
    async with (
        ScriptedServer(info={"server_id": "OLD"}) as first,
        ScriptedServer(info={"server_id": "NEW"}) as target,
        connect(first.url, **{**QUICK, **options}) as nc,
    ):
        old = await first.accept()
        yield Move(nc, old, first, target)


def heads(frames: list[Frame]) -> list[bytes]:
    return [frame.raw.split(b"\r\n")[0] for frame in frames]


# moving


@pytest.mark.parity("L-cluster")
async def test_lame_duck_is_told_once_and_the_connection_moves_away() -> None:
    recorder = Recorder()
    async with moving(**recorder.options) as move:
        move.old.info(ldm=True, connect_urls=[move.target.address])
        move.old.info(ldm=True, connect_urls=[move.target.address])
        await move.target.accept()
        await asyncio.wait_for(move.old.closed.wait(), 5)
        assert move.nc.connected_server_id == "NEW"
        await eventually(lambda: "on_reconnect" in recorder.names)
        assert recorder.names == [
            "on_connect",
            "on_discovered_servers",
            "on_lame_duck",
            "on_disconnect",
            "on_reconnect",
        ]
        assert recorder.told("on_disconnect") == [(None,)]
        assert move.nc.status is Status.CONNECTED
        assert move.nc.stats().reconnects == 1


@pytest.mark.parametrize("option", ["lame_duck_reconnect", "allow_reconnect"])
@warped
async def test_moving_away_can_be_switched_off(option: str) -> None:
    recorder = Recorder()
    async with moving(**{option: False}, **recorder.options) as move:
        move.old.info(ldm=True, connect_urls=[move.target.address])
        await eventually(lambda: "on_lame_duck" in recorder.names)
        await elapse(10)
        assert move.target.peers == []


@warped
async def test_without_another_server_the_connection_stays_and_moves_once_one_is_known() -> None:
    async with moving() as move:
        move.old.info(ldm=True)
        await move.old.synced()
        await elapse(10)
        assert move.nc.connected_server_id == "OLD"
        move.old.info(ldm=True, connect_urls=[move.target.address])
        await move.target.accept()
        await eventually(lambda: move.nc.connected_server_id == "NEW")


async def test_it_keeps_trying_the_others_as_long_as_the_old_server_serves() -> None:
    recorder = Recorder()
    async with moving(**recorder.options) as move:
        move.target.refuse()
        move.old.info(ldm=True, connect_urls=[move.target.address])
        await eventually(lambda: len(recorder.told("on_reconnect_error")) >= 2)
        assert move.nc.connected_server_id == "OLD"
        await move.nc.flush()
        await move.target.listen()
        await move.target.accept()
        await eventually(lambda: move.nc.connected_server_id == "NEW")


async def test_a_server_lost_before_the_move_is_a_plain_loss() -> None:
    recorder = Recorder()
    async with no_leaks(), moving(reconnect_wait=60, **recorder.options) as move:
        move.old.info(ldm=True, connect_urls=[move.target.address])
        await move.old.synced()
        move.old.close()
        await move.target.accept()
        await eventually(lambda: "on_reconnect" in recorder.names)
        assert isinstance(recorder.told("on_disconnect")[0][0], Exception)
        assert len(move.target.peers) == 1
        assert move.nc.stats().reconnects == 1
        assert "natsrpc lame duck" not in task_names()


def task_names() -> set[str]:
    return {task.get_name() for task in asyncio.all_tasks()}


# each message once


async def test_plain_subscriptions_end_on_the_old_session_before_they_begin_on_the_new() -> None:
    got: list[bytes] = []
    async with moving() as move:
        sub = await move.nc.subscribe("plain", cb=lambda msg: got.append(msg.data))
        await move.nc.flush()
        new = await move.begin()
        await move.old.expect(b"UNSUB " + b"%d" % sub.sid)
        await move.old.synced()
        await turns(20)
        assert not any(frame.op == b"SUB" for frame in new.frames)  # the old server has not said so
        move.old.msg(b"plain", b"%d" % sub.sid, b"sent before the UNSUB came")
        await move.settle(new)
        assert (await new.expect(b"SUB plain")).sid == b"%d" % sub.sid
        new.msg(b"plain", b"%d" % sub.sid, b"by the new server")
        await new.synced()
        assert got == [b"sent before the UNSUB came", b"by the new server"]


async def test_members_leave_the_old_server_when_the_new_one_knows_them() -> None:
    async with moving() as move:
        sub = await move.nc.subscribe("g", queue_group="q")
        await move.nc.flush()
        move.target.auto_pong = True
        new = await move.begin()
        new.auto_pong = False
        await move.old.expect(b"PING")
        move.old.pong()
        move.old.auto_pong = True
        await new.expect(b"PING")
        await move.old.synced()
        assert not any(frame.op == b"UNSUB" for frame in move.old.frames)
        new.pong()
        new.auto_pong = True
        await move.old.expect(b"UNSUB " + b"%d" % sub.sid)


async def test_a_subscription_that_drains_meanwhile_does_not_begin_on_the_new_session() -> None:
    async with moving() as move:
        sub = await move.nc.subscribe("plain")
        await move.nc.flush()
        new = await move.begin()
        await move.old.expect(b"PING")
        drain = asyncio.create_task(sub.drain())
        await turns()
        move.old.pong()  # settled, and the drain still waits for its own PONG
        await new.expect(b"UNSUB")
        await new.expect(b"PING")
        assert not any(frame.op == b"SUB" for frame in new.frames)
        await move.old.expect(b"PING")
        move.old.pong()
        await asyncio.wait_for(drain, 5)


async def test_members_of_groups_are_on_both_sessions_for_a_while() -> None:
    got: list[bytes] = []
    async with moving() as move:
        sub = await move.nc.subscribe("g", queue_group="q", cb=lambda msg: got.append(msg.data))
        await move.nc.flush()
        new = await move.begin()
        await new.expect(b"SUB g q")
        assert not any(frame.op == b"UNSUB" for frame in move.old.frames)
        move.old.msg(b"g", b"%d" % sub.sid, b"1")
        new.msg(b"g", b"%d" % sub.sid, b"2")
        await eventually(lambda: sorted(got) == [b"1", b"2"])
        await move.settle(new)
        unsub = await move.old.expect(b"UNSUB")
        assert unsub.args == (b"%d" % sub.sid,)
        await asyncio.wait_for(move.old.closed.wait(), 5)


@pytest.mark.parametrize(
    ("options", "how"),
    [({"echo": False}, {}), ({}, {"max_msgs": 5})],
    ids=["no echo", "limited"],
)
async def test_groups_that_could_get_a_message_wrongly_on_both_move_like_plain_ones(
    options: dict[str, Any], how: dict[str, Any]
) -> None:
    async with moving(**options) as move:
        await move.nc.subscribe("g", queue_group="q", **how)
        await move.nc.flush()
        new = await move.begin()
        await move.old.expect(b"UNSUB")
        await move.old.synced()
        await turns(20)
        assert not any(frame.op == b"SUB" for frame in new.frames)
        await move.settle(new)
        await new.expect(b"SUB g q")


async def test_what_is_published_meanwhile_follows_what_the_old_server_has_treated() -> None:
    async with moving() as move:
        await move.nc.publish("n", b"old")
        new = await move.begin()
        await move.old.expect(b"PUB n")
        await move.nc.publish("n", b"held")
        flush = asyncio.create_task(move.nc.flush())
        await move.old.synced()
        await turns(20)
        assert not any(frame.op == b"PUB" for frame in new.frames)
        assert not flush.done()
        sub = await move.nc.subscribe("later")
        await move.nc.publish("n", b"held too")
        await move.settle(new)
        await asyncio.wait_for(flush, 5)
        assert (await new.expect(b"PUB n")).payload == b"held"
        await new.expect(b"SUB later " + b"%d" % sub.sid)
        assert (await new.expect(b"PUB n")).payload == b"held too"


async def test_a_connection_that_is_moved_is_not_congested_for_that() -> None:
    async with moving() as move:
        new = await move.begin()
        await move.nc.publish("n", b"held")
        assert not move.nc.link.congested
        while not move.nc.link.congested:
            move.nc.link.send(b"n", bytes(100_000))
        waiting = asyncio.create_task(move.nc.link.writable())
        await turns(5)
        assert not waiting.done()
        await move.settle(new)
        await asyncio.wait_for(waiting, 5)


# requests and their replies


async def test_the_inbox_of_an_old_style_request_is_on_both_sessions() -> None:
    async with moving(old_style_requests=True) as move:
        request = asyncio.create_task(move.nc.request("a", b"1", timeout=5))
        reply = (await move.old.expect(b"PUB a")).reply
        new = await move.begin()
        inbox = (await new.expect(b"SUB _INBOX.")).sid
        new.msg(reply, inbox, b"answer")
        move.old.msg(reply, inbox, b"answer")
        assert (await request).data == b"answer"
        await move.settle(new)


async def test_replies_that_the_old_server_still_brings_are_waited_for() -> None:
    async with moving() as move:
        request = asyncio.create_task(move.nc.request("a", b"1", timeout=5))
        reply = (await move.old.expect(b"PUB a")).reply
        inbox = (await eventual_sub(move.old)).sid
        new = await move.begin(quiet=False)
        await new.expect(b"SUB _INBOX.")
        await new.synced()
        await move.old.synced()
        await turns(50)
        assert not move.old.closed.is_set()
        move.old.msg(reply, inbox, b"answer")
        assert (await request).data == b"answer"
        await asyncio.wait_for(move.old.closed.wait(), 5)


async def eventual_sub(peer: Peer) -> Frame:
    await eventually(lambda: any(frame.op == b"SUB" for frame in peer.frames))
    return next(frame for frame in peer.frames if frame.op == b"SUB")


async def test_a_reply_that_comes_on_both_sessions_is_taken_once_and_not_counted_as_late() -> None:
    async with moving() as move:
        requests = [
            asyncio.create_task(move.nc.request("a", b"%d" % n, timeout=5)) for n in range(2)
        ]
        replies = [(await move.old.expect(b"PUB a")).reply for _ in range(2)]
        inbox = (await eventual_sub(move.old)).sid
        new = await move.begin(quiet=False)
        again = (await new.expect(b"SUB _INBOX.")).sid
        assert again != inbox
        move.old.msg(replies[0], inbox, b"0")
        await move.old.synced()
        new.msg(replies[0], again, b"0")
        new.msg(replies[1], again, b"1")
        await new.synced()
        move.old.msg(replies[1], inbox, b"1")
        await move.old.synced()
        assert [(await request).data for request in requests] == [b"0", b"1"]
        later = asyncio.create_task(move.nc.request("b", timeout=5))
        reply = (await new.expect(b"PUB b")).reply
        new.msg(reply, again, b"2")
        assert (await later).data == b"2"
        assert move.nc.stats().unmatched_replies == 0


async def test_each_stream_of_replies_is_read_from_one_session() -> None:
    got: list[bytes] = []
    async with moving() as move:
        nc = move.nc
        token = nc.link.requests.new_token()
        before = nc.link.requests.reply_subject(token)
        nc.link.requests.streams[token] = lambda msg: got.append(b"before " + msg.data)
        inbox = (await eventual_sub(move.old)).sid
        keeps_it_open = asyncio.create_task(nc.request("a", timeout=5))
        reply = (await move.old.expect(b"PUB a")).reply
        new = await move.begin(quiet=False)
        again = (await new.expect(b"SUB _INBOX.")).sid
        token = nc.link.requests.new_token()
        after = nc.link.requests.reply_subject(token)
        nc.link.requests.streams[token] = lambda msg: got.append(b"after " + msg.data)
        for n in range(3):
            for subject in (before, after):
                move.old.msg(subject, inbox, b"%d" % n)
                new.msg(subject, again, b"%d" % n)
        await new.synced()
        await move.old.synced()
        assert sorted(got) == sorted(
            [b"before %d" % n for n in range(3)] + [b"after %d" % n for n in range(3)]
        )
        move.old.msg(reply, inbox)
        await keeps_it_open
        await asyncio.wait_for(move.old.closed.wait(), 5)
        new.msg(before, again, b"goes on")
        await new.synced()
        assert got[-1] == b"before goes on"
        assert len(got) == 7


async def test_the_twin_of_the_last_reply_is_no_late_reply() -> None:
    async with moving() as move:
        request = asyncio.create_task(move.nc.request("a", timeout=5))
        reply = (await move.old.expect(b"PUB a")).reply
        inbox = (await eventual_sub(move.old)).sid
        new = await move.begin(quiet=False)
        new.auto_pong = False
        again = (await new.expect(b"SUB _INBOX.")).sid
        await new.expect(b"PING")
        new.pong()
        move.old.msg(reply, inbox, b"answer")
        assert (await request).data == b"answer"
        await new.expect(b"PING")  # the old session is not needed any more
        new.msg(reply, again, b"answer")
        new.pong()
        await asyncio.wait_for(move.old.closed.wait(), 5)
        await new.synced()
        assert move.nc.stats().unmatched_replies == 0


@pytest.mark.parametrize("end", ["left", "lost"])
async def test_a_stream_misses_nothing_where_it_passes_from_one_session_to_the_other(
    end: str,
) -> None:
    """The servers may be at different places of the stream when the old one is left or dies."""
    got: list[bytes] = []
    async with moving() as move:
        nc = move.nc
        token = nc.link.requests.new_token()
        subject = nc.link.requests.reply_subject(token)
        nc.link.requests.streams[token] = lambda msg: got.append(msg.data)
        inbox = (await eventual_sub(move.old)).sid
        request = asyncio.create_task(nc.request("a", timeout=5))
        reply = (await move.old.expect(b"PUB a")).reply
        move.old.msg(subject, inbox, b"0")
        await move.old.synced()
        new = await move.begin(quiet=False)
        again = (await new.expect(b"SUB _INBOX.")).sid
        for n in (1, 2, 2, 3, 4, 5):  # two may be the same
            new.msg(subject, again, b"%d" % n)
        await new.synced()
        assert got == [b"0"]
        for n in (1, 2, 2, 3):
            move.old.msg(subject, inbox, b"%d" % n)
        await move.old.synced()
        if end == "left":
            move.old.msg(reply, inbox)
            await asyncio.wait_for(move.old.closed.wait(), 5)
            await request
        else:
            move.old.reset()
            request.cancel()
        await eventually(lambda: got[-1] == b"5")
        new.msg(subject, again, b"6")
        await new.synced()
        assert b"".join(got) == b"01223456"


async def test_a_drain_during_the_move_waits_for_both_sessions() -> None:
    got: list[bytes] = []
    async with moving() as move:
        sub = await move.nc.subscribe("g", queue_group="q", cb=lambda msg: got.append(msg.data))
        await move.nc.flush()
        new = await move.begin()
        drain = asyncio.create_task(sub.drain())
        await move.old.expect(b"UNSUB " + b"%d" % sub.sid)
        move.old.msg(b"g", b"%d" % sub.sid, b"still on its way")
        await move.settle(new)
        await asyncio.wait_for(drain, 5)
        assert got == [b"still on its way"]


async def test_a_listener_can_tell_a_move_from_a_reconnect() -> None:
    async with moving() as move:
        events: list[Reconnected] = []
        move.nc.link.add_listener(
            lambda event: events.append(event) if isinstance(event, Reconnected) else None
        )
        new = await move.begin()
        await move.settle(new)
        assert events == [Reconnected(is_handover=True)]
        new.reset()
        await eventually(lambda: len(events) == 2)
        assert events[1] == Reconnected(is_handover=False)


# when one of the two goes


async def test_a_move_whose_old_session_was_lost_before_it_settled_counts_as_a_reconnect() -> None:
    async with moving() as move:
        events = move.nc.events()
        await move.begin()
        move.old.reset()
        while not isinstance(event := await anext(events), Reconnected):
            pass
        assert event == Reconnected(is_handover=False)


async def test_losing_the_old_session_ends_the_wait_for_it() -> None:
    async with moving() as move:
        plain = await move.nc.subscribe("plain")
        request = asyncio.create_task(move.nc.request("a", timeout=5))
        reply = (await move.old.expect(b"PUB a")).reply
        new = await move.begin()
        await move.nc.publish("n", b"held")
        move.old.reset()
        await new.expect(b"SUB plain " + b"%d" % plain.sid)
        await new.expect(b"PUB n")
        await eventually(lambda: "natsrpc handover" not in task_names())
        inbox = next(frame.sid for frame in new.frames if b"_INBOX" in frame.raw)
        new.msg(reply, inbox, b"on the new one then")
        assert (await request).data == b"on the new one then"
        assert move.nc.stats().reconnects == 1


async def test_losing_a_settled_old_session_ends_the_wait_for_it_too() -> None:
    async with moving() as move:
        request = asyncio.create_task(move.nc.request("a", timeout=5))
        await move.old.expect(b"PUB a")
        new = await move.begin(quiet=False)
        await move.settle(new)
        move.old.reset()
        await eventually(lambda: "natsrpc handover" not in task_names())
        assert not request.done()
        request.cancel()


async def test_what_the_old_session_never_handed_over_goes_out_first_on_the_new() -> None:
    async with moving() as move:
        move.old.stall()
        while not move.nc.link.congested:
            move.nc.link.send(b"n", bytes(500_000))
            await turns(2)
        for n in range(3):
            move.nc.link.send(b"n", b"unsent %d" % n)
        new = await move.begin()
        move.nc.link.send(b"n", b"held")
        move.old.reset()
        await eventually(lambda: b"held" in [frame.payload for frame in new.frames])
        assert [frame.payload for frame in new.frames if frame.op == b"PUB"][-4:] == [
            b"unsent 0",
            b"unsent 1",
            b"unsent 2",
            b"held",
        ]


async def test_losing_the_new_session_before_it_settled_is_a_plain_loss() -> None:
    got: list[bytes] = []
    async with moving() as move:
        plain = await move.nc.subscribe("plain", cb=lambda msg: got.append(msg.data))
        await move.nc.flush()
        new = await move.begin()
        await move.nc.publish("n", b"held")
        move.first.refuse()
        new.reset()
        again = await move.target.accept()
        await again.expect(b"SUB plain " + b"%d" % plain.sid)
        assert (await again.expect(b"PUB n")).payload == b"held"
        await asyncio.wait_for(move.old.closed.wait(), 5)
        again.msg(b"plain", b"%d" % plain.sid, b"1")
        await again.synced()
        assert got == [b"1"]


@warped
async def test_an_old_server_that_falls_silent_is_dropped_after_a_while() -> None:
    async with moving(ping_interval=0) as move:
        sub = await move.nc.subscribe("plain")
        await move.nc.flush()
        new = await move.begin()
        await move.nc.publish("n", b"held")
        start = move.nc.link.loop.time()
        await new.expect(b"SUB plain " + b"%d" % sub.sid, 20)
        await new.expect(b"PUB n")
        assert move.nc.link.loop.time() - start == pytest.approx(5, abs=0.5)
        await asyncio.wait_for(move.old.closed.wait(), 5)


@warped
async def test_replies_that_never_come_are_not_waited_for_without_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async with moving(ping_interval=0) as move:
        request = asyncio.create_task(move.nc.request("a", timeout=1000))
        await move.old.expect(b"PUB a")
        await move.begin(quiet=False)
        start = move.nc.link.loop.time()
        await asyncio.wait_for(move.old.closed.wait(), 60)
        assert move.nc.link.loop.time() - start == pytest.approx(30, abs=1)
        assert not request.done()
        request.cancel()
    assert "still awaited" in caplog.text


async def test_a_drain_that_begins_before_the_move_keeps_the_old_session() -> None:
    async with moving() as move:
        gate = asyncio.Event()

        async def stuck(msg: Msg) -> None:
            await gate.wait()

        sub = await move.nc.subscribe("a", cb=stuck)
        move.old.msg(b"a", b"%d" % sub.sid)
        await move.old.synced()
        move.target.handshake = False
        move.old.info(ldm=True, connect_urls=[move.target.address])
        new = await move.target.accept()
        drain = asyncio.create_task(move.nc.drain())
        await eventually(lambda: move.nc.is_draining)
        new.info()
        await asyncio.wait_for(new.closed.wait(), 5)  # not needed any more
        assert move.nc.connected_server_id == "OLD"
        gate.set()
        await asyncio.wait_for(drain, 5)


async def test_a_second_lame_duck_right_behind_the_first_is_left_too() -> None:
    async with ScriptedServer(info={"server_id": "THIRD"}) as third, moving() as move:
        request = asyncio.create_task(move.nc.request("a", timeout=5))
        reply = (await move.old.expect(b"PUB a")).reply
        inbox = (await eventual_sub(move.old)).sid
        second = await move.begin(quiet=False)
        move.first.refuse()  # as a server in lame duck mode does
        second.info(ldm=True, connect_urls=[third.address])
        last = await third.accept()
        await eventually(lambda: move.nc.connected_server_id == "THIRD")
        move.old.info(max_payload=1)  # of no concern any more
        await move.old.synced()
        assert move.nc.max_payload > 1
        move.old.msg(reply, inbox, b"by the first")
        assert (await request).data == b"by the first"
        await asyncio.wait_for(second.closed.wait(), 5)
        again = asyncio.create_task(move.nc.request("b", timeout=5))
        asked = await last.expect(b"PUB b")
        sids = [frame.sid for frame in last.frames if frame.op == b"SUB"]
        last.msg(asked.reply, sids[-1], b"by the last")
        assert (await again).data == b"by the last"


async def test_closing_during_the_move_closes_both_sessions() -> None:
    async with no_leaks(), moving() as move:
        request = asyncio.create_task(move.nc.request("a", timeout=60))
        await move.old.expect(b"PUB a")
        new = await move.begin()
        await asyncio.wait_for(move.nc.close(), 3)
        with pytest.raises(ConnectionClosedError):
            await request
        await asyncio.wait_for(move.old.closed.wait(), 5)
        await asyncio.wait_for(new.closed.wait(), 5)


async def test_counts_go_on_over_a_move() -> None:
    async with moving() as move:
        sub = await move.nc.subscribe("g", queue_group="q")
        await move.nc.flush()
        move.old.msg(b"g", b"%d" % sub.sid, b"12")
        await move.old.synced()
        new = await move.begin()
        move.old.msg(b"g", b"%d" % sub.sid, b"34")
        new.msg(b"g", b"%d" % sub.sid, b"56")
        await eventually(lambda: move.nc.stats().in_msgs == 3)
        assert (move.nc.stats().in_msgs, move.nc.stats().in_bytes) == (3, 6)
        await move.settle(new)
        await asyncio.wait_for(move.old.closed.wait(), 5)
        assert (move.nc.stats().in_msgs, move.nc.stats().in_bytes) == (3, 6)


# on a real cluster


async def interest(nc: Connection, subject: str) -> None:
    """Wait until the routes have told the server of `nc` that somebody answers."""
    async with asyncio.timeout(5):
        while True:
            with contextlib.suppress(NoRespondersError):
                await nc.request(subject, b"ready?")
                return


@pytest.mark.live
@pytest.mark.parity("L-cluster")
async def test_a_real_server_is_left_without_a_message_doubled_or_a_request_lost() -> None:
    """Plain subscribers get everything at most once and in order, groups everything once."""
    recorder = Recorder()
    seen: list[int] = []
    worked: Counter[bytes] = Counter()
    async with Cluster(2, LAME) as cluster:
        leaving, staying = cluster.servers
        async with (
            connect(staying.url, ignore_discovered_servers=True) as outside,
            connect(cluster.urls, first_server=leaving.url, **QUICK, **recorder.options) as nc,
        ):

            async def work(msg: Msg) -> None:
                worked[msg.data] += 1
                await msg.respond(msg.data)

            await nc.subscribe("lame.plain", cb=lambda msg: seen.append(int(msg.data)))
            await nc.subscribe("lame.work", queue_group="q", cb=work)
            await interest(outside, "lame.work")
            worked.clear()
            answers = []
            for n in range(400):
                if n == 100:
                    leaving.lame_duck()
                await outside.publish("lame.plain", b"%d" % n)
                asker = outside if n % 2 else nc
                answers.append(asyncio.create_task(asker.request("lame.work", b"%d" % n)))
                await asyncio.sleep(0.001)  # why: so the move falls into the midst of them
                if n == 399:
                    await eventually(lambda: staying.url in repr(nc), 10)
            replies = await asyncio.gather(*answers)
            await outside.publish("lame.plain", b"400")
            await eventually(lambda: seen[-1:] == [400])
        leaving.kill()  # it would take its time over a polite signal
        assert [int(reply.data) for reply in replies] == list(range(400))
        assert set(worked.values()) == {1}
        assert len(worked) == 400
        assert seen == sorted(set(seen))
        assert len(seen) > 350
        assert recorder.names.count("on_lame_duck") == 1
