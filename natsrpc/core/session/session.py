"""A session: one physical connection, from its handshake until it is lost.

States, in this order and no other: *opening* → *live* → *lost*. The connector calls `open`, then
the link `go_live`, which moves it to live. `lose` (a fault) and `close` (on purpose) move it to
lost from any state, once: they let go of the socket and fail the flushes that wait for a PONG.
After that no message of this session reaches a sink any more: what follows is the next session's
business.
"""

from __future__ import annotations

import asyncio
import random
from collections import deque
from functools import partial
from typing import Protocol

from natsrpc.errors import (
    ConnectError,
    ConnectionClosedError,
    FlushInterruptedError,
    NatsError,
    RemoteProtocolError,
    StaleConnectionError,
)

from ..options import Options
from ..servers import PoolServer
from ..stats import Counts
from ..wire import (
    Err,
    Event,
    Info,
    Msg,
    Parser,
    Ping,
    Pong,
    Responder,
    ServerInfo,
    Sink,
    frames,
)
from .handshake import Arrivals, Handshake
from .server_errors import Verdict, classify
from .tls import TlsPolicy
from .transport import Transport

_UNKNOWN_ERROR_GRACE = 2.0


class Dating(Protocol):
    """What knows when this process did not run."""

    def date(self) -> float:
        """The earliest `loop.time()` at which what is read now may have arrived."""


class SessionHost(Protocol):
    """The link, as a session needs it.

    `sinks` are looked up by the sid of a message, as it is on the wire. `read_at` is set to
    `loop.time()` with each chunk, so that sinks need not ask the clock.
    """

    read_at: float
    stall_at: float
    sinks: dict[bytes, Sink]

    @property
    def outbound(self) -> Responder:
        """What the answers to its messages are sent by."""
        ...

    @property
    def stalls(self) -> Dating:
        """Asked for the time of a chunk that is read after `stall_at`."""

    def session_info(self, session: Session, info: ServerInfo) -> None:
        """A later INFO arrived."""

    def session_error(self, session: Session, error: NatsError) -> None:
        """Something went wrong that doesn't end the session."""

    def session_lost(self, session: Session, error: Exception | None) -> None:
        """The session is over."""

    def session_pressed(self, session: Session, congested: bool) -> None:
        """Its output became congested, or is no longer."""

    def sink_failed(self, msg: Msg, error: BaseException) -> None:
        """A sink raised, or let through that something it looked at was cancelled."""


class Session:
    """One physical connection to `server`. Made by the connector, used by the link."""

    def __init__(
        self,
        host: SessionHost,
        server: PoolServer,
        options: Options,
        tls: TlsPolicy,
        rng: random.Random,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._host = host
        self._options = options
        self._parser = Parser(host.outbound, max_message=options.max_message_size)
        self._pongs: deque[asyncio.Future[None] | None] = deque()
        self._pings_out = 0
        self._bytes_at_ping = 0
        self._ping_timer: asyncio.TimerHandle | None = None
        self._grace_timer: asyncio.TimerHandle | None = None
        self._closing_error: NatsError | None = None
        self.server = server
        self.info: ServerInfo = ServerInfo()
        self.info_is_authentic: bool = True
        self.is_lost: bool = False
        self.bytes_in: int = 0
        self.transport: Transport = Transport(
            self._loop,
            receive=self._receive,
            lost=self._socket_gone,
            pressed=partial(host.session_pressed, self),
            write_timeout=options.write_timeout,
        )
        self._handshake = Handshake(
            server, self.transport, self._parser, options=options, tls=tls, rng=rng
        )
        self._arrivals: Arrivals | None = self._handshake.arrivals

    @property
    def counts(self) -> Counts:
        """Messages received and their bytes, bytes in and out of the socket, so far."""
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
        handshake = self._handshake
        try:
            await handshake.run(version)
        except BaseException as error:
            self.lose(error if isinstance(error, Exception) else None)
            raise
        finally:
            self.info, self.info_is_authentic = handshake.info, handshake.info_is_authentic

    def go_live(self) -> None:
        """Dispatch from now on: first what arrived behind the handshake's PONG.

        The link calls it in the loop turn in which `open` returned, once it is ready.
        """
        arrived: deque[Event] = self._handshake.arrivals.events
        self._arrivals = None
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
        sink = self._host.sinks.get(msg.sid)
        if sink is not None:
            try:
                sink(msg)
            except (Exception, asyncio.CancelledError) as error:
                self._host.sink_failed(msg, error)

    # inbound

    def _receive(self, data: bytes) -> None:
        if self.is_lost:
            return
        self.bytes_in += len(data)
        host, parser = self._host, self._parser
        if self._arrivals is not None:
            self._arrivals.put(parser.feed(data))
            return
        host.read_at = now = self._loop.time()
        if now > host.stall_at:
            host.read_at = host.stalls.date()
        sinks, transport = host.sinks, self.transport
        transport.is_corked = True  # what is answered in place leaves at once, together
        try:
            # The body of `_dispatch`: its call would be a tenth of a delivery.
            for event in parser.feed(data):
                sink = sinks.get(event.sid)
                if sink is not None:
                    try:
                        sink(event)  # type: ignore[arg-type]  # only a message has a number
                    except (Exception, asyncio.CancelledError) as error:
                        host.sink_failed(event, error)  # type: ignore[arg-type]
                else:
                    self._control(event)
                if self.is_lost:
                    return
            if parser.failure is not None:
                self.lose(parser.failure)
        finally:
            transport.is_corked = False
            if transport.frames:
                transport.write_out()

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
            self._host.session_error(self, error)
        else:
            self._host.session_info(self, self.info)

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
            self._host.session_error(self, verdict.error)

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
        if self.bytes_in != self._bytes_at_ping:
            # A PONG may wait behind megabytes on a slow link: whatever comes is a sign of life.
            self._bytes_at_ping = self.bytes_in
            self._pings_out = 0
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
        if error is None and self._arrivals is None:
            error = ConnectionClosedError(f"{self.server.address} closed the connection")
        self.lose(error)

    def lose(self, error: Exception | None) -> None:
        """End this session, once: nothing of it is dispatched any more."""
        if self.is_lost:
            return
        self.is_lost = True
        error = self._closing_error or error
        for timer in (self._ping_timer, self._grace_timer):
            if timer is not None:
                timer.cancel()
        self.transport.abort()
        self._fail_pongs()
        if self._arrivals is not None:
            self._arrivals.end(error)
        else:
            self._host.session_lost(self, error)

    def close(self, error: Exception | None = None) -> None:
        """End this session politely: what is collected is still sent. Flushes that wait for a PONG
        fail with `error`."""
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
