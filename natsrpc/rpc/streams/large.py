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

What is put together at a worker at one time is bounded by its `Allowance`, at a caller by what it
asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator

from natsrpc.core import Connection, Headers, Msg
from natsrpc.errors import (
    NatsTimeoutError,
    OverloadedError,
    RequestTooLargeError,
    RpcError,
    UnavailableError,
)

from ..headers import FRAME_BYTES, control, read_control, read_timeout, timeout_line
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
    """Where the workers of `subject` (wildcards allowed) listen for heads of large requests."""
    return PREFIX + subject


def large_bytes(subject: bytes) -> bytes:
    """The same for the subject of one request, encoded."""
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
    """How many bytes of large requests a service holds at one time.

    Args:
        largest: the largest body taken; 0 takes none.
    """

    __slots__ = ("free", "largest")

    def __init__(self, largest: int) -> None:
        self.largest = largest
        self.free = largest * ALLOWED

    @contextlib.contextmanager
    def hold(self, size: int) -> Iterator[None]:
        """Set `size` bytes aside.

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
        try:
            yield
        finally:
            self.free += size


# the worker's side


def read_head(msg: Msg) -> int:
    """How large the body is that follows.

    Raises:
        RequestTooLargeError: the head does not say so.
    """
    found = read_control(msg.headers)
    if found is None or found[0] != "large" or not msg.raw_reply:
        raise RequestTooLargeError("a large request needs a head that says its size")
    return found[1]


def open_body(connection: Connection, msg: Msg, size: int, stop: Callable[[], object]) -> Channel:
    """The channel that a request's body comes by. It is kept open until the answer is sent, for the
    caller to know that the worker is there."""
    channel = Channel(
        connection,
        msg.raw_reply,
        credit=0,
        on_stop=stop,
        on_reply=lambda _: None,
        reader=Reader(limit=size, too_large=RequestTooLargeError),
    )
    channel.open_credit()
    return channel


async def receive_body(channel: Channel) -> bytes:
    """The body, whole.

    Raises:
        UnavailableError: parts were lost, or the caller is gone.
        RequestTooLargeError: it is larger than its head said.
    """
    async for data in channel.items(bytes):
        body: bytes = data
        return body
    raise UnavailableError("a large request ended without its body")


async def send_reply(
    connection: Connection,
    msg: Msg,
    reply: tuple[bytes, bytes],
    *,
    deadline: float | None,
    stop: Callable[[], object],
) -> None:
    """Offer a large reply (data and headers), and send it to whoever takes it.

    From then on `msg` is answered at its caller's new address, should something go wrong.

    Raises:
        UnavailableError, NatsTimeoutError: the caller is gone, or does not take it.
    """
    data, headers = reply
    channel = Channel(connection, b"", credit=0, on_stop=stop, on_reply=lambda _: None)
    try:
        head = with_head(headers, len(data))
        if deadline is not None:
            head = head[:-2] + timeout_line(deadline - connection.link.loop.time()) + b"\r\n"
        connection.link.send(msg.raw_reply, b"", channel.address, head)
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
