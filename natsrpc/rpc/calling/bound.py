"""The client half of one endpoint, bound: a value becomes a request, its reply a value or an error.

A `BoundCall` is made once per target, types and codec, and kept; a call through it looks nothing up
but its header block, which is kept per timeout in `blocks`.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import AsyncIterable, Mapping
from typing import Any, Literal

from natsrpc import codecs
from natsrpc.core import Connection, Headers, Msg
from natsrpc.errors import (
    BadTimeoutError,
    ContractError,
    DeadlineExceededError,
    DecodeError,
    NatsError,
    NatsTimeoutError,
    RpcError,
)

from ..contract import from_wire, is_error
from ..headers import Inherited, cancel_bytes, depth_line, max_reply_line, timeout_line
from ..streams import MAX_BODY
from .policy import Policy

GRACE = 0.1
"""Seconds a caller waits beyond the deadline it gave the worker: the worker's answer that the
deadline passed (504) comes first, so that a plain timeout means a lost network or process."""

_MAX_BLOCKS = 64


class BoundCall:
    """Calls one subject with one request type, response type and codec."""

    __slots__ = (
        "_cancel_subject",
        "_common",
        "_item",
        "_known",
        "_returns",
        "_send",
        "blocks",
        "codec",
        "decode",
        "encode",
        "idempotent",
        "max_body",
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
    ) -> None:
        self.subject = subject
        self.max_body = max_body
        self._send = connection.send
        self._cancel_subject = cancel_bytes(subject)
        self.codec = codec
        self.encode = codec.bind(request_type).encode
        self.decode = codec.bind(returns).decode
        self._returns = returns
        self.idempotent = idempotent
        self._item = None if item_type is None else codec.bind(item_type)
        self._known = {error.wire_name: error for error in errors}
        self._common = b"Content-Type: " + codec.content_type.encode() + b"\r\n"
        if max_body:
            self._common += max_reply_line(max_body)
        self.blocks: dict[float | None, tuple[bytes, float | None]] = {}

    def block(self, timeout: float | None) -> tuple[bytes, float | None]:
        """The header block for a timeout, and how long to wait for the reply.

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

    def inherited(
        self, timeout: float | None, outer: Inherited, now: float
    ) -> tuple[bytes, float | None]:
        """As `block`, inside a handler: what is left of its deadline, and one deeper.

        Raises:
            DeadlineExceededError: nothing is left.
        """
        deadline, depth = outer
        if deadline is not None:
            left = deadline - now
            if left <= 0:
                raise DeadlineExceededError("the handler's deadline passed before the call")
            if timeout is None or left < timeout:
                timeout = left
        return self._make_block(timeout, depth)

    def abandoned(self, reply: bytes) -> None:
        """Tell the workers that the caller of the request with this reply subject is gone."""
        with contextlib.suppress(NatsError):
            self._send(self._cancel_subject, reply)

    def late(self, error: NatsTimeoutError, wait: float | None) -> NatsTimeoutError:
        """What a caller is told when no answer came: the time it named, without our `GRACE`."""
        if wait is None or isinstance(error, DeadlineExceededError):
            return error
        return NatsTimeoutError(re.sub(r"within \S+ s", f"within {wait - GRACE:g} s", str(error)))

    def encode_item(self, item: Any) -> bytes:
        """An item of a request stream as bytes."""
        if self._item is not None:
            return self._item.encode(item)
        return self.codec.bind(type(item)).encode(item)

    def error(self, msg: Msg) -> RpcError:
        """The error that an error reply stands for."""
        return from_wire(msg, self._known)

    def _make_block(self, timeout: float | None, depth: int) -> tuple[bytes, float | None]:
        block = b"NATS/1.0\r\n" + self._common
        wait = None
        if timeout is not None:
            wait = _check_timeout(timeout) + GRACE
            block += timeout_line(timeout)
        if depth:
            block += depth_line(depth)
        return block + b"\r\n", wait

    def with_headers(self, block: bytes, headers: Mapping[str, str] | None) -> bytes:
        """A header block with a caller's own headers, which go before ours of the same name.

        Raises:
            BadHeaderError: one of them cannot be sent.
        """
        if not headers:
            return block
        given = {name.lower() for name in headers}
        ours = Headers.decode(block).items()
        merged = Headers([(name, value) for name, value in ours if name.lower() not in given])
        for name, value in Headers(headers).items():
            merged.add(name, value)
        return merged.encode()

    def read(self, msg: Msg) -> Any:
        """The value of a reply that has headers, or the error it stands for, raised.

        Raises:
            RpcError: the service answered with an error.
            ContractError: the reply's body is not what was expected.
        """
        if is_error(msg.raw_headers):
            raise from_wire(msg, self._known)
        decode = self.decode
        content_type = msg.headers.get("Content-Type")
        if content_type is not None:
            codec = codecs.by_content_type(content_type)
            if codec is not None and codec.name != self.codec.name:
                decode = codec.bind(self._returns).decode
        try:
            return decode(msg.data)
        except DecodeError as error:
            raise self.misfit(error) from None

    def misfit(self, error: DecodeError) -> ContractError:
        """The error of a reply that is no value of the type expected here."""
        subject = self.subject.decode()
        return ContractError(
            f"the reply of {subject!r} does not fit: {error}",
            subject=subject,
            errors=error.errors,
            malformed=error.malformed,
        )


def _check_timeout(timeout: float) -> float:
    if isinstance(timeout, bool) or not isinstance(timeout, (int, float)) or not timeout > 0:
        raise BadTimeoutError(f"timeout is {timeout!r}: expected a positive number of seconds")
    return timeout


CallKind = Literal["call", "stream", "upload", "gather"]


class Call:
    """One call, as client-side middleware sees it; what it changes here is what is sent.

    `kind` names the method of the client that was called. The response of a "stream" is an async
    generator, that of "gather" a list.
    """

    __slots__ = (
        "codec",
        "errors",
        "headers",
        "idle_timeout",
        "items",
        "kind",
        "max_responses",
        "policy",
        "request",
        "returns",
        "stall",
        "target",
        "timeout",
        "tokens",
    )

    def __init__(
        self,
        target: Any,
        request: Any,
        returns: Any,
        *,
        timeout: float | None,
        headers: Mapping[str, str] | None,
        codec: str | codecs.Codec | None,
        tokens: Mapping[str, str] | None,
        errors: tuple[type[RpcError], ...],
        policy: Policy | None = None,
        kind: CallKind = "call",
        items: AsyncIterable[Any] | None = None,
        idle_timeout: float | None = None,
        stall: float | None = None,
        max_responses: int | None = None,
    ) -> None:
        self.kind = kind
        self.target = target
        self.request = request
        self.returns = returns
        self.timeout = timeout
        self.headers = dict(headers or {})
        self.codec = codec
        self.tokens = tokens
        self.errors = errors
        self.policy = policy
        self.items = items
        self.idle_timeout = idle_timeout
        self.stall = stall
        self.max_responses = max_responses
