"""The header that names a request in logs: `X-Request-Id`. It travels with the calls that a handler
makes for its request.

Callers at the edge set it (a gateway, a proxy, a script); natsrpc makes none up. The name is the
one that HTTP servers use, so that one id is in the logs of both sides.
"""

from __future__ import annotations

REQUEST_ID = "X-Request-Id"
"""The header by which one request is found in the logs of all services that it went through."""

MAX_REQUEST_ID = 256
"""Longer ones are not passed on: a header line of a stranger's must not grow with each hop."""

_KEY = b"\r\nx-request-id:"


def request_id_line(raw_headers: bytes) -> bytes:
    """The line of a header block that holds the id, with its end; empty if there is none."""
    start = raw_headers.lower().find(_KEY) if raw_headers else -1
    if start < 0:
        return b""
    end = raw_headers.find(b"\r\n", start + 2)
    value = raw_headers[start + len(_KEY) : end].strip()
    if not value or len(value) > MAX_REQUEST_ID:
        return b""
    return b"%b: %b\r\n" % (REQUEST_ID.encode(), value)
