"""Authentication: a server's nonce in, the CONNECT fields that say who we are out.

Secrets given as functions are called, and files read, anew for each attempt, so rotated credentials
take effect with the next connection. Secrets stay local to this file's functions: none is kept on
an object, logged or quoted, and a value that may be one (a mistyped seed given as a path) is not
quoted either.

Ref: nats.go `nkeys`, `UserCredentials`; https://docs.nats.io/using-nats/developer/connecting/creds.
"""

from __future__ import annotations

import asyncio
import base64
import binascii
import inspect
import os
import re
import stat
from collections.abc import Callable
from logging import Logger, getLogger
from os import PathLike
from typing import Any, TypeAlias

from natsrpc.errors import AuthorizationError, ConfigError, ConfigTypeError

from ..options import Options
from ..servers import PoolServer
from ..withheld import withheld, withheld_async
from . import creds
from .files import check_regular

log: Logger = getLogger("natsrpc.core")

Signer: TypeAlias = "_KeyPair | Callable[[bytes], Any] | None"

_USER_SEED = b"\x95\x00"
"""What `SUA` decodes to: the two bytes that every seed of a user begins with."""


@withheld
def check_files(options: Options) -> None:
    """Read what the options name once, so that a mistake shows before anything is dialed.

    Raises:
        ConfigError: a file is missing or holds no credentials, a seed is damaged, or the package
            nkeys is not installed.
    """
    if options.nkey_seed is not None and not callable(options.nkey_seed):
        _KeyPair(_read_seed(options.nkey_seed, "nkey_seed", warn=False))
    if options.nkey is not None:
        _check_public(options.nkey[0])
    if options.credentials is not None and not callable(options.credentials):
        _read_credentials(options.credentials, warn=False)


@withheld_async
async def connect_fields(options: Options, server: PoolServer, nonce: str) -> dict[str, str]:
    """The CONNECT fields that tell this server who we are.

    Credentials in the server's URL hide all those of the options.

    Raises:
        ConfigError: a file is missing or holds no credentials, a function raised or gave something
            else than credentials, or the package nkeys is not installed.
        AuthorizationError: the server offers no nonce, so an nkey cannot be proven.
    """
    if server.has_credentials:
        return _url_fields(server)
    fields: dict[str, str] = {}
    if options.user_info is not None:
        fields |= _user_fields(await called(options.user_info, "user_info"))
    elif options.user is not None:
        fields |= {"user": options.user, "pass": options.password or ""}
    if options.token is not None:
        fields["auth_token"] = _token(await _given(options.token, "token"))
    if options.nkey_seed is not None:
        fields |= await _seed_fields(options.nkey_seed, server, nonce)
    elif options.nkey is not None:
        fields |= await _signer_fields(options.nkey, server, nonce)
    elif options.credentials is not None:
        fields |= await _jwt_fields(options.credentials, nonce)
    return fields


def _url_fields(server: PoolServer) -> dict[str, str]:
    if server.token is not None:
        return {"auth_token": server.token}
    return {"user": server.user or "", "pass": server.password or ""}


def _user_fields(given: object) -> dict[str, str]:
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ConfigTypeError(
            f"the user_info function must give (user, password), not {type(given).__name__}"
        )
    return {"user": _text(given[0], "user_info"), "pass": _text(given[1], "user_info")}


def _check_nonce(server: PoolServer, nonce: str) -> None:
    if not nonce:
        raise AuthorizationError(
            f"{server.address} does not support nkeys: its INFO has no nonce", server=server.address
        )


async def _signer_fields(
    pair: tuple[str, Callable[[bytes], Any]], server: PoolServer, nonce: str
) -> dict[str, str]:
    """Who has the seed signs elsewhere: here it is never."""
    _check_nonce(server, nonce)
    public, sign = pair
    return {"nkey": public, "sig": await _signature(sign, "nkey's signing", nonce)}


async def _signature(sign: Callable[[bytes], Any], option: str, nonce: str) -> str:
    signature = await called(sign, option, nonce.encode())
    if not isinstance(signature, (bytes, bytearray, str)):
        raise ConfigTypeError(
            f"the {option} function must give bytes, not {type(signature).__name__}"
        )
    return _base64url(signature)


async def _seed_fields(source: Any, server: PoolServer, nonce: str) -> dict[str, str]:
    _check_nonce(server, nonce)
    keys = _KeyPair(_read_seed(await _given(source, "nkey_seed"), "nkey_seed"))
    return {"nkey": keys.public, "sig": keys.sign(nonce)}


async def _jwt_fields(source: Any, nonce: str) -> dict[str, str]:
    jwt, signer = _read_credentials(await _given(source, "credentials"))
    if not nonce or signer is None:
        return {"jwt": jwt}
    if isinstance(signer, _KeyPair):
        return {"jwt": jwt, "sig": signer.sign(nonce)}
    return {"jwt": jwt, "sig": await _signature(signer, "credentials' signing", nonce)}


class _KeyPair:
    """A user seed's keys, from the package nkeys; gone with their last use."""

    def __init__(self, seed: str) -> None:
        _check_seed(seed)
        self._keys = _nkeys().from_seed(seed.encode())
        self.public: str = self._keys.public_key.decode()

    def sign(self, nonce: str) -> str:
        """The signature CONNECT wants, over the nonce's ASCII bytes as they are."""
        return _base64url(self._keys.sign(nonce.encode()))


def _nkeys() -> Any:
    try:
        import nkeys  # noqa: PLC0415  an extra
    except ImportError as error:
        raise ConfigError(
            "nkeys and credentials need the package nkeys: pip install 'natsrpc[nkeys]'"
        ) from error
    return nkeys


def _check_public(public: str) -> None:
    """Refuse what is no user's public key: the server would only say that it is not authorized."""
    if not creds.is_public(public):
        hint = "; that is a seed, for nkey_seed" if public.startswith("S") else ""
        raise ConfigError(f"bad nkey: expected a user's public key, U and 55 characters{hint}")
    if not _is_whole(public):
        raise ConfigError("bad nkey: its checksum is wrong, so it was mistyped or damaged")


def _is_whole(key: str) -> bool:
    """Whether the checksum of a key is right."""
    raw = base64.b32decode(key + "=" * (-len(key) % 8))
    return binascii.crc_hqx(raw[:-2], 0) == int.from_bytes(raw[-2:], "little")


def _check_seed(seed: str) -> None:
    """Refuse a damaged seed: the package nkeys looks at neither the checksum nor the role."""
    raw = base64.b32decode(seed + "=" * (-len(seed) % 8))
    if not _is_whole(seed):
        raise ConfigError("bad nkey seed: its checksum is wrong, so it was mistyped or damaged")
    if raw[:2] != _USER_SEED:
        raise ConfigError("bad nkey seed: expected a user's, which starts with 'SU'")


def _base64url(signature: bytes | bytearray | str) -> str:
    """Base64url without padding, which the server refuses."""
    if isinstance(signature, str):
        return signature.rstrip("=")
    return base64.urlsafe_b64encode(signature).rstrip(b"=").decode()


async def called(function: Callable[..., Any], option: str, *args: object) -> Any:
    """What a function of the user's gives, plain or async.

    Raises:
        ConfigError: it raised; its exception is the cause.
    """
    try:
        value = function(*args)
        return await value if inspect.isawaitable(value) else value
    except (Exception, asyncio.CancelledError) as error:
        task = asyncio.current_task()
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # it is we who are cancelled, not something that the function awaited
        raise ConfigError(f"the {option} function raised {type(error).__name__}") from error


async def _given(source: Any, option: str) -> Any:
    return await called(source, option) if callable(source) else source


def _text(value: object, option: str) -> str:
    if not isinstance(value, str):
        raise ConfigTypeError(f"the {option} function must give str, not {type(value).__name__}")
    return value


def _token(value: object) -> str:
    """A token that is not empty: no server takes that, and a vault may give it for a moment."""
    token = _text(value, "token")
    if not token:
        raise ConfigError("the token is empty")
    return token


def _read_credentials(given: object, *, warn: bool = True) -> tuple[str, Signer]:
    """(JWT, what signs for it) of a file, of its text, or of a pair."""
    if isinstance(given, (bytes, bytearray)) and creds.is_text(given):
        return _found(bytes(given).decode("utf-8", "replace"), "the text of credentials")
    if isinstance(given, str) and creds.is_text(given):
        return _found(given, "the text of credentials")
    if isinstance(given, (str, PathLike)):
        text = _read_file(given, "credentials", warn=warn)
        return _found(text, f"credentials file {_shown(given)}")
    if not isinstance(given, (tuple, list)) or len(given) != 2:
        raise ConfigTypeError(
            "credentials must be the path of a file, its text, or (JWT, seed or signing function), "
            f"not {type(given).__name__}"
        )
    jwt, key = given
    if not isinstance(jwt, str):
        raise ConfigTypeError(f"the JWT of credentials must be a str, not {type(jwt).__name__}")
    if callable(key):
        return jwt, key
    keys = _KeyPair(_read_seed(key, "credentials", warn=warn)) if key else None
    _check_pair(jwt, keys, "the pair of credentials")
    return jwt, keys


def _found(text: str, where: str) -> tuple[str, Signer]:
    """(JWT, what signs for it) of the text of a credentials file."""
    if len(text) > creds.MAX_FILE:
        raise ConfigError(f"{where} cannot be read: it is too large")
    jwt, seed, has_seed = creds.find(text)
    if has_seed and not seed:
        raise ConfigError(f"{where} holds a damaged seed")
    keys = _KeyPair(seed) if seed else None
    _check_pair(jwt, keys, where)
    return jwt, keys


def _check_pair(jwt: str, keys: _KeyPair | None, where: str) -> None:
    """Refuse what every server would refuse: a file that is only half written looks so, and two
    refusals in a row would end the connection for good."""
    if jwt.count(".") != 2:
        raise ConfigError(f"{where} holds no user JWT")
    said = creds.claims(jwt)
    if said is None:
        raise ConfigError(f"{where} holds a damaged user JWT")
    if keys is None and not creds.is_bearer(said):
        raise ConfigError(
            f"{where} holds no seed beside the user JWT, which is none that goes without "
            "(`bearer_token`); was it cut short?"
        )
    if keys is not None and said.get("sub") != keys.public:
        raise ConfigError(f"{where} holds the seed of another user than its JWT")


def _read_seed(given: object, option: str, *, warn: bool = True) -> str:
    """A seed itself, or the file that holds it."""
    if not isinstance(given, (str, PathLike)):
        raise ConfigTypeError(f"{option} must be a seed or a path, not {type(given).__name__}")
    if isinstance(given, str) and creds.is_seed(given.strip()):
        return given.strip()
    seed = creds.find(_read_file(given, option, warn=warn)).seed
    if not seed:
        raise ConfigError(
            f"{option} file {_shown(given)} holds no seed: expected a line starting with SU"
        )
    return seed


def _read_file(path: str | PathLike[str], option: str, *, warn: bool) -> str:
    try:
        place = os.path.expanduser(os.fspath(path))
        check_regular(place)
        with open(place, encoding="utf-8-sig") as file:
            text, mode = file.read(creds.MAX_FILE + 1), os.fstat(file.fileno()).st_mode
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "not a readable text file"
    else:
        if warn and os.name == "posix" and mode & (stat.S_IRGRP | stat.S_IROTH):
            log.warning("%s file %s can be read by others: chmod 600 it", option, place)
        if len(text) <= creds.MAX_FILE:
            return text
        reason = "it is too large"
    # raised out here, so that the error that quotes what was given is no part of it
    raise ConfigError(f"{option} file {_shown(path)} cannot be read: {reason}")


# a seed, whole or mistyped, but no file that is named after a public key; a JWT
_looks_secret = re.compile(r"[\s\w=]{30,}\Z|\s*eyJ|.*\bS[A-Z][A-Z2-7]{20}").match


def _shown(path: str | PathLike[str]) -> str:
    """A path, quoted, unless it may be a secret given in its place."""
    text = os.fspath(path)
    if isinstance(path, str) and (len(text) > 200 or "\n" in text or _looks_secret(text)):
        return "(not shown: it looks like a secret rather than a path)"
    return repr(text)
