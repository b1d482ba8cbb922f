"""Calls that many instances answer: `Client.gather`.

One deadline holds for all of it: answers that come in one message, and the bodies of large ones,
which are received at the same time as everything else. What goes wrong with one instance's answer
stands in its place and takes no other answer along.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Any, TypeAlias

from natsrpc.core import Connection, Headers, Msg
from natsrpc.errors import (
    ConfigError,
    ConnectionClosedError,
    ContractError,
    NatsError,
    NatsTimeoutError,
    ReplyTooLargeError,
    RpcError,
    SlowConsumerError,
)

from ..headers import GRACE
from ..streams import MAX_BODY, is_head
from .binding import Binder
from .bound import BoundCall
from .call import Call

Failure: TypeAlias = "RpcError | ContractError | NatsError"
"""The element of a gathered list that stands for an instance whose answer is an error, does not fit
the type, or did not come whole in time."""

MAX_ANSWERS = 65_536
"""Answers of one gather; the connection drops what comes faster than that anyway."""

MAX_BODIES = 256
"""Large answers received at one time. Each may be 64 KiB ahead: 16 MiB, the connection's window."""

LARGEST = 32
"""Answers of the largest size (8 MiB, or `max_body` if that is more) that one gather keeps."""


class Gather:
    """The part of a client that asks every instance of an endpoint."""

    def __init__(self, connection: Connection, binder: Binder) -> None:
        self._connection = connection
        self._binder = binder

    async def perform(self, call: Call) -> list[Any]:
        """Ask all instances as a `Call` says, after any middleware, and collect their answers."""
        bound = self._binder.find(call)
        data, block, wait = bound.prepare(call.request, call.timeout, call.headers)
        if wait is None:
            raise ConfigError("gather needs a timeout")
        timeout = wait - GRACE
        answers = Answers(bound, self._connection.link.loop, timeout)
        msgs = self._connection.request_many(
            bound.subject.decode(),
            data,
            timeout=timeout,
            stall=call.stall,
            max_msgs=call.max_responses,
            headers=Headers.decode(block),
        )
        try:
            try:
                async for msg in msgs:
                    if not answers.take(msg):
                        break
            except SlowConsumerError as error:
                answers.note(error)
            return await answers.all()
        finally:
            await answers.close()


class Answers:
    """The answers to one gather, in the order in which they came.

    Made when the request is sent; `timeout` is in seconds from then on.
    """

    def __init__(self, bound: BoundCall, loop: asyncio.AbstractEventLoop, timeout: float) -> None:
        self._bound = bound
        self._loop = loop
        self._deadline = loop.time() + timeout
        self._room = LARGEST * max(bound.max_body, MAX_BODY)
        self._found: list[Any] = []
        self._heads: deque[tuple[int, Msg]] = deque()
        self._receiving: set[asyncio.Task[None]] = set()

    def take(self, msg: Msg) -> bool:
        """Take what one instance sent: its answer, or the head of a large one. False if there is
        no room for more."""
        place = len(self._found)
        if is_head(msg.raw_headers):
            self._found.append(NatsTimeoutError("the large reply did not arrive in time"))
            self._heads.append((place, msg))
            self._receive_next()
        else:
            try:
                self._found.append(self._bound.read(msg))
            except (RpcError, ContractError) as error:
                self._found.append(error)
            self._keep(place, msg)
        return self._room > 0 and place + 1 < MAX_ANSWERS

    def note(self, error: NatsError) -> None:
        """Let an error stand for answers that were dropped."""
        self._found.append(error)

    def _keep(self, place: int, msg: Msg) -> None:
        """Keep an answer that is here, if there is room for it."""
        self._room -= len(msg.data)
        if self._room < 0:
            text = "the answers are larger together than one gather keeps: ask for fewer of them"
            self._found[place] = ReplyTooLargeError(text)

    def _receive_next(self) -> None:
        """Receive the bodies of large answers, the first ones first."""
        time = self._loop.time
        while self._heads and len(self._receiving) < MAX_BODIES and time() < self._deadline:
            task = self._loop.create_task(self._receive(*self._heads.popleft()))
            self._receiving.add(task)
            task.add_done_callback(self._received)

    async def _receive(self, place: int, msg: Msg) -> None:
        try:
            left = self._deadline - self._loop.time()
            self._found[place] = await self._bound.receive(msg, left)
        except ConnectionClosedError:
            raise  # nobody's answer will come
        except (RpcError, ContractError, NatsError) as error:
            self._found[place] = error
        self._keep(place, msg)

    def _received(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is None:
            self._receiving.discard(task)
            self._receive_next()

    async def all(self) -> list[Any]:
        """Every answer, once all large ones are here, or their time is over.

        Raises:
            ConnectionClosedError: the connection was closed meanwhile.
        """
        while self._receiving:
            done, _ = await asyncio.wait(self._receiving, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        return self._found

    async def close(self) -> None:
        """End what is still received."""
        self._heads.clear()
        for task in self._receiving:
            task.cancel()
        await asyncio.gather(*self._receiving, return_exceptions=True)
