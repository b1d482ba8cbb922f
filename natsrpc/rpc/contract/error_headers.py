"""Errors as they travel: an exception becomes reply headers and a body, and back.

The rule: only what an `RpcError` says of itself leaves the process. Every other exception goes out
as a plain internal error with an id; its text and traceback stay in this process's log.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
from collections.abc import Mapping
from typing import Any

from natsrpc import codecs
from natsrpc.core import Headers, Msg, encode_headers
from natsrpc.errors import (
    BadRequestError,
    DecodeError,
    InternalError,
    InvalidRequestError,
    RpcError,
)

from .tables import ServiceContract
from .tracebacks import users_part

ERROR = "Nats-Service-Error"
CODE = "Nats-Service-Error-Code"
NAME = "Natsrpc-Error"
RELAYED = "Natsrpc-Relayed"
ERROR_BYTES = ERROR.encode()
LOWER_ERROR_BYTES = ERROR_BYTES.lower()

_OURS = ("natsrpc-", ERROR.lower())
"""How the names of headers begin that are not the handler's."""

_JSON = "application/json"

_ID = "_natsrpc_error_id"

MAX_TEXT = 1024
"""Longer descriptions are cut: a header line must stay readable and fit any server."""

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

_bodies: dict[type[RpcError], codecs.Bound] = {}


def description(error: RpcError) -> str:
    """The error's message on one line of bounded length, never empty."""
    text = " ".join(error.message[:MAX_TEXT].replace("\0", " ").split())
    return text or error.name


def to_wire(error: RpcError, added: Mapping[str, str] | None = None) -> tuple[bytes, bytes]:
    """The header block and the body of an error reply.

    Args:
        error: the error.
        added: the headers that the handler set for its reply; those of the error go before them.

    Raises:
        BadHeaderError: one of the handler's headers cannot be sent.
        EncodeError: its fields or details cannot be written.
    """
    cls = type(error)
    name = cls.wire_name if cls is not RpcError else error.name
    headers = {ERROR: description(error), CODE: f"{error.code:d}"}
    if name != RpcError.wire_name:
        headers[NAME] = name
    if error.relayed or error.came_from:
        headers[RELAYED] = "1"
    body = _encode_body(error, cls)
    if body:
        headers["Content-Type"] = _JSON
    if added:
        ours = {key.lower() for key in headers}
        rest = {k: v for k, v in added.items() if not (k.lower() in ours or is_ours(k))}
        headers = {**headers, **rest}
    return encode_headers(headers), body


def is_ours(name: str) -> bool:
    """Whether a header of a reply is the protocol's, and not its handler's."""
    return name.lower().startswith(_OURS)


def _encode_body(error: RpcError, cls: type[RpcError]) -> bytes:
    if cls.fields():
        return _bound(cls).encode({key: getattr(error, key) for key in cls.fields()})
    if error.details is None:
        return b""
    return codecs.get("json").bind(Any).encode(error.details)


def _bound(cls: type[RpcError]) -> codecs.Bound:
    bound = _bodies.get(cls)
    if bound is None:
        fields = {key: (type_, codecs.REQUIRED) for key, type_ in cls.fields().items()}
        bound = _bodies[cls] = codecs.get("json").bind(codecs.fields(fields))
    return bound


def is_error(raw_headers: bytes) -> bool:
    """Whether a reply's header block says that it is an error. Strangers spell it as they like."""
    return ERROR_BYTES in raw_headers or LOWER_ERROR_BYTES in raw_headers.lower()


def from_wire(
    msg: Msg, known: dict[str, type[RpcError]] | None = None, subject: str = "?"
) -> RpcError:
    """The exception that an error reply stands for.

    Args:
        msg: the reply.
        known: the error classes the handler declares; they go before those registered by name.
        subject: the subject that was called.
    """
    headers: Headers = msg.headers
    text = headers.get(ERROR) or ""
    raw_code = (headers.get(CODE) or "").strip()
    valid = raw_code.isascii() and raw_code.isdigit() and len(raw_code) < 10
    code = int(raw_code) if valid else 500
    if raw_code and not valid:
        text = f"{text} (code {raw_code!r})".strip()
    error = _from_body(headers.get(NAME) or "", text, code, msg.data, known or {})
    error.came_from = subject
    error.headers = handlers_own(headers)
    error.relayed = (headers.get(RELAYED) or "").strip() == "1"
    return error


def handlers_own(headers: Headers) -> Headers:
    """Those of an error reply's headers that its handler set."""
    return Headers(
        (name, value)
        for name, value in headers.items()
        if not is_ours(name) and (name.lower(), value) != ("content-type", _JSON)
    )


def _from_body(
    name: str, text: str, code: int, data: bytes, known: Mapping[str, type[RpcError]]
) -> RpcError:
    declared = known.get(name)
    for cls in [declared] if declared else _registered(name, code, data):
        error = _rebuild(cls, text, code, data)
        if error is not None:
            return error
    plain = RpcError.rebuild(text or f"error {code}", code, _read_details(data), {})
    if name:
        plain.name = name
    return plain


def _registered(name: str, code: int, data: bytes) -> list[type[RpcError]]:
    """The classes of that name here, the likeliest first: two programs' parts may share a name.

    Those with the reply's fields go before others, then those with its code. What is alike in both
    goes by where it is defined, so that it does not matter which was imported first.
    """
    classes = RpcError.registered.get(name, [])
    if len(classes) < 2:
        return classes
    details = _read_details(data)
    keys = details.keys() if isinstance(details, dict) else set()

    def rank(cls: type[RpcError]) -> tuple[bool, bool, str, str]:
        misfits = cls.fields().keys() != keys, cls.default_code != code
        return *misfits, cls.__module__, cls.__qualname__

    return sorted(classes, key=rank)


def _rebuild(cls: type[RpcError], text: str, code: int, data: bytes) -> RpcError | None:
    """The same class with its fields; None when the body is not what the class here declares."""
    if not cls.fields():
        return cls.rebuild(text, code, _read_details(data), {})
    try:
        fields = _bound(cls).decode(data)
    except DecodeError:
        return None
    return cls.rebuild(text, code, None, fields)


def _read_details(data: bytes) -> Any:
    """The body as JSON; as bytes where it is not, None where there is none."""
    if not data:
        return None
    try:
        return json.loads(data)
    except (ValueError, RecursionError):
        return data


def refused_request(error: DecodeError, service: ServiceContract) -> RpcError:
    """The error that answers a body which does not decode (400) or does not fit (422).

    The service's version is told: of replicas of two versions, one may take what the other refuses.
    """
    if error.malformed or not error.errors:
        reason = f": {error.errors[0]['reason']}" if error.errors else ""
        return BadRequestError(f"the request's body cannot be decoded{reason}")
    first = error.errors[0]
    more = f" (and {len(error.errors) - 1} more)" if len(error.errors) > 1 else ""
    where = f"{first['path']}: " if first["path"] else ""
    text = f"{where}{first['reason']}{more} ({service.name} {service.version})"
    return InvalidRequestError(text, details=list(error.errors))


def error_id_of(error: BaseException) -> str:
    """The id that this exception is logged under, and that its caller is told: one for each, made
    when it is first asked for, so that a span can name it, too."""
    found = getattr(error, _ID, None)
    if found is None:
        found = os.urandom(8).hex()
        with contextlib.suppress(Exception):  # a class with slots
            setattr(error, _ID, found)
    return str(found)


def internal(error: BaseException, handler: str) -> RpcError:
    """Log `error` with its traceback under a fresh id, and give back what the caller may know."""
    error_id = error_id_of(error)
    logger.error(
        "handler %r failed (error id %s)",
        handler,
        error_id,
        exc_info=(type(error), error, users_part(error)),
        extra={"error_id": error_id},
    )
    return InternalError(f"internal error {error_id}", details={"error_id": error_id})
