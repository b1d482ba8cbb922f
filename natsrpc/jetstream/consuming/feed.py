"""The feed: messages of a stream in order, without gap or repeat, for as long as it exists.

It reads by a pump from a consumer without acks. Whatever makes that consumer void (a gap, its
deletion, silence, a new session) replaces it by another that begins behind what was handed out
last. Ordered consumers, watches of buckets and reads of objects stand on it.

The end of what was there at the beginning is told by a pull that does not wait: it ends when there
is nothing more. Neither the count of pending messages nor a count of received ones tells it, when
others write or purge meanwhile.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Coroutine
from typing import Any

from natsrpc.core import Msg
from natsrpc.errors import (
    ConnectionClosedError,
    JetStreamError,
    NatsError,
    PermissionsError,
    StreamNotFoundError,
)

from ..api import Api, ConsumerInfo
from .cursor import Cursor
from .making import delete, make, wire_config
from .pull import Target
from .pump import Pump, Supply
from .statuses import Verdict

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 10.0
_CHASE = 1000


class Feed:
    """Reads a stream from a cursor on. `open` it, take with `next`, and `close` it.

    Args:
        api: the JetStream.
        stream: the stream's name.
        cursor: where to begin; it moves with what is handed out.
        supply: how much is kept ready.
        marks: let `next` give None, once, behind what was there at the beginning.
    """

    def __init__(
        self, api: Api, stream: str, cursor: Cursor, supply: Supply, *, marks: bool = False
    ) -> None:
        self._api = api
        self._stream = stream
        self._cursor = cursor
        self._target = Target(api, stream, "-", takes_acks=False)
        self._pump = Pump(self._target, supply, self)
        self._catches_up = marks
        self._until_mark: int | None = None
        self._initial = 0
        self._goal: int | None = None
        self._consumer = ""
        self._renewing: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self.info: ConsumerInfo | None = None

    async def open(self) -> None:
        """Make the consumer, and begin to pull.

        Raises:
            StreamNotFoundError, JetStreamError: the server refused it.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any request.
        """
        await self._make()
        self._api.link.add_drain_hook(self.close)
        self._pump.start(no_wait=self._catches_up)
        self._note_empty()

    async def close(self) -> None:
        """End it, and delete its consumer. Waiting for `next` ends, too."""
        self._api.link.remove_drain_hook(self.close)
        self._pump.buffer.clear()
        self._pump.stop()
        if self._renewing is not None:
            self._renewing.cancel()
        consumer, self._consumer = self._consumer, ""
        if consumer:
            await delete(self._api, self._stream, consumer)

    async def next(self) -> Msg | None:
        """The next message; None once, behind what was there at the beginning. Cancelling it loses
        nothing.

        Raises:
            StopAsyncIteration: it is closed.
            StreamNotFoundError: the stream is gone.
            JetStreamError, PermissionsError: the server will never serve it.
            ConnectionClosedError: the connection is closed.
        """
        pump = self._pump
        while True:
            if self._until_mark == 0:
                self._until_mark, self._catches_up = None, False
                return None
            if pump.buffer:
                msg = pump.buffer.popleft()
                if self._until_mark is not None:
                    self._until_mark -= 1
                pump.spare -= pump.cost(msg)
                if pump.spare <= 0:
                    pump.refill()
                if self._cursor.take(msg):
                    if self._catches_up:
                        self._note_initial()
                    return msg
                self._renew()
            elif pump.error is not None:
                raise pump.error.with_traceback(None)
            elif pump.is_stopped:
                raise StopAsyncIteration
            else:
                await pump.wait()

    # the initial part

    def _note_empty(self) -> None:
        """Nothing is there at the beginning: that needs no pull."""
        if self._catches_up and self.info is not None and not self.info.num_pending:
            self._pump.wait_from_now()
            self._until_mark = 0
            self._pump.wake_all()

    def _note_initial(self) -> None:
        """A reader that is slower than the writers would never see the end: give it a goal."""
        self._initial += 1
        pending = 0 if self.info is None else self.info.num_pending
        if self._initial == 2 * pending + _CHASE:
            self._spawn(self._set_goal())
        goal = self._goal
        if goal is not None and self._until_mark is None and self._cursor.last_seq >= goal:
            self._pump.wait_from_now()
            self._until_mark = 0

    async def _set_goal(self) -> None:
        self._goal = await self._last_seq()

    async def _last_seq(self) -> int | None:
        try:
            info = await self._api.call(f"STREAM.INFO.{self._stream}")
        except StreamNotFoundError:
            raise
        except (NatsError, JetStreamError):
            return None
        last = info.get("state", {}).get("last_seq")
        return last if isinstance(last, int) else None

    # the consumer

    async def _make(self) -> None:
        config = self._cursor.config()
        name = config.name or ""
        raw = wire_config(config, name)
        self._consumer = name  # it may be there even if no answer comes
        self.info = await make(self._api, self._stream, raw, "create", set_={})
        self._cursor.made(self.info)
        self._pump.target = Target(self._api, self._stream, name, takes_acks=False)

    def _renew(self) -> None:
        """Replace the consumer; what was received from it is asked for again."""
        self._pump.halt()
        self._pump.buffer.clear()
        self._until_mark = None
        if self._renewing is None and not self._pump.is_stopped:
            loop = self._api.link.loop
            self._renewing = loop.create_task(self._replace(), name="natsrpc ordered consumer")

    async def _replace(self) -> None:
        pause = _FIRST_PAUSE
        try:
            while True:
                old, self._consumer = self._consumer, ""
                if old:
                    self._spawn(delete(self._api, self._stream, old))
                try:
                    await self._check_stream()
                    await self._make()
                    break
                except (StreamNotFoundError, PermissionsError, ConnectionClosedError) as error:
                    self._pump.fail(error)
                    return
                except NatsError:
                    await asyncio.sleep(pause * random.uniform(0.75, 1.0))
                    pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            if self._renewing is asyncio.current_task():
                self._renewing = None
        self._pump.resume(no_wait=self._catches_up)
        self._note_empty()

    async def _check_stream(self) -> None:
        """A stream of the same name that was made anew counts from 1: that is another one."""
        if not self._cursor.last_seq:
            return
        last = await self._last_seq()
        if last is not None and last < self._cursor.last_seq:
            raise StreamNotFoundError(
                f"stream {self._stream!r} was deleted and made anew: its last sequence is {last}, "
                f"and {self._cursor.last_seq} was read from the former",
                code=404,
                err_code=10059,
            )

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._api.link.loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._forget)

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            task.exception()

    # what the pump tells

    def troubled(self, verdict: Verdict, error: JetStreamError) -> None:
        """The consumer is void."""
        self._renew()

    def caught_up(self) -> None:
        """All that was there at the beginning is in the buffer."""
        if self._catches_up and self._until_mark is None:
            self._until_mark = len(self._pump.buffer)
            self._pump.wake_all()

    def renews(self) -> bool:
        """What was sent to the old session and not received is a gap, and so are its answers."""
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
        self._renew()
        return True
