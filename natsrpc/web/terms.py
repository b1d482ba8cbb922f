"""What a request says beside its body: its deadline, its id, which headers cross, and which types.

Only the headers of a list cross, in either direction. None whose name begins with `Natsrpc-` or
`Nats-` is ever on it: with those, a stranger would speak to a service as natsrpc does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from natsrpc.errors import ConfigError

from .exchange import Exchange
from .problems import Problem, invalid

__all__ = [
    "IN",
    "OUT",
    "HeaderList",
    "asked_timeout",
    "check_crossing",
    "check_host",
    "check_site",
    "check_size",
    "media_type",
    "preferred",
]

IN = ("Accept-Language", "Baggage", "Idempotency-Key", "Traceparent", "Tracestate")
"""The headers of requests that cross, if not told otherwise. The request's id always does."""

OUT = (
    "Cache-Control",
    "Content-Disposition",
    "Content-Language",
    "ETag",
    "Expires",
    "Last-Modified",
    "Link",
    "Location",
    "Retry-After",
)
"""The headers of answers that cross, if not told otherwise."""

MAX_HEADERS = 16 * 1024
"""Bytes of all headers of a request."""

MAX_LINES = 200
"""Lines of them."""

_NEVER = frozenset(
    (
        "connection",
        "content-encoding",
        "content-length",
        "content-type",
        "host",
        "keep-alive",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
        "x-request-id",
    )
)
"""Headers that HTTP needs for itself, or that are passed on by a rule of their own."""

_name = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+").fullmatch
_seconds = re.compile(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) *(ms|s)?").fullmatch
_weight = re.compile(r"q=(0(?:\.[0-9]{0,3})?|1(?:\.0{0,3})?)").fullmatch


class HeaderList:
    """The names of headers that cross.

    Raises:
        ConfigError: one of them never may.
    """

    def __init__(self, what: str, names: Iterable[str]) -> None:
        found = (names,) if isinstance(names, str) else tuple(names)
        for name in found:
            check_crossing(what, name)
        self.names: tuple[str, ...] = found
        self._keys = tuple((name.lower().encode(), name) for name in found)

    def of(self, exchange: Exchange) -> dict[str, str]:
        """The headers of a request that cross, its id among them."""
        headers = exchange.headers
        if len(headers) < len(exchange.scope["headers"]):
            headers = _joined(exchange.scope["headers"])
        crossing = {"X-Request-Id": exchange.request_id}
        for key, name in self._keys:
            if key in headers:
                crossing[name] = headers[key].decode("latin-1")
        return crossing

    def within(self, headers: Mapping[str, str]) -> dict[str, str]:
        """Those of an answer's headers that cross."""
        return {name: headers[name] for name in self.names if name in headers}


def _joined(lines: Iterable[tuple[bytes, bytes]]) -> dict[bytes, bytes]:
    """Headers of which one came on several lines, which means the same as one line (RFC 9110, 5.3).

    That holds for lists, as Baggage is. What is none is joined as well: a service refuses two ids
    in one, where to choose one of them would be to let it be said twice.
    """
    found: dict[bytes, bytes] = {}
    for name, value in lines:
        found[name] = b"%b, %b" % (found[name], value) if name in found else value
    return found


def check_crossing(what: str, name: str) -> None:
    """Refuse a header that never crosses.

    Raises:
        ConfigError: it is none that may.
    """
    folded = name.lower()
    if not _name(name):
        raise ConfigError(f"{what}: {name!r} is no name of a header")
    if folded.startswith(("natsrpc-", "nats-")) or folded in _NEVER:
        raise ConfigError(f"{what}: {name!r} never crosses the gateway")


def check_size(exchange: Exchange) -> None:
    """Refuse headers that are larger than any service reads.

    Raises:
        Problem: they are.
    """
    headers = exchange.headers
    size = sum(map(len, headers)) + sum(map(len, headers.values()))
    if size > MAX_HEADERS or len(exchange.scope["headers"]) > MAX_LINES:
        raise invalid("header", "", f"larger than {MAX_HEADERS} bytes in all", status=431)


def check_host(exchange: Exchange, hosts: frozenset[str]) -> None:
    """Refuse what was sent to another host: a page may have its own name lead here.

    Raises:
        Problem: it was.
    """
    host = exchange.headers.get(b"host", b"").decode("latin-1").lower()
    name, colon, port = host.rpartition(":")
    if (name if colon and port.isdigit() else host) not in hosts:
        raise invalid("header", "Host", f"{host[:200]!r} is not served here", status=421)


def check_site(exchange: Exchange, origins: tuple[str, ...]) -> None:
    """Refuse what a browser sends for a page of another site, unless that may call: it may send
    some requests without asking first, cookies and all.

    Over plain HTTP browsers say by `Sec-Fetch-Site` only at localhost whose page it is. What they
    say with every POST is its origin, of which the scheme is not compared: a proxy may have
    taken TLS off.

    Raises:
        Problem: it is such a request.
    """
    headers = exchange.headers
    site, given = headers.get(b"sec-fetch-site"), headers.get(b"origin")
    if exchange.method != "POST" or site in (b"same-origin", b"none"):
        return
    if site is None and (given is None or _is_own(given, headers.get(b"host", b""))):
        return
    origin = (given or b"").decode("latin-1")
    if origin not in origins and "*" not in origins:
        raise invalid("header", "Origin", "pages of this origin may not call", status=403)


def _is_own(origin: bytes, host: bytes) -> bool:
    """Whether a page of this origin came from the host that its request names."""
    return origin.partition(b"://")[2].lower() == host.lower() != b""


def asked_timeout(exchange: Exchange, most: float) -> float | None:
    """The seconds that a request names for itself, at most `most`; None if it names none.

    Raises:
        Problem: they cannot be read.
    """
    headers = exchange.headers
    value = headers.get(b"request-timeout", headers.get(b"x-request-timeout"))
    if value is None:
        return None
    found = _seconds(value.decode("latin-1").strip())
    seconds = 0.0 if found is None else float(found[1]) / (1000 if found[2] == "ms" else 1)
    if seconds <= 0:
        detail = (
            f"{value.decode('latin-1')[:40]!r} is no time: expected seconds, as in 2.5 or 800ms"
        )
        raise invalid("header", "Request-Timeout", detail)
    return min(seconds, most)


def media_type(exchange: Exchange) -> str:
    """The type of a request's body, without its parameters; empty if it names none."""
    value = exchange.headers.get(b"content-type", b"")
    return value.partition(b";")[0].strip().lower().decode("latin-1")


def preferred(exchange: Exchange, offered: tuple[str, ...]) -> str:
    """That of the offered media types which a client likes best; the first where it does not say.

    Raises:
        Problem: it takes none of them.
    """
    accept = exchange.headers.get(b"accept", b"").decode("latin-1")[:2000]
    if not accept.strip():
        return offered[0]
    weights = [(_weight_of(accept, each), -place) for place, each in enumerate(offered)]
    best, place = max(weights)
    if best <= 0:
        text = f"none of it is served here: this is one of {', '.join(offered)}"
        raise Problem(
            406, text, more={"errors": [{"in": "header", "name": "Accept", "detail": text}]}
        )
    return offered[-place]


def _weight_of(accept: str, type_: str) -> float:
    """How much a client likes a media type: the most particular of its ranges says it."""
    main = type_.partition("/")[0]
    found = -1, 0.0
    for item in accept.split(","):
        range_, *parameters = (part.strip().lower() for part in item.split(";"))
        rank = {type_: 2, f"{main}/*": 1, "*/*": 0}.get(range_, -1)
        weights = [match[1] for each in parameters if (match := _weight(each))]
        if rank > found[0]:
            found = rank, float(weights[0]) if weights else 1.0
    return found[1]
