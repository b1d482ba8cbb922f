"""From a target and its types to a `BoundCall`, which is made once and kept."""

from __future__ import annotations

from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection, check_literal
from natsrpc.errors import BadSubjectError, ConfigError, ConfigTypeError, EncodeError, RpcError

from ..contract import EndpointContract, check_errors
from ..headers import DeadlineClock, check_deadline_clock, is_reserved
from ..signature import Event, registry
from ..signature import names as naming
from ..streams import Conversations, Patience, conversations_of
from .bound import NOTHING, BoundCall, NotGiven
from .call import Call

Errors = tuple[type[RpcError], ...]
"""Error classes that are looked at before those registered under the same names."""

_VALUES = (str, bytes, int, float, list, tuple, dict, set)
"""Types of values that callers pass where `returns`, a type, belongs."""

MAX_BOUND = 2048
"""Bound calls kept at most; then all are forgotten, and made again as they are needed."""


def endpoint_of(target: Any) -> EndpointContract:
    """The endpoint that a handler, or a contract, names.

    Raises:
        ConfigError: it names none.
    """
    if isinstance(target, EndpointContract):
        return target
    if callable(target):
        return registry.find(target).contract
    way = ", and an event is published" if isinstance(target, Event) else ""
    raise ConfigError(f"cannot call {target!r}: expected a subject or a handler{way}")


class Binder:
    """Makes the bound calls of one client, and keeps them.

    `direct` holds those that `Client.call` may make in place, by (target, type of the request, type
    of the response, codec): calls that are not idempotent, while nothing (middleware, a policy of
    the client) is to be done around each call. `makes_direct` says whether that is so.
    """

    def __init__(
        self,
        connection: Connection,
        codec: codecs.Codec,
        max_body: int,
        patience: Patience,
        deadline_clock: DeadlineClock,
    ) -> None:
        check_deadline_clock(deadline_clock)
        self.direct: dict[Any, BoundCall] = {}
        self._makes_direct = True
        self._calls: dict[Any, BoundCall] = {}
        self._requests: dict[Any, BoundCall] = {}
        self._streams: dict[Any, BoundCall] = {}
        self._connection = connection
        self.conversations: Conversations = conversations_of(connection.link)
        self._codec = codec
        self._max_body = max_body
        self._patience = patience
        self._is_dated = deadline_clock == "wall"
        self.conversations.account.allow(max_body)

    @property
    def makes_direct(self) -> bool:
        """Whether calls may be made in place."""
        return self._makes_direct

    @makes_direct.setter
    def makes_direct(self, value: bool) -> None:
        self._makes_direct = value
        self.direct.clear()

    def find(self, call: Call, *, streams: bool = False) -> BoundCall:
        """The bound call for what a call names, made if there is none yet.

        Raises:
            ConfigError: the target cannot be called, or not in this way.
            BadSubjectError: it is no subject.
            UnknownCodecError: it is no codec.
            EncodeError: the codec cannot write this kind of request.
        """
        if call.errors:
            check_errors("errors", call.errors)
        if call.tokens is not None:
            return self._make(call, streams)
        kept = self._streams if streams else self._calls
        if call.kind == "request":
            kept = self._requests
        key: tuple[Any, ...] = (call.target, type(call.request), call.returns, call.codec)
        if call.errors:
            key += call.errors
        try:
            bound = kept.get(key)
        except TypeError:  # a type that cannot be hashed
            return self._make(call, streams)
        if bound is None:
            bound = self._make(call, streams)
            if len(kept) >= MAX_BOUND:
                kept.clear()
                self.direct.clear()
            kept[key] = bound
        if kept is self._calls and self._makes_direct and not (bound.idempotent or call.errors):
            self.direct[key] = bound
        return bound

    def _make(self, call: Call, streams: bool) -> BoundCall:
        target, returns = call.target, call.returns
        if isinstance(returns, _VALUES):
            raise ConfigTypeError(
                f"returns is {returns!r}: expected a type; "
                "several body parameters are passed as one mapping"
            )
        codec = self._codec if call.codec is None else codecs.get(call.codec)
        if isinstance(target, str):
            return self._for_subject(target, call, codec)
        contract = endpoint_of(target)
        if streams != (contract.kind != "unary"):
            ways = "stream() or upload()" if contract.kind != "unary" else "call()"
            raise ConfigError(f"endpoint {contract.name!r} is to be called with {ways}")
        return BoundCall(
            self._connection,
            _subject(contract.template or contract.subject, call),
            contract.request_type,
            contract.response_type if returns is NOTHING else returns,
            codec=codec,
            errors=(*contract.errors, *call.errors),
            item_type=contract.stream_type,
            idempotent=contract.idempotent,
            max_body=self._max_body,
            patience=self._patience,
            gives_reply=call.kind == "request",
            is_dated=self._is_dated,
        )

    def _for_subject(self, subject: str, call: Call, codec: codecs.Codec) -> BoundCall:
        kind = type(call.request)
        request_type = None if kind in (NotGiven, type(None)) else kind
        try:
            codec.bind(request_type)
        except ConfigTypeError as error:
            raise EncodeError(f"cannot write a {kind.__name__}: {error}") from error
        return BoundCall(
            self._connection,
            _subject(subject, call),
            request_type,
            Any if call.returns is NOTHING else call.returns,
            codec=codec,
            errors=call.errors,
            max_body=self._max_body,
            patience=self._patience,
            gives_reply=call.kind == "request",
            is_dated=self._is_dated,
        )


def _subject(template: str, call: Call) -> bytes:
    """The subject of a call, with its tokens.

    Raises:
        BadSubjectError: it is no subject to publish to, or has the token of ours.
    """
    subject = naming.fill(template, call.tokens or {})
    encoded = check_literal(subject)
    if is_reserved(encoded):
        text = (
            f"bad subject {subject!r}: `_NATSRPC` is the token of what natsrpc itself sends, and "
            "reaches no handler; choose another"
        )
        raise BadSubjectError(text, subject=subject)
    return encoded
