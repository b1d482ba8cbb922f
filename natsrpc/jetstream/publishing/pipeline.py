"""Many publishes in flight: each is a future, and their number is bounded.

All acks come to one stream of the connection's request mux, told apart by a counter behind its
token, so there is neither a subscription nor a task nor a timer of its own for an ack. The rule:
whatever ends a publish (ack, refusal, deadline, close) takes it out of `_waiting`, and thereby
frees its place.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TypeAlias

from natsrpc.core import Due, Msg, clock, decode, is_no_responders
from natsrpc.errors import JetStreamError, NatsError, NatsTimeoutError, PermissionsError

from ..api import Api, Overdue
from .ack import PubAck, ack_of, is_passing
from .storing import AGAIN, LEADERLESS, Storing, nobody_stores, unanswered

ONCE = 0
"""Never sent again: the order of messages would be lost."""
AGAIN_IF_REFUSED = 1
"""Sent again where nobody took it."""
AGAIN_IF_LOST = 2
"""Sent again where its ack may be lost, too: it has an id."""

Flight: TypeAlias = "tuple[asyncio.Future[PubAck], bytes, bytes, bytes, int, float]"
"""A publish in flight: its future, subject, data, header block, when it is sent again, deadline."""


class Pipeline:
    """The publishes in flight of one JetStream. At most `max_pending` wait for their ack."""

    def __init__(self, api: Api, storing: Storing, max_pending: int) -> None:
        self._api = api
        self._link = link = api.link
        self._mux = link.requests
        self._storing = storing
        self._max_pending = max_pending
        self._time = clock(link.loop)
        self._waiting: Due[bytes, Flight] = Due(link.loop, self._expired)
        self._prefix = b""
        self._count = 0
        self._room: asyncio.Future[None] | None = None
        self._idle: asyncio.Future[None] | None = None
        self._refused: dict[bytes, list[bytes]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._overdue = Overdue(link.loop, self._with_id, self._send_again)

    def __len__(self) -> int:
        return len(self._waiting)

    async def publish(
        self, subject: bytes, data: bytes, block: bytes, timeout: float, again: int
    ) -> asyncio.Future[PubAck]:
        """Send a message once there is a place; the future of its ack. `again` is one of the
        three constants.

        Raises:
            ConnectionClosedError, MaxPayloadError, PermissionsError: it was not sent.
        """
        waiting = self._waiting
        if not self._prefix:
            self._begin()
        while len(waiting) >= self._max_pending:
            await self._wait_for_room()
        self._count = count = self._count + 1
        inbox = b"%b%x" % (self._prefix, count)
        self._link.send(subject, data, inbox, block)
        deadline = self._time() + timeout
        if deadline < waiting.next:
            waiting.watch(deadline)
        future: asyncio.Future[PubAck] = self._link.loop.create_future()
        waiting[inbox] = (future, subject, data, block, again, deadline)
        if again == AGAIN_IF_LOST and not self._overdue.is_on:
            self._overdue.watch()
        if self._link.congested:
            await self._link.writable()
        return future

    def _begin(self) -> None:
        token = self._mux.new_token()
        self._prefix = self._mux.reply_subject(token)
        self._mux.streams[token] = self._take
        self._api.hub.add(self)
        self._link.add_drain_hook(self.complete)

    async def _wait_for_room(self) -> None:
        if self._room is None or self._room.done():
            self._room = self._link.loop.create_future()
        await asyncio.shield(self._room)

    async def complete(self, timeout: float | None = None) -> None:
        """Wait until nothing is in flight.

        Raises:
            NatsTimeoutError: something still is, when the time is over.
        """
        try:
            async with asyncio.timeout(timeout):
                while self._waiting:
                    if self._idle is None or self._idle.done():
                        self._idle = self._link.loop.create_future()
                    await asyncio.shield(self._idle)
        except TimeoutError:
            raise NatsTimeoutError(
                f"{len(self._waiting)} publishes had no ack within {timeout:g} s"
            ) from None

    # answers

    def _take(self, msg: Msg) -> None:
        """The sink of all acks."""
        flight = self._waiting.pop(msg.raw_subject, None)
        if flight is None:
            return
        future, subject = flight[0], flight[1]
        if msg.raw_headers and is_no_responders(msg):
            if flight[4] == ONCE:
                self._end(future, nobody_stores(decode(subject), "nobody took it"))
            else:
                self._look(msg.raw_subject, flight)
            return
        try:
            ack = ack_of(msg.data, subject)
        except JetStreamError as error:
            if is_passing(None, error) and flight[4] != ONCE:
                self._later(msg.raw_subject, flight)
            else:
                self._end(future, error)
            return
        if not ack.seq:
            self._later(msg.raw_subject, flight)
            return
        if not future.done():
            future.set_result(ack)
        if self._room is not None or not self._waiting:
            self._freed()

    def _end(self, future: asyncio.Future[PubAck], error: Exception) -> None:
        if not future.done():
            future.set_exception(error)
        self._freed()

    def _freed(self) -> None:
        """A place is free: those that wait look, once for all acks of a chunk."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
        if not self._waiting and self._idle is not None and not self._idle.done():
            self._idle.set_result(None)

    def _expired(self, inbox: bytes, flight: Flight) -> None:
        future, subject, *_, again, _ = flight
        if subject in self._refused:
            self._end(future, nobody_stores(decode(subject), LEADERLESS))
        else:
            self._end(future, unanswered(subject, None, has_id=again == AGAIN_IF_LOST))

    # once more

    def _later(self, inbox: bytes, flight: Flight) -> None:
        """Keep its place, and send it again in a moment."""
        self._waiting[inbox] = flight
        self._link.loop.call_later(AGAIN, self._send_again, inbox)

    def _look(self, inbox: bytes, flight: Flight) -> None:
        """Nobody took it: one look for all of its subject."""
        self._waiting[inbox] = flight
        subject = flight[1]
        refused = self._refused.get(subject)
        if refused is not None:
            refused.append(inbox)
            return
        self._refused[subject] = [inbox]
        task = self._link.loop.create_task(self._settle(subject), name="natsrpc publish again")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _settle(self, subject: bytes) -> None:
        try:
            why = await self._storing.refusal(subject)
            if why is None:
                await asyncio.sleep(AGAIN)
        finally:
            inboxes = self._refused.pop(subject, [])
        for inbox in inboxes:
            if why is None:
                self._send_again(inbox)
            elif (flight := self._waiting.pop(inbox, None)) is not None:
                self._end(flight[0], nobody_stores(decode(subject), why))

    def _send_again(self, inbox: bytes) -> None:
        flight = self._waiting.get(inbox)
        if flight is not None:
            with contextlib.suppress(NatsError):  # it waits to its deadline
                self._link.send(flight[1], flight[2], inbox, flight[3])

    def _with_id(self) -> list[bytes]:
        return [inbox for inbox, flight in self._waiting.items() if flight[4] == AGAIN_IF_LOST]

    # what happens to the connection

    def interrupted(self) -> None:
        """Acks may be lost; each waits to its deadline, or for the next session."""

    def restored(self) -> None:
        """Send again what has an id: the stream knows it if it is stored."""
        for inbox in self._with_id():
            self._send_again(inbox)

    def closed(self, error: Exception) -> None:
        """End all that is in flight."""
        flights = list(self._waiting.values())
        self._waiting.clear()
        self._waiting.stop()
        for flight in flights:
            self._end(flight[0], error)
        self._freed()

    def denied(self, error: PermissionsError) -> None:
        """End the one that the server denied; or all, if it denied the subscription to acks."""
        if error.operation == "subscribe":
            if error.subject == self._mux.subject:
                for inbox in list(self._waiting):
                    self._end(self._waiting.pop(inbox)[0], error)
            return
        for inbox, flight in self._waiting.items():
            if error.reply == decode(inbox) or error.subject == decode(flight[1]):
                del self._waiting[inbox]
                self._end(flight[0], error)
                return
