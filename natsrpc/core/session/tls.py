"""The TLS policy of a connection: when it uses TLS, and with which context.

A mistake in the options, or in the files that they name, fails before anything is dialed. The
files are read anew for each handshake, so that renewed certificates are used; one that cannot be
read later is one failed attempt.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from functools import partial
from logging import Logger, getLogger
from os import PathLike, fspath

from natsrpc.errors import (
    ConfigError,
    SecureConnectionRequiredError,
    SecureConnectionUnavailableError,
)

from ..options import Options
from ..servers import PoolServer, is_address
from ..wire import ServerInfo
from .files import check_regular

log: Logger = getLogger("natsrpc.core")


class TlsPolicy:
    """Decides about TLS for each session, by the options. Made by the connector, asked by the
    handshake."""

    def __init__(self, options: Options, *, scheme: str) -> None:
        """Load the certificates named in the options once, to see whether they can be.

        Raises:
            ConfigError: a file cannot be read or is no certificate or key.
        """
        self._options = options
        self._own = options.tls if isinstance(options.tls, ssl.SSLContext) else None
        self.wanted: bool = (
            self._own is not None
            or options.tls is True
            or scheme in ("tls", "wss")
            or options.tls_handshake_first
            or options.tls_hostname is not None
            or options.tls_ca is not None
            or options.tls_cert is not None
            or not options.tls_verify
        )
        if options.tls is False and scheme in ("tls", "wss"):
            raise ConfigError(f"tls=False contradicts a {scheme}:// server URL")
        if self.wanted and scheme == "ws":
            raise ConfigError("an option asks for TLS: write wss:// in place of ws://")
        if options.tls_ca is not None or options.tls_cert is not None:
            _build(options)
        if not options.tls_verify:
            log.warning(
                "TLS without verification: anybody on the way can read and change the traffic"
            )

    @property
    def context(self) -> ssl.SSLContext:
        """The context for one handshake: the user's own, or one made of the files as they are now.

        Raises:
            ConfigError: a file cannot be read now, or is no certificate or key.
        """
        return self._own or _build(self._options)

    def note_used(self) -> None:
        """A session stands that uses TLS: the next ones must have it too, even if only the server
        asked for it. Whoever is on the way could else take it off, and read the password."""
        self.wanted = True

    def upgrade_wanted(self, info: ServerInfo, server: PoolServer) -> bool:
        """Whether to start TLS after this INFO.

        Raises:
            SecureConnectionUnavailableError: it was asked for, and the server has none.
            SecureConnectionRequiredError: the server requires it, and `tls=False` rules it out.
        """
        if self.wanted:
            if not (info.tls_required or info.tls_available):
                raise SecureConnectionUnavailableError(
                    f"TLS was asked for, or used before, and {server.address} does not offer it",
                    server=server.address,
                )
            return True
        if info.tls_required and self._options.tls is False:
            raise SecureConnectionRequiredError(
                f"{server.address} requires TLS, which tls=False rules out", server=server.address
            )
        return info.tls_required

    def hostname(self, server: PoolServer) -> str | None:
        """The name that the server's certificate is checked against."""
        if self._options.tls_hostname is not None:
            return self._options.tls_hostname
        if server.tls_name is not None and is_address(server.host):
            return server.tls_name
        return server.host


def _build(options: Options) -> ssl.SSLContext:
    if options.tls_ca is None:
        context = ssl.create_default_context(ssl.Purpose.SERVER_AUTH)
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        for path in _paths(options.tls_ca):
            reason = _refusal(partial(context.load_verify_locations, path), path)
            if reason:
                raise ConfigError(f"tls_ca {_shown(path)} cannot be loaded: {reason}")
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ssl.HAS_NEVER_CHECK_COMMON_NAME:
        context.hostname_checks_common_name = False  # a certificate's names are its SAN alone
    if options.tls_cert is not None:
        cert, key = (fspath(part) for part in options.tls_cert)
        reason = _refusal(partial(context.load_cert_chain, cert, key, _no_password), cert, key)
        if reason:
            raise ConfigError(
                f"tls_cert ({_shown(cert)}, {_shown(key)}) cannot be loaded: {reason}"
            )
    if not options.tls_verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _refusal(load: Callable[[], None], *paths: str) -> str:
    """Why files cannot be loaded, without their names; empty if they were."""
    try:
        for path in paths:
            check_regular(path)
        load()
    except ssl.SSLError as error:
        return error.reason.replace("_", " ").lower() if error.reason else "not a PEM file"
    except OSError as error:
        return error.strerror or "not a PEM file"
    except ValueError as error:
        return str(error) if isinstance(error, ConfigError) else "not the path of a PEM file"
    return ""


def _no_password() -> str:
    """Instead of OpenSSL, which would ask at the terminal, and wait there."""
    raise ConfigError("the key is encrypted: load it into an ssl.SSLContext and give that as tls")


def _shown(path: str) -> str:
    """A path, quoted, unless it is the content of a file given in its place."""
    return "(the text of a file instead of its path)" if "\n" in path else repr(path)


def _paths(files: str | PathLike[str] | Sequence[str | PathLike[str]]) -> list[str]:
    if isinstance(files, (str, PathLike)):
        return [fspath(files)]
    return [fspath(path) for path in files]
