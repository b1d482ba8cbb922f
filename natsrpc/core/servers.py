"""The servers we may connect to: their URLs, the pool's order, and how long to wait between passes.

Pure: the source of randomness is passed in. Credentials in URLs stay inside `Server`; its `address`
and `repr` never show them.

Ref: ADR-40; nats.go `srvPool`.
"""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import unquote, urlsplit

from natsrpc.errors import ConfigError, ConfigTypeError, NatsError

from .options import DEFAULT_URL, Options

_SCHEMES = {"nats": 4222, "tls": 4222}
_LATER_SCHEMES = ("ws", "wss")
_MAX_POOL = 1000


@dataclass(slots=True, eq=False)
class Server:
    """One server of the pool, with what is known of it.

    `discovered` ones were named by another server and go when that no longer names them. `attempts`
    counts failed attempts since the last success. `tls_name` is the host name to verify when `host`
    is a bare address that a server gossiped.
    """

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    discovered: bool = False
    attempts: int = 0
    connected_before: bool = False
    last_auth_error: type[NatsError] | None = None
    auth_is_final: bool = False
    tls_name: str | None = None

    @property
    def host_port(self) -> str:
        """`host:port`, an IPv6 host in brackets."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"

    @property
    def address(self) -> str:
        """`scheme://host:port`, without credentials."""
        return f"{self.scheme}://{self.host_port}"

    @property
    def url(self) -> str:
        """As configured, credentials masked: fit to be shown."""
        has_secret = self.user is not None or self.token is not None
        return f"{self.scheme}://{'***@' if has_secret else ''}{self.host_port}"

    @property
    def has_credentials(self) -> bool:
        """Whether its URL carries credentials, which then hide those of the options."""
        return self.user is not None or self.token is not None


def parse_server(url: str) -> Server:
    """One URL, as users write it: a missing scheme is `nats`, a missing port 4222.

    Raises:
        ConfigError: it is not a server's URL.
    """
    if not isinstance(url, str):
        raise ConfigTypeError(f"a server must be a str, not {url!r}")
    text = url.strip().rstrip("/")
    if "://" not in text:
        text = f"nats://{text}"
    try:
        parts = urlsplit(text)
        port = parts.port
    except ValueError as error:
        raise ConfigError(f"bad server URL {_masked(url)!r}: {_reason(error)}") from None
    scheme = parts.scheme.lower()
    if scheme in _LATER_SCHEMES:
        raise ConfigError(f"server URL {_masked(url)!r}: WebSocket is not supported yet")
    if scheme not in _SCHEMES:
        raise ConfigError(f"server URL {_masked(url)!r}: expected the scheme nats or tls")
    if not parts.hostname or parts.path or parts.query or parts.fragment:
        raise ConfigError(f"bad server URL {_masked(url)!r}: expected nats://host:port")
    if any(c.isspace() or ord(c) < 32 for c in parts.netloc):
        raise ConfigError(f"bad server URL {_masked(url)!r}: blanks or control characters")
    user, password, token = _userinfo(parts.netloc)
    return Server(
        scheme, parts.hostname, _SCHEMES[scheme] if port is None else port, user, password, token
    )


def parse_servers(servers: str | Sequence[str]) -> list[Server]:
    """One URL, several joined by commas, or a sequence of them; the default if there are none.

    Raises:
        ConfigError: one is not a server's URL.
    """
    if isinstance(servers, str):
        given: Iterable[object] = [servers]
    elif isinstance(servers, Iterable):
        given = servers
    else:
        raise ConfigTypeError(f"servers must be a str or a sequence of str, not {servers!r}")
    urls = []
    for item in given:
        if not isinstance(item, str):
            raise ConfigTypeError(f"a server must be a str, not {item!r}")
        urls += [url for url in item.split(",") if url.strip()]
    parsed: dict[str, Server] = {}
    for url in urls or [DEFAULT_URL]:
        server = parse_server(url)
        parsed.setdefault(server.host_port, server)
    return list(parsed.values())


class ServerPool:
    """The servers in the order they'll be tried; the current one is at the head while connected."""

    def __init__(self, options: Options, rng: random.Random) -> None:
        self._rng = rng
        self._shuffled = options.randomize_servers
        self._max_attempts = options.max_reconnect_attempts
        self.servers = parse_servers(options.servers)
        if self._shuffled:
            rng.shuffle(self.servers)
        if options.first_server is not None:
            self._put_first(parse_server(options.first_server))
        if any(server.scheme == "tls" for server in self.servers):
            for server in self.servers:
                server.scheme = "tls"
        self.scheme = self.servers[0].scheme
        self.current: Server | None = None

    def _put_first(self, first: Server) -> None:
        self.servers = [s for s in self.servers if s.host_port != first.host_port]
        self.servers.insert(0, first)

    def succeeded(self, server: Server) -> None:
        """Note that `server` is the one connected to."""
        server.attempts = 0
        server.connected_before = True
        server.last_auth_error = None
        server.auth_is_final = False
        self.current = server

    def retire_current(self) -> None:
        """The connection to the current server was lost: to the tail with it, or out if it is
        spent."""
        server, self.current = self.current, None
        if server is not None and server in self.servers:
            self.servers.remove(server)
            if not self._is_spent(server):
                self.servers.append(server)

    def failed(self, server: Server) -> None:
        """An attempt at `server` failed: to the tail with it, or out if it is spent."""
        if server in self.servers:
            self.servers.remove(server)
            if not self._is_spent(server):
                self.servers.append(server)

    def _is_spent(self, server: Server) -> bool:
        return 0 <= self._max_attempts <= server.attempts

    def prefer_others(self, server: Server) -> None:
        """Put `server` at the tail, so that every other one is tried first."""
        if server in self.servers:
            self.servers.remove(server)
            self.servers.append(server)

    def update(self, connect_urls: Sequence[str], *, via: Server | None) -> list[Server]:
        """Take over the list of a server's INFO; the servers that are new.

        Discovered servers not named any more are dropped, except the current one. An empty list
        changes nothing. Unusable items are skipped.
        """
        if not connect_urls:
            return []
        named = {s.host_port: s for url in connect_urls if (s := _gossiped(url)) is not None}
        self.servers = [
            s for s in self.servers if not s.discovered or s is self.current or s.host_port in named
        ]
        known = {s.host_port for s in self.servers}
        fresh = [s for key, s in named.items() if key not in known]
        fresh = fresh[: max(0, _MAX_POOL - len(self.servers))]
        for server in fresh:
            server.scheme = self.scheme
            server.discovered = True
            if via is not None:
                server.user, server.password, server.token = via.user, via.password, via.token
                server.tls_name = via.tls_name or via.host
        if self._shuffled:
            self._rng.shuffle(fresh)
        self.servers += fresh
        return fresh

    def addresses(self, *, discovered: bool = False) -> list[str]:
        """The servers' addresses without credentials; only the discovered ones if asked."""
        return [s.address for s in self.servers if s.discovered or not discovered]


class Backoff:
    """How long to wait after each fruitless pass over the pool."""

    def __init__(self, options: Options, rng: random.Random) -> None:
        self._options = options
        self._rng = rng

    def delay(self, passes: int, *, tls: bool) -> float:
        """Seconds to wait after pass number `passes`, counted from 1."""
        options = self._options
        if options.reconnect_delay_cb is not None:
            return max(0.0, float(options.reconnect_delay_cb(passes)))
        return options.reconnect_wait + self.jitter(tls=tls)

    def jitter(self, *, tls: bool) -> float:
        """A random part of the configured jitter, in seconds."""
        options = self._options
        return self._rng.uniform(
            0, options.reconnect_jitter_tls if tls else options.reconnect_jitter
        )


def _gossiped(url: str) -> Server | None:
    if "://" in url or "@" in url:
        return None
    try:
        return parse_server(url)
    except ConfigError:
        return None


def _userinfo(netloc: str) -> tuple[str | None, str | None, str | None]:
    """(user, password, token) of a URL, percent-decoded: a lone name is a token."""
    info, at, _ = netloc.rpartition("@")
    if not at:
        return None, None, None
    user, colon, password = info.partition(":")
    if colon:
        return unquote(user), unquote(password), None
    return None, None, unquote(user)


def _masked(url: str) -> str:
    """A URL as given, without what stands before its last `@`."""
    head, at, tail = url.rpartition("@")
    scheme = f"{head.split('://', 1)[0]}://" if "://" in head else ""
    return f"{scheme}***@{tail}" if at else url


def _reason(error: ValueError) -> str:
    text = str(error)
    return text if "port" in text.lower() and "@" not in text else "expected nats://host:port"
