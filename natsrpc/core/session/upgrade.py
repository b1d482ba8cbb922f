"""The HTTP request that makes a connection a WebSocket, and the answer to it. No input or output.

It is written and read by the package wsproto, an extra. No extension is offered: compression would
cost more time a message than all else here, and mix secrets with what others send. What is quoted
of an answer is short, and made printable.

Ref: RFC 6455, section 4.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from natsrpc.errors import ConfigError, ConfigTypeError, RemoteProtocolError, WebSocketError

MAX_HEAD = 16 * 1024
"""Bytes of an answer's status line and headers: more is refused."""

_OURS = frozenset(
    (
        *("host", "upgrade", "connection", "content-length", "transfer-encoding"),
        *("sec-websocket-key", "sec-websocket-version", "sec-websocket-protocol"),
        "sec-websocket-extensions",
    )
)
_HINTS = {
    301: "connect to where it points",
    302: "connect to where it points",
    307: "connect to where it points",
    308: "connect to where it points",
    400: "is this its WebSocket port, and ws:// or wss:// as it expects?",
    401: "give what it asks for in ws_headers",
    403: "give what it asks for in ws_headers",
    404: "is the URL's path right?",
    426: "is this its WebSocket port?",
}
_is_name = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+").fullmatch
_is_value = re.compile(r"[\x20-\x7e\t]*").fullmatch


def check_package() -> None:
    """Look whether the package is there, before anything is dialed.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        import wsproto  # noqa: F401, PLC0415  an extra
    except ImportError as error:
        raise ConfigError(
            "ws:// and wss:// need the package wsproto: pip install 'natsrpc[ws]'"
        ) from error


def check_headers(headers: Any) -> list[tuple[bytes, bytes]]:
    """The headers of `ws_headers`, as they are sent. No value is quoted: it may be a secret.

    Raises:
        ConfigError: a name or value cannot be sent, or is one of our own.
        ConfigTypeError: it is no mapping of str to str.
    """
    if not isinstance(headers, Mapping):
        raise ConfigTypeError(f"ws_headers must be a mapping, not {type(headers).__name__}")
    checked = []
    for name, value in headers.items():
        if not isinstance(name, str) or not isinstance(value, str):
            raise ConfigTypeError(
                f"ws_headers must be of str to str, not {type(name).__name__} to "
                f"{type(value).__name__}"
            )
        if not _is_name(name):
            raise ConfigError(f"ws_headers: {name!r} is no name of an HTTP header")
        if name.lower() in _OURS:
            raise ConfigError(f"ws_headers: {name!r} is set by the connection itself")
        if not _is_value(value):
            raise ConfigError(f"ws_headers: the value of {name!r} is not printable ASCII")
        checked.append((name.encode(), value.strip().encode()))
    return checked


class Upgrade:
    """One request and its answer. Made by the handshake, fed by the WebSocket.

    `request` is to be sent; `rest` is what came behind the answer.
    """

    def __init__(
        self, host_port: str, target: str, headers: list[tuple[bytes, bytes]], *, address: str
    ) -> None:
        from wsproto import ConnectionType  # noqa: PLC0415  an extra
        from wsproto.events import Request  # noqa: PLC0415
        from wsproto.handshake import H11Handshake  # noqa: PLC0415

        self._address = address
        self._http = H11Handshake(ConnectionType.CLIENT)
        self._head = b""
        self.rest: bytes = b""
        self.request: bytes = self._http.send(
            Request(host=host_port, target=target, extra_headers=headers)
        )

    def feed(self, chunk: bytes) -> bool:
        """Take a chunk of the answer; whether it is here, and a WebSocket stands.

        Raises:
            WebSocketError: the server answered something else than 101.
            RemoteProtocolError: it is no answer to such a request.
        """
        self._head += chunk
        if not self._head.startswith(b"HTTP/"[: len(self._head)]):
            nats = self._head.startswith(b"INFO "[: len(self._head)])
            hint = ": it is NATS without WebSocket, for nats://" if nats else ""
            raise RemoteProtocolError(f"{self._address} does not speak HTTP{hint}")
        end = self._head.find(b"\r\n\r\n") + 4
        if end < 4 and len(self._head) <= MAX_HEAD:
            return False
        if not 4 <= end <= MAX_HEAD:
            raise RemoteProtocolError(
                f"{self._address} answered with HTTP headers of more than {MAX_HEAD} bytes"
            )
        self.rest, self._head = self._head[end:], self._head[:end]
        self._read()
        return True

    def _read(self) -> None:
        from wsproto.events import AcceptConnection, RejectConnection  # noqa: PLC0415
        from wsproto.utilities import RemoteProtocolError as NotHttp  # noqa: PLC0415

        reason = ""
        try:
            self._http.receive_data(self._head)
            event = next(self._http.events(), None)
        except (NotHttp, ValueError) as error:  # a header that is not ASCII
            event, reason = None, str(error)
        if isinstance(event, RejectConnection):
            raise self._rejected(event.status_code, event.headers)
        if not isinstance(event, AcceptConnection):
            raise RemoteProtocolError(
                f"{self._address} gave no proper answer to the request for a WebSocket"
                + (f": {_printable(reason.encode())}" if reason else "")
            )

    def _rejected(self, status: int, headers: Any) -> WebSocketError:
        line = _printable(self._head.split(b"\r\n", 1)[0].partition(b" ")[2])
        places = [value for name, value in headers if name.lower() == b"location"]
        # a query, or a user, may be a secret that only the server and we should know
        shown = [re.sub(rb"//.*@", b"//***@", place.split(b"?")[0]) for place in places]
        place = f" to {_printable(shown[0])}" if shown else ""
        hint = f"; {_HINTS[status]}" if status in _HINTS else ""
        return WebSocketError(
            f"{self._address} answered {line}{place} instead of opening a WebSocket{hint}",
            server=self._address,
            status=status,
        )


def _printable(text: bytes) -> str:
    """A stranger's text as a part of an error."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:120].decode("latin-1"))
    return shown.strip() or "nothing"
