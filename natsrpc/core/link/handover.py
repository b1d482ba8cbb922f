"""A handover: from one session to another while both are alive, make before break.

A server in lame duck mode goes on serving for a while, and still answers what was asked of it. So
the session with it is left in steps. No step doubles a message, and none loses one but for plain
subscriptions: of what others publish between the first two steps, a round trip apart, they get
nothing. Two copies of a message cannot be told from two messages alike, so on both sessions they
would get some of them twice.

1. *Switch*, in one loop turn: the new session gets the members of queue groups and the request
   inbox. For these both sessions may listen at once: a group hands each message to one member, and
   a reply is taken once by its token. The old session is told to end the plain subscriptions, which
   on both sessions would get each message twice. What is published from now on goes to the new
   session, and is held there.
2. *Settled*, when the old server has answered a PING: it has treated all that was published
   through it, and nothing more comes for plain subscriptions. They start on the new session, and
   what was held goes out behind them. The two servers keep no order between each other: of two
   messages, one before and one after the switch, a third server may bring the second first.
3. Once the new server knows the group members, they leave the old one.
4. When the replies to requests sent before the switch are here, the old session is closed.

A stream of replies opened before the switch comes on both sessions: it is read from the old one as
long as that lasts, and what the new one brought beyond that follows then (`Twins`).

If the old session is lost meanwhile, nothing is left to wait for. If the new one is, the link
reconnects as ever, and the old one is dropped unless it has settled.
"""

from __future__ import annotations

import asyncio
from collections import defaultdict, deque
from collections.abc import Iterable
from logging import Logger, getLogger
from typing import Protocol

from natsrpc.errors import ConnectionClosedError, NatsTimeoutError

from ..requests import RequestMux
from ..session import Session
from ..subscriptions import Subscriptions
from ..wire import Msg, Sink, frames

log: Logger = getLogger("natsrpc.core")

_SETTLE_TIMEOUT = 5.0
_LEAVE_TIMEOUT = 30.0


class HandoverHost(Protocol):
    """The link, as a handover needs it."""

    def settled(self, *, lossless: bool) -> None:
        """The new session does all the work from now on; `lossless` if the old server has treated
        all that was sent to it."""

    def left(self, handover: Handover) -> None:
        """The old session is closed."""


class Handover:
    """One move from `old` to `new`. The link makes it and calls `switch` in the same loop turn."""

    def __init__(
        self,
        host: HandoverHost,
        old: Session,
        new: Session,
        *,
        subscriptions: Subscriptions,
        requests: RequestMux,
    ) -> None:
        self._host = host
        self._subscriptions = subscriptions
        self._mux = requests
        self._old_inbox: bytes | None = None  # the number of the request inbox on `old`
        self._plain: list[int] = []
        self._shared: list[int] = []
        self._asked = frozenset(self._mux.pending)
        self._streams = frozenset(self._mux.streams)
        self._twins = Twins(self._mux.route)
        self._is_settled = False
        self.old = old
        self.new = new
        self.task: asyncio.Task[None] = asyncio.create_task(self._run(), name="natsrpc handover")

    def switch(self, *, echo: bool) -> None:
        """Begin on the new session what may overlap, end on the old one what may not."""
        registry = self._subscriptions
        if registry.request_inbox is not None:
            subject, self._old_inbox = registry.request_inbox
            registry.sinks[self._old_inbox] = self._route_old
            self.new.transport.write(registry.listen_anew(subject, self._route_new))
        self._shared, self._plain = registry.overlapping(echo=echo)
        for frame in registry.restore_some(self._shared):
            self.new.transport.write(frame)
        self.new.transport.write_out()
        self.new.transport.hold()
        for sid in self._plain:
            self.old.transport.write(frames.unsub(b"%d" % sid))

    async def _run(self) -> None:
        try:
            try:
                async with asyncio.timeout(_SETTLE_TIMEOUT):
                    await _answered(self.old)
            except TimeoutError:
                self.old.lose(NatsTimeoutError(f"{self.old.server.address} answers no PING"))
            self._settle()
            if not self.old.is_lost:
                await self._leave()
        finally:
            self._settle()
            self.old.close()
            self._twins.end()
            self._restore_route()
            self._host.left(self)

    def _settle(self) -> None:
        if self._is_settled:
            return
        self._is_settled = True
        if self.new.is_lost:
            return
        first = self._subscriptions.restore_some(self._plain)
        if self.old.is_lost:
            first += frames.publishes(self.old.transport.take_unsent())
        self.new.transport.release(first)
        self._host.settled(lossless=not self.old.is_lost)

    async def _leave(self) -> None:
        try:
            async with asyncio.timeout(_LEAVE_TIMEOUT):
                await _answered(self.new)
                await self._end_on_old(b"%d" % sid for sid in self._shared)
                await self._mux.answered(self._asked)
                await self._end_on_old([self._old_inbox] if self._old_inbox is not None else [])
                await _answered(self.new)  # the twins of the last replies are here
        except TimeoutError:
            log.warning(
                "replies on %s were still awaited when it was left", self.old.server.address
            )

    async def _end_on_old(self, raw_sids: Iterable[bytes]) -> None:
        if not self.old.is_lost:
            for raw_sid in raw_sids:
                self.old.transport.write(frames.unsub(raw_sid))
            await _answered(self.old)

    # the request inbox, on both sessions

    def _route_old(self, msg: Msg) -> None:
        """The inbox's sink on the old session: only what was asked there, and not answered yet."""
        token = self._mux.token_of(msg)
        if token in self._streams:
            self._twins.take_old(msg)
        elif msg.raw_subject in self._asked and msg.raw_subject in self._mux.pending:
            self._mux.route(msg)

    def _route_new(self, msg: Msg) -> None:
        """The inbox's sink on the new session: what the old one answered does not come late."""
        token = self._mux.token_of(msg)
        if token in self._streams:
            self._twins.take_new(msg)
        elif msg.raw_subject not in self._asked or msg.raw_subject in self._mux.pending:
            self._mux.route(msg)

    def _restore_route(self) -> None:
        """All replies come on the new session: they go straight to the mux, as ever."""
        if self._old_inbox is None:
            return
        registry = self._subscriptions
        registry.sinks.pop(self._old_inbox, None)
        inbox = registry.request_inbox
        if inbox and registry.sinks.get(inbox.raw_sid) == self._route_new:
            registry.sinks[inbox.raw_sid] = self._mux.route

    # what may happen meanwhile

    def old_is_lost(self) -> None:
        """Nothing more is to be expected there."""
        self._twins.end()
        if self._is_settled:
            self.task.cancel()

    def new_is_lost(self) -> None:
        """The subscriptions are about to begin on yet another session."""
        if not self._is_settled:
            self.old.close()


class Twins:
    """Merges messages that come on two sessions, each in order: the sink gets each once, in order.

    The old session's go at once. Those that only the new one brought yet are kept, in case the old
    one ends before it brings them.
    """

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._kept: dict[tuple[bytes, ...], deque[tuple[int, Msg]]] = {}
        self._brought: defaultdict[tuple[bytes, ...], int] = defaultdict(int)
        self._count = 0
        self._over = False

    def take_old(self, msg: Msg) -> None:
        """Take one from the session that is left."""
        key = _identity(msg)
        if same := self._kept.get(key):
            same.popleft()
            if not same:
                del self._kept[key]
        else:
            self._brought[key] += 1
        self._sink(msg)

    def take_new(self, msg: Msg) -> None:
        """Take one from the session that stays."""
        key = _identity(msg)
        if key in self._brought:
            self._brought[key] -= 1
            if not self._brought[key]:
                del self._brought[key]
        elif self._over:
            self._sink(msg)
        else:
            self._count += 1
            self._kept.setdefault(key, deque()).append((self._count, msg))

    def end(self) -> None:
        """The old session brings nothing more: what it did not bring follows."""
        self._over = True
        kept, self._kept = self._kept, {}
        for _, msg in sorted((pair for same in kept.values() for pair in same), key=_count_of):
            self._sink(msg)


def _identity(msg: Msg) -> tuple[bytes, ...]:
    return msg.raw_subject, msg.raw_reply, msg.raw_headers, msg.data


def _count_of(pair: tuple[int, Msg]) -> int:
    return pair[0]


async def _answered(session: Session) -> None:
    """Wait until the server has treated all that was sent to it, or the session is lost."""
    if session.is_lost:
        return
    waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    session.ping(waiter)
    try:
        await waiter
    except ConnectionClosedError:
        log.debug("%s was lost during a handover", session.server.address)
