"""Requests and replies larger than a message may be: a head, then one item in parts.

Nothing here is used before a message was refused for its size. A *request* goes, by its head, to
`<subject>._NATSRPC.large`, where only services that take such requests listen. A *reply* is sent so
only if the request said `Natsrpc-Max-Reply`, and fits that. What is put together at one time is
bounded by the account of the connection.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator
from dataclasses import replace

from natsrpc.core import Headers, Msg
from natsrpc.errors import (
    NatsTimeoutError,
    RequestTooLargeError,
    RpcError,
    UnavailableError,
)

from ..headers import (
    FRAME_BYTES,
    MARK,
    NO_DEADLINE,
    is_frame,
    may_answer,
    read_frame,
    read_timeout,
    timeout_line,
    with_frame,
    without_frame,
)
from .channel import SLOWEST, Channel, Patience
from .conversations import Conversations
from .state import Whole

LARGE = MARK + b".large"
"""What stands behind the subject of a large request."""

TAKEN_WITHIN = 10.0
"""Seconds within which a caller must begin to take a large reply; `progress_timeout`, if less."""

BODY_TIME = 30.0
"""Seconds that a body may take where nobody named a time, beyond one for each `SLOWEST` bytes."""


def large_subject(subject: str) -> str:
    """Where the workers of `subject` (wildcards allowed) listen for heads of large requests."""
    return subject + LARGE.decode()


def is_head(raw_headers: bytes) -> bool:
    """Whether a reply's header block says that its body follows in parts; `end` does not."""
    return FRAME_BYTES + b": large " in raw_headers


def head_size(msg: Msg) -> int | None:
    """How large the body is that follows a head; None if it is none."""
    if not is_frame(msg.raw_headers):
        return None
    found = read_frame(msg.headers)
    if found is None or found[0] != "large" or len(found[1]) != 1 or msg.data or not msg.raw_reply:
        return None
    return found[1][0]


def body_time(size: int) -> float:
    """Seconds that a body of this size may take in all."""
    return BODY_TIME + size / SLOWEST


# the worker's side


class Receiving:
    """A large request at its worker: acknowledged at once, then received, then kept until answered.

    `on_stop` is called when the caller wants no answer any more, or is gone.

    Args:
        all_: the conversations of the connection.
        msg: the head.
        limit: the largest body taken, in bytes.
        deadline: the request's, in `loop.time()`.
        patience: how long the caller is waited for.
        admits: which addresses of the caller are sent to.

    Raises:
        RequestTooLargeError: it is no head, or its body is larger than `limit`.
    """

    def __init__(
        self,
        all_: Conversations,
        msg: Msg,
        *,
        limit: int,
        deadline: float,
        patience: Patience,
        admits: Callable[[bytes], bool] = may_answer,
    ) -> None:
        size = head_size(msg)
        if size is None:
            raise RequestTooLargeError("a large request needs a head that says its size")
        if size > limit:
            raise RequestTooLargeError(f"request of {size} bytes: at most {limit} are taken")
        self.deadline = deadline
        self.on_stop: Callable[[RpcError], object] = bool
        self._loop = all_.link.loop
        self._size = size
        self._whole: Whole | None = None
        self.channel: Channel = Channel(
            all_,
            msg.raw_reply,
            on_stop=lambda error: self.on_stop(error),
            limit=size,
            too_large=RequestTooLargeError,
            patience=patience,
            request=msg,
            admits=admits,
        )
        self.channel.acknowledge()

    async def body(self) -> bytes:
        """The body, whole.

        Raises:
            UnavailableError: parts were lost, or the caller is gone or does not go on.
            RequestTooLargeError: it is larger than its head said.
            TimeoutError: the deadline of the request passed.
        """
        channel = self.channel
        channel.reader.begin(self._size)
        channel.open_credit()
        until = self._loop.time() + body_time(self._size)
        try:
            async with asyncio.timeout_at(min(until, self.deadline)):
                while (whole := channel.reader.take_whole()) is None:
                    if not await channel.more():
                        raise UnavailableError("a large request ended without its body")
        except TimeoutError:
            if self.deadline <= until:
                raise
            raise UnavailableError("the body of a large request did not come in time") from None
        self._whole = whole
        channel.reads = False
        return whole.data

    def close(self) -> None:
        """Give back its room, and forget the caller's address."""
        if self._whole is not None:
            self._whole.body.close()
        self.channel.close()


async def send_reply(
    all_: Conversations,
    msg: Msg,
    reply: tuple[bytes, bytes],
    *,
    deadline: float,
    on_stop: Callable[[RpcError], object],
    patience: Patience,
    admits: Callable[[bytes], bool] = may_answer,
) -> None:
    """Offer a large reply (data and headers) to its caller, and send it when the caller takes it.

    From then on `msg` is answered at its caller's newest address, should something go wrong.

    Raises:
        UnavailableError, NatsTimeoutError: the caller is gone, or does not take it.
    """
    data, headers = reply
    link = all_.link
    patience = replace(patience, opening=min(TAKEN_WITHIN, patience.progress))
    channel = Channel(all_, b"", on_stop=on_stop, patience=patience, request=msg, admits=admits)
    channel.deadline = deadline
    try:
        # that of an opening's one answer says "only"
        head = with_frame(without_frame(headers), "large", len(data))
        if deadline < NO_DEADLINE:
            head = head[:-2] + timeout_line(deadline - link.loop.time()) + b"\r\n"
        link.send(msg.raw_reply, b"", channel.address, head)
        await channel.ready()
        if channel.error is not None:
            raise channel.error
        channel.writes = True
        channel.acknowledge()
        await channel.send(data)
        channel.end()
    finally:
        channel.close()


# the caller's side


async def take_reply(
    all_: Conversations,
    msg: Msg,
    limit: int,
    error_of: Callable[[Msg], RpcError],
    grace: float,
    wait: float | None = None,
    *,
    patience: Patience,
) -> Msg:
    """The reply that `msg` is the head of, with its whole body.

    Args:
        all_: the conversations of the connection where it comes.
        msg: the head.
        limit: the largest body taken, in bytes.
        error_of: what an error reply stands for.
        grace: seconds beyond the time that the worker named.
        wait: seconds that its caller waits at most.
        patience: how long the worker is waited for.

    Raises:
        RpcError: the worker gave it up, or parts were lost.
        NatsTimeoutError: it did not arrive in time.
        ConnectionClosedError: the connection was closed meanwhile.
    """
    size = head_size(msg) or 0
    if not may_answer(msg.raw_reply):
        raise UnavailableError("a large reply came from an address that nothing is sent to")
    channel = Channel(
        all_,
        msg.raw_reply,
        on_stop=bool,
        on_reply=lambda reply: channel.fail(error_of(reply)),
        limit=limit,
        patience=patience,
        asks=True,
    )
    with _told_unless_whole(channel) as whole:
        channel.reader.begin(size)
        channel.open_credit()
        try:
            async with asyncio.timeout(_reply_time(msg.headers, size, grace, wait)):
                async for data in channel.items(bytes):
                    msg.data = data
                    whole.append(True)
                    return msg
            raise UnavailableError("a large reply ended without its body")
        except TimeoutError as error:
            if isinstance(error, NatsTimeoutError):
                raise
            raise NatsTimeoutError("the large reply did not arrive in time") from None


@contextlib.contextmanager
def _told_unless_whole(channel: Channel) -> Iterator[list[bool]]:
    """Tell the worker to stop, unless the value became whole; close the channel in any case."""
    whole: list[bool] = []
    try:
        yield whole
    finally:
        if not whole:
            channel.stop()
        channel.close()


def _reply_time(headers: Headers, size: int, grace: float, wait: float | None) -> float:
    """Seconds within which a large reply must be here, whole."""
    told = read_timeout(headers)
    bounds = [] if wait is None else [wait]
    if told is not None:
        bounds.append(told + grace)
    return min(bounds, default=body_time(size))
