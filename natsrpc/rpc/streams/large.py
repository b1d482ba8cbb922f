"""Requests and replies larger than a message may be: the same frames that streams are made of.

Nothing here is used before a message was refused for its size.

- A *request* goes, by its head, to `_NATSRPC.large.<subject>`. Only services that take such
  requests listen there, in the endpoint's own queue group; a stranger never sees half a request.
  The head has the request's headers and `Natsrpc-Frame: large <bytes>`, and as reply subject the
  caller's address. The worker gives credit, the caller sends the body in parts.
- A *reply* is sent so only if the request said `Natsrpc-Max-Reply: <bytes>`, and fits that. Its
  head has the reply's headers and `Natsrpc-Frame: large <bytes>`, and as reply subject the worker's
  address; `Natsrpc-Timeout` says how long the worker will go on. The caller gives credit, and
  waits no longer than that, or than its own time where the worker names none.

The bytes that a worker puts together at one time are bounded by its `Allowance`, those at a caller
by the size that its request named.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Self

from natsrpc.core import Connection, Headers, Msg
from natsrpc.errors import (
    NatsTimeoutError,
    OverloadedError,
    RequestTooLargeError,
    RpcError,
    UnavailableError,
)

from ..headers import FRAME_BYTES, NO_DEADLINE, control, read_control, read_timeout, timeout_line
from .channel import Channel
from .state import UNLIMITED, Reader

PREFIX = "_NATSRPC.large."

ALLOWED = 4
"""Bodies of the largest size that a service puts together at one time."""

_HEAD = FRAME_BYTES + b": large "

TAKEN_WITHIN = 10.0
"""Seconds within which a caller must begin to take a large reply."""

PATIENCE = 30.0
SLOWEST = 16 * 1024
"""Seconds that a large reply may take where neither its worker nor its caller named a time, and the
bytes a second that come on top."""


def large_subject(subject: str) -> str:
    """The subject on which the workers of `subject` (wildcards allowed) listen for heads of large
    requests."""
    return PREFIX + subject


def large_bytes(subject: bytes) -> bytes:
    """`large_subject` for the subject of one request, encoded."""
    return PREFIX.encode() + subject


def real_subject(subject: bytes) -> bytes:
    """The subject that a request would have had, were it small."""
    return subject[len(PREFIX) :]


def with_head(block: bytes, size: int) -> bytes:
    """A header block (or `b""`) that says that so many bytes follow in parts."""
    head = control("large", size)
    return block[:-2] + head[len(b"NATS/1.0\r\n") :] if block else head


def is_head(raw_headers: bytes) -> bool:
    """Whether a reply's header block says that its body follows in parts; `end` does not."""
    return _HEAD in raw_headers


class Allowance:
    """The bytes of large requests that a service may still receive at one time.

    Args:
        largest: the largest body taken; 0 takes none.
    """

    __slots__ = ("free", "largest")

    def __init__(self, largest: int) -> None:
        self.largest: int = largest
        self.free: int = largest * ALLOWED

    def take(self, size: int) -> None:
        """Set `size` bytes aside, until they are given back.

        Raises:
            RequestTooLargeError: one body is never that large here.
            OverloadedError: too much of the allowance is taken at the moment.
        """
        if size > self.largest:
            text = f"request of {size} bytes: at most {self.largest} are taken"
            raise RequestTooLargeError(text)
        if size > self.free:
            raise OverloadedError("too many large requests are being received")
        self.free -= size

    def give_back(self, size: int) -> None:
        """Undo `take`."""
        self.free += size


# the worker's side


class LargeBody:
    """The body of a request that comes in frames: received by its handler's task, and held in the
    service's allowance until the `with` block around that is left.

    Args:
        connection: what it comes by.
        allowance: the service's.
        msg: the head of the request.
        stop: called once, when the caller wants no answer any more, or is gone.
    """

    def __init__(
        self,
        connection: Connection,
        allowance: Allowance,
        msg: Msg,
        stop: Callable[[], object],
    ) -> None:
        self._connection = connection
        self._allowance = allowance
        self._msg = msg
        self._stop = stop
        self._size = 0
        self._channel: Channel | None = None

    async def receive(self) -> bytes:
        """The body, whole.

        Raises:
            RequestTooLargeError: it is larger than the service takes, or than its head said.
            OverloadedError: too many large requests are being received.
            UnavailableError: parts were lost, or the caller is gone.
        """
        size = _read_head(self._msg)
        self._allowance.take(size)
        self._size = size
        self._channel = channel = Channel(
            self._connection,
            self._msg.raw_reply,
            credit=0,
            on_stop=self._stop,
            on_reply=lambda _: None,
            reader=Reader(limit=size, too_large=RequestTooLargeError),
        )
        channel.open_credit()
        async for data in channel.items(bytes):
            body: bytes = data
            return body
        raise UnavailableError("a large request ended without its body")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._channel is not None:
            self._channel.close()
        self._allowance.give_back(self._size)


def _read_head(msg: Msg) -> int:
    found = read_control(msg.headers)
    if found is None or found[0] != "large" or not msg.raw_reply:
        raise RequestTooLargeError("a large request needs a head that says its size")
    return found[1]


async def send_reply(
    connection: Connection,
    msg: Msg,
    reply: tuple[bytes, bytes],
    *,
    deadline: float,
    stop: Callable[[], object],
) -> None:
    """Offer a large reply (data and headers) to its caller, and send it when the caller takes it.

    From then on `msg` is answered at its caller's new address, should something go wrong.

    Raises:
        UnavailableError, NatsTimeoutError: the caller is gone, or does not take it.
    """
    data, headers = reply
    channel = Channel(connection, b"", credit=0, on_stop=stop, on_reply=lambda _: None)
    try:
        head = with_head(headers, len(data))
        if deadline < NO_DEADLINE:
            head = head[:-2] + timeout_line(deadline - connection.link.loop.time()) + b"\r\n"
        connection.link.outbound.send(msg.raw_reply, b"", channel.address, head)
        try:
            async with asyncio.timeout(TAKEN_WITHIN):
                await channel.ready()
        except TimeoutError:
            raise NatsTimeoutError("the caller does not take its large reply") from None
        msg.raw_reply = channel.peer
        channel.writes = True
        await channel.send(data)
        channel.end()
    finally:
        channel.close()


# the caller's side


async def take_reply(
    connection: Connection,
    msg: Msg,
    limit: int,
    error_of: Callable[[Msg], RpcError],
    grace: float,
    wait: float | None = None,
) -> Msg:
    """The reply that `msg` is the head of, with its whole body.

    Args:
        connection: where it comes.
        msg: the head.
        limit: the largest body taken, in bytes.
        error_of: what an error reply stands for.
        grace: seconds beyond the time that the worker named.
        wait: seconds that its caller waits at most.

    Raises:
        RpcError: the worker gave it up, or parts were lost.
        NatsTimeoutError: it did not arrive in time.
        ConnectionClosedError: the connection was closed meanwhile.
    """
    channel = Channel(
        connection,
        msg.raw_reply,
        credit=UNLIMITED,
        on_stop=lambda: None,
        on_reply=lambda reply: channel.fail(error_of(reply)),
        reader=Reader(limit=limit),
    )
    whole = False
    try:
        channel.open_credit()
        async with asyncio.timeout(_reply_time(msg.headers, limit, grace, wait)):
            async for data in channel.items(bytes):
                msg.data = data
                whole = True
                return msg
        raise UnavailableError("a large reply ended without its body")
    except TimeoutError as error:
        if isinstance(error, NatsTimeoutError):
            raise
        raise NatsTimeoutError("the large reply did not arrive in time") from None
    finally:
        if not whole:
            channel.stop()
        channel.close()


def _reply_time(headers: Headers, limit: int, grace: float, wait: float | None) -> float:
    """Seconds within which a large reply must be here, whole."""
    told = read_timeout(headers)
    bounds = [] if wait is None else [wait]
    if told is not None:
        bounds.append(told + grace)
    _, size = read_control(headers) or ("", limit)
    return min(bounds, default=PATIENCE + min(size, limit) / SLOWEST)
