"""The client half of one endpoint, bound: a value becomes a request, its reply a value or an error.

A `BoundCall` is made once per target, types and codec, and kept by the `Binder`; a call through it
looks nothing up but its header block, which is kept per timeout in `blocks`.
"""

from __future__ import annotations

import contextlib
import logging
import re
import time
from collections.abc import Callable, Mapping
from typing import Any

from natsrpc import codecs, core
from natsrpc.core import Connection, Headers, Msg, Throttle
from natsrpc.errors import (
    BadTimeoutError,
    CallCancelledError,
    ContractError,
    DeadlineExceededError,
    DecodeError,
    NatsError,
    NatsTimeoutError,
    RpcError,
    UnavailableError,
)

from ..contract import from_wire, is_error, is_ours
from ..headers import (
    GRACE,
    NO_DEADLINE,
    Inherited,
    cancel_bytes,
    deadline_line,
    depth_line,
    inherited,
    max_reply_line,
    request_id_line,
    timeout_line,
)
from ..streams import MAX_BODY, PATIENCE, Patience, conversations_of, is_head, take_reply
from . import acks
from .blocks import Block, DatedBlocks, with_headers
from .reply import Reply

_MAX_BLOCKS = 64

_log = Throttle(logging.getLogger("natsrpc.rpc"))


class NotGiven:
    """The type of `NOTHING`."""

    def __repr__(self) -> str:
        return "..."


NOTHING: Any = NotGiven()
"""The request, or the response type, was not given."""


class BoundCall:
    """Calls one subject with one request type, response type and codec.

    What a call gives is the value of its reply or, with `gives_reply`, a `Reply` with the value.
    With `is_dated` its requests name their deadline by the clock on the wall, too.
    """

    __slots__ = (
        "_cancel_subject",
        "_common",
        "_connection",
        "_gives_reply",
        "_is_dated",
        "_item",
        "_known",
        "_returns",
        "_value",
        "blocks",
        "codec",
        "decode",
        "decode_item",
        "encode",
        "idempotent",
        "max_body",
        "patience",
        "subject",
    )

    def __init__(
        self,
        connection: Connection,
        subject: bytes,
        request_type: Any,
        returns: Any,
        *,
        codec: codecs.Codec,
        errors: tuple[type[RpcError], ...] = (),
        item_type: Any = None,
        idempotent: bool = False,
        max_body: int = MAX_BODY,
        patience: Patience = PATIENCE,
        gives_reply: bool = False,
        is_dated: bool = False,
    ) -> None:
        self.subject: bytes = subject
        self.patience: Patience = patience
        self.max_body: int = max_body
        self._connection = connection
        self._cancel_subject = cancel_bytes(subject)
        self.codec: codecs.Codec = codec
        self.encode: Callable[[Any], bytes] = codec.bind(request_type).encode
        self.decode_item: Callable[[bytes], Any] = codec.bind(returns).decode
        self._value = acks.watch(self.decode_item, subject.decode(), _log)
        self.decode: Callable[[bytes], Any] = self._bare_reply if gives_reply else self._value
        self._gives_reply = gives_reply
        self._returns = returns
        self.idempotent: bool = idempotent
        self._item = None if item_type is None else codec.bind(item_type)
        self._known = {error.wire_name: error for error in errors}
        self._common = b"Content-Type: " + codec.content_type.encode() + b"\r\n"
        if max_body:
            self._common += max_reply_line(max_body)
        self._is_dated = is_dated
        self.blocks: dict[float | None, Block] | DatedBlocks = DatedBlocks() if is_dated else {}

    # the request

    def prepare(
        self, request: Any, timeout: float | None, headers: Mapping[str, str] | None
    ) -> tuple[bytes, bytes, float | None]:
        """The body and the header block to send, and how many seconds to wait for the reply.

        Raises:
            EncodeError: the request cannot be written.
            BadTimeoutError: the timeout is not a positive number.
            BadHeaderError: one of the headers cannot be sent.
            DeadlineExceededError: nothing is left of the deadline of the handler that calls.
        """
        data = self.encode(None if request is NOTHING else request)
        outer = inherited.get()
        if outer is None:
            block, wait = self.block(timeout)
        else:
            block, wait = self._inner_block(timeout, outer)
        return data, with_headers(block, headers) if headers else block, wait

    def block(self, timeout: float | None) -> tuple[bytes, float | None]:
        """The header block for a timeout, and how many seconds to wait for the reply.

        Raises:
            BadTimeoutError: it is not a positive number.
        """
        known = self.blocks.get(timeout)
        if known is None:
            known = self._make_block(timeout, 0)
            if len(self.blocks) >= _MAX_BLOCKS:
                self.blocks.clear()
            self.blocks[timeout] = known
        return known

    def _inner_block(self, timeout: float | None, outer: Inherited) -> tuple[bytes, float | None]:
        """As `block`, for a call made by a handler: within its deadline, and one level deeper."""
        deadline, depth, headers, _ = outer
        if deadline < NO_DEADLINE:
            left = deadline - self._connection.link.loop.time()
            if left <= 0:
                raise DeadlineExceededError("the handler's deadline passed before the call")
            if timeout is None or left < timeout:
                timeout = left
        return self._make_block(timeout, depth, request_id_line(headers))

    def _make_block(
        self, timeout: float | None, depth: int, more: bytes = b""
    ) -> tuple[bytes, float | None]:
        block = b"NATS/1.0\r\n" + self._common + more
        wait = None
        if timeout is not None:
            wait = _check_timeout(timeout) + GRACE
            block += timeout_line(timeout)
            if self._is_dated:
                block += deadline_line(time.time() + timeout)
        if depth:
            block += depth_line(depth)
        return block + b"\r\n", wait

    def encode_item(self, item: Any) -> bytes:
        """An item of a request stream as bytes."""
        if self._item is not None:
            return self._item.encode(item)
        return self.codec.bind(type(item)).encode(item)

    # what comes of it

    def abandoned(self, reply: core.Reply, error: BaseException) -> None:
        """Tell the workers that a caller waits no more: it was cancelled, or its time is over.

        In time a worker knows of the end by itself. Where the connection was interrupted since the
        request was made the worker may have got it late, and is told.
        """
        if isinstance(error, NatsTimeoutError):
            link = self._connection.link
            begun = reply.deadline - (reply.timeout or 0.0)
            if link.interrupted_at <= begun or not conversations_of(link).may_cancel():
                return
        self.cancel(reply.inbox)

    def cancel(self, reply: bytes) -> None:
        """Tell the workers that the caller of the request with this reply subject is gone."""
        with contextlib.suppress(NatsError):
            self._connection.link.outbound.send(self._cancel_subject, reply)

    def late(self, error: NatsTimeoutError, wait: float | None) -> NatsTimeoutError:
        """The error to raise when no answer came: it names the caller's time, without `GRACE`."""
        if isinstance(error, DeadlineExceededError):
            return error
        text = str(error)
        if wait is not None:
            text = re.sub(r"within \S+ s", f"within {wait - GRACE:g} s", text)
        return NatsTimeoutError(text, subject=self.subject.decode())

    async def receive(self, msg: Msg, wait: float | None) -> Any:
        """The value of a reply that has headers; a large one is received whole first.

        Args:
            msg: the reply.
            wait: seconds that the caller waits at most.

        Raises:
            RpcError: the service answered with an error.
            ContractError: the reply's body is not what was expected.
            NatsTimeoutError: a large reply did not arrive in time.
        """
        if is_head(msg.raw_headers):
            msg = await self.whole(msg, wait)
        return self.read(msg)

    async def whole(self, head: Msg, wait: float | None) -> Msg:
        """The large reply that a head announces, with its body.

        Raises:
            RpcError: the service answered with an error, or the body is too large, or broke off.
            NatsTimeoutError: it did not arrive in time.
        """
        conversations = conversations_of(self._connection.link)
        try:
            return await take_reply(
                conversations,
                head,
                self.max_body,
                self.error,
                GRACE,
                wait,
                patience=self.patience,
            )
        except RpcError as error:
            self.of_this_call(error)
            raise
        except NatsTimeoutError as error:
            raise NatsTimeoutError(str(error), subject=self.subject.decode()) from None

    def read(self, msg: Msg) -> Any:
        """What a whole reply that has headers gives, or the error it stands for, raised.

        Raises:
            RpcError: the service answered with an error.
            ContractError: the reply's body is not what was expected.
        """
        if is_error(msg.raw_headers):
            raise self.error(msg)
        decode = self._value
        content_type = msg.headers.get("Content-Type")
        if content_type is not None:
            codec = codecs.by_content_type(content_type)
            if codec is not None and codec.name != self.codec.name:
                decode = codec.bind(self._returns).decode
        try:
            value = decode(msg.data)
        except DecodeError as error:
            raise self.misfit(error, msg.data) from None
        return self._reply(value, msg.headers) if self._gives_reply else value

    def _bare_reply(self, data: bytes) -> Reply[Any]:
        """What a reply without headers gives, of a call that gives a `Reply`."""
        return Reply(self._value(data), Headers(), self.subject.decode())

    def _reply(self, value: Any, headers: Headers) -> Reply[Any]:
        handlers = Headers((name, each) for name, each in headers.items() if not is_ours(name))
        return Reply(value, handlers, self.subject.decode())

    def error(self, msg: Msg) -> RpcError:
        """The error that an error reply stands for.

        A caller that still waits has cancelled nothing: if its call was cancelled anyway, by what
        the worker made of a lost connection, the service was not available to it.
        """
        if not is_error(msg.raw_headers):
            return UnavailableError("stream broken: a message came that is no frame")
        error = from_wire(msg, self._known, self.subject.decode())
        if type(error) is not CallCancelledError:
            return error
        cancelled = UnavailableError("the call was cancelled, and not by its caller")
        cancelled.came_from, cancelled.relayed = error.came_from, error.relayed
        cancelled.headers = error.headers
        return cancelled

    def of_this_call(self, error: RpcError) -> None:
        """Note on an error made here that it is how this call ended, as if a reply had said so."""
        error.came_from = error.came_from or self.subject.decode()

    def misfit(self, error: DecodeError, data: bytes) -> ContractError:
        """The error of a reply that is no value of the type expected here."""
        subject = self.subject.decode()
        return acks.stored(data, subject) or ContractError(
            f"the reply of {subject!r} does not fit: {error}",
            subject=subject,
            errors=error.errors,
            malformed=error.malformed,
        )


def _check_timeout(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise BadTimeoutError(f"timeout is {timeout!r}: expected a positive number of seconds")
    return timeout
