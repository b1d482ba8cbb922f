"""The handshake, with which a session begins, within `connect_timeout`.

Steps, in this order: dial → TLS at once if asked → INFO → TLS if due → CONNECT and PING in one
write → PONG. With wss TLS comes at once, and the WebSocket before INFO, which then decides nothing
about TLS.

What INFO says before TLS is not authenticated: it decides about TLS and gives the nonce, and
`info_is_authentic` tells whether the latest INFO may be believed on more.

Ref: protocol, https://docs.nats.io/reference/reference-protocols/nats-protocol; ADR-11 for names
with several addresses.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
import ssl
from collections import deque
from collections.abc import Iterable, Mapping
from logging import Logger, getLogger
from typing import Any

from natsrpc.errors import (
    ConnectError,
    ConnectTimeoutError,
    NatsError,
    NatsRpcError,
    RemoteProtocolError,
    TLSError,
)

from ..options import Options
from ..servers import PoolServer, is_address, is_loopback
from ..wire import Err, Event, Info, Msg, Parser, Ping, Pong, ServerInfo, frames
from ..withheld import withheld_async
from .auth import called, connect_fields
from .server_errors import Verdict, classify
from .tls import TlsPolicy
from .transport import Transport
from .upgrade import Upgrade, check_headers
from .websocket import WebSocket

log: Logger = getLogger("natsrpc.core")

_LANG = "python-natsrpc"
_CONNECTING = "connecting"
_AWAITING_INFO = "waiting for INFO"


class Arrivals:
    """The frames that arrive while a session opens. The session puts them in, the handshake reads
    them one by one."""

    def __init__(self) -> None:
        self.events: deque[Event] = deque()
        self.is_over: bool = False
        self.lost_by: Exception | None = None
        self._news: asyncio.Future[None] | None = None

    def put(self, events: Iterable[Event]) -> None:
        """Take what was read from the socket."""
        self.events.extend(events)
        self._wake()

    def end(self, error: Exception | None) -> None:
        """The socket is gone."""
        self.is_over = True
        self.lost_by = error
        self._wake()

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    async def wait(self) -> None:
        """Wait for anything new."""
        self._news = asyncio.get_running_loop().create_future()
        try:
            await self._news
        finally:
            self._news = None


class Handshake:
    """One attempt to open a session with `server` over `transport`. Made and run by the session."""

    def __init__(
        self,
        server: PoolServer,
        transport: Transport,
        parser: Parser,
        *,
        options: Options,
        tls: TlsPolicy,
        rng: random.Random,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._server = server
        self._transport = transport
        self._parser = parser
        self._options = options
        self._tls = tls
        self._rng = rng
        self._doing = _CONNECTING
        self._is_tls = False
        self._websocket: WebSocket | None = None
        self.arrivals: Arrivals = Arrivals()
        self.info: ServerInfo = ServerInfo()
        self.info_is_authentic: bool = True

    async def run(self, version: str) -> None:
        """Do it all; on return the PONG is here, and what came behind it is in `arrivals`.

        Raises:
            ConnectError: the attempt failed, of a class that tells how; `server` says where.
            ServerError, RemoteProtocolError: the server answered so.
            ConfigError: our credentials could not be had.
        """
        try:
            async with asyncio.timeout(self._options.connect_timeout):
                await self._dial()
                await self._greet()
                await self._sign_in(version)
        except NatsRpcError:
            raise
        except TimeoutError:
            raise self._timed_out() from None
        except Exception as error:
            raise self._failed(error) from error

    # connecting

    async def _dial(self) -> None:
        server = self._server
        if not server.is_websocket:
            await self._open_socket(self._transport, at_once=self._options.tls_handshake_first)
            return
        websocket = WebSocket(self._loop, self._transport, server.address)
        self._websocket = websocket
        await self._open_socket(websocket, at_once=server.scheme == "wss")
        self._doing = "opening the WebSocket"
        headers = await self._headers()
        upgrade = Upgrade(server.host_port, server.target, headers, address=server.address)
        await websocket.open(upgrade)

    @withheld_async
    async def _headers(self) -> list[tuple[bytes, bytes]]:
        """The user's own headers for the request that opens a WebSocket."""
        given = self._options.ws_headers
        if given is None:
            return []
        headers = check_headers(await called(given, "ws_headers") if callable(given) else given)
        if headers and not self._is_tls and not is_loopback(self._server.host):
            log.warning("ws_headers go to %s without TLS", self._server.address)
        return headers

    async def _open_socket(self, protocol: Transport | WebSocket, *, at_once: bool) -> None:
        """Connect, with TLS if it is due `at_once`."""
        server, context, hostname = self._server, None, None
        if self._options.dialer is not None:
            await self._options.dialer(lambda: protocol, server.host, server.port)
            if at_once:
                await self._start_tls()
            return
        if at_once:
            context, hostname = self._tls.context, self._tls.hostname(server)
            self._is_tls = True
        addresses = await self._resolve()
        share = self._options.connect_timeout / len(addresses)
        for left, address in zip(reversed(range(len(addresses))), addresses, strict=True):
            try:
                async with asyncio.timeout(share if left else None):
                    await self._loop.create_connection(
                        lambda: protocol,
                        address,
                        server.port,
                        ssl=context,
                        server_hostname=hostname,
                    )
                return
            except OSError:
                if not left:
                    raise

    async def _resolve(self) -> list[str]:
        """The addresses of the server's host, in the order to try."""
        if is_address(self._server.host):
            return [self._server.host]
        found = await self._loop.getaddrinfo(
            self._server.host, self._server.port, type=socket.SOCK_STREAM
        )
        addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
        if self._options.randomize_servers:
            self._rng.shuffle(addresses)
        return addresses

    # INFO, and TLS if due

    async def _greet(self) -> None:
        self._doing = _AWAITING_INFO
        self.info = await self._first_info()
        decided = self._is_tls or self._server.is_websocket
        if decided or not self._tls.upgrade_wanted(self.info, self._server):
            return
        is_quiet = self._parser.is_between_frames and self._parser.failure is None
        if self.arrivals.events or not is_quiet:
            raise TLSError(
                f"{self._server.address} sent plain text between INFO and the TLS handshake",
                server=self._server.address,
            )
        self.info_is_authentic = False
        await self._start_tls()

    async def _first_info(self) -> ServerInfo:
        try:
            event = await self._next_event()
        except RemoteProtocolError as error:
            raise RemoteProtocolError(
                f"{self._server.address} does not speak NATS: expected INFO first"
            ) from error
        if isinstance(event, Info):
            return ServerInfo.parse(event.json)
        if isinstance(event, Err):
            raise self._refusal(classify(event.text))
        raise RemoteProtocolError(f"expected INFO first, not {type(event).__name__}")

    async def _start_tls(self) -> None:
        self._doing = "in the TLS handshake"
        context = self._tls.context
        try:
            socket = self._websocket or self._transport
            await socket.start_tls(context, self._tls.hostname(self._server))
        except (OSError, EOFError, ValueError) as error:
            raise TLSError(
                f"TLS with {self._server.address} failed: {_ssl_reason(error)}",
                server=self._server.address,
            ) from error
        self._is_tls = True

    # CONNECT, PING, PONG

    async def _sign_in(self, version: str) -> None:
        await self._say_who(version)
        while not isinstance(event := await self._next_event(), Pong):
            self._take(event)
        if self._is_tls:
            self._tls.note_used()
        if self.arrivals.is_over:
            # between the PONG and this turn: nobody would be told of it later
            raise self._hung_up()

    @withheld_async
    async def _say_who(self, version: str) -> None:
        self._doing = "getting the credentials"
        who = await connect_fields(self._options, self._server, self.info.nonce)
        await self._look_before_writing()
        self._warn_of_secrets_in_the_clear(who)
        self._doing = "signing in"
        self._transport.write(frames.connect(self._connect_fields(version, who)) + frames.PING)
        self._transport.write_out()

    async def _look_before_writing(self) -> None:
        """Read what the server said behind INFO: once we write to a server that hung up, its reset
        takes the reason with it."""
        await asyncio.sleep(0)
        for event in self.arrivals.events:
            if isinstance(event, Err):
                raise self._refusal(classify(event.text))
        if self.arrivals.is_over:
            raise self._hung_up()

    def _connect_fields(self, version: str, who: Mapping[str, str]) -> dict[str, Any]:
        options = self._options
        if not options.echo and self.info.proto < 1:
            raise ConnectError(
                f"{self._server.address} does not support echo=False", server=self._server.address
            )
        return {
            "verbose": options.verbose,
            "pedantic": options.pedantic,
            "tls_required": self._is_tls,
            "name": options.name,
            "lang": _LANG,
            "version": version,
            "protocol": 1,
            "echo": options.echo,
            "headers": self.info.headers,
            "no_responders": self.info.headers,
            **who,
        }

    def _warn_of_secrets_in_the_clear(self, who: Mapping[str, str]) -> None:
        bearer = "jwt" in who and "sig" not in who
        secret = "pass" in who or "auth_token" in who or bearer
        if secret and not self._is_tls and not is_loopback(self._server.host):
            log.warning("credentials go to %s without TLS", self._server.address)

    # what comes in

    async def _next_event(self) -> Event:
        arrivals = self.arrivals
        while not arrivals.events:
            if arrivals.is_over:
                raise self._hung_up()
            if self._parser.failure is not None:
                raise self._parser.failure
            await arrivals.wait()
        return arrivals.events.popleft()

    def _take(self, event: Event) -> None:
        """Handle what may come besides that which is waited for."""
        if isinstance(event, Err):
            raise self._refusal(classify(event.text))
        if isinstance(event, Info):
            self.info = ServerInfo.parse(event.json)
            self.info_is_authentic = True
        elif isinstance(event, Ping):
            self._transport.write(frames.PONG)
        elif isinstance(event, Msg):
            raise RemoteProtocolError("a message arrived during the handshake")

    # how it fails

    def _refusal(self, verdict: Verdict) -> NatsError:
        error = verdict.error
        if isinstance(error, ConnectError):
            error.server = self._server.address
        self._server.is_final = verdict.fatal
        return error

    def _hung_up(self) -> Exception:
        cause = self.arrivals.lost_by
        if isinstance(cause, (NatsError, ssl.SSLError)):
            return cause
        if isinstance(cause, OSError) and not self._is_tls:
            return cause
        # a server that refuses our certificate resets, where its alert is not read in time
        kind = TLSError if self._is_tls and cause is not None else ConnectError
        return kind(
            f"{self._server.address} closed the connection during the handshake",
            server=self._server.address,
        )

    def _timed_out(self) -> ConnectError:
        silent = self._doing == _AWAITING_INFO
        hint = "; if it expects TLS first, use tls_handshake_first=True" if silent else ""
        if silent and not self._server.is_websocket:
            hint += ", and ws:// or wss:// for a WebSocket port"
        address, timeout = self._server.address, self._options.connect_timeout
        return ConnectTimeoutError(
            f"{address} did not answer within {timeout:g} s (while {self._doing}){hint}",
            server=address,
        )

    def _failed(self, error: Exception) -> ConnectError:
        address = self._server.address
        if isinstance(error, ssl.SSLError):
            reason = _ssl_reason(error)
            if self._options.tls_handshake_first and self._doing == _CONNECTING:
                reason += "; does it start with TLS (handshake_first)?"
            return TLSError(f"TLS with {address} failed: {reason}", server=address)
        kind = ConnectTimeoutError if isinstance(error, TimeoutError) else ConnectError
        return kind(f"{address}: {_reason(error)}", server=address)


def _reason(error: Exception) -> str:
    number = getattr(error, "errno", None)
    if isinstance(number, int) and number in errno.errorcode:
        return os.strerror(number)  # asyncio's own text only repeats the address
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _ssl_reason(error: Exception) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return error.verify_message
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.replace("_", " ").lower()
    return str(error) or type(error).__name__
