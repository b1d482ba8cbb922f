"""The settings of a connection, checked once, before anything is dialed."""

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

DEFAULT_URL = "nats://127.0.0.1:4222"
MIB = 1024 * 1024

Secret: TypeAlias = "str | Callable[[], str | Awaitable[str]]"
UserInfo: TypeAlias = "Callable[[], tuple[str, str] | Awaitable[tuple[str, str]]]"
Sign: TypeAlias = "Callable[[bytes], bytes | str | Awaitable[bytes | str]]"
Credentials: TypeAlias = (
    "str | PathLike[str] | tuple[str, str | Sign] | "
    "Callable[[], tuple[str, str | Sign] | Awaitable[tuple[str, str | Sign]]]"
)
Callback: TypeAlias = "Callable[..., object]"
Dialer: TypeAlias = (
    "Callable[[Callable[[], asyncio.Protocol], str, int], "
    "Awaitable[tuple[asyncio.Transport, asyncio.BaseProtocol]]]"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """All settings of a connection. Times are in seconds, sizes in bytes.

    Where: `servers` is one URL, several joined by commas, or a sequence of them (`nats://`,
    `tls://`, or no scheme; port 4222 if none; `user:password@` or `token@` in front of the host);
    `randomize_servers` shuffles them once, except for `first_server`, which is tried first. One
    `tls://` URL turns TLS on for all of them.

    Who: `user` and `password`; or `token`; or `user_info`, called for (user, password); or
    `nkey_seed`, a seed or the path of a file with one; or `credentials`, the path of a `.creds`
    file, or (JWT, seed or signing function). `token`, `nkey_seed`, `credentials` may be functions,
    plain or async; they are called, and files read, anew for every attempt to connect. What stands
    in the URL of a server hides all of these for that server; servers discovered later get these,
    or those of the URL they were discovered through if there are none.

    TLS: `tls=True` (verifying), an `ssl.SSLContext` of your own, `False` (never), or None (if the
    server or a `tls://` URL asks for it). `tls_ca` names one or several PEM files that replace the
    system's roots; `tls_cert` is (certificate, key); `tls_hostname` the name to verify instead of
    the URL's host; `tls_verify=False` switches verification off, with a warning;
    `tls_handshake_first` starts TLS before INFO. Any of them asks for TLS, and a server without it
    is then refused.

    Staying connected: see `reconnect_*`, `max_reconnect_attempts` (per server, -1 forever),
    `ping_interval` (0 or less: never) and `max_pings_out`. `reconnect_delay_cb(pass_number)` gives
    the wait after each fruitless pass over all servers. `reconnect_buffer_size` bounds what is
    published meanwhile (0: the default, negative: nothing is buffered). The same refusal of the
    credentials twice in a row from one server closes the connection, unless
    `ignore_auth_error_abort`.

    First: `connect_timeout` is for one attempt, its handshake included. With
    `retry_on_failed_connect`, `connect` returns a connection that goes on trying, where it would
    have raised `NoServersError`.

    Servers: `ignore_discovered_servers` keeps to those named here; `lame_duck_reconnect=False`
    stays with a server that says it is going away until it is gone.

    Traffic: `name` is shown by the server; `echo=False` has it leave out this connection's own
    messages; `verbose` (each line is acknowledged) and `pedantic` (subjects are checked there, too)
    are for looking into trouble. `inbox_prefix` begins the subjects of replies;
    `old_style_requests` gives each request an inbox of its own. `max_message_size` is the largest
    message taken from the server. A server that takes nothing for `write_timeout` is given up;
    `drain` gives up after `drain_timeout`. `dialer` stands in for `loop.create_connection`.

    Callbacks may be plain or async functions; they run one at a time, in the order of the events,
    beside the traffic: `on_connect(nc)`, `on_disconnect(nc, error)`, `on_reconnect(nc)`,
    `on_reconnect_error(nc, error)`, `on_close(nc)`, `on_error(nc, subscription, error)`,
    `on_discovered_servers(nc)`, `on_lame_duck(nc)`.

    Raises:
        ConfigError: a value is out of range or contradicts another; it names the option. Files are
            read by `connect`, which raises the same for one that cannot be read.
    """

    servers: str | Sequence[str] = DEFAULT_URL
    first_server: str | None = None
    randomize_servers: bool = True
    name: str = ""

    user: str | None = None
    password: str | None = None
    token: Secret | None = None
    user_info: UserInfo | None = None
    nkey_seed: Secret | PathLike[str] | None = None
    credentials: Credentials | None = None

    tls: bool | ssl.SSLContext | None = None
    tls_ca: str | PathLike[str] | Sequence[str | PathLike[str]] | None = None
    tls_cert: tuple[str | PathLike[str], str | PathLike[str]] | None = None
    tls_verify: bool = True
    tls_hostname: str | None = None
    tls_handshake_first: bool = False

    connect_timeout: float = 2.0
    allow_reconnect: bool = True
    max_reconnect_attempts: int = 60
    reconnect_wait: float = 2.0
    reconnect_jitter: float = 0.1
    reconnect_jitter_tls: float = 1.0
    reconnect_delay_cb: Callable[[int], float] | None = None
    reconnect_buffer_size: int = 8 * MIB
    retry_on_failed_connect: bool = False
    ignore_auth_error_abort: bool = False
    ignore_discovered_servers: bool = False
    lame_duck_reconnect: bool = True

    ping_interval: float = 120.0
    max_pings_out: int = 2
    drain_timeout: float = 30.0
    write_timeout: float = 60.0
    verbose: bool = False
    pedantic: bool = False
    echo: bool = True
    inbox_prefix: str = "_INBOX"
    old_style_requests: bool = False
    max_message_size: int = 64 * MIB
    dialer: Dialer | None = None

    on_connect: Callback | None = None
    on_disconnect: Callback | None = None
    on_reconnect: Callback | None = None
    on_reconnect_error: Callback | None = None
    on_close: Callback | None = None
    on_error: Callback | None = None
    on_discovered_servers: Callback | None = None
    on_lame_duck: Callback | None = None

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
        if self.password is not None and self.user is None:
            raise ConfigError("password needs a user beside it")
        if self.user_info is not None and self.user is not None:
            raise ConfigError("user and user_info contradict each other: give one")
        if self.nkey_seed is not None and self.credentials is not None:
            raise ConfigError("nkey_seed and credentials contradict each other: give one")

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
_SECRET = frozenset({"password", "token", "nkey_seed", "credentials", "user_info"})
_CALLBACKS = (*sorted(n for n in _NAMES if n.startswith("on_")), "reconnect_delay_cb", "dialer")
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
_A_SECRET = "a str or a function that gives one"
_A_SEED = "a seed, a path or a function that gives one"
_AN_IDENTITY = "a path, (JWT, seed or signing function) or a function that gives one"
_IDENTITY = {
    "user": _A_STR,
    "password": _A_STR,
    "token": _A_SECRET,
    "user_info": _A_FUNCTION,
    "nkey_seed": _A_SEED,
    "credentials": _AN_IDENTITY,
}
_POSITIVE = ("connect_timeout", "drain_timeout", "write_timeout", "max_message_size")
_NOT_NEGATIVE = ("reconnect_wait", "reconnect_jitter", "reconnect_jitter_tls")


def _is_one(value: object, expected: str) -> bool:
    """Whether a value is of the kind that these words of `_IDENTITY` describe."""
    if expected != _A_STR and callable(value):
        return True
    if expected == _AN_IDENTITY and isinstance(value, (tuple, list)):
        return len(value) == 2
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
    if above_zero and not value > 0:
        raise ConfigError(f"{option} must be greater than 0, not {value!r}")
    if above_zero is False and not 0 <= value < math.inf:
        raise ConfigError(f"{option} must be 0 or more, not {value!r}")
    if math.isnan(value):
        raise ConfigError(f"{option} must be a number, not {value!r}")


def _nearest(name: str) -> str:
    """A hint at the option that looks most like an unknown one."""
    close = get_close_matches(name, sorted(_NAMES), n=1)
    return f"; did you mean {close[0]!r}?" if close else ""
