"""The connector dials: the first connect, the reconnect loop, the way from a lame duck to another
server.

It owns the pool and the one task that dials, and decides which server is tried when. What follows
is the link's business: it is given each session that stands (`adopt`, `move_to`), and told when
there will be none any more (`give_up`).

Ref: ADR-40; nats.go `doReconnect`.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from logging import Logger, getLogger
from typing import Protocol

from natsrpc.errors import (
    AuthorizationError,
    ConfigError,
    NatsError,
    NoServersError,
    NoServersTimeoutError,
    ProtocolError,
    ServerError,
    TLSError,
)

from ..options import Options
from ..servers import Backoff, PoolServer, ServerPool
from ..session import (
    Session,
    SessionHost,
    TlsPolicy,
    check_files,
    check_headers,
    check_package,
)
from ..wire import ServerInfo
from ..withheld import withheld

log: Logger = getLogger("natsrpc.core")

_LAME_DUCK_SPREAD = 8.0
_LEAST_WAIT = 0.1
_REMEMBERED = 10_000
_FAILURES = 100


class ConnectorHost(SessionHost, Protocol):
    """The link, as the connector needs it."""

    def adopt(self, session: Session) -> None:
        """Use a session that stands; synchronous, so that nothing can overtake the replay."""

    def give_up(self, error: Exception) -> None:
        """No session will come any more."""

    def reconnect_failed(self, server: PoolServer, error: Exception) -> None:
        """One attempt at reconnecting failed."""

    def move_to(self, session: Session, old: Session) -> bool:
        """Use `session` instead of `old`, which still reads; whether that was possible."""
        ...

    def servers_discovered(self, addresses: list[str]) -> None:
        """The pool has servers that were never in it before."""


class Connector:
    """Dials for one connection. Made and called by the link."""

    def __init__(self, host: ConnectorHost, options: Options, version: str) -> None:
        self._host = host
        self._options = options
        self._loop = asyncio.get_running_loop()
        self._version = version
        self._rng = random.Random()  # noqa: S311  spreads reconnects; no secret
        self._backoff = Backoff(options, self._rng)
        self._task: asyncio.Task[None] | None = None
        self._moving: asyncio.Task[None] | None = None
        self._leaving: Session | None = None
        self._wake = asyncio.Event()
        self._has_others = False
        self.pool: ServerPool = ServerPool(options, self._rng)
        self._tls = TlsPolicy(options, scheme=self.pool.scheme)
        self._known = {server.host_port for server in self.pool.servers}
        self.attempts: int = 0

    async def first_connect(self) -> Session:
        """Try each server once, in order; the first session that stands.

        Raises:
            ConnectError: none could be reached. Of several causes the most telling one is raised (a
                refused credential, TLS, protocol); `NoServersError` if all were plainly
                unreachable. `attempts` lists every try.
            ConfigError: a credentials file cannot be read (then nothing was dialed), or a function
                that gives credentials raised.
        """
        self._check()
        attempts: list[tuple[str, BaseException]] = []
        tried: set[str] = set()
        while server := next((s for s in self.pool.servers if s.host_port not in tried), None):
            tried.add(server.host_port)
            try:
                return await self._attempt(server)
            except ConfigError:
                raise
            except NatsError as error:
                attempts.append((server.address, error))
        raise _most_telling(attempts)

    @withheld
    def _check(self) -> None:
        """Find mistakes of the user's before anything is dialed."""
        check_files(self._options)
        headers = self._options.ws_headers
        if self.pool.is_websocket:
            check_package()
            if headers is not None and not callable(headers):
                check_headers(headers)
        elif headers is not None:
            raise ConfigError(f"ws_headers need ws:// or wss:// servers, not {self.pool.scheme}://")

    async def _attempt(self, server: PoolServer) -> Session:
        """Dial one server, and remember why it failed."""
        self.attempts += 1
        session = Session(self._host, server, self._options, self._tls, self._rng)
        try:
            await session.open(self._version)
        except (NatsError, ConfigError) as error:
            self.note_failure(server, error)
            self._take_over(session)
            raise
        self.pool.succeeded(server)
        self._take_over(session)
        return session

    def note_failure(self, server: PoolServer, error: Exception) -> None:
        """Remember why a server refused the connection, or ended it."""
        abort = not self._options.ignore_auth_error_abort
        self.pool.note_failure(server, error, abort=abort)

    def _take_over(self, session: Session) -> None:
        self.update_pool(session.info, session.server, is_authentic=session.info_is_authentic)

    def update_pool(self, info: ServerInfo, via: PoolServer, *, is_authentic: bool = True) -> None:
        """Take over the servers an INFO names. Those that merely came back are not news."""
        if self._options.ignore_discovered_servers:
            return
        fresh = self.pool.update(info.connect_urls, via=via, is_authentic=is_authentic)
        news = [s for s in fresh if s.host_port not in self._known]
        if len(self._known) > _REMEMBERED:
            self._known.clear()
        self._known.update(s.host_port for s in fresh)
        if news:
            self._host.servers_discovered([s.address for s in news])

    # reconnecting

    def start_reconnecting(self, *, now: bool = False) -> None:
        """Begin the reconnect loop, with its first attempt `now` or as soon as is proper."""
        if self._moving is not None:
            self._moving.cancel()
        self._task = asyncio.create_task(self._reconnect(now=now), name="natsrpc reconnect")

    def hurry(self) -> None:
        """Wake a reconnect loop that is waiting."""
        self._wake.set()

    async def _reconnect(self, *, now: bool) -> None:
        try:
            session = await self._next_session(now=now)
            self._task = None
            self._host.adopt(session)
        except NatsError as error:
            self._task = None
            self._host.give_up(error)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            log.exception("the reconnect loop failed")
            self._task = None
            self._host.give_up(error)

    async def _next_session(self, *, now: bool) -> Session:
        """Go round the pool until a session stands.

        The first pass starts at once; a server that was reconnected to a moment ago, and lost
        again, gets its `reconnect_wait` all the same. Time spent on a pass counts as waited.

        Raises:
            NoServersError: every server is spent.
            AuthorizationError: the same refusal twice in a row from one server.
        """
        passes = 0
        failures: dict[str, Exception] = {}  # the latest of each server: there may be no end
        self._has_others = False
        if len(self.pool.servers) == 1 and not now:
            await self._pause(self._backoff.jitter(tls=self._tls.wanted))
        while self.pool.servers:
            started = self._loop.time()
            for server in list(self.pool.servers):
                if server not in self.pool.servers:
                    continue
                server, is_chosen = self._choice(server)
                if is_chosen or not (passes or now):
                    since = self._loop.time() if is_chosen else started
                    await self._pause(server.tried_at + self._options.reconnect_wait - since)
                    if server not in self.pool.servers:
                        continue
                server.tried_at = self._loop.time()
                server.attempts += 1
                try:
                    return await self._attempt(server)
                except (NatsError, ConfigError) as error:
                    failures.pop(server.address, None)
                    failures[server.address] = error
                    if len(failures) > _FAILURES:
                        del failures[next(iter(failures))]
                    self._host.reconnect_failed(server, error)
                    if server.is_final:
                        raise
                    self.pool.failed(server)
            passes += 1
            if self.pool.servers:
                elapsed = self._loop.time() - started
                await self._pause(
                    self._backoff.delay(passes, elapsed=elapsed, tls=self._tls.wanted)
                )
        raise _unreachable("every server's attempts are used up", [*failures.items()])

    def _choice(self, first: PoolServer) -> tuple[PoolServer, bool]:
        """The server to try next, and whether `reconnect_server_cb` chose it."""
        choose = self._options.reconnect_server_cb
        if choose is None:
            return first, False
        order = [first, *(server for server in self.pool.servers if server is not first)]
        try:
            address = choose([server.address for server in order])
        except Exception:
            log.exception("reconnect_server_cb raised; going on in order")
            return first, False
        if address is None:
            return first, False
        for server in order:
            if address in (server.address, server.host_port):
                return server, True
        log.warning("reconnect_server_cb chose none of the servers; going on in order")
        return first, False

    def set_servers(self, servers: str | Sequence[str]) -> None:
        """Use other servers from now on: as `Connection.set_servers`, which describes it."""
        self.pool.replace(servers)
        self._has_others = True
        self.hurry()

    async def _pause(self, delay: float) -> None:
        """Wait, unless `hurry` is called or other servers were set meanwhile; at least one loop
        turn, so that all else goes on."""
        if delay <= 0 or self._has_others:
            self._has_others = False
            await asyncio.sleep(0)
            return
        self._wake.clear()
        try:
            async with asyncio.timeout(delay):
                await self._wake.wait()
        except TimeoutError:
            pass

    async def stop(self) -> None:
        """End all dialing; nothing stays behind."""
        tasks = [t for t in (self._task, self._moving) if t and t is not asyncio.current_task()]
        self._task = self._moving = None
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    # leaving a lame duck

    def leave(self, old: Session) -> None:
        """Move to another server while the old one still serves, if wanted and another is known."""
        wanted = self._options.lame_duck_reconnect and self._options.allow_reconnect
        if not wanted or self._leaving is old or not self._others(old):
            return
        if self._moving is not None:
            self._moving.cancel()
        self._leaving = old
        self._moving = asyncio.create_task(self._move(old), name="natsrpc lame duck")

    def _others(self, old: Session) -> list[PoolServer]:
        return [s for s in self.pool.servers if s is not old.server]

    async def _move(self, old: Session) -> None:
        """Make before break: the new session takes over, then the old one is let go of.

        All clients of a server hear of its end at once: they spread their moves over a while.
        """
        spread = min(_LAME_DUCK_SPREAD, 4 * self._options.reconnect_wait)
        await asyncio.sleep(self._rng.uniform(0, spread))
        session = await self._any_other(old)
        if not self._host.move_to(session, old):
            session.lose(None)

    async def _any_other(self, old: Session) -> Session:
        """Go round the other servers until one takes us. Cancelled when `old` is lost."""
        while True:
            self.pool.prefer_others(old.server)
            for server in self._others(old):
                try:
                    return await self._attempt(server)
                except (NatsError, ConfigError) as error:
                    self._host.reconnect_failed(server, error)
            wait = max(self._options.reconnect_wait, _LEAST_WAIT)
            await asyncio.sleep(wait + self._backoff.jitter(tls=self._tls.wanted))


def _most_telling(attempts: list[tuple[str, BaseException]]) -> BaseException:
    told = ((server, str(error)) for server, error in attempts)
    tried = "; ".join(text if server in text else f"{server}: {text}" for server, text in told)
    for kind in (AuthorizationError, TLSError, ServerError, ProtocolError):
        for _, error in attempts:
            if isinstance(error, kind):
                if len(attempts) > 1:
                    error.add_note(f"servers tried: {tried}")
                return error
    return _unreachable(f"tried {tried}", attempts)


def _unreachable(why: str, attempts: Sequence[tuple[str, BaseException]]) -> NoServersError:
    """The error that tells that no server could be reached; a timeout if all attempts ended so."""
    timeouts = [isinstance(error, TimeoutError) for _, error in attempts]
    kind = NoServersTimeoutError if timeouts and all(timeouts) else NoServersError
    nowhere = kind(f"no servers available: {why}", attempts=attempts)
    nowhere.__cause__ = attempts[-1][1] if attempts else None
    return nowhere
