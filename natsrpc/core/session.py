"""One physical connection: dial, handshake, then frames in and PINGs out, until it is lost.

States, in this order and no other: *opening* (only `open` moves on), *live*, *lost*. `lose` ends
any of them, once: it aborts the socket, fails whoever waits for a PONG and tells the owner. After
that no message of this session reaches a sink any more, for what follows is the next session's
business.

The handshake: dial → TLS at once if asked → INFO → TLS if due → CONNECT and PING in one write →
PONG.
"""

from __future__ import annotations

import asyncio
import errno
import os
import random
import socket
import ssl
from collections import deque
from collections.abc import Callable, Mapping
from logging import getLogger
from typing import Any, Protocol, TypeAlias

from natsrpc.errors import (
    ConnectError,
    ConnectionClosedError,
    FlushInterruptedError,
    NatsError,
    NatsRpcError,
    RemoteProtocolError,
    StaleConnectionError,
    TLSError,
)

from .auth import connect_fields
from .options import Options
from .server_errors import Verdict, classify
from .servers import Server, is_address, is_loopback
from .stats import Counts
from .tls import TlsPolicy
from .transport import Transport
from .wire import Err, Event, Info, Msg, Parser, Ping, Pong, Responder, ServerInfo, frames

log = getLogger("natsrpc.core")

Sink: TypeAlias = "Callable[[Msg], None]"
"""Takes one message, at once and without waiting."""

_UNKNOWN_ERROR_GRACE = 2.0
_AWAITING_INFO = "waiting for INFO"
_LANG = "python-natsrpc"


class Owner(Responder, Protocol):
    """What a session needs of the connection it belongs to."""

    read_at: float
    sinks: dict[bytes, Sink]

    def session_info(self, session: Session, info: ServerInfo) -> None:
        """A later INFO arrived."""

    def session_error(self, session: Session, error: NatsError) -> None:
        """Something went wrong that doesn't end the session."""

    def session_lost(self, session: Session, error: Exception | None) -> None:
        """The session is over."""

    def sink_failed(self, msg: Msg, error: BaseException) -> None:
        """A sink raised, or let through that something it looked at was cancelled."""


class Session:
    """One physical connection to `server`."""

    def __init__(
        self,
        owner: Owner,
        server: Server,
        options: Options,
        tls: TlsPolicy,
        rng: random.Random,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._owner = owner
        self._options = options
        self._tls = tls
        self._rng = rng
        self._parser = Parser(owner, max_message=options.max_message_size)
        self._pongs: deque[asyncio.Future[None] | None] = deque()
        self._pings_out = 0
        self._ping_timer: asyncio.TimerHandle | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._opening: deque[Event] | None = deque()
        self._arrived: asyncio.Future[None] | None = None
        self._closing_error: NatsError | None = None
        self._lost_error: Exception | None = None
        self._doing = "connecting"
        self.server = server
        self.info = ServerInfo()
        self.info_is_authentic = True
        self.is_lost = False
        self.is_tls = False
        self.bytes_in = 0
        self.transport = Transport(
            self._loop,
            receive=self._receive,
            lost=self._socket_gone,
            write_timeout=options.write_timeout,
        )

    @property
    def counts(self) -> Counts:
        """What it has counted so far."""
        parser = self._parser
        return parser.messages, parser.message_bytes, self.bytes_in, self.transport.bytes_out

    # opening

    async def open(self, version: str) -> None:
        """Dial and shake hands, within `connect_timeout`.

        Raises:
            ConnectError: the attempt failed, of a class that tells how; `server` says where.
            ServerError, RemoteProtocolError: the server answered so.
            ConfigError: our credentials could not be had.
        """
        timeout = self._options.connect_timeout
        try:
            async with asyncio.timeout(timeout):
                await self._handshake(version)
        except BaseException as error:
            self.lose(error if isinstance(error, Exception) else None)
            if isinstance(error, NatsRpcError) or not isinstance(error, Exception):
                raise
            if isinstance(error, TimeoutError):
                raise self._timed_out(timeout) from None
            raise self._failed(error) from error

    def go_live(self) -> None:
        """From now on dispatch: first what arrived behind the handshake's PONG.

        To be called in the loop turn in which `open` returned, once the owner is ready.
        """
        arrived, self._opening = self._opening or (), None
        self._schedule_ping()
        for event in arrived:
            if isinstance(event, Msg):
                self._dispatch(event)
            else:
                self._control(event)
            if self.is_lost:
                return
        if self._parser.failure is not None:
            self.lose(self._parser.failure)

    def _dispatch(self, msg: Msg) -> None:
        sink = self._owner.sinks.get(msg.sid)
        if sink is not None:
            try:
                sink(msg)
            except (Exception, asyncio.CancelledError) as error:
                self._owner.sink_failed(msg, error)

    def _timed_out(self, timeout: float) -> ConnectError:
        silent = self._doing == _AWAITING_INFO
        hint = "; if it expects TLS first, use tls_handshake_first=True" if silent else ""
        address = self.server.address
        return ConnectError(
            f"{address} did not answer within {timeout:g} s (while {self._doing}){hint}",
            server=address,
        )

    def _failed(self, error: Exception) -> ConnectError:
        address = self.server.address
        if isinstance(error, ssl.SSLError):
            reason = _ssl_reason(error)
            if self._options.tls_handshake_first and self._doing == "connecting":
                reason += "; does it start with TLS (handshake_first)?"
            return TLSError(f"TLS with {address} failed: {reason}", server=address)
        return ConnectError(f"{address}: {_reason(error)}", server=address)

    async def _handshake(self, version: str) -> None:
        await self._dial()
        self._doing = _AWAITING_INFO
        self.info = await self._first_info()
        if not self.is_tls and self._tls.upgrade_wanted(self.info, self.server):
            if self._opening or not self._parser.is_between_frames:
                raise TLSError(
                    f"{self.server.address} sent plain text between INFO and the TLS handshake",
                    server=self.server.address,
                )
            self.info_is_authentic = False
            await self._start_tls()
        self._doing = "getting the credentials"
        who = await connect_fields(self._options, self.server, self.info.nonce)
        await self._look_before_writing()
        self._warn_of_secrets_in_the_clear(who)
        self._doing = "signing in"
        self.transport.write(frames.connect(self._connect_fields(version, who)) + frames.PING)
        self.transport.write_now()
        while not isinstance(event := await self._next_event(), Pong):
            self._during_handshake(event)
        if self.is_lost:
            # between the PONG and this turn: nobody would be told of it later
            raise self._closed_in_handshake()

    async def _look_before_writing(self) -> None:
        """Read what the server said behind INFO: once we write to a server that hung up, its reset
        takes the reason with it."""
        await asyncio.sleep(0)
        while self._opening:
            self._during_handshake(self._opening.popleft())
        if self.is_lost:
            raise self._closed_in_handshake()

    async def _dial(self) -> None:
        server, context, hostname = self.server, None, None
        first = self._options.tls_handshake_first
        if self._options.dialer is not None:
            await self._options.dialer(lambda: self.transport, server.host, server.port)
            if first:
                await self._start_tls()
            return
        if first:
            context, hostname = self._tls.context, self._tls.hostname(server)
            self.is_tls = True
        addresses = await self._resolve()
        share = self._options.connect_timeout / len(addresses)
        for left, address in zip(reversed(range(len(addresses))), addresses, strict=True):
            try:
                async with asyncio.timeout(share if left else None):
                    await self._loop.create_connection(
                        lambda: self.transport,
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
        """The addresses of the server's host, in the order to try (ADR-11)."""
        if is_address(self.server.host):
            return [self.server.host]
        found = await self._loop.getaddrinfo(
            self.server.host, self.server.port, type=socket.SOCK_STREAM
        )
        addresses = list(dict.fromkeys(str(item[4][0]) for item in found))
        if self._options.randomize_servers:
            self._rng.shuffle(addresses)
        return addresses

    async def _first_info(self) -> ServerInfo:
        try:
            event = await self._next_event()
        except RemoteProtocolError as error:
            raise RemoteProtocolError(
                f"{self.server.address} does not speak NATS: expected INFO first"
            ) from error
        if isinstance(event, Info):
            return ServerInfo.parse(event.json)
        if isinstance(event, Err):
            raise self._refusal(classify(event.text))
        raise RemoteProtocolError(f"expected INFO first, not {type(event).__name__}")

    async def _start_tls(self) -> None:
        self._doing = "in the TLS handshake"
        try:
            await self.transport.start_tls(self._tls.context, self._tls.hostname(self.server))
        except (OSError, EOFError, ValueError) as error:
            raise TLSError(
                f"TLS with {self.server.address} failed: {_ssl_reason(error)}",
                server=self.server.address,
            ) from error
        self.is_tls = True

    def _connect_fields(self, version: str, who: Mapping[str, str]) -> dict[str, Any]:
        options = self._options
        if not options.echo and self.info.proto < 1:
            raise ConnectError(
                f"{self.server.address} does not support echo=False", server=self.server.address
            )
        return {
            "verbose": options.verbose,
            "pedantic": options.pedantic,
            "tls_required": self.is_tls,
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
        if secret and not self.is_tls and not is_loopback(self.server.host):
            log.warning("credentials go to %s without TLS", self.server.address)

    def _during_handshake(self, event: Event) -> None:
        if isinstance(event, Err):
            raise self._refusal(classify(event.text))
        if isinstance(event, Info):
            self.info = ServerInfo.parse(event.json)
            self.info_is_authentic = True
        elif isinstance(event, Ping):
            self.transport.write(frames.PONG)
        elif isinstance(event, Msg):
            raise RemoteProtocolError("a message arrived during the handshake")

    def _refusal(self, verdict: Verdict) -> NatsError:
        error = verdict.error
        if isinstance(error, ConnectError):
            error.server = self.server.address
        self.server.is_final = verdict.fatal
        return error

    async def _next_event(self) -> Event:
        """The next frame of the handshake."""
        opening = self._opening
        assert opening is not None
        while not opening:
            if self.is_lost:
                raise self._closed_in_handshake()
            if self._parser.failure is not None:
                raise self._parser.failure
            self._arrived = self._loop.create_future()
            try:
                await self._arrived
            finally:
                self._arrived = None
        return opening.popleft()

    def _closed_in_handshake(self) -> Exception:
        cause = self._lost_error
        if isinstance(cause, (NatsError, ssl.SSLError)):
            return cause
        if isinstance(cause, OSError) and not self.is_tls:
            return cause
        # a server that refuses our certificate resets, where its alert is not read in time
        kind = TLSError if self.is_tls and cause is not None else ConnectError
        return kind(
            f"{self.server.address} closed the connection during the handshake",
            server=self.server.address,
        )

    # inbound

    def _receive(self, data: bytes) -> None:
        if self.is_lost:
            return
        self.bytes_in += len(data)
        owner, parser = self._owner, self._parser
        if self._opening is not None:
            self._opening.extend(parser.feed(data))
            self._wake_opening()
            return
        owner.read_at = self._loop.time()
        sinks = owner.sinks
        for event in parser.feed(data):
            if event.__class__ is Msg:
                sink = sinks.get(event.sid)
                if sink is not None:
                    try:
                        sink(event)
                    except (Exception, asyncio.CancelledError) as error:
                        owner.sink_failed(event, error)
            else:
                self._control(event)
            if self.is_lost:
                return
        if parser.failure is not None:
            self.lose(parser.failure)

    def _wake_opening(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    def _control(self, event: Event) -> None:
        if isinstance(event, Ping):
            self.transport.write(frames.PONG)
        elif isinstance(event, Pong):
            self._pings_out = 0
            if self._pongs:
                waiter = self._pongs.popleft()
                if waiter is not None and not waiter.done():
                    waiter.set_result(None)
        elif isinstance(event, Info):
            self._later_info(event)
        elif isinstance(event, Err):
            self._server_error(classify(event.text))

    def _later_info(self, event: Info) -> None:
        try:
            self.info = ServerInfo.parse(event.json)
        except RemoteProtocolError as error:
            self._owner.session_error(self, error)
        else:
            self._owner.session_info(self, self.info)

    def _server_error(self, verdict: Verdict) -> None:
        if isinstance(verdict.error, ConnectError):
            verdict.error.server = self.server.address
        if verdict.closes:
            self._closing_error = verdict.error
            if self._grace_timer is None:
                self._grace_timer = self._loop.call_later(
                    _UNKNOWN_ERROR_GRACE, self.lose, verdict.error
                )
        if not isinstance(verdict.error, StaleConnectionError):
            self._owner.session_error(self, verdict.error)

    # liveness

    def ping(self, waiter: asyncio.Future[None] | None = None) -> None:
        """Send a PING behind all written so far; its PONG resolves `waiter`.

        PONGs come in the order of the PINGs: an abandoned waiter keeps its place.
        """
        self._pongs.append(waiter)
        self.transport.write(frames.PING)

    def _schedule_ping(self) -> None:
        if self._options.ping_interval > 0 and not self.is_lost:
            self._ping_timer = self._loop.call_later(self._options.ping_interval, self._ping_due)

    def _ping_due(self) -> None:
        self._pings_out += 1
        if self._pings_out > self._options.max_pings_out:
            self.lose(
                StaleConnectionError(
                    f"{self.server.address} left {self._pings_out - 1} PINGs unanswered"
                )
            )
            return
        self.ping()
        self._schedule_ping()

    # the end

    def _socket_gone(self, error: Exception | None) -> None:
        if error is None and self._opening is None:
            error = ConnectionClosedError(f"{self.server.address} closed the connection")
        self.lose(error)

    def lose(self, error: Exception | None) -> None:
        """End this session, once: nothing of it is dispatched any more."""
        if self.is_lost:
            return
        self.is_lost = True
        self._lost_error = error = self._closing_error or error
        for timer in (self._ping_timer, self._grace_timer):
            if timer is not None:
                timer.cancel()
        self.transport.abort()
        self._fail_pongs()
        self._wake_opening()
        if self._opening is None:
            self._owner.session_lost(self, error)

    def close(self, error: Exception | None = None) -> None:
        """End this session politely: what is collected is still sent. Whoever waits for a PONG gets
        `error`."""
        if self.is_lost:
            return
        self.is_lost = True
        for timer in (self._ping_timer, self._grace_timer):
            if timer is not None:
                timer.cancel()
        self._fail_pongs(error)
        self.transport.close()

    def _fail_pongs(self, error: Exception | None = None) -> None:
        pongs, self._pongs = self._pongs, deque()
        for waiter in pongs:
            if waiter is not None and not waiter.done():
                waiter.set_exception(
                    error or FlushInterruptedError("connection lost during a flush")
                )


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
