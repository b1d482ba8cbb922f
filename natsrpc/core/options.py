"""`Options`: the settings of a connection, checked once, before anything is dialed.

`ConnectOptions` in `connecting.py` says the same to type checkers: change both.
"""

from __future__ import annotations

import asyncio
import math
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from os import PathLike
from typing import Any, TypeAlias

from natsrpc.errors import ConfigError, ConfigTypeError

from .wire import check_inbox_prefix
from .withheld import withheld

DEFAULT_URL = "nats://127.0.0.1:4222"
"""Where a connection goes that is given no servers."""
MIB = 1024 * 1024
MAX_NAME = 1024
"""Bytes of a connection's name: CONNECT, which it is a part of, is one line, of 4096 by default."""

Secret: TypeAlias = str | Callable[[], str | Awaitable[str]]
UserInfo: TypeAlias = Callable[[], tuple[str, str] | Awaitable[tuple[str, str]]]
Sign: TypeAlias = Callable[[bytes], bytes | str | Awaitable[bytes | str]]
_SomeCredentials: TypeAlias = str | bytes | PathLike[str] | tuple[str, str | Sign]
Credentials: TypeAlias = (
    _SomeCredentials | Callable[[], _SomeCredentials | Awaitable[_SomeCredentials]]
)
WsHeaders: TypeAlias = (
    Mapping[str, str] | Callable[[], Mapping[str, str] | Awaitable[Mapping[str, str]]]
)
Dialer: TypeAlias = Callable[
    [Callable[[], asyncio.Protocol], str, int],
    Awaitable[tuple[asyncio.Transport, asyncio.BaseProtocol]],
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All settings of a connection, checked. Times are in seconds, sizes in bytes.

    `connect` makes them of its keyword arguments (`ConnectOptions`); `connect(options=...)` takes
    them ready-made.

    Secrets (`token`, `nkey_seed`, `credentials`, `user_info`, `ws_headers`) may be functions, plain
    or async. They are called, and files are read, anew for every attempt to connect. Credentials in
    the URL of a server hide those of the options for that server. Discovered servers get these, or
    those of the URL they were discovered through if there are none.

    Each TLS option asks for TLS, and a server without it is then refused.

    Callbacks may be plain or async functions. They run one at a time, in the order of the events,
    beside the traffic.

    Raises:
        ConfigError: a value is out of range or contradicts another; it names the option. Files are
            read by `connect`, which raises the same for one that cannot be read.
    """

    servers: str | Sequence[str] = DEFAULT_URL
    """One URL, several joined by commas, or a sequence of them: `nats://`, `tls://` or no scheme;
    port 4222 if none; `user:password@` or `token@` in front of the host. One `tls://` URL turns TLS
    on for all of them. Or all `ws://` or all `wss://` (WebSocket, ports 80 and 443), with a path if
    you like."""

    first_server: str | None = None
    """The URL that is tried before all others."""

    randomize_servers: bool = True
    """Shuffle the servers once, except for `first_server`."""

    name: str = ""
    """The name of the connection that the server shows; 1024 bytes at most."""

    user: str | None = None
    """The user to sign in as."""

    password: str | None = None
    """The password of `user`."""

    token: Secret | None = None
    """A token to sign in with, or a function that gives one."""

    user_info: UserInfo | None = None
    """A function that gives (user, password)."""

    nkey_seed: Secret | PathLike[str] | None = None
    """An nkey seed, the path of a file with one, or a function that gives one."""

    nkey: tuple[str, Sign] | None = None
    """(public key, signing function): the user of an nkey whose seed is elsewhere, in a vault or a
    hardware module. The function gets the bytes to sign, and gives the signature."""

    credentials: Credentials | None = None
    """The path of a `.creds` file, its text (bytes, or a str with the lines that it begins with),
    (JWT, seed or signing function), or a function that gives one of these."""

    tls: bool | ssl.SSLContext | None = None
    """True: TLS, verified. False: never. None: if the server or a `tls://` or `wss://` URL asks for
    it. Or an `ssl.SSLContext` of your own."""

    tls_ca: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None
    """One or several PEM files of authorities to trust in place of the system's. Read anew for each
    handshake."""

    tls_cert: tuple[str | PathLike[str], str | PathLike[str]] | None = None
    """The client's (certificate file, key file). Read anew for each handshake."""

    tls_verify: bool = True
    """False: do not verify the server's certificate. A warning is logged."""

    tls_hostname: str | None = None
    """The name to verify in the server's certificate, in place of the URL's host."""

    tls_handshake_first: bool = False
    """Start TLS before the server's INFO, for servers that are configured so."""

    ws_headers: WsHeaders | None = None
    """HTTP headers for the request that opens a WebSocket, or a function that gives them: what a
    proxy in front of the servers asks for."""

    connect_timeout: float = 2.0
    """Seconds for one attempt to connect, the handshake included."""

    allow_reconnect: bool = True
    """False: the first loss of the connection closes it."""

    max_reconnect_attempts: int = 60
    """Failed attempts after which a server is given up; -1: never."""

    reconnect_wait: float = 2.0
    """Seconds between two attempts at the same server."""

    reconnect_jitter: float = 0.1
    """Up to so many random seconds are added to `reconnect_wait`."""

    reconnect_jitter_tls: float = 1.0
    """As `reconnect_jitter`, for connections with TLS."""

    reconnect_delay_cb: Callable[[int], float] | None = None
    """A function from the number of fruitless passes over all servers to the seconds to wait before
    the next pass; it replaces `reconnect_wait` and the jitter."""

    reconnect_server_cb: Callable[[list[str]], str | None] | None = None
    """A function that chooses the server of the next attempt to reconnect: it gets the addresses in
    the order in which they would be tried, and gives one of them, or None for the first."""

    reconnect_buffer_size: int = 8 * MIB
    """Bytes of messages that are kept while reconnecting; 0: the default, negative: none."""

    retry_on_failed_connect: bool = False
    """Have `connect` return a connection that goes on trying, in place of raising
    `NoServersError`. It does so whatever the failure was, wrong credentials included; a server that
    refuses those twice in a row closes it for good, so `on_close` and `last_error` are to be looked
    at (`ignore_auth_error_abort` has it go on). A mistake in the options, or a file that cannot be
    read, is raised all the same."""

    ignore_auth_error_abort: bool = False
    """Go on trying after a server refused the same credentials twice in a row, which otherwise
    closes the connection."""

    ignore_discovered_servers: bool = False
    """Connect only to the servers named here, not to those that the cluster names."""

    lame_duck_reconnect: bool = True
    """False: stay with a server that announces its shutdown until it is gone."""

    ping_interval: float = 15.0
    """Seconds between two PINGs to the server; 0 or less: none are sent. A link that is dead though
    nobody closed it is noticed within `ping_interval * (max_pings_out + 1)` seconds: 45."""

    max_pings_out: int = 2
    """Unanswered PINGs after which the connection counts as lost, if nothing at all was received
    meanwhile; 0: the default."""

    drain_timeout: float = 30.0
    """Seconds after which `drain` gives up and closes."""

    write_timeout: float = 60.0
    """Seconds after which a server that takes no bytes counts as lost."""

    verbose: bool = False
    """Have the server acknowledge each line, to look for faults."""

    pedantic: bool = False
    """Have the server check subjects, too, to look for faults."""

    echo: bool = True
    """False: the server does not deliver this connection's own messages to it."""

    inbox_prefix: str = "_INBOX"
    """The first part of the subjects that replies are sent to."""

    old_style_requests: bool = False
    """Give each request an inbox and a subscription of its own."""

    max_message_size: int = 64 * MIB
    """The largest message that is taken from the server."""

    dialer: Dialer | None = None
    """A function that opens the socket in place of `loop.create_connection`."""

    on_connect: Callable[[Any], object] | None = None
    """Called with (connection) when it is connected for the first time."""

    on_disconnect: Callable[[Any, Exception | None], object] | None = None
    """Called with (connection, error) when the connection is lost; no error if on purpose."""

    on_reconnect: Callable[[Any], object] | None = None
    """Called with (connection) when it is connected again."""

    on_reconnect_error: Callable[[Any, Exception], object] | None = None
    """Called with (connection, error) for each failed attempt to reconnect."""

    on_close: Callable[[Any], object] | None = None
    """Called with (connection) at its end: it will not connect again."""

    on_error: Callable[[Any, Any, Exception], object] | None = None
    """Called with (connection, subscription or None, error) for an error that no call reports."""

    on_discovered_servers: Callable[[Any], object] | None = None
    """Called with (connection) when the cluster names servers that were not known."""

    on_lame_duck: Callable[[Any], object] | None = None
    """Called with (connection) when the server announces its shutdown."""

    def __post_init__(self) -> None:
        for option, kind in _KINDS.items():
            _check_type(option, getattr(self, option), kind)
        for option in _POSITIVE:
            _check_number(option, getattr(self, option), above_zero=True)
        for option in _NOT_NEGATIVE:
            _check_number(option, getattr(self, option), above_zero=False)
        _check_number("ping_interval", self.ping_interval, above_zero=None)
        for option in _CALLBACKS:
            value = getattr(self, option)
            if value is not None and not callable(value):
                raise ConfigTypeError(f"{option} must be callable, not {value!r}")
        check_inbox_prefix(self.inbox_prefix)
        if len(self.name.encode(errors="replace")) > MAX_NAME:
            raise ConfigError(f"name must take at most {MAX_NAME} bytes")
        self._check_identity()
        self._check_tls()
        if self.reconnect_buffer_size == 0:
            object.__setattr__(self, "reconnect_buffer_size", 8 * MIB)
        if self.max_pings_out == 0:
            object.__setattr__(self, "max_pings_out", 2)

    def _check_identity(self) -> None:
        for option, expected in _IDENTITY.items():
            value = getattr(self, option)
            if not (value is None or _is_one(value, expected)):
                # the value may be a secret: only its type is named
                raise ConfigTypeError(f"{option} must be {expected}, not {type(value).__name__}")
        headers = self.ws_headers
        if not (headers is None or callable(headers) or isinstance(headers, Mapping)):
            raise ConfigTypeError(
                "ws_headers must be a mapping of str to str or a function that gives one, "
                f"not {type(headers).__name__}"
            )
        if self.password is not None and self.user is None:
            raise ConfigError("password needs a user beside it")
        if self.user_info is not None and self.user is not None:
            raise ConfigError("user and user_info contradict each other: give one")
        keys = [name for name in _KEYS if getattr(self, name) is not None]
        if len(keys) > 1:
            raise ConfigError(f"{' and '.join(keys)} contradict each other: give one")

    def _check_tls(self) -> None:
        if not (self.tls is None or isinstance(self.tls, (bool, ssl.SSLContext))):
            raise ConfigTypeError(f"tls must be a bool or an ssl.SSLContext, not {self.tls!r}")
        if not (self.tls_hostname is None or isinstance(self.tls_hostname, str)):
            raise ConfigTypeError(f"tls_hostname must be a str, not {self.tls_hostname!r}")
        if self.tls_hostname == "":
            raise ConfigError("tls_hostname must be a host's name, not ''")
        self._check_tls_files()
        files = {
            "tls_ca": self.tls_ca is not None,
            "tls_cert": self.tls_cert is not None,
            "tls_verify=False": not self.tls_verify,
        }
        others = {
            "tls_handshake_first": self.tls_handshake_first,
            "tls_hostname": self.tls_hostname is not None,
        }
        for option, is_given in files.items():
            if is_given and isinstance(self.tls, ssl.SSLContext):
                raise ConfigError(f"tls with a context of your own contradicts {option}")
        for option, is_given in (files | others).items():
            if is_given and self.tls is False:
                raise ConfigError(f"tls=False contradicts {option}")

    def _check_tls_files(self) -> None:
        given = self.tls_ca
        paths = [given] if isinstance(given, (str, PathLike)) else given
        if paths is not None and (
            not isinstance(paths, (tuple, list)) or not paths or not _are_paths(paths)
        ):
            raise ConfigTypeError(f"tls_ca must be one or several paths, not {paths!r}")
        pair = self.tls_cert
        if pair is not None and not (
            isinstance(pair, (tuple, list)) and len(pair) == 2 and _are_paths(pair)
        ):
            raise ConfigTypeError("tls_cert must be (certificate file, key file)")

    @property
    def has_credentials(self) -> bool:
        """Whether any of the options says who we are."""
        return any(getattr(self, option) is not None for option in _IDENTITY)

    def __repr__(self) -> str:
        shown = (
            f"{f.name}={'***' if f.name in _SECRET else getattr(self, f.name)!r}"
            for f in fields(self)
            if getattr(self, f.name) != f.default and f.name not in ("servers", "first_server")
        )
        return f"Options({', '.join(shown)})"

    @classmethod
    @withheld
    def of(cls, values: Mapping[str, Any]) -> Options:
        """Options from keyword arguments.

        Raises:
            ConfigTypeError: one of them is unknown; it names the nearest known one.
        """
        unknown = [name for name in values if name not in _NAMES]
        if unknown:
            raise ConfigTypeError(f"unknown connect option {unknown[0]!r}{_nearest(unknown[0])}")
        return cls(**values)


_NAMES = frozenset(f.name for f in fields(Options))
_SECRET = frozenset({"password", "token", "nkey_seed", "credentials", "user_info", "ws_headers"})
_CALLBACKS = (
    *sorted(n for n in _NAMES if n.startswith("on_")),
    "reconnect_delay_cb",
    "reconnect_server_cb",
    "dialer",
)
_KINDS: dict[str, type] = {
    "allow_reconnect": bool,
    "echo": bool,
    "ignore_auth_error_abort": bool,
    "ignore_discovered_servers": bool,
    "inbox_prefix": str,
    "lame_duck_reconnect": bool,
    "max_message_size": int,
    "max_pings_out": int,
    "max_reconnect_attempts": int,
    "name": str,
    "old_style_requests": bool,
    "pedantic": bool,
    "randomize_servers": bool,
    "reconnect_buffer_size": int,
    "retry_on_failed_connect": bool,
    "tls_handshake_first": bool,
    "tls_verify": bool,
    "verbose": bool,
}
_A_STR = "a str"
_A_FUNCTION = "a function that gives (user, password)"
_A_SECRET = "a str or a function that gives one"  # noqa: S105  words
_A_SEED = "a seed, a path or a function that gives one"
_A_SIGNER = "(public key, signing function)"
_KEYS = ("nkey_seed", "nkey", "credentials")
_AN_IDENTITY = (
    "a path, the text of a file, (JWT, seed or signing function) or a function that gives one"
)
_IDENTITY = {
    "user": _A_STR,
    "password": _A_STR,
    "token": _A_SECRET,
    "user_info": _A_FUNCTION,
    "nkey_seed": _A_SEED,
    "nkey": _A_SIGNER,
    "credentials": _AN_IDENTITY,
}
_POSITIVE = ("connect_timeout", "drain_timeout", "write_timeout", "max_message_size")
_NOT_NEGATIVE = ("reconnect_wait", "reconnect_jitter", "reconnect_jitter_tls", "max_pings_out")


def _is_one(value: object, expected: str) -> bool:
    """Whether a value is of the kind that these words of `_IDENTITY` describe."""
    if isinstance(value, (tuple, list)):
        if expected == _A_SIGNER:
            return len(value) == 2 and isinstance(value[0], str) and callable(value[1])
        return expected == _AN_IDENTITY and len(value) == 2
    if expected == _A_SIGNER:
        return False
    if expected != _A_STR and callable(value):
        return True
    if expected == _AN_IDENTITY and isinstance(value, (bytes, bytearray)):
        return b"-----BEGIN" in value
    if expected in (_A_SEED, _AN_IDENTITY) and isinstance(value, PathLike):
        return True
    return expected != _A_FUNCTION and isinstance(value, str)


def _are_paths(values: Sequence[object]) -> bool:
    return all(isinstance(value, (str, PathLike)) for value in values)


def _check_type(option: str, value: object, kind: type) -> None:
    if not isinstance(value, kind) or (kind is int and isinstance(value, bool)):
        raise ConfigTypeError(f"{option} must be of type {kind.__name__}, not {value!r}")


def _check_number(option: str, value: object, *, above_zero: bool | None) -> None:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigTypeError(f"{option} must be a number, not {value!r}")
    try:
        number = float(value)
    except OverflowError:
        raise ConfigError(f"{option} must be a number of seconds, not one so large") from None
    if above_zero and not number > 0:
        raise ConfigError(f"{option} must be greater than 0, not {value!r}")
    if above_zero is False and not 0 <= number < math.inf:
        raise ConfigError(f"{option} must be 0 or more, not {value!r}")
    if math.isnan(number):
        raise ConfigError(f"{option} must be a number, not {value!r}")


def _nearest(name: str) -> str:
    """A hint at the option that looks most like an unknown one."""
    close = get_close_matches(name, sorted(_NAMES), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
