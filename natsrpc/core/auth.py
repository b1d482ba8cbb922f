"""Who we are: a server's nonce in, the CONNECT fields out.

Secrets given as functions are called, and files read, anew for each attempt, so rotated credentials
take effect with the next connection. Secrets stay local to this file's functions: none is kept on
an object, logged or quoted.

Ref: nats.go `nkeys`, `UserCredentials`; https://docs.nats.io/using-nats/developer/connecting/creds.
"""

from __future__ import annotations

import base64
import inspect
import os
import re
import stat
from collections.abc import Awaitable, Callable
from logging import getLogger
from os import PathLike
from pathlib import Path
from typing import Any, TypeVar, cast

from natsrpc.errors import AuthorizationError, ConfigError

from .options import Options
from .servers import Server

log = getLogger("natsrpc.core")

T = TypeVar("T")


async def connect_fields(options: Options, server: Server, nonce: str) -> dict[str, str]:
    """The CONNECT fields that tell this server who we are.

    Credentials in the server's URL hide all those of the options.

    Raises:
        ConfigError: a file is missing or no credentials, or the package nkeys is not installed.
        AuthorizationError: the server offers no nonce, so an nkey cannot be proven.
    """
    if server.has_credentials:
        return _url_fields(server)
    fields: dict[str, str] = {}
    if options.user_info is not None:
        fields["user"], fields["pass"] = await _called(options.user_info)
    elif options.user is not None:
        fields["user"], fields["pass"] = options.user, options.password or ""
    if options.token is not None:
        fields["auth_token"] = await _given(options.token)
    if options.nkey_seed is not None:
        fields |= await _nkey_fields(options.nkey_seed, server, nonce)
    elif options.credentials is not None:
        fields |= await _jwt_fields(options.credentials, nonce)
    return fields


def _url_fields(server: Server) -> dict[str, str]:
    if server.token is not None:
        return {"auth_token": server.token}
    return {"user": server.user or "", "pass": server.password or ""}


async def _nkey_fields(source: Any, server: Server, nonce: str) -> dict[str, str]:
    if not nonce:
        raise AuthorizationError(
            f"{server.address} does not support nkeys: its INFO has no nonce", server=server.address
        )
    given = await _given(source) if callable(source) else source
    keys = _KeyPair(_read_seed(given))
    return {"nkey": keys.public, "sig": keys.sign(nonce)}


async def _jwt_fields(source: Any, nonce: str) -> dict[str, str]:
    given = await _called(source) if callable(source) else source
    if isinstance(given, (str, PathLike)):
        text = _read_file(given, "credentials")
        jwt, seed = _block(text, "JWT") or text.strip(), _find_seed(text)
        if not jwt or jwt.count(".") != 2:
            raise ConfigError(f"credentials file {os.fspath(given)!r} holds no user JWT")
        if seed is None:
            return {"jwt": jwt}
        return {"jwt": jwt} | ({"sig": _KeyPair(seed).sign(nonce)} if nonce else {})
    jwt, key = given
    if not nonce or not key:
        return {"jwt": jwt}
    if callable(key):
        signature = await _called(lambda: key(nonce.encode()))
        return {"jwt": jwt, "sig": _base64url(signature)}
    return {"jwt": jwt, "sig": _KeyPair(_read_seed(key)).sign(nonce)}


class _KeyPair:
    """A seed's keys, from the package nkeys; wiped after use by going out of scope."""

    def __init__(self, seed: str) -> None:
        try:
            import nkeys  # noqa: PLC0415  an extra
        except ImportError as error:
            raise ConfigError(
                "nkeys and credentials need the package nkeys: pip install 'natsrpc[nkeys]'"
            ) from error
        try:
            self._keys = nkeys.from_seed(seed.encode())
            self.public: str = self._keys.public_key.decode()
        except Exception as error:  # the package raises its own and binascii's errors
            raise ConfigError(f"bad nkey seed: {type(error).__name__}") from None

    def sign(self, nonce: str) -> str:
        """The signature CONNECT wants: base64url without padding, over the nonce's ASCII bytes."""
        return _base64url(self._keys.sign(nonce.encode()))


def _base64url(signature: bytes | str) -> str:
    if isinstance(signature, str):
        return signature.rstrip("=")
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


async def _called(function: Callable[[], T | Awaitable[T]]) -> T:
    value = function()
    if inspect.isawaitable(value):
        return await cast("Awaitable[T]", value)
    return value


async def _given(source: str | Callable[[], str | Awaitable[str]]) -> str:
    return await _called(source) if callable(source) else source


def _read_seed(given: str | PathLike[str]) -> str:
    """A seed itself, or the file that holds it."""
    if isinstance(given, str) and re.fullmatch(r"\s*S[A-Z2-7]{57}\s*", given):
        return given.strip()
    seed = _find_seed(_read_file(given, "nkey_seed"))
    if seed is None:
        raise ConfigError("nkey_seed file holds no seed: expected a line starting with SU")
    return seed


def _find_seed(text: str) -> str | None:
    block = _block(text, "SEED")
    if block is not None:
        return block
    lines = (line.strip() for line in text.splitlines())
    return next((line for line in lines if re.fullmatch(r"S[UAO][A-Z2-7]{56}", line)), None)


def _block(text: str, kind: str) -> str | None:
    """The one line between `-----BEGIN … kind…-----` and its end line."""
    found = re.search(rf"-{{3,}}[^\n-]*BEGIN[^\n-]*{kind}[^\n-]*-{{3,}}\s*\n\s*(\S+)", text)
    return found[1] if found else None


def _read_file(path: str | PathLike[str], option: str) -> str:
    place = Path(path).expanduser()
    try:
        text = place.read_text()
        mode = place.stat().st_mode
    except (OSError, ValueError) as error:
        shown = repr(str(path)) if isinstance(path, PathLike) or len(str(path)) < 200 else "given"
        if option == "nkey_seed" and isinstance(path, str) and path.lstrip()[:1] == "S":
            shown = "given"  # a mistyped seed must not be quoted
        reason = getattr(error, "strerror", None) or "not a readable text file"
        raise ConfigError(f"{option} file {shown} cannot be read: {reason}") from None
    if os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
        log.warning("%s file %s can be read by others: chmod 600 it", option, place)
    return text
