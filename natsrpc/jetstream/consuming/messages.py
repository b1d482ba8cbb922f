"""Continuous consuming: an iterator over the messages of a consumer, as they come."""

from __future__ import annotations

import asyncio
from types import TracebackType

from natsrpc.errors import ConfigError, JetStreamError, NoHeartbeatError

from .gone import why_gone
from .message import JsMsg, Origin
from .pull import Target
from .pump import Pump, Supply
from .statuses import Verdict


class Messages:
    """The messages of a consumer, while its block lasts: `Consumer.messages` makes it.

    Iterating may be cancelled and go on; several tasks may iterate over the same one, and each gets
    other messages. Leaving the block gives back what was received and not handed out, and what is
    on its way: that takes a round trip to the server.
    """

    def __init__(self, target: Target, supply: Supply, origin: Origin) -> None:
        self._target = target
        self._supply = supply
        self._origin = origin
        self._pump = pump = Pump(target, supply, self)
        self._buffer = pump.buffer
        self._is_sized = pump.is_sized
        self._is_silent = False
        self._owner: asyncio.Task[object] | None = None
        self._looking: asyncio.Task[None] | None = None
        self._left: asyncio.Event = asyncio.Event()
        self._is_entered = False

    async def __aenter__(self) -> Messages:
        if self._is_entered:
            raise ConfigError("messages() was entered before: call it again for another block")
        self._is_entered = True
        self._owner = asyncio.current_task()
        self._target.api.link.add_drain_hook(self._drain)
        self._pump.start()
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            await self._leave()
        finally:
            self._left.set()
            self._target.api.link.remove_drain_hook(self._drain)

    def __aiter__(self) -> Messages:
        return self

    async def __anext__(self) -> JsMsg:
        """The next message.

        Raises:
            ConsumerDeletedError: the consumer, or its stream, is gone.
            JetStreamError, PermissionsError: the server will never serve such pulls.
            ConnectionClosedError: the connection is closed.
        """
        pump = self._pump
        buffer = self._buffer
        while not buffer:
            if pump.is_stopped or not self._is_entered:
                self._end()
            await pump.wait()
        msg = buffer.popleft()
        pump.spare = spare = pump.spare - (pump.cost(msg) if self._is_sized else 1)
        if spare <= 0:
            pump.refill_soon()
        msg.__class__ = JsMsg
        msg.sub = self._origin
        return msg  # type: ignore[return-value]  # it is one now

    def _end(self) -> None:
        """Tell why nothing more comes."""
        if not self._is_entered:
            raise ConfigError("write 'async with consumer.messages() as messages', then iterate")
        if self._pump.error is not None:
            raise self._pump.error.with_traceback(None)
        raise StopAsyncIteration

    async def _leave(self) -> None:
        """Pull no more, and give back what was not handed out: what is here, once no pull of ours
        can get it again, and what is on its way."""
        held = list(self._buffer)
        self._buffer.clear()
        if self._looking is not None:
            self._looking.cancel()
        try:
            await self._pump.leave()
        finally:
            for msg in held:
                self._target.give_back(msg)

    async def _drain(self) -> None:
        """The connection drains: end the iteration, and let its last message be handled."""
        await self._leave()
        if not self._target.api.link.is_drained_by(self._owner):
            await self._left.wait()

    # what the pump tells

    def troubled(self, verdict: Verdict, error: JetStreamError) -> None:
        """The consumer is gone, elsewhere, or silent."""
        link = self._target.api.link
        if verdict is Verdict.DELETED:
            self._pump.fail(error)
        elif verdict is Verdict.MOVED:
            link.report(error, None)
            self._pump.again()
        else:
            if isinstance(error, NoHeartbeatError) and not self._is_silent:
                self._is_silent = True
                link.report(error, None)
            if self._looking is None:
                self._looking = link.loop.create_task(self._look(), name="natsrpc consumer")

    def caught_up(self) -> None:
        """Not asked for."""

    def renews(self) -> bool:
        """The consumer stays in a new session."""
        return False

    async def _look(self) -> None:
        """See if the consumer is gone; if not, pull again."""
        try:
            gone = await why_gone(self._target)
        finally:
            self._looking = None
        if gone is not None:
            self._pump.fail(gone)
        else:
            self._is_silent = False
            self._pump.again()
