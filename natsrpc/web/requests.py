"""The request that an HTTP request means for its endpoint: what is sent, with which headers, and in
which time."""

from __future__ import annotations

from collections.abc import AsyncIterator

from .bodies import Bodies
from .exchange import Exchange
from .problems import Problem, invalid
from .routes import Route
from .terms import media_type

__all__ = ["NDJSON", "items_of", "query_of", "request_of"]

_JSON = b"application/json"
NDJSON = "application/x-ndjson"
_LINES = frozenset((NDJSON, "application/ndjson", "application/jsonl", "application/json-lines"))

# A browser sends these for any page without asking first, and one without a type as well.
_UNASKED = frozenset(("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"))

_NOTHING = frozenset((b"", b"{}", b"null"))


async def request_of(exchange: Exchange, route: Route, bodies: Bodies) -> bytes | bytearray:
    """The body to send to the service.

    Raises:
        Problem: the HTTP request does not fit.
    """
    if exchange.method != "POST":
        return query_of(exchange, route)
    encoding = exchange.headers.get(b"content-encoding")
    if encoding is not None:
        check_encoding(encoding)
    body = await bodies.whole(exchange)
    if route.takes_raw:
        check_raw(media_type(exchange))
    elif (type_ := exchange.headers.get(b"content-type")) != _JSON and (body or type_):
        check_json(media_type(exchange))
    if route.takes_nothing:
        if bytes(body[:16]).strip() not in _NOTHING:
            raise invalid("body", "", "expected none, or an empty object", status=422)
        return b""
    return body


def query_of(exchange: Exchange, route: Route) -> bytes:
    """The request that a query says, of a GET or beside the items of a body.

    Raises:
        Problem: the query does not fit.
    """
    assert route.query is not None  # of all these
    return route.query.body(exchange.scope["query_string"])


def items_of(exchange: Exchange, route: Route, bodies: Bodies) -> AsyncIterator[bytes]:
    """The items to send to the service, as they come.

    Raises:
        Problem: the body's type does not fit.
    """
    check_encoding(exchange.headers.get(b"content-encoding", b""))
    type_ = media_type(exchange)
    if route.items_raw:
        check_raw(type_)
        return bodies.pieces(exchange)
    if type_ not in _LINES:
        raise _unsupported(NDJSON, type_)
    return bodies.lines(exchange)


def check_json(type_: str) -> None:
    """Refuse what is no JSON by its type.

    Raises:
        Problem: it is none.
    """
    if type_ not in ("application/json", "text/json") and not type_.endswith("+json"):
        raise _unsupported("application/json", type_)


def check_raw(type_: str) -> None:
    """Refuse bytes that came with no type, or with one that any page may send unasked.

    Raises:
        Problem: they did.
    """
    if type_ in _UNASKED:
        raise _unsupported("application/octet-stream, or the type of the file", type_)


def check_encoding(encoding: bytes) -> None:
    """Refuse a compressed body.

    Raises:
        Problem: it is one.
    """
    if encoding.strip().lower() not in (b"", b"identity"):
        raise invalid("header", "Content-Encoding", "expected none", status=415)


def _unsupported(expected: str, type_: str) -> Problem:
    found = f"not {type_[:80]!r}" if type_ else "and found none"
    return invalid("header", "Content-Type", f"expected {expected}, {found}", status=415)
