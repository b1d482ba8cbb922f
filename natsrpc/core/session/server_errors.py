"""The server's `-ERR` texts, which are known here and nowhere else.

For each text: the error it becomes, and whether the server closes the connection after it. Texts
are matched by their beginning, without case; what they quote keeps its case.

Ref: nats-server `server/errors.go`; measured on 2.10 to 2.15.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NamedTuple

from natsrpc.errors import (
    AuthExpiredError,
    AuthorizationError,
    AuthRevokedError,
    ConnectError,
    MaxConnectionsError,
    MaxSubscriptionsError,
    NatsError,
    PermissionsError,
    ServerClosedConnectionError,
    ServerError,
    StaleConnectionError,
)


class Verdict(NamedTuple):
    """The meaning of an `-ERR`.

    `closes` tells that the server ends the connection after it, `fatal` that a further attempt
    would end alike.
    """

    error: NatsError
    closes: bool
    fatal: bool = False


def classify(text: str) -> Verdict:
    """The verdict on one `-ERR` text (without quotes)."""
    folded = text.strip().lower()
    if folded.startswith("permissions violation"):
        return Verdict(_permissions(text), closes=False)
    for beginning, closes, make in _TABLE:
        if folded.startswith(beginning):
            return Verdict(make(text), closes, fatal=beginning in _FATAL)
    return Verdict(ServerError(f"server error: {text!r}", text=text), closes=True)


_QUOTED = r'"((?:[^"\\]|\\.)*)"'
# Compiled when an error comes, by `re` itself: most programs never see one.
_PUBLISH_REPLY = rf"publish with reply of {_QUOTED}"
_PUBLISH = rf"publish to {_QUOTED}"
_SUBSCRIBE = rf"subscription to {_QUOTED}(?: using queue {_QUOTED})?"
_SID = r'\(sid "(\d{1,18})"\)'  # `int` refuses thousands of digits


def _permissions(text: str) -> PermissionsError:
    message = f"permission denied by the server: {text}"
    if found := re.search(_PUBLISH_REPLY, text, re.IGNORECASE):
        return PermissionsError(message, operation="publish", reply=_unquote(found[1]), text=text)
    if found := re.search(_PUBLISH, text, re.IGNORECASE):
        return PermissionsError(message, operation="publish", subject=_unquote(found[1]), text=text)
    if found := re.search(_SUBSCRIBE, text, re.IGNORECASE):
        sid = re.search(_SID, text, re.IGNORECASE)
        return PermissionsError(
            message,
            operation="subscribe",
            subject=_unquote(found[1]),
            queue_group=_unquote(found[2] or ""),
            sid=int(sid[1]) if sid else None,
            text=text,
        )
    return PermissionsError(message, text=text)


_ESCAPE = r"\\(x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|.)"
_LETTERS = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}


def _unquote(quoted: str) -> str:
    """Undo Go's quoting of a subject."""

    def plain(found: re.Match[str]) -> str:
        escape = found[1]
        if len(escape) > 1:
            code = int(escape[1:], 16)
            is_character = code < 0xD800 or 0xE000 <= code < 0x110000
            return chr(code) if is_character else "\ufffd"
        return _LETTERS.get(escape, escape)

    return re.sub(_ESCAPE, plain, quoted)


def _said(kind: type[ServerError]) -> Callable[[str], NatsError]:
    return lambda text: kind(f"server error: {text!r}", text=text)


def _attempt(message: str) -> Callable[[str], NatsError]:
    return lambda text: ConnectError(f"{message}: the server said {text!r}")


def _auth(kind: type[AuthorizationError]) -> Callable[[str], NatsError]:
    return lambda text: kind(f"the server refused the credentials: {text!r}")


_TABLE: tuple[tuple[str, bool, Callable[[str], NatsError]], ...] = (
    ("authorization violation", True, _auth(AuthorizationError)),
    ("user authentication expired", True, _auth(AuthExpiredError)),
    ("account authentication expired", True, _auth(AuthExpiredError)),
    ("user authentication revoked", True, _auth(AuthRevokedError)),
    ("account authentication revoked", True, _auth(AuthRevokedError)),
    ("authentication timeout", True, _attempt("signing in took too long")),
    ("authorization timeout", True, _attempt("signing in took too long")),
    ("maximum connections exceeded", True, _said(MaxConnectionsError)),
    ("maximum account active connections exceeded", True, _said(MaxConnectionsError)),
    ("connection throttling is active", True, _said(MaxConnectionsError)),
    ("stale connection", True, lambda _: StaleConnectionError("the server missed our PONGs")),
    ("attempted to connect to route port", True, _attempt("this is the port for cluster routes")),
    ("attempted to connect to gateway port", True, _attempt("this is the port for gateways")),
    ("attempted to connect to wrong port", True, _attempt("this port is not for clients")),
    ("attempted to connect to leaf node port", True, _attempt("this is the port for leaf nodes")),
    ("secure connection - tls required", True, _attempt("the server requires TLS")),
    ("invalid client protocol", True, _said(ServerClosedConnectionError)),
    ("no responders requires headers support", True, _said(ServerClosedConnectionError)),
    ("maximum payload violation", True, _said(ServerClosedConnectionError)),
    ("maximum control line exceeded", True, _said(ServerClosedConnectionError)),
    ("unknown protocol operation", True, _said(ServerClosedConnectionError)),
    ("parser error", True, _said(ServerClosedConnectionError)),
    ("slow consumer", True, _said(ServerClosedConnectionError)),
    ("maximum subscriptions exceeded", False, _said(MaxSubscriptionsError)),
    ("maximum account active subscriptions exceeded", False, _said(MaxSubscriptionsError)),
    ("invalid subject", False, _said(ServerError)),
    ("invalid publish subject", False, _said(ServerError)),
    ("failed account registration", False, _said(ServerError)),
)

_FATAL = frozenset({"invalid client protocol", "no responders requires headers support"})
"""Refusals of our CONNECT as such: the fault is ours, and no other attempt would go better."""
