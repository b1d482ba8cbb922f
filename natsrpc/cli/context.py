"""The server of a command and the user it connects as: from flags, environment and a context.

`connecting` calls `find_destination` for each command that connects. A flag overrides a variable of
the environment, and that a value of the context. Contexts are those of the `nats` command; they are
read, never written.

An identity is a user, a credentials file, an nkey or a JWT. One that a flag or a variable gives
replaces the context's identity and token altogether. If one source gives several, the first in that
order is used, with a warning; a token is sent besides.

Ref: ADR-21.
"""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from natsrpc.core import DEFAULT_URL, find_creds
from natsrpc.errors import ConfigError

__all__ = ["Destination", "Flags", "find_destination"]

_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):")  # two letters at least: C:\ is a path
_IDENTITIES = ("user", "creds", "nkey", "user_jwt")
_TEXTS = frozenset((*_IDENTITIES, "url", "password", "token", "user_seed", "cert", "key", "ca")) | {
    "inbox_prefix",
    "socks_proxy",
    "nsc",
}
_IGNORED = (
    "windows_cert_store",
    "windows_cert_match_by",
    "windows_cert_match",
    "windows_ca_certs_match",
)


@dataclass(frozen=True, slots=True)
class Flags:
    """The connection's flags, as given on the command line. An empty one was not given."""

    server: str = ""
    context: str = ""
    user: str = ""
    password: str = field(default="", repr=False)
    creds: str = ""
    nkey: str = ""
    cert: str = ""
    key: str = ""
    ca: str = ""


@dataclass(frozen=True, slots=True)
class Destination:
    """The arguments of `natsrpc.connect`: its servers and its options.

    `source` names the context that they come from; it is empty where no context was read, or the
    URL is another's.
    """

    servers: list[str]
    options: dict[str, Any] = field(repr=False)
    source: str = ""


def find_destination(
    flags: Flags, environ: Mapping[str, str], *, warn: Callable[[str], None]
) -> Destination:
    """Return the destination that flags, environment and context give together.

    Args:
        flags: the command line's.
        environ: the environment: `NATS_URL`, `NATS_CONTEXT` and the others of the `nats` command.
        warn: called with one line for each setting that is ignored.

    Raises:
        ConfigError: a context is missing or unreadable, or it, a flag or a variable asks for
            something that is not supported.
    """
    source, context = _read_context(flags.context or environ.get("NATS_CONTEXT", ""), environ)
    given = _given(flags, environ)
    if any(given.get(key) for key in (*_IDENTITIES, "token")):
        context = {
            key: value
            for key, value in context.items()
            if key not in (*_IDENTITIES, "password", "token", "user_seed")
        }
    settings = context | given
    _refuse_unsupported(settings)
    for key in _IGNORED:
        if settings.get(key):
            warn(f"{key} of {source} is ignored")
    url = settings.get("url") or DEFAULT_URL
    options = _identity(settings, environ, warn) | _transport(settings, environ)
    servers = [server.strip() for server in url.split(",") if server.strip()]
    return Destination(servers, options, source if not given.get("url") else "")


# -- the sources of the values -------------------------------------------------------------------


def _given(flags: Flags, environ: Mapping[str, str]) -> dict[str, str]:
    """The settings of flags and environment under the keys of a context; flags come first."""
    variables = {
        "url": "NATS_URL",
        "user": "NATS_USER",
        "password": "NATS_PASSWORD",
        "token": "NATS_TOKEN",
        "creds": "NATS_CREDS",
        "nkey": "NATS_NKEY",
        "user_jwt": "NATS_JWT",
        "user_seed": "NATS_SEED",
        "cert": "NATS_CERT",
        "key": "NATS_KEY",
        "ca": "NATS_CA",
        "socks_proxy": "NATS_SOCKS_PROXY",
    }
    names = {"server": "url"}
    said = {
        names.get(f.name, f.name): str(getattr(flags, f.name))
        for f in fields(flags)
        if f.name != "context" and getattr(flags, f.name)
    }
    seen = {key: environ[name] for key, name in variables.items() if environ.get(name)}
    if any(key in said for key in _IDENTITIES):
        for key in (*_IDENTITIES, "password", "token", "user_seed"):
            seen.pop(key, None)
    return seen | said


def _read_context(name: str, environ: Mapping[str, str]) -> tuple[str, dict[str, Any]]:
    folder = _config_folder(environ) / "nats"
    name = name or _selected(folder)
    if not name:
        return "", {}
    if name.endswith(".json"):
        path = Path(os.path.expanduser(name))
    elif ".." in name or "/" in name or "\\" in name:
        raise ConfigError(f"{name!r} is no name of a context")
    else:
        path = folder / "context" / f"{name}.json"
    source = f"context {name!r}"
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{source} does not exist: there is no file {str(path)!r}") from None
    except RecursionError:
        raise ConfigError(f"{source} cannot be read: it is nested too deeply") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{source} cannot be read: {error}") from None
    if not isinstance(values, dict):
        raise ConfigError(f"{source} is no JSON object")
    # an empty string is a value that is not set
    found = {key: value for key, value in values.items() if value not in ("", None)}
    _check_types(source, found)
    return source, found


def _selected(folder: Path) -> str:
    """The context that the `nats` command has selected; empty if none is."""
    try:
        return (folder / "context.txt").read_text(encoding="utf-8").strip()
    except FileNotFoundError:
        return ""
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"the selected context cannot be read: {reason}") from None


def _check_types(source: str, found: Mapping[str, Any]) -> None:
    for key in sorted(found.keys() & (_TEXTS | {"tls_first"})):
        kind, word = (bool, "true or false") if key == "tls_first" else (str, "a text")
        if type(found[key]) is not kind:
            raise ConfigError(f"{key} of {source} is {type(found[key]).__name__}: expected {word}")


def _config_folder(environ: Mapping[str, str]) -> Path:
    root = environ.get("XDG_CONFIG_HOME")
    return Path(root) if root else Path.home() / ".config"


# -- settings as connect options -----------------------------------------------------------------


def _refuse_unsupported(settings: Mapping[str, Any]) -> None:
    if settings.get("socks_proxy"):
        raise ConfigError("socks_proxy is not supported")
    if settings.get("nsc"):
        raise ConfigError(
            "nsc profiles are not supported: use creds with the path of a .creds file"
        )


def _identity(
    settings: Mapping[str, Any], environ: Mapping[str, str], warn: Callable[[str], None]
) -> dict[str, Any]:
    present = [key for key in _IDENTITIES if settings.get(key)]
    if len(present) > 1:
        warn(f"several identities are set ({', '.join(present)}): {present[0]} is used")
    options: dict[str, Any] = {}
    if settings.get("token"):
        options["token"] = _secret(settings["token"], "token", environ)
    match present[0] if present else "":
        case "user" if not settings.get("password"):
            options["token"] = settings["user"]
        case "user":
            options["user"] = settings["user"]
            options["password"] = _secret(settings["password"], "password", environ)
        case "creds":
            options["credentials"] = _credentials(settings["creds"], environ)
        case "nkey":
            options["nkey_seed"] = _seed(settings["nkey"], environ)
        case "user_jwt":
            jwt = _secret(settings["user_jwt"], "user_jwt", environ)
            seed = settings.get("user_seed")
            options["credentials"] = (jwt, _secret(seed, "user_seed", environ) if seed else "")
    return options


def _transport(settings: Mapping[str, Any], environ: Mapping[str, str]) -> dict[str, Any]:
    options: dict[str, Any] = {}
    cert, key = settings.get("cert"), settings.get("key")
    if bool(cert) != bool(key):
        raise ConfigError("a client certificate needs both cert and key")
    if cert and key:
        options["tls_cert"] = (_expand(cert, environ), _expand(key, environ))
    if settings.get("ca"):
        options["tls_ca"] = _expand(settings["ca"], environ)
    if settings.get("tls_first"):
        options["tls_handshake_first"] = True
    if settings.get("inbox_prefix"):
        options["inbox_prefix"] = settings["inbox_prefix"]
    return options


# -- references ----------------------------------------------------------------------------------


def _secret(value: str, key: str, environ: Mapping[str, str]) -> str:
    """The secret, which is the value itself or is kept where the value refers to."""
    scheme = _scheme(value)
    if scheme == "file":
        return _read(value[len("file://") :], key, environ).rstrip("\r\n")
    content = _content(value, scheme, key, environ)
    return value if content is None else content.rstrip("\r\n")


def _credentials(value: str, environ: Mapping[str, str]) -> str | tuple[str, str]:
    content = _file_content(value, "creds", environ)
    if content is None:
        return _path(value, environ)
    jwt, seed, _ = find_creds(content)
    if jwt.count(".") != 2:
        raise ConfigError("creds hold no user JWT")
    return jwt, seed


def _seed(value: str, environ: Mapping[str, str]) -> str:
    content = _file_content(value, "nkey", environ)
    if content is None:
        return _path(value, environ)
    seed = find_creds(content).seed
    if not seed:
        raise ConfigError("nkey holds no seed")
    return seed


def _file_content(value: str, key: str, environ: Mapping[str, str]) -> str | None:
    """The content that a reference names; None if the value is the path of a file."""
    scheme = _scheme(value)
    if scheme in ("", "file"):
        return None
    content = _content(value, scheme, key, environ)
    if content is None:
        raise ConfigError(f"{key} has the unknown scheme {scheme!r}")
    return content


def _content(value: str, scheme: str, key: str, environ: Mapping[str, str]) -> str | None:
    """The content that `env://` or `data:;base64,` names; None for every other value.

    Raises:
        ConfigError: the content is not there, or needs an external program.
    """
    if scheme == "env" and value[4:].startswith("//"):
        name = value[len("env://") :]
        if not environ.get(name):
            raise ConfigError(f"{key} is taken from the variable {name!r}, which is not set")
        return environ[name]
    if scheme == "data" and value[5:].startswith(";base64,"):
        try:
            return base64.b64decode(value.partition(",")[2], validate=True).decode()
        except (binascii.Error, UnicodeDecodeError):
            raise ConfigError(f"{key} is no valid base64 text") from None
    if scheme in ("op", "nsc") and value[len(scheme) + 1 :].startswith("//"):
        raise ConfigError(f"{key} needs an external program ({scheme}://), which is not supported")
    return None


def _scheme(value: str) -> str:
    found = _SCHEME.match(value)
    return found[1].lower() if found else ""


def _path(value: str, environ: Mapping[str, str]) -> str:
    return _expand(value[7:] if value[:7].lower() == "file://" else value, environ)


def _read(path: str, key: str, environ: Mapping[str, str]) -> str:
    try:
        return Path(_expand(path, environ)).read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise ConfigError(f"{key} cannot be read from {path!r}: {reason}") from None


def _expand(path: str, environ: Mapping[str, str]) -> str:
    """`$VAR` and `${VAR}`, empty if unset, and a leading `~`."""
    whole = re.sub(
        r"\$(?:\{(\w+)\}|(\w+))", lambda found: environ.get(found[1] or found[2], ""), path
    )
    return os.path.expanduser(whole)
