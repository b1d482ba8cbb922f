"""Problem documents (RFC 9457): what the gateway answers where there is no value to answer with.

An error that a service answered keeps its code as the status, its name, its text and its fields.
What natsrpc itself says (nobody serves this, no answer in time) has the status that HTTP has for
it. The text of any other exception never leaves the process: it is logged under an id.

Ref: RFC 9457.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any
from urllib.parse import quote

from natsrpc.errors import (
    BadHeaderError,
    BadRequestError,
    BadSubjectError,
    ContractError,
    EncodeError,
    MaxPayloadError,
    NatsError,
    NatsTimeoutError,
    NoRespondersError,
    PermissionsError,
    RpcError,
)

from .passing import MalformedError

__all__ = ["MEDIA_TYPE", "Problem", "Where", "invalid", "problem_of"]

MEDIA_TYPE = "application/problem+json"

_BLANK = "about:blank"
_URN = "urn:natsrpc:error:"
_RETRY_AFTER = "1"

MAX_MISFITS = 100
"""Misfits of one request that are told."""

_log = logging.getLogger("natsrpc.web")


class Problem(Exception):  # noqa: N818  the field's own word
    """A problem document; raised, it ends a request.

    Args:
        status: of the response.
        detail: what is wrong with this request, for people.
        title: what kind of problem it is; what HTTP calls the status if not given.
        type: a URI of the kind.
        more: members of the document beside these and `request_id`.
        headers: of the response.
    """

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str = "",
        type: str = _BLANK,
        more: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status: int = status
        self.detail: str = detail
        self.title: str = title or _phrase(status)
        self.type: str = type
        self.more: Mapping[str, Any] = more or {}
        self.headers: Mapping[str, str] = headers or {}

    def document(self, request_id: str = "") -> dict[str, Any]:
        """The document as plain data."""
        return {
            "type": self.type,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            **self.more,
            **({"request_id": request_id} if request_id else {}),
        }

    def body(self, request_id: str = "") -> bytes:
        """The document as JSON."""
        document = self.document(request_id)
        try:
            text = json.dumps(document, allow_nan=False)
        except (ValueError, TypeError, RecursionError):  # the fields that a service sent with it
            kept = {key: document[key] for key in ("type", "title", "status", "detail")}
            text = json.dumps(kept)
        return text.encode()


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return f"Error {status}"


def invalid(place: str, name: str, detail: str, *, status: int = 400) -> Problem:
    """The problem of one part of a request: `place` is "query", "path", "header" or "body", `name`
    that of the parameter or header."""
    text = f"{place} {name!r}: {detail}" if name else detail
    return Problem(status, text, more={"errors": [{"in": place, "name": name, "detail": detail}]})


@dataclass(frozen=True, slots=True)
class Where:
    """In which part of a request its fields are.

    `place` is "body" or "query". `query` has those that are in the query though the place is
    another one, or have another name there: the name by the first step of a misfit's path.
    """

    place: str = "body"
    query: Mapping[str, str] = field(default_factory=dict)

    def of(self, path: str) -> tuple[str, str]:
        """The place of a misfit, and its name there."""
        name = self.query.get(path.partition(".")[0])
        return (self.place, path) if name is None else ("query", path or name)


_BODY = Where()

_TEXTS: tuple[tuple[type[BaseException], int, str], ...] = (
    (NoRespondersError, 503, "no instance of the service is there"),
    (NatsTimeoutError, 504, "the service did not answer in time"),
    (ContractError, 502, "what the service answered does not fit its contract"),
    (MaxPayloadError, 413, "the request is larger than the service takes"),
    (BadSubjectError, 404, "the path names no subject"),
    (PermissionsError, 502, "the gateway may not call this service"),
    (NatsError, 503, "the gateway has no connection to NATS"),
)
"""What natsrpc raises where nobody answered; the first of these that an error is."""


def problem_of(error: BaseException, where: Where = _BODY) -> Problem:
    """The problem that an error of a call is, for its caller.

    Args:
        error: the error.
        where: where the request's fields were.
    """
    match error:
        case Problem():
            return error
        case RpcError():
            return _answered(error, where)
        case BadHeaderError():
            return invalid("header", "", str(error))
        case MalformedError():
            return invalid(where.place, "", str(error))
        case EncodeError():
            return invalid(where.place, "", str(error), status=422)
    for kind, status, detail in _TEXTS:
        if isinstance(error, kind):
            headers = {"retry-after": _RETRY_AFTER} if status == 503 else {}
            return Problem(status, detail, headers=headers)
    return _failed(error)


def _failed(error: BaseException) -> Problem:
    error_id = os.urandom(8).hex()
    _log.error("the gateway failed (error id %s)", error_id, exc_info=error)
    return Problem(500, f"internal error {error_id}", more={"error_id": error_id})


def _answered(error: RpcError, where: Where) -> Problem:
    """The problem of an error that a service answered, or natsrpc in its stead."""
    more: dict[str, Any] = {"error": error.name, "code": error.code}
    if error.code == 422 and isinstance(error.details, list | tuple):
        more["errors"] = list(_misfits(error.details, where))
    elif isinstance(error, BadRequestError) and error.details is None:  # it could not be read
        place, name = where.of("") if where.place == "query" else (where.place, "")
        more["errors"] = [{"in": place, "name": name, "detail": error.message}]
    elif error.details is not None and not isinstance(error.details, bytes):
        more["details"] = error.details
    headers: dict[str, str] = {}
    if error.code in (429, 503):
        headers["retry-after"] = error.headers.get("Retry-After", _RETRY_AFTER)
    if error.code == 401:
        headers["www-authenticate"] = error.headers.get("WWW-Authenticate", "Bearer")
    return Problem(
        error.code if 400 <= error.code <= 599 else 500,
        error.message,
        title=error.name,
        type=_URN + quote(error.name[:200], safe=""),
        more=more,
        headers=headers,
    )


def _misfits(details: Iterable[Any], where: Where) -> Iterator[dict[str, Any]]:
    """What does not fit of a request, each with its place; in a body as a JSON pointer (RFC 6901),
    too."""
    for each in list(details)[:MAX_MISFITS]:
        if not isinstance(each, Mapping):
            continue
        path, reason = str(each.get("path", "")), str(each.get("reason", ""))
        place, name = where.of(path)
        found = {"in": place, "name": name, "detail": reason}
        if place == "body":
            steps = [step.replace("~", "~0").replace("/", "~1") for step in path.split(".") if step]
            found["pointer"] = "#" + "".join(f"/{step}" for step in steps)
        yield found
