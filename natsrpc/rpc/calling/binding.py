"""From a target and its types to a `BoundCall`: made once, and kept."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection, check_publish
from natsrpc.errors import ConfigError, ConfigTypeError, EncodeError, RpcError

from ..contract import EndpointContract, check_errors
from ..signature import names as naming
from ..signature import registry
from .bound import BoundCall

Errors = tuple[type[RpcError], ...]
"""Error classes that are looked at before those registered under the same names."""

_VALUES = (str, bytes, int, float, list, tuple, dict, set)
"""What is no type, though it may stand where one is expected."""

MAX_BOUND = 2048
"""Bound calls kept at most; then all are forgotten, and made again as they are needed."""


class _Default:
    """Not given."""

    def __repr__(self) -> str:
        return "..."


NOTHING: Any = _Default()
"""The request, or the response type, was not given."""


class Binder:
    """Makes bound calls for one connection.

    `calls` is what was made for calls that do not stream, by (target, type of the request, type of
    the response, codec), for the caller to look at first.
    """

    def __init__(self, connection: Connection, codec: codecs.Codec, max_body: int) -> None:
        self.calls: dict[Any, BoundCall] = {}
        self._streams: dict[Any, BoundCall] = {}
        self._connection = connection
        self._codec = codec
        self._max_body = max_body

    def find(
        self,
        target: Any,
        request: Any,
        returns: Any,
        codec: str | codecs.Codec | None,
        tokens: Mapping[str, str] | None,
        *,
        streams: bool = False,
        errors: Errors = (),
    ) -> BoundCall:
        """The bound call for these, made if there is none yet.

        Raises:
            ConfigError: the target cannot be called, or not in this way.
            BadSubjectError: it is no subject.
            UnknownCodecError: it is no codec.
            EncodeError: the codec cannot write this kind of request.
        """
        kind = type(request)
        if errors:
            check_errors("errors", errors)
        if tokens is not None:
            return self._bind(target, kind, returns, codec, tokens, streams, errors)
        kept = self._streams if streams else self.calls
        key = (target, kind, returns, codec, *errors)
        try:
            bound = kept.get(key)
        except TypeError:  # a type that cannot be hashed
            return self._bind(target, kind, returns, codec, None, streams, errors)
        if bound is None:
            bound = self._bind(target, kind, returns, codec, None, streams, errors)
            if len(kept) >= MAX_BOUND:
                kept.clear()
            kept[key] = bound
        return bound

    def _bind(
        self,
        target: Any,
        kind: type,
        returns: Any,
        codec: str | codecs.Codec | None,
        tokens: Mapping[str, str] | None,
        streams: bool,
        errors: Errors,
    ) -> BoundCall:
        if isinstance(returns, _VALUES):
            raise ConfigTypeError(
                f"returns is {returns!r}: expected a type; "
                "several body parameters are passed as one mapping"
            )
        chosen = self._codec if codec is None else codecs.get(codec)
        if isinstance(target, str):
            return self._bind_subject(target, kind, returns, chosen, tokens, errors)
        if isinstance(target, EndpointContract):
            contract = target
        elif callable(target):
            contract = registry.find(target).contract
        else:
            raise ConfigError(f"cannot call {target!r}: expected a subject or a handler")
        if streams != (contract.kind != "unary"):
            ways = "stream() or upload()" if contract.kind != "unary" else "call()"
            raise ConfigError(f"endpoint {contract.name!r} is to be called with {ways}")
        return BoundCall(
            self._connection,
            check_publish(naming.fill(contract.template or contract.subject, tokens or {})),
            contract.request_type,
            contract.response_type if returns is NOTHING else returns,
            codec=chosen,
            errors=(*contract.errors, *errors),
            item_type=contract.stream_type,
            idempotent=contract.idempotent,
            max_body=self._max_body,
        )

    def _bind_subject(
        self,
        subject: str,
        kind: type,
        returns: Any,
        codec: codecs.Codec,
        tokens: Mapping[str, str] | None,
        errors: Errors,
    ) -> BoundCall:
        request_type = None if kind in (_Default, type(None)) else kind
        try:
            codec.bind(request_type)
        except ConfigTypeError as error:
            raise EncodeError(f"cannot write a {kind.__name__}: {error}") from error
        return BoundCall(
            self._connection,
            check_publish(naming.fill(subject, tokens or {})),
            request_type,
            Any if returns is NOTHING else returns,
            codec=codec,
            errors=errors,
            max_body=self._max_body,
        )
