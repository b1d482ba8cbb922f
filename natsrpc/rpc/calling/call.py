"""`Call`: one call as client-side middleware sees it, and the same for every way to call."""

from __future__ import annotations

from collections.abc import AsyncIterable, Mapping
from typing import Any, Literal

from natsrpc import codecs
from natsrpc.errors import RpcError

from .policy import Policy

CallKind = Literal["call", "request", "stream", "upload", "gather"]


class Call:
    """One call, as client-side middleware sees it; what it changes here is what is sent.

    `kind` names the method of the client that was called. The response of a "request" is a `Reply`,
    that of a "stream" an async generator, that of "gather" a list.
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
        self.target: Any = target
        self.request: Any = request
        self.returns: Any = returns
        self.timeout: float | None = timeout
        self.headers: dict[str, str] = dict(headers or {})
        self.codec: str | codecs.Codec | None = codec
        self.tokens: Mapping[str, str] | None = tokens
        self.errors: tuple[type[RpcError], ...] = errors
        self.policy: Policy | None = policy
        self.items: AsyncIterable[Any] | None = items
        self.idle_timeout: float | None = idle_timeout
        self.stall: float | None = stall
        self.max_responses: int | None = max_responses
