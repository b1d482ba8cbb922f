"""`Delivery`: one delivery of a message, as the handler of a worker sees it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from operator import attrgetter
from typing import Any, ClassVar

from natsrpc.core import Headers
from natsrpc.errors import Reject, RetryLater
from natsrpc.jetstream import Metadata
from natsrpc.rpc import Context, OfWork

from .job import Job


class Delivery:
    """A delivery of the message that a worker handles.

    A handler names it as the type of a parameter, `delivery: natsrpc.Delivery`. One that takes
    batches names `deliveries: list[natsrpc.Delivery]`, in the order of its messages, and may say by
    `done`, `reject` and `retry` what becomes of each: that holds however the handler ends. Messages
    of which it says nothing are handled if it returns, and share its error if it raises.
    """

    __slots__ = ("_extend", "_job", "_metadata", "client")

    __natsrpc_source__: ClassVar[Callable[[Any], Any]]
    __natsrpc_source_of_list__: ClassVar[Callable[[Any], Any]]

    client: Any
    """The `natsrpc.Client` of the connection that the service is served on."""

    def __init__(self, job: Job, extend: Callable[[Job], Any], client: Any) -> None:
        self._job = job
        self._extend = extend
        self._metadata: Metadata | None = None
        self.client = client

    def __repr__(self) -> str:
        return f"<Delivery of {self.subject!r} seq={self.stream_seq} attempt={self.attempt}>"

    def _read(self) -> Metadata:
        if self._metadata is None:
            self._metadata = self._job.msg.metadata
        return self._metadata

    @property
    def attempt(self) -> int:
        """How often the message was delivered, counted from 1. Deliveries that ended with their
        process count, too."""
        return self._job.attempt

    @property
    def stream(self) -> str:
        """The stream's name."""
        return self._read().stream

    @property
    def stream_seq(self) -> int:
        """The message's sequence in the stream."""
        return self._job.seq

    @property
    def timestamp(self) -> datetime:
        """When the stream stored it."""
        return self._read().timestamp

    @property
    def subject(self) -> str:
        """The message's subject."""
        return self._job.msg.subject

    @property
    def headers(self) -> Headers:
        """The message's headers."""
        return self._job.msg.headers

    async def in_progress(self) -> None:
        """Tell the server to wait on: its `ack_wait` begins anew.

        Workers do that by themselves while a handler runs; a handler that blocks the event loop
        may do it before.

        Raises:
            ConnectionClosedError, ReconnectBufferExceededError: it cannot be told.
        """
        await self._extend(self._job)

    def done(self) -> None:
        """The message is handled, however the handler ends. Any thread may say it."""
        self._job.mark = None

    def reject(self, reason: str = "rejected") -> None:
        """The message can never be handled: it goes to the dead letters. Any thread may say it."""
        self._job.mark = Reject(reason)

    def retry(self, delay: float = 0.0, reason: str = "") -> None:
        """The message is to be delivered again after `delay` seconds. Any thread may say it.

        Raises:
            ConfigError: `delay` is no number of seconds up to ten years.
        """
        self._job.mark = RetryLater(delay, reason)


def _first(context: Context) -> Delivery:
    found: Delivery = context.delivery[0]
    return found


Delivery.__natsrpc_source__ = OfWork(_first)
Delivery.__natsrpc_source_of_list__ = OfWork(attrgetter("delivery"), batch=True)
