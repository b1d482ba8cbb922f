"""`Answers`: error replies and ADR-32 counters of an endpoint."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from natsrpc.core import Connection, Msg, Throttle
from natsrpc.errors import (
    MaxPayloadError,
    NatsError,
    ReplyTooLargeError,
    RpcError,
    UnavailableError,
)

from ..contract import EndpointContract, description, internal, relayed, to_wire
from .losses import Losses
from .meters import Meter

logger: logging.Logger = logging.getLogger("natsrpc.rpc")


class Answers:
    """The part of an endpoint that answers with errors, and counts.

    `num_requests`, `num_errors`, `last_error` and `processing_time_ns` are what ADR-32 reports. A
    request without a reply subject is counted like any other, and what would be answered to it is
    told to the service's own people (see `Losses`). `num_refused` did not run, and were answered
    or lost; `num_dropped` neither ran nor were answered.

    `on_dropped` are called with the endpoint's name for each message that is dropped.
    """

    def __init__(self, connection: Connection, contract: EndpointContract, handler: str) -> None:
        self.num_requests: int = 0
        self.num_errors: int = 0
        self.num_refused: int = 0
        self.num_dropped: int = 0
        self.last_error: str = ""
        self.processing_time_ns: int = 0
        self.on_dropped: list[Callable[[str], object]] = []
        self.meters: list[Meter] = []
        self._losses = Losses(connection.link, contract)
        self._send = connection.link.outbound.send
        self._endpoint = contract.name
        self._handler = handler
        self._log = Throttle(logger)

    def reset(self) -> None:
        """Zero the counters."""
        self.num_requests = self.num_errors = self.processing_time_ns = 0
        self.num_refused = self.num_dropped = 0
        self.last_error = ""

    def note_error(self, text: str) -> None:
        """Count an error of this endpoint."""
        self.num_errors += 1
        self.last_error = text

    def drop(self) -> None:
        """Count a message that neither runs nor is answered."""
        self.num_dropped += 1
        for each in self.on_dropped:
            each(self._endpoint)
        for meter in self.meters:
            meter.dropped()

    def refuse(self, msg: Msg, error: RpcError) -> None:
        """Answer a request that is not run."""
        self.num_requests += 1
        self.num_refused += 1
        if not msg.raw_reply:
            self.drop()
        self.answer(msg, error, ran=False)

    def answer(
        self,
        msg: Msg,
        error: RpcError,
        added: Mapping[str, str] | None = None,
        *,
        ran: bool = True,
    ) -> None:
        """Answer with an error and the headers that its handler `added`, and count it.

        `ran`: the request was given to its handler.
        """
        try:
            headers, data = to_wire(error, added)
        except Exception as failure:  # its message is no text, its fields cannot be written, ...
            error = internal(failure, self._handler)
            headers, data = to_wire(error)
        self.note_error(f"{error.code}:{description(error)}")
        for meter in self.meters:
            meter.failed(error.code)
        if not msg.raw_reply:
            self._losses.note(error, ran=ran)
            return
        try:
            self._send(msg.raw_reply, data, b"", headers)
        except MaxPayloadError:
            short = RpcError.rebuild(error.message, error.code, None, {})
            short.name = error.name
            short.relayed = error.relayed or bool(error.came_from)
            self._send_last(msg, to_wire(short)[0])
        except NatsError as failure:
            self._not_sent(failure)

    def answer_failure(
        self, msg: Msg, error: BaseException, added: Mapping[str, str] | None
    ) -> None:
        """Answer for a handler that raised; the headers that it `added` go with the error."""
        if isinstance(error, asyncio.CancelledError):
            answer: RpcError | None = UnavailableError("the handler was cancelled")
        else:
            answer = relayed(error) or (error if isinstance(error, RpcError) else None)
        self.answer(msg, answer or internal(error, self._handler), added)

    def unsendable(self, msg: Msg, error: Exception, taken: int = 0) -> None:
        """Answer for a reply that cannot be sent, if its caller can be told; count it in any
        case.

        `taken`: the bytes of the largest reply that the caller takes, where it said so.
        """
        if isinstance(error, MaxPayloadError):
            limit = f"the server's max_payload of {error.max_payload} bytes"
            if taken:
                limit = f"the {taken} bytes that its caller takes (its `max_body`)"
            text = f"reply of {error.size} bytes is larger than {limit}"
            self.answer(msg, ReplyTooLargeError(text))
        else:
            self.note_error(str(error))
            for meter in self.meters:
                meter.failed(UnavailableError.default_code)
            self._not_sent(error)

    def unheard(self, failure: NatsError) -> UnavailableError:
        """The answer where nothing of a conversation can come here, as the server denies this
        connection its own inbox; logged, once a second."""
        text = "endpoint %r: a stream or a large body was refused: %s"
        self._log.warning("unheard", text, self._endpoint, failure)
        return UnavailableError("the service may not listen to its own inbox: it takes no frames")

    def close(self) -> None:
        """Tell what was lost and not told yet: no more messages come."""
        self._losses.close()

    def _send_last(self, msg: Msg, headers: bytes) -> None:
        try:
            self._send(msg.raw_reply, b"", b"", headers)
        except NatsError as failure:
            self._not_sent(failure)

    def _not_sent(self, failure: Exception) -> None:
        text = "endpoint %r: a reply was not sent: %s"
        self._log.warning("not sent", text, self._endpoint, failure)
