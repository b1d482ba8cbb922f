"""OpenTelemetry's names, as its semantic conventions 1.45 have them, and what they mean here.

The package that holds them as constants is a dependency of SDKs, not of instrumented programs, and
has those of RPC and messaging among what may still move: they are copied, and a test compares them.

Ref: https://opentelemetry.io/docs/specs/semconv/rpc/ and .../messaging/
"""

from __future__ import annotations

import asyncio
import re
from typing import Any

from natsrpc.errors import (
    BadRequestError,
    HeadersTooLargeError,
    InvalidRequestError,
    OverloadedError,
    RequestTooLargeError,
    RpcError,
    UnsupportedCodecError,
)
from natsrpc.rpc import EndpointContract

from ..figures import MAX_CODES, OWN_CODES

RPC_SYSTEM_NAME = "rpc.system.name"
RPC_METHOD = "rpc.method"
RPC_METHOD_ORIGINAL = "rpc.method_original"
RPC_RESPONSE_STATUS_CODE = "rpc.response.status_code"
RPC_CLIENT_CALL_DURATION = "rpc.client.call.duration"
RPC_SERVER_CALL_DURATION = "rpc.server.call.duration"
ERROR_TYPE = "error.type"
MESSAGING_SYSTEM = "messaging.system"
MESSAGING_OPERATION_NAME = "messaging.operation.name"
MESSAGING_OPERATION_TYPE = "messaging.operation.type"
MESSAGING_DESTINATION_NAME = "messaging.destination.name"
MESSAGING_DESTINATION_TEMPLATE = "messaging.destination.template"
MESSAGING_CONSUMER_GROUP_NAME = "messaging.consumer.group.name"
MESSAGING_CLIENT_OPERATION_DURATION = "messaging.client.operation.duration"
MESSAGING_PROCESS_DURATION = "messaging.process.duration"

SEND, PROCESS = "send", "process"
"""Values of `messaging.operation.type`."""

OTHER = "_OTHER"
"""The method of calls whose subjects have too many forms to be names; the code of errors that have
too many."""

ERROR_ID = "natsrpc.error_id"
ATTEMPT = "natsrpc.attempt"
SUBJECT = "natsrpc.subject"
CANCELLED = "natsrpc.cancelled"
ITEM = "natsrpc.item"
"""Our own: what the conventions have no name for."""

BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""The bounds of durations that the conventions advise, in seconds."""

Attributes = dict[str, str | int]

MAX_NAMES = 256
"""Subjects that become names of spans, of one client: more are `_OTHER`."""

_REFUSED = (
    BadRequestError,
    HeadersTooLargeError,
    InvalidRequestError,
    OverloadedError,
    RequestTooLargeError,
    UnsupportedCodecError,
)
"""Errors by which natsrpc refuses a request: a caller's call failed, but nothing at the service."""

_VALUE = re.compile(r"[^.]*[0-9@][^.]*|[^.]{33,}")
"""Tokens of a subject that look like a value: they have a digit, or are long."""


def method_of(service: str, endpoint: str) -> str:
    """The fully qualified name of an endpoint."""
    return f"{service}/{endpoint}"


def method_of_contract(contract: EndpointContract) -> str:
    """The name of an endpoint at its caller, who may not know the service's."""
    if contract.service:
        return method_of(contract.service, contract.name)
    return contract.template or contract.subject


class Names:
    """Names of subjects that programs spell out: not more than `MAX_NAMES`."""

    def __init__(self) -> None:
        self._known: set[str] = set()

    def name(self, subject: str) -> str:
        """The subject with `*` for tokens that look like values; `_OTHER` beyond the limit."""
        if subject in self._known:
            return subject
        name = _VALUE.sub("*", subject)
        if name not in self._known:
            if len(self._known) >= MAX_NAMES:
                return OTHER
            self._known.add(name)
        return name


_OWN_CODES = frozenset(map(str, OWN_CODES))


class Codes:
    """The attributes of durations that ended with an error. Of a method's codes `MAX_CODES` are
    told apart, and natsrpc's own: each is a series of its own, and who is called may answer with
    any number."""

    def __init__(self) -> None:
        self._known: dict[Any, set[Any]] = {}

    def joined(self, attributes: Attributes, noted: Attributes) -> Attributes:
        """The attributes of the method with those that were noted of its error."""
        code = noted.get(RPC_RESPONSE_STATUS_CODE)
        known = self._known.setdefault(attributes.get(RPC_METHOD), set())
        if code not in known:
            if len(known) >= MAX_CODES and code not in _OWN_CODES:
                noted = {name: OTHER if told == code else told for name, told in noted.items()}
            else:
                known.add(code)
        return {**attributes, **noted}


def is_failure(
    error: BaseException, declared: tuple[type[RpcError], ...], *, at_caller: bool
) -> bool:
    """Whether an error makes a span one that failed.

    Answers that an endpoint declares, and those with codes below 500 (which name something that
    the caller can mend), are no failures of the service. A call that was cancelled did not fail.
    """
    if isinstance(error, (asyncio.CancelledError, GeneratorExit, *declared)):
        return False
    if isinstance(error, RpcError) and error.code < 500:
        return at_caller and type(error) in _REFUSED
    return True


def type_of(error: BaseException) -> str:
    """The value of `error.type`: a code where one was answered, else the exception's class."""
    return str(error.code) if isinstance(error, RpcError) else class_name(type(error))


def class_name(kind: type[Any]) -> str:
    """The qualified name of a class."""
    module = kind.__module__
    return kind.__qualname__ if module == "builtins" else f"{module}.{kind.__qualname__}"
