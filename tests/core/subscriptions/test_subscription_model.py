"""Random histories of one subscription, held against what must be true of each.

Whatever is delivered, read, cancelled, drained, unsubscribed and closed, in whatever order: every
message is handed over once, in order, or is still pending, or was dropped or discarded with a
reason; counters agree; and once it has ended nobody waits any more.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from natsrpc.core import Msg, Subscription
from natsrpc.core.subscriptions import Subscriptions, limits_of
from natsrpc.errors import (
    BadSubscriptionError,
    ConnectionClosedError,
    MaxMessagesError,
    SlowConsumerError,
)
from tests.core.harness import turns

KINDS = ("pull", "iterate", "async", "plain")
READING = ("deliver", "read", "two wait", "turn", "settle", "cancel the oldest read")
STEPS = (
    *READING * 4,
    "deliver a burst",
    "cancel the newest read",
    "let the handler go on",
    "handler fails",
    "unsubscribe",
    "unsubscribe after two more",
    "drain",
    "cancel a drain",
    "close",
)


class Link:
    """A link without a server: its barrier ends in the next turn."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.is_closed = False
        self.told: list[Exception] = []

    def write(self, frame: bytes) -> None:
        pass

    def write_to_all(self, frame: bytes) -> None:
        pass

    def report(self, error: Exception, sub: Subscription | None) -> None:
        self.told.append(error)

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    async def barrier(self) -> None:
        await asyncio.sleep(0)

    def check_open(self) -> None:
        if self.is_closed:
            raise ConnectionClosedError


class History:
    """One subscription and all that was done with it."""

    def __init__(self, kind: str, max_msgs: int | None, limit: int | None) -> None:
        self.link = Link()
        self.registry = Subscriptions(self.link)
        self.sent = 0
        self.got: list[int] = []
        self.reads: list[asyncio.Task[None]] = []
        self.drains: list[asyncio.Task[None]] = []
        self.gate = asyncio.Semaphore(0)
        self.fails = False
        self.was_ended = False
        callbacks: dict[str, Callable[[Msg], Any]] = {"async": self.handle, "plain": self.take}
        self.kind = kind
        self.sub = self.registry.add(
            "a", cb=callbacks.get(kind), max_msgs=max_msgs, limits=limits_of(limit, None)
        )
        self.pending = self.sub._intake.pending  # noqa: SLF001  the accounts are its own

    def take(self, msg: Msg) -> None:
        self.got.append(int(msg.data))

    async def handle(self, msg: Msg) -> None:
        self.take(msg)
        await self.gate.acquire()
        if self.fails:
            self.fails = False
            raise ZeroDivisionError

    async def read(self) -> None:
        if self.kind == "iterate":
            async for msg in self.sub:
                self.take(msg)
        else:
            self.take(await self.sub.next_msg(None))

    def deliver(self) -> None:
        if sink := self.registry.sinks.get(b"%d" % self.sub.sid):
            sink(Msg("a", b"%d" % self.sent))
            self.sent += 1

    async def step(self, name: str) -> None:
        match name:
            case "deliver":
                self.deliver()
            case "deliver a burst":
                for _ in range(5):
                    self.deliver()
            case "read" if self.kind in ("pull", "iterate"):
                self.reads.append(asyncio.create_task(self.read()))
            case "two wait":
                for _ in range(2):
                    await self.step("read")
                await turns(1)
            case "cancel the oldest read" | "cancel the newest read":
                live = [read for read in self.reads if not read.done()]
                for read in live[:1] if "oldest" in name else live[-1:]:
                    read.cancel()
            case "turn":
                await turns(1)
            case "settle":
                await self.settle()
            case "let the handler go on" | "handler fails":
                self.fails = name == "handler fails"
                self.gate.release()
            case _:
                await self.end(name)

    async def settle(self) -> None:
        """Nobody goes on waiting while a message is there."""
        await turns(6)
        idle = any(not read.done() for read in self.reads)
        assert not (idle and self.sub.is_valid and self.sub.pending_msgs)

    async def end(self, name: str) -> None:
        self.was_ended = self.was_ended or not name.startswith("cancel")
        match name:
            case "unsubscribe":
                await self.unsubscribe(None)
            case "unsubscribe after two more":
                await self.unsubscribe(self.sent + 2)
            case "drain":
                self.drains.append(asyncio.create_task(self.sub.drain()))
            case "cancel a drain" if self.drains:
                self.drains[-1].cancel()
            case "close":
                self.link.is_closed = True
                self.registry.close(ConnectionClosedError())

    async def unsubscribe(self, max_msgs: int | None) -> None:
        try:
            await self.sub.unsubscribe(max_msgs)
        except (BadSubscriptionError, ConnectionClosedError):
            assert not self.sub.is_valid

    def check(self) -> None:
        """What is true at every moment."""
        sub = self.sub
        assert self.got == sorted(set(self.got)), "in order, and none twice"
        waiting = []
        if self.pending is not None:
            assert self.pending.size == sum(len(msg.data) for msg in self.pending.msgs)
            waiting = [int(msg.data) for msg in self.pending.msgs]
        assert waiting == sorted(waiting)
        assert not self.got or not waiting or self.got[-1] < waiting[0]
        lost = self.sent - len(self.got) - len(waiting) - sub.dropped
        assert lost >= 0
        if lost:
            assert not sub.is_valid, "only an end discards"
            assert isinstance(sub.end_error, (BadSubscriptionError, ConnectionClosedError))
        assert sub.is_valid == (sub in self.registry.of_user())
        reaped = sub.max_msgs is not None and self.sent >= sub.max_msgs
        assert sub.is_valid or self.was_ended or reaped

    async def finish(self) -> None:
        """Whatever came before: once it has ended, everybody comes home."""
        for _ in range(200):
            self.gate.release()
        self.was_ended = True
        if self.sub.is_valid and not self.sub.is_draining:
            await asyncio.wait_for(self.sub.drain(), 5)
        tasks = [*self.reads, *self.drains]
        if tasks:
            _, late = await asyncio.wait(tasks, timeout=5)
            assert not late, f"still waiting: {late!r}"
        await turns(5)
        self.check()
        assert not vars(self.registry)["_finishing"]
        for task in tasks:
            if not task.cancelled():
                assert isinstance(task.exception(), EXPECTED | None)
        left = asyncio.all_tasks() - {asyncio.current_task()}
        assert not left, f"left behind: {left!r}"
        assert all(
            isinstance(error, (ZeroDivisionError, SlowConsumerError)) for error in self.link.told
        )


EXPECTED = BadSubscriptionError | ConnectionClosedError | MaxMessagesError | SlowConsumerError


async def run(
    kind: str, steps: list[str], *, max_msgs: int | None = None, limit: int | None = None
) -> None:
    history = History(kind, max_msgs, limit)
    for name in steps:
        await history.step(name)
        history.check()
    await history.finish()


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(KINDS),
    max_msgs=st.none() | st.integers(1, 8),
    limit=st.none() | st.integers(1, 4),
    steps=st.lists(st.sampled_from(STEPS), max_size=40),
)
def test_every_history_keeps_the_promises(
    kind: str, max_msgs: int | None, limit: int | None, steps: list[str]
) -> None:
    asyncio.run(run(kind, steps, max_msgs=max_msgs, limit=limit))


@settings(max_examples=400, deadline=None)
@given(
    kind=st.sampled_from(("pull", "iterate")),
    steps=st.lists(st.sampled_from(READING), max_size=40),
)
def test_every_row_of_reads_and_cancellations_loses_nothing(kind: str, steps: list[str]) -> None:
    asyncio.run(run(kind, steps))
