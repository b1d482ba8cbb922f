"""The feed: messages of a stream in order, without gap or repeat, for as long as it exists.

It reads by a pump from a consumer without acks. Whatever makes that consumer void (a gap, its
deletion, silence, a new session) replaces it by another that begins behind what was handed out
last. Ordered consumers, watches of buckets and reads of objects stand on it.

The end of what was there at the beginning is told by a pull that does not wait: it ends when there
is nothing more. Neither the count of pending messages nor a count of received ones tells it, when
others write or purge meanwhile. Nor does that pull alone, where the latest of each subject is read:
a server that finds the next of them overwritten just then may say that there is nothing (seen on
2.15: 256 of 300 keys, in about one of thirty watches beside a writer). So unless all counts agree
the stream is asked which subjects are missing.
"""

from __future__ import annotations

import asyncio
import random
from typing import Any

from natsrpc.core import Msg, decode
from natsrpc.errors import (
    ConnectionClosedError,
    JetStreamError,
    NatsError,
    PermissionsError,
    StreamNotFoundError,
)

from ..api import Api, ConsumerInfo
from .cursor import Cursor
from .gone import check_same_stream, why_gone
from .making import delete, make_own
from .pull import Target
from .pump import Pump, Supply
from .reply import metadata_of
from .statuses import Verdict

_FIRST_PAUSE = 0.25
_LONGEST_PAUSE = 10.0
_CHASE = 1000
_FIRST_LOOK = 0.02
_LONGEST_LOOK = 1.0


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
        self._pump.on_doubt = self._doubt
        self._catches_up = marks
        self._until_mark: int | None = None
        self._initial = 0
        self._received_before = 0
        self._last_reply = b""
        self._look_at = _CHASE
        self._goal = 0
        self._seen: set[bytes] = set()
        self._missing: set[str] | None = None
        self._consumer = ""
        self._renewing: asyncio.Task[None] | None = None
        self._looking: asyncio.Task[None] | None = None
        self.info: ConsumerInfo | None = None

    async def open(self) -> None:
        """Make the consumer, and begin to pull. If it is cancelled, no consumer stays.

        Raises:
            StreamNotFoundError: there is none, or it is not the one that the cursor comes from.
            JetStreamError: the server refused it.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any request.
        """
        await self._make()
        self._api.link.add_drain_hook(self.close)
        self._pump.start(no_wait=self._note_pending())

    async def close(self) -> None:
        """End it, and delete its consumer, cancelled or not. Waiting for `next` ends, too."""
        self._api.link.remove_drain_hook(self.close)
        self._pump.buffer.clear()
        self._pump.stop()
        if self._renewing is not None:
            self._renewing.cancel()
        consumer, self._consumer = self._consumer, ""
        if consumer:
            await asyncio.shield(self._api.spawn(delete(self._api, self._stream, consumer)))

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
                    pump.refill_soon()
                if self._cursor.take(msg):
                    if self._catches_up:
                        self._note_initial(msg)
                    return msg
                self._renew()
            elif pump.error is not None:
                raise pump.error.with_traceback(None)
            elif pump.is_stopped:
                raise StopAsyncIteration
            else:
                await pump.wait()

    # the initial part

    def _note_pending(self) -> bool:
        """Whether there is something to catch up with; nothing needs no pull."""
        if not self._catches_up:
            return False
        pending = 0 if self.info is None else self.info.num_pending
        self._received_before = self._initial
        self._look_at = max(self._look_at, 2 * pending + _CHASE)
        if not pending:
            self._until_mark = 0
            self._pump.wake_all()
            return False
        return True

    def _note_initial(self, msg: Msg) -> None:
        """A reader that is slower than the writers would never see the end: after a while, and
        again then, look what is missing."""
        self._initial += 1
        self._seen.add(msg.raw_subject)
        self._last_reply = msg.raw_reply
        if self._initial >= self._look_at:
            self._look_at = self._initial * 2 + _CHASE
            self._api.spawn(self._look_what_is_missing())
        if self._missing is None or self._until_mark is not None:
            return
        self._missing.discard(decode(msg.raw_subject))
        if not self._missing and self._cursor.last_seq >= self._goal:
            self._pump.wait_from_now()
            self._until_mark = 0

    def _is_certain(self) -> bool:
        """Whether what came is what was there: so many as were pending, each of another subject,
        and none is pending now."""
        buffer = self._pump.buffer
        last = buffer[-1].raw_reply if buffer else self._last_reply
        pending = 0 if self.info is None else self.info.num_pending
        received = self._initial - self._received_before + len(buffer)
        subjects = self._seen.union(msg.raw_subject for msg in buffer)
        return received == pending == len(subjects) and metadata_of(last).num_pending == 0

    async def _look_until_none_is_missing(self) -> None:
        """Mark the end once the stream has no subject that did not come. Those that are missing
        come by themselves; those that were removed meanwhile are not there at the next look."""
        pause, consumer = _FIRST_LOOK, self._consumer
        while self._catches_up and self._until_mark is None and self._consumer == consumer:
            try:
                await self._look_what_is_missing()
            except (PermissionsError, JetStreamError):
                self._missing = set()  # it may not be asked: what the pull told has to do
            except NatsError:
                self._missing = None
            if self._until_mark is not None or self._consumer != consumer or not self._catches_up:
                return
            buffer = self._pump.buffer
            here = {decode(msg.raw_subject) for msg in buffer}
            if self._missing is not None and not self._missing - here:
                self._until_mark = len(buffer)
                self._pump.wake_all()
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_LOOK)

    async def _look_what_is_missing(self) -> None:
        """All up to the last sequence. Where the latest of each subject is wanted: the subjects
        that were overwritten ahead of the reader each time."""
        if not self._cursor.is_last_per_subject:
            self._goal = (await self._info()).get("state", {}).get("last_seq", 0)
            self._missing = set()
            return
        there: set[str] = set()
        for filter_ in self._cursor.filters or (">",):
            offset = 0
            while True:
                info = await self._info({"subjects_filter": filter_, "offset": offset})
                page = info.get("state", {}).get("subjects") or {}
                there |= page.keys()
                offset += len(page)
                if not page or offset >= info.get("total", 0):
                    break
        self._missing = there - {decode(subject) for subject in self._seen}

    async def _info(self, request: dict[str, Any] | None = None) -> dict[str, Any]:
        return await self._api.call(f"STREAM.INFO.{self._stream}", request)

    # the consumer

    async def _make(self) -> None:
        await check_same_stream(self._api, self._stream, self._cursor)
        self.info = await make_own(self._api, self._stream, self._cursor.config())
        self._consumer = self.info.name
        self._cursor.made(self.info)
        self._pump.target = Target(self._api, self._stream, self._consumer, takes_acks=False)

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
                    self._api.spawn(delete(self._api, self._stream, old))
                try:
                    await self._make()
                    break
                except (StreamNotFoundError, PermissionsError, ConnectionClosedError) as error:
                    self._pump.fail(error)
                    return
                except NatsError:
                    await asyncio.sleep(pause * random.uniform(0.75, 1.0))  # noqa: S311  jitter
                    pause = min(2 * pause, _LONGEST_PAUSE)
        finally:
            if self._renewing is asyncio.current_task():
                self._renewing = None
        self._pump.resume(no_wait=self._note_pending())

    def _doubt(self) -> None:
        """What is there should have come: look if the consumer is gone, with its stream perhaps."""
        if self._looking is None or self._looking.done():
            self._looking = self._api.spawn(self._look(self._pump.target))

    async def _look(self, target: Target) -> None:
        if await why_gone(target) is not None and target is self._pump.target:
            self._renew()

    # what the pump tells

    def troubled(self, verdict: Verdict, error: JetStreamError) -> None:
        """The consumer is void."""
        self._renew()

    def caught_up(self) -> None:
        """All that was there at the beginning is in the buffer, as the server tells."""
        if not self._catches_up or self._until_mark is not None:
            return
        if self._cursor.is_last_per_subject and not self._is_certain():
            self._api.spawn(self._look_until_none_is_missing())
        else:
            self._until_mark = len(self._pump.buffer)
            self._pump.wake_all()

    def renews(self) -> bool:
        """What was sent to the old session and not received is a gap, and so are its answers."""
        renewing, self._renewing = self._renewing, None
        if renewing is not None:
            renewing.cancel()
        self._renew()
        return True
