"""The servers that a connection may use: their URLs, and the order in which they are tried.

Pure: the source of randomness is passed in. Credentials in URLs stay inside `PoolServer`, whose
`address` and `repr` never show them.

Ref: ADR-40; nats.go `srvPool`.
"""

from __future__ import annotations

import math
import random
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from itertools import pairwise
from urllib.parse import SplitResult, unquote, urlsplit

from natsrpc.errors import AuthorizationError, ConfigError, ConfigTypeError

from ..options import DEFAULT_URL, Options
from ..withheld import withheld

_SCHEMES = {"nats": 4222, "tls": 4222, "ws": 80, "wss": 443}
_WEBSOCKET = ("ws", "wss")
_MAX_POOL = 1000
_HINT = "; in a user name or password write / ? # @ , percent-encoded: %2F for /"


@dataclass(slots=True, eq=False)
class PoolServer:
    """One server of the pool: its address, its credentials, and how the attempts at it went.

    A `discovered` one was named by another server, and goes when that no longer names it.
    `attempts` counts failed attempts since the last success; `tried_at` is the `loop.time()` at
    which the last attempt at reconnecting began. `is_final` tells that trying again is pointless.
    `tls_name` is the host name to verify where `host` is a bare address that a server gossiped.
    `target` is what a WebSocket is asked for: the path of its URL, and the query, if any.
    """

    scheme: str
    host: str
    port: int
    user: str | None = field(default=None, repr=False)
    password: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    discovered: bool = False
    attempts: int = 0
    tried_at: float = -math.inf
    last_auth_error: type[AuthorizationError] | None = None
    is_final: bool = False
    tls_name: str | None = None
    target: str = field(default="/", repr=False)

    @property
    def is_websocket(self) -> bool:
        """Whether NATS is spoken inside a WebSocket."""
        return self.scheme in _WEBSOCKET

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


def parse_server(url: str) -> PoolServer:
    """One URL, as users write it: a missing scheme is `nats`, a missing port 4222.

    Raises:
        ConfigError: it is not a server's URL.
    """
    if not isinstance(url, str):
        raise ConfigTypeError(f"a server must be a str, not {_kind(url)}")
    text = url.strip()
    if any(c <= " " or c == "\x7f" or c.isspace() for c in text):
        # urlsplit would drop some of them silently
        raise ConfigError(f"bad server URL {_masked(url)!r}: blanks or control characters")
    if "://" not in text:
        text = f"nats://{text}"
    scheme, _, rest = text.partition("://")
    is_websocket = scheme.lower() in _WEBSOCKET
    parts, port = _split(f"{scheme}://{rest if is_websocket else rest.rstrip('/')}")
    if parts is None:
        raise ConfigError(
            f"bad server URL {_masked(url)!r}: expected nats://host:port, the port a number{_HINT}"
        )
    scheme = parts.scheme.lower()
    if scheme not in _SCHEMES:
        raise ConfigError(f"server URL {_masked(url)!r}: expected the scheme nats, tls, ws or wss")
    target = parts.path + parts.query
    # an @ behind the host is that of a password with a / in it
    extra = parts.fragment or (target if not is_websocket or "@" in target else "")
    if not parts.hostname or extra or port == 0 or (is_websocket and not target.isascii()):
        expected = f"{scheme}://host:port" + ("/path" if is_websocket else "")
        hint = _HINT if extra else ""
        raise ConfigError(f"bad server URL {_masked(url)!r}: expected {expected}{hint}")
    user, password, token = _userinfo(parts.netloc)
    server = PoolServer(
        scheme, parts.hostname, _SCHEMES[scheme] if port is None else port, user, password, token
    )
    if is_websocket:
        server.target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    return server


def _split(url: str) -> tuple[SplitResult | None, int | None]:
    """The parts of a URL and its port; None if it has no parts. The reason, which may quote a part
    of a password, ends here."""
    try:
        parts = urlsplit(url)
        return parts, parts.port
    except ValueError:
        return None, None


@withheld
def parse_servers(servers: str | Sequence[str], *, default: bool = True) -> list[PoolServer]:
    """One URL, several joined by commas, or a sequence of them; the default, if there is to be one,
    where there are none.

    Raises:
        ConfigError: one is not a server's URL.
    """
    if isinstance(servers, str):
        given: Iterable[object] = [servers]
    elif isinstance(servers, Iterable) and not isinstance(servers, (bytes, bytearray, Mapping)):
        given = servers
    else:
        raise ConfigTypeError(f"servers must be a str or a sequence of str, not {_kind(servers)}")
    urls = []
    for item in given:
        if not isinstance(item, str):
            raise ConfigTypeError(f"a server must be a str, not {_kind(item)}")
        parts = [url for url in item.split(",") if url.strip()]
        if len(parts) > 1:
            _check_commas(item, parts)
        urls += parts
    parsed: dict[str, PoolServer] = {}
    for url in urls or ([DEFAULT_URL] if default else []):
        server = parse_server(url)
        parsed.setdefault(server.host_port, server)
    return list(parsed.values())


def _check_commas(item: str, parts: Sequence[str]) -> None:
    """Refuse a secret with a comma in it, which would be taken for two servers, and half of it be
    shown as the name of one.

    Raises:
        ConfigError: URLs are written with a scheme, and one without, behind one that has no
            credentials, has some.
    """
    for before, part in pairwise(parts if "://" in parts[0] else ()):
        if "@" in part and "://" not in part and "@" not in before:
            raise ConfigError(f"bad server URL {_masked(item)!r}: a comma in front of an @{_HINT}")


def _one_scheme(servers: Sequence[PoolServer]) -> str:
    """Give all servers of a pool the one scheme that a connection has: `tls` if one of them has it.

    Raises:
        ConfigError: they cannot share one. A server that is discovered has none of its own, so one
            that speaks WebSocket could not be told from one that does not.
    """
    schemes = {server.scheme for server in servers}
    if schemes == {"nats", "tls"}:
        for server in servers:
            server.scheme = "tls"
    elif len(schemes) > 1:
        raise ConfigError(
            f"servers with {' and '.join(f'{scheme}://' for scheme in sorted(schemes))} cannot "
            "share a connection: give all of them one of nats, ws and wss"
        )
    return servers[0].scheme


def is_address(host: str) -> bool:
    """Whether a host is an IP address rather than a name."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Whether what is sent to this host stays on this machine."""
    return host == "localhost" or (is_address(host) and ip_address(host).is_loopback)


class ServerPool:
    """The servers in the order in which they will be tried. Made and called by the connector.

    The current one is at the head while connected.
    """

    def __init__(self, options: Options, rng: random.Random) -> None:
        self._rng = rng
        self._shuffled = options.randomize_servers
        self._max_attempts = options.max_reconnect_attempts
        self._inherits = not options.has_credentials
        self._names_all = options.tls_hostname is not None
        self.servers: list[PoolServer] = parse_servers(options.servers)
        if self._shuffled:
            rng.shuffle(self.servers)
        if options.first_server is not None:
            self._put_first(parse_server(options.first_server))
        self.scheme: str = _one_scheme(self.servers)
        self.current: PoolServer | None = None
        self._gone: dict[str, PoolServer] = {}

    @property
    def is_websocket(self) -> bool:
        """Whether these servers speak WebSocket; all of them do, or none."""
        return self.scheme in _WEBSOCKET

    def _put_first(self, first: PoolServer) -> None:
        known = next((s for s in self.servers if s.host_port == first.host_port), None)
        if known is not None:
            self.servers.remove(known)
            first = first if first.has_credentials else known
        self.servers.insert(0, first)

    def replace(self, servers: str | Sequence[str]) -> None:
        """Take other servers in place of those that were configured or discovered. What is known of
        one that stays is kept.

        Raises:
            ConfigError: one is no server's URL, there are none, or they would need another kind of
                connection.
        """
        fresh = parse_servers(servers, default=False)
        if not fresh:
            raise ConfigError("set_servers needs at least one server")
        scheme = _one_scheme(fresh)
        if scheme != self.scheme and (scheme, self.scheme) != ("nats", "tls"):
            raise ConfigError(
                f"set_servers cannot go from {self.scheme}:// to {scheme}://: "
                "open another connection"
            )
        if self._shuffled:
            self._rng.shuffle(fresh)
        known = {server.host_port: server for server in self.servers}
        if self.current is not None:
            known[self.current.host_port] = self.current
        self.servers = [_merged(server, known.get(server.host_port)) for server in fresh]
        for server in self.servers:
            server.scheme = self.scheme
        if self.current in self.servers:
            self._put_first(self.current)
        self._gone.clear()

    def succeeded(self, server: PoolServer) -> None:
        """Note that `server` is the one connected to. What it names from now on lives: those that
        were given up get another chance."""
        self._gone.clear()
        server.attempts = 0
        server.last_auth_error = None
        server.is_final = False
        self.current = server

    def note_failure(self, server: PoolServer, error: Exception, *, abort: bool) -> None:
        """Remember a refusal of our credentials; the same one twice in a row is final, if `abort`.

        Any other failure breaks the row.
        """
        refusal = type(error) if isinstance(error, AuthorizationError) else None
        if abort and refusal is not None and refusal is server.last_auth_error:
            server.is_final = True
        server.last_auth_error = refusal

    def retire_current(self) -> None:
        """The connection to the current server was lost: to the tail with it, or out if it is
        spent."""
        server, self.current = self.current, None
        if server is not None:
            self.failed(server)

    def failed(self, server: PoolServer) -> None:
        """An attempt at `server` failed: to the tail with it, or out if it is spent."""
        if server in self.servers:
            self.servers.remove(server)
            if self._is_spent(server):
                self._note_gone(server)
            else:
                self.servers.append(server)

    def _note_gone(self, server: PoolServer) -> None:
        """Keep the count of a server that leaves the pool: it is its address's, and goes on when it
        is named again, also by itself in the INFO of a failed attempt."""
        if len(self._gone) >= _MAX_POOL:
            self._gone.pop(next(iter(self._gone)))
        self._gone[server.host_port] = server

    def _is_spent(self, server: PoolServer) -> bool:
        return 0 <= self._max_attempts <= server.attempts

    def prefer_others(self, server: PoolServer) -> None:
        """Put `server` at the tail, so that every other one is tried first."""
        if server in self.servers:
            self.servers.remove(server)
            self.servers.append(server)

    def update(
        self, connect_urls: Sequence[str], *, via: PoolServer, is_authentic: bool = True
    ) -> list[PoolServer]:
        """Take over the list of an INFO that came from `via`; the servers that are new.

        Discovered servers not named any more are dropped, except the current one. An empty list
        changes nothing. Unusable items are skipped, and servers whose attempts are used up.

        Unless the list `is_authentic` (it came through TLS where TLS is used), only those servers
        are added whose certificate will be checked against a name the user gave. Otherwise an
        attacker on the line could name a host of his own, with a good certificate for that name.
        """
        if not connect_urls:
            return []
        named = {s.host_port: s for url in connect_urls if (s := _gossiped(url)) is not None}
        kept = [
            s for s in self.servers if not s.discovered or s is self.current or s.host_port in named
        ]
        for server in self.servers:
            if server not in kept:
                self._note_gone(server)
        self.servers = kept
        known = {s.host_port for s in self.servers}
        name = via.tls_name or (None if is_address(via.host) else via.host)
        fresh = [
            s
            for key, s in named.items()
            if key not in known
            and not ((gone := self._gone.get(key)) and self._is_spent(gone))
            and (is_authentic or self._names_all or (name is not None and is_address(s.host)))
        ]
        fresh = fresh[: max(0, _MAX_POOL - len(self.servers))]
        for server in fresh:
            if (gone := self._gone.pop(server.host_port, None)) is not None:
                server.attempts, server.tried_at = gone.attempts, gone.tried_at
                server.last_auth_error = gone.last_auth_error
            server.scheme, server.target = self.scheme, via.target
            server.discovered = True
            server.tls_name = name
            if self._inherits:
                server.user, server.password, server.token = via.user, via.password, via.token
        if self._shuffled:
            self._rng.shuffle(fresh)
        self.servers += fresh
        return fresh

    def addresses(self, *, discovered: bool = False) -> list[str]:
        """The servers' addresses without credentials; only the discovered ones if asked."""
        return [s.address for s in self.servers if s.discovered or not discovered]


def _merged(named: PoolServer, known: PoolServer | None) -> PoolServer:
    """A server as it is named now, which is known already, or not: the same object then, for the
    session that has it."""
    if known is None:
        return named
    told, now = (known.user, known.password, known.token), (named.user, named.password, named.token)
    if now != told:  # what was refused were others
        known.last_auth_error = None
    known.user, known.password, known.token = now
    known.target, known.discovered, known.is_final = named.target, False, False
    return known


def _gossiped(host_port: str) -> PoolServer | None:
    """A server as INFO names it: `host:port` and nothing else."""
    if not host_port.rpartition(":")[2].isdigit() or "/" in host_port or "@" in host_port:
        return None
    try:
        return parse_server(host_port)
    except ConfigError:
        return None


def _userinfo(netloc: str) -> tuple[str | None, str | None, str | None]:
    """(user, password, token) of a URL, percent-decoded: a lone name is a token."""
    info, _, _ = netloc.rpartition("@")
    if not info:
        return None, None, None
    user, colon, password = info.partition(":")
    if colon:
        return unquote(user), unquote(password), None
    return None, None, unquote(user)


def _masked(url: str) -> str:
    """A URL as given, less whatever may be a secret, also in one written wrongly.

    That is all before the last `@`; without an `@` (a password holding `/`, `#`, `?` or `,` cuts
    the URL short) all from the first of these on, and what stands where the port belongs, unless it
    is a number.
    """
    scheme, separator, rest = url.strip().partition("://")
    if not separator:
        scheme, rest = "", scheme
    _, at, host = rest.rpartition("@")
    if at:
        return f"{scheme}{separator}***@{host}"
    host = re.split("[/?#]", rest, maxsplit=1)[0]
    ending = "***" if host != rest else ""
    name, colon, port = host.rpartition(":")
    if colon and not port.isdigit() and not port.endswith("]"):
        host = f"{name}:***"
    return f"{scheme}{separator}{host}{ending}"


def _kind(value: object) -> str:
    """A value that is no URL, quoted only where it cannot hold one."""
    return (
        repr(value)
        if value is None or isinstance(value, (bool, int, float))
        else (type(value).__name__)
    )
