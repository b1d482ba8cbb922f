"""`connect`, and `ConnectOptions`: its keyword arguments as type checkers and editors know them."""

import ssl
from collections.abc import Callable, Sequence
from os import PathLike
from typing import TypedDict, Unpack

from natsrpc.errors import ConfigError

from .connection import Connection, opened
from .opening import Opening
from .options import DEFAULT_URL, Credentials, Dialer, Options, Secret, Sign, UserInfo, WsHeaders
from .subscriptions import Subscription
from .withheld import withheld

# No `from __future__ import annotations`: TypedDict would compile each of the 46 strings, which
# takes 0.4 ms of each import; evaluating the types takes 0.06.


class ConnectOptions(TypedDict, total=False):
    """The fields of `Options` but for `servers`, as keyword arguments of `connect`.

    A function that passes options on takes `**options: Unpack[ConnectOptions]`.
    """

    first_server: str | None
    """The URL that is tried before all others."""

    randomize_servers: bool
    """Shuffle the servers once, except for `first_server`."""

    name: str
    """The name of the connection that the server shows; 1024 bytes at most."""

    user: str | None
    """The user to sign in as."""

    password: str | None
    """The password of `user`."""

    token: Secret | None
    """A token to sign in with, or a function that gives one."""

    user_info: UserInfo | None
    """A function that gives (user, password)."""

    nkey_seed: Secret | PathLike[str] | None
    """An nkey seed, the path of a file with one, or a function that gives one."""

    nkey: tuple[str, Sign] | None
    """(public key, signing function): the user of an nkey whose seed is elsewhere, in a vault or a
    hardware module. The function gets the bytes to sign, and gives the signature."""

    credentials: Credentials | None
    """The path of a `.creds` file, its text (bytes, or a str with the lines that it begins with),
    (JWT, seed or signing function), or a function that gives one of these."""

    tls: bool | ssl.SSLContext | None
    """True: TLS, verified. False: never. None: if the server or a `tls://` or `wss://` URL asks for
    it. Or an `ssl.SSLContext` of your own."""

    tls_ca: str | PathLike[str] | Sequence[str | PathLike[str]] | None
    """One or several PEM files of authorities to trust in place of the system's. Read anew for each
    handshake."""

    tls_cert: tuple[str | PathLike[str], str | PathLike[str]] | None
    """The client's (certificate file, key file). Read anew for each handshake."""

    tls_verify: bool
    """False: do not verify the server's certificate. A warning is logged."""

    tls_hostname: str | None
    """The name to verify in the server's certificate, in place of the URL's host."""

    tls_handshake_first: bool
    """Start TLS before the server's INFO, for servers that are configured so."""

    ws_headers: WsHeaders | None
    """HTTP headers for the request that opens a WebSocket, or a function that gives them: what a
    proxy in front of the servers asks for."""

    connect_timeout: float
    """Seconds for one attempt to connect, the handshake included."""

    allow_reconnect: bool
    """False: the first loss of the connection closes it."""

    max_reconnect_attempts: int
    """Failed attempts after which a server is given up; -1: never."""

    reconnect_wait: float
    """Seconds between two attempts at the same server."""

    reconnect_jitter: float
    """Up to so many random seconds are added to `reconnect_wait`."""

    reconnect_jitter_tls: float
    """As `reconnect_jitter`, for connections with TLS."""

    reconnect_delay_cb: Callable[[int], float] | None
    """A function from the number of fruitless passes over all servers to the seconds to wait before
    the next pass; it replaces `reconnect_wait` and the jitter."""

    reconnect_server_cb: Callable[[list[str]], str | None] | None
    """A function that chooses the server of the next attempt to reconnect: it gets the addresses in
    the order in which they would be tried, and gives one of them, or None for the first."""

    reconnect_buffer_size: int
    """Bytes of messages that are kept while reconnecting; 0: the default, negative: none."""

    retry_on_failed_connect: bool
    """Have `connect` return a connection that goes on trying, in place of raising
    `NoServersError`. It does so whatever the failure was, wrong credentials included; a server that
    refuses those twice in a row closes it for good, so `on_close` and `last_error` are to be looked
    at (`ignore_auth_error_abort` has it go on). A mistake in the options, or a file that cannot be
    read, is raised all the same."""

    ignore_auth_error_abort: bool
    """Go on trying after a server refused the same credentials twice in a row, which otherwise
    closes the connection."""

    ignore_discovered_servers: bool
    """Connect only to the servers named here, not to those that the cluster names."""

    lame_duck_reconnect: bool
    """False: stay with a server that announces its shutdown until it is gone."""

    ping_interval: float
    """Seconds between two PINGs to the server; 0 or less: none are sent. A link that is dead though
    nobody closed it is noticed within `ping_interval * (max_pings_out + 1)` seconds: 45."""

    max_pings_out: int
    """Unanswered PINGs after which the connection counts as lost, if nothing at all was received
    meanwhile; 0: the default."""

    drain_timeout: float
    """Seconds after which `drain` gives up and closes."""

    write_timeout: float
    """Seconds after which a server that takes no bytes counts as lost."""

    verbose: bool
    """Have the server acknowledge each line, to look for faults."""

    pedantic: bool
    """Have the server check subjects, too, to look for faults."""

    echo: bool
    """False: the server does not deliver this connection's own messages to it."""

    inbox_prefix: str
    """The first part of the subjects that replies are sent to."""

    old_style_requests: bool
    """Give each request an inbox and a subscription of its own."""

    max_message_size: int
    """The largest message that is taken from the server."""

    dialer: Dialer | None
    """A function that opens the socket in place of `loop.create_connection`."""

    on_connect: Callable[[Connection], object] | None
    """Called with (connection) when it is connected for the first time."""

    on_disconnect: Callable[[Connection, Exception | None], object] | None
    """Called with (connection, error) when the connection is lost; no error if on purpose."""

    on_reconnect: Callable[[Connection], object] | None
    """Called with (connection) when it is connected again."""

    on_reconnect_error: Callable[[Connection, Exception], object] | None
    """Called with (connection, error) for each failed attempt to reconnect."""

    on_close: Callable[[Connection], object] | None
    """Called with (connection) at its end: it will not connect again."""

    on_error: Callable[[Connection, Subscription | None, Exception], object] | None
    """Called with (connection, subscription or None, error) for an error that no call reports."""

    on_discovered_servers: Callable[[Connection], object] | None
    """Called with (connection) when the cluster names servers that were not known."""

    on_lame_duck: Callable[[Connection], object] | None
    """Called with (connection) when the server announces its shutdown."""


def connect(
    servers: str | Sequence[str] = DEFAULT_URL,
    *,
    options: Options | None = None,
    **settings: Unpack[ConnectOptions],
) -> Opening[Connection]:
    """Connect to NATS: `nc = await connect(...)`, or `async with connect(...) as nc:`.

    Args:
        servers: one URL, several joined by commas, or a sequence of them.
        options: ready-made settings, instead of keyword arguments.
        **settings: the fields of `ConnectOptions`.

    Raises:
        ConfigError: a setting was refused; nothing was dialed.
        AuthorizationError, TLSError, RemoteProtocolError, ServerError: the most telling failure, if
            any server gave one; its notes list all tries.
        NoServersError: no server could be reached; `attempts` tells each server and why.

    Ref: nats.go `Connect`.
    """
    if options is not None and (settings or servers != DEFAULT_URL):
        raise ConfigError("give either options or servers and keyword arguments, not both")

    @withheld
    def settled() -> Options:
        return options or Options.of({"servers": servers, **settings})

    async def make() -> Connection:
        return await opened(settled())

    return Opening(make)
