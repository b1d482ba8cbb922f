"""Stalls: what is read after the process did not run is dated back, and told before it is read."""

from __future__ import annotations

import math
import time

from natsrpc.core import Connection, Msg
from natsrpc.core.link.stalls import LATE, PULSE
from tests.core.connected import Pair, connected, sid_of
from tests.core.harness import Peer, elapse, eventually, warped

BLOCKED = 2 * (PULSE + LATE)


class Watcher:
    """Notes what a watcher of stalls is told, and the messages between, with their dates."""

    def __init__(self, nc: Connection) -> None:
        self.seen: list[str] = []
        self.dates: dict[str, float] = {}
        self._link = nc.link
        nc.link.attach("x", self._take)
        nc.link.stalls.watch(self.begun, self.over)

    def begun(self) -> None:
        self.seen.append("begun")

    def over(self) -> None:
        self.seen.append("over")

    def _take(self, msg: Msg) -> None:
        name = msg.data.decode()
        self.seen.append(name)
        self.dates[name] = self._link.read_at


async def watched(pair: Pair) -> tuple[Watcher, bytes]:
    """A watcher that has heard a message in a loop that runs."""
    watcher = Watcher(pair.nc)
    sid = await sid_of(pair.peer, b"x")
    pair.peer.msg(b"x", sid, b"before")
    await eventually(lambda: watcher.seen == ["before"])
    return watcher, sid


def block(peer: Peer, sid: bytes, data: bytes) -> None:
    """Let a message arrive while nothing runs here."""
    peer.msg(b"x", sid, data)
    time.sleep(BLOCKED)  # why: a blocked loop is the case


async def test_what_is_read_after_a_stall_is_dated_back_until_the_pong() -> None:
    async with connected(auto_pong=False, ping_interval=60) as pair:
        watcher, sid = await watched(pair)
        began = pair.nc.link.loop.time()
        block(pair.peer, sid, b"old")
        await pair.peer.expect(b"PING")
        assert pair.nc.link.stalls.is_under_way
        pair.peer.msg(b"x", sid, b"older than the PONG")
        pair.peer.pong()
        await eventually(lambda: "over" in watcher.seen)
        pair.peer.msg(b"x", sid, b"new")
        await eventually(lambda: "new" in watcher.seen)
        assert watcher.seen == ["before", "begun", "old", "older than the PONG", "over", "new"]
        assert watcher.dates["old"] <= began
        assert watcher.dates["older than the PONG"] <= began
        assert watcher.dates["new"] >= began + BLOCKED
        assert not pair.nc.link.stalls.is_under_way


async def test_a_stall_that_nothing_arrived_in_is_noticed_as_well() -> None:
    async with connected(auto_pong=False, ping_interval=60) as pair:
        watcher, sid = await watched(pair)
        time.sleep(BLOCKED)  # noqa: ASYNC251  # why: a blocked loop is the case
        await pair.peer.expect(b"PING")
        pair.peer.msg(b"x", sid, b"late")
        pair.peer.pong()
        await eventually(lambda: "over" in watcher.seen)
        assert watcher.seen == ["before", "begun", "late", "over"]


async def test_a_session_that_is_lost_ends_a_stall() -> None:
    async with connected(auto_pong=False, ping_interval=60) as pair:
        watcher, sid = await watched(pair)
        block(pair.peer, sid, b"old")
        await pair.peer.expect(b"PING")
        pair.server.auto_pong = True
        pair.peer.reset()
        await eventually(lambda: watcher.seen == ["before", "begun", "old", "over"])
        peer = await pair.server.accept()
        sid = await sid_of(peer, b"x")
        peer.msg(b"x", sid, b"new")
        await eventually(lambda: "new" in watcher.seen)
        assert watcher.dates["new"] > watcher.dates["old"]


async def test_nobody_is_told_who_does_not_watch() -> None:
    async with connected(auto_pong=False, ping_interval=60) as pair:
        watcher, sid = await watched(pair)
        pair.nc.link.stalls.unwatch(watcher.begun, watcher.over)
        assert pair.nc.link.stall_at == math.inf
        block(pair.peer, sid, b"old")
        await eventually(lambda: "old" in watcher.seen)
        assert watcher.seen == ["before", "old"]
        assert b"PING" not in pair.peer.ops()[2:]


@warped
async def test_a_loop_that_runs_has_no_stalls() -> None:
    async with connected(ping_interval=600) as pair:
        watcher, sid = await watched(pair)
        await elapse(30)
        pair.peer.msg(b"x", sid, b"quiet")
        await eventually(lambda: "quiet" in watcher.seen)
        assert watcher.seen == ["before", "quiet"]
