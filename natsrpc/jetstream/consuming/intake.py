"""The intake: messages given to a function as it has room for them, and never more.

A message that there is no room for stays at the server, for others to take. So one pull is alive at
a time, and asks for as many as there is room for when it begins; room that comes meanwhile is asked
for by the next, and what comes within one turn of the loop is asked for at once. What is on its way
when it ends is given back. So the server never counts more unacked messages than there is room for.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from natsrpc.core import Msg
from natsrpc.errors import JetStreamError, NoHeartbeatError, PermissionsError

from .gone import why_gone
from .message import JsMsg, Origin
from .pull import Target
from .pump import Pump, Supply
from .statuses import Verdict

_EXPIRES = 30.0
_HEARTBEAT = 2.0
_MOVE = 0.25
_FIRST_LOOK = 0.5
_LONGEST_LOOK = 15.0


class Taker(Protocol):
    """What messages are given to. It is called in place, and must not raise."""

    def take(self, msg: JsMsg) -> None:
        """Take a message."""

    def taken(self) -> int:
        """How much of the room is taken."""
        ...

    def troubled(self, error: Exception | None) -> None:
        """Nothing comes for now, and this is why. None: it may come again."""

    def restored(self) -> float:
        """A new session stands, and nothing is pulled yet. Seconds to wait before that."""
        ...


class Intake:
    """Gives a consumer's messages to a `Taker`. `Consumer.intake` makes it.

    `begin` it; say by `freed` that there is room again; `leave` it.
    """

    def __init__(self, target: Target, origin: Origin, taker: Taker, room: int) -> None:
        self._target = target
        self._origin = origin
        self._taker = taker
        self._link = target.api.link
        self._supply = Supply(room, room - 1, _EXPIRES, _HEARTBEAT, overlap=False)
        self._pump = self._make()
        self._is_due = False
        self._in_trouble = False
        self._has_left = False
        self._looking: asyncio.Task[None] | None = None

    def _make(self) -> Pump:
        pump = Pump(self._target, self._supply, self)
        pump.keep, pump.count = self._keep, self._taker.taken
        pump.on_fail = self._tell
        return pump

    def begin(self) -> None:
        """Pull from now on."""
        self._target.api.hub.add(self)  # before its pump: acks go before pulls
        self._pump.start()

    def freed(self, acked: bytes = b"") -> None:
        """There is room again: it is asked for in the next turn of the loop.

        `acked` is the ack subject of a message that was acked. The server notes acks and serves
        pulls in two rows, and might give what there is room for only once it has noted the ack; so
        the next pull goes behind it.
        """
        if acked:
            self._pump.behind = acked
        if not (self._is_due or self._pump.is_asking):
            self._is_due = True
            self._link.loop.call_soon(self._refill)

    def _refill(self) -> None:
        self._is_due = False
        self._pump.refill()

    async def leave(self) -> None:
        """Pull no more. What was on its way has been given back when this returns."""
        self._has_left = True
        self._target.api.hub.remove(self)
        if self._looking is not None:
            self._looking.cancel()
        await self._pump.leave()

    def _keep(self, msg: Msg) -> None:
        msg.__class__ = JsMsg
        msg.sub = self._origin
        self._taker.take(msg)  # type: ignore[arg-type]  # it is one now

    def _tell(self, error: Exception) -> None:
        if not self._in_trouble:
            self._in_trouble = True
            self._taker.troubled(error)

    def _recover(self) -> None:
        if self._in_trouble:
            self._in_trouble = False
            self._taker.troubled(None)

    # what the pump tells

    def troubled(self, verdict: Verdict, error: JetStreamError) -> None:
        """The consumer is gone, elsewhere, or silent."""
        self._pump.behind = b""
        if isinstance(error, NoHeartbeatError):
            self._tell(error)
        if self._looking is None:
            work = self._move() if verdict is Verdict.MOVED else self._look()
            self._looking = self._link.loop.create_task(work, name="natsrpc intake")

    async def _move(self) -> None:
        """Wait until another server has taken over: what is asked amid it may be lost unseen."""
        self._pump.halt()
        try:
            await asyncio.sleep(_MOVE)
        finally:
            self._looking = None
        self._pump.resume()

    async def _look(self) -> None:
        """See if the consumer is gone. It may be made anew, by another process that starts, so it
        is looked for until it is there."""
        pause = _FIRST_LOOK
        try:
            gone = await why_gone(self._target)
            if gone is None:
                self._pump.again()
                return
            self._pump.halt()
            while gone is not None:
                self._tell(gone)
                await asyncio.sleep(pause)
                pause = min(2 * pause, _LONGEST_LOOK)
                gone = await why_gone(self._target)
            self._pump.resume()
        finally:
            self._looking = None
        self._recover()

    def caught_up(self) -> None:
        """Not asked for."""

    def renews(self) -> bool:
        """The consumer stays in a new session."""
        return False

    # what the hub tells

    def interrupted(self) -> None:
        """The pump knows."""

    def restored(self) -> None:
        """A new session stands. What the server denied before it may allow now."""
        pause = self._taker.restored()
        if pause and not self._has_left:
            self._pump.halt()
            self._link.loop.call_later(pause, self._go_on)
        if self._pump.error is not None and not self._has_left:
            self._in_trouble = False  # if it is denied again, that is told again
            self._pump = self._make()
            self._pump.start()

    def _go_on(self) -> None:
        if self._looking is None:
            self._pump.resume()

    def closed(self, error: Exception) -> None:
        """The pump knows, and tells."""

    def denied(self, error: PermissionsError) -> None:
        """The pump knows, and tells."""
