"""The settings of `natsrpc run` in a file: `[run]` in natsrpc.toml, or `[tool.natsrpc.run]` in
pyproject.toml, of the current folder. A flag overrides a setting.

Keys are the long names of the flags, without dashes before them; `targets` are its arguments and
`options` a table of connection options. A key that is not known is refused: a misspelt one would
otherwise be a default that nobody wanted.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from natsrpc.errors import ConfigError

from .context import Flags

__all__ = ["KEYS", "read_settings", "with_connection"]

_TEXT = (str,)
_DURATION = (str, int, float)
KEYS: Mapping[str, tuple[type, ...]] = {
    "targets": (list, str),
    "workers": (int,),
    "embedded": (bool,),
    "reload": (bool,),
    "reload-dir": (list, str),
    "drain-timeout": _DURATION,
    "ping-interval": _DURATION,
    "start-timeout": _DURATION,
    "worker-timeout": _DURATION,
    "max-requests": (int,),
    "max-memory": (str, int),
    "factory": (bool,),
    "uvloop": (bool,),
    "http": _TEXT,
    "log-level": _TEXT,
    "log-format": _TEXT,
    "log-config": _TEXT,
    "options": (dict,),
    "server": (str, list),
    "context": _TEXT,
    "creds": _TEXT,
    "nkey": _TEXT,
    "tlscert": _TEXT,
    "tlskey": _TEXT,
    "tlsca": _TEXT,
}
"""The keys that a file may have, and the types of their values. Passwords are not among them: they
belong into the environment, or into a credentials file."""

_NAMES = {
    str: "text",
    int: "a number",
    float: "a number",
    bool: "true or false",
    list: "a list of texts",
    dict: "a table",
}
_CONNECTION = {
    "server": "server",
    "context": "context",
    "creds": "creds",
    "nkey": "nkey",
    "tlscert": "cert",
    "tlskey": "key",
    "tlsca": "ca",
}


def read_settings(folder: Path) -> dict[str, Any]:
    """The settings of the file in this folder; none if there is no such file or no such table.

    Raises:
        ConfigError: the file cannot be read, or a key or a value is refused.
    """
    for name, keys in (("natsrpc.toml", ("run",)), ("pyproject.toml", ("tool", "natsrpc", "run"))):
        path = folder / name
        if not path.is_file():
            continue
        try:
            table: Any = tomllib.loads(path.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise ConfigError(f"{name} cannot be read: {error}") from None
        *ours, key = keys  # the table that is all ours, and the only key in it
        for each in ours:
            table = table.get(each, {}) if isinstance(table, dict) else {}
        where = f"[{'.'.join(ours)}] of {name}" if ours else name
        _refuse_others(where, table, f"[{'.'.join(keys)}]", key)
        if isinstance(table, dict) and key in table:
            return _checked(f"[{'.'.join(keys)}] of {name}", table[key])
    return {}


def _refuse_others(where: str, table: Any, wanted: str, key: str) -> None:
    """Refuse what stands beside our table: a setting outside of it would be one without effect."""
    for given in table if isinstance(table, dict) else ():
        if given.replace("_", "-") in KEYS:
            raise ConfigError(f"{where} has the key {given!r}: did you mean it in {wanted}?")
        if given != key:
            raise ConfigError(f"{where} has the unknown key {given!r}: did you mean {wanted}?")


def _checked(where: str, table: Any) -> dict[str, Any]:
    if not isinstance(table, dict):
        raise ConfigError(f"{where} is no table")
    found: dict[str, Any] = {}
    for given, value in table.items():
        key = given.replace("_", "-")
        types = KEYS.get(key)
        if types is None:
            close = difflib.get_close_matches(key, KEYS, 1)
            hint = f"did you mean {close[0]!r}?" if close else f"known are {', '.join(KEYS)}"
            raise ConfigError(f"{where} has the unknown key {given!r}: {hint}")
        if not isinstance(value, types) or (isinstance(value, bool) and bool not in types):
            expected = " or ".join(dict.fromkeys(_NAMES[each] for each in types))
            raise ConfigError(f"{where}: {given} is {value!r}, expected {expected}")
        if isinstance(value, list) and not all(isinstance(each, str) for each in value):
            raise ConfigError(f"{where}: {given} is {value!r}, expected a list of texts")
        found[key] = value
    return found


def with_connection(flags: Flags, environ: Mapping[str, str]) -> Flags:
    """The connection's flags with what the file says besides: of where to connect, where neither a
    flag nor the environment says it; of the rest, where no flag does.

    Raises:
        ConfigError: as `read_settings`.
    """
    settings = read_settings(Path.cwd())
    changes: dict[str, str] = {}
    for key, name in _CONNECTION.items():
        value = settings.get(key, "")
        value = ",".join(value) if isinstance(value, list) else value
        if not value or getattr(flags, name):
            continue
        if name in ("server", "context") and (
            flags.server or flags.context or environ.get("NATS_URL") or environ.get("NATS_CONTEXT")
        ):
            continue
        if name in ("creds", "nkey") and (
            flags.user
            or flags.creds
            or flags.nkey
            or environ.get("NATS_CREDS")
            or environ.get("NATS_NKEY")
            or environ.get("NATS_USER")
            or environ.get("NATS_TOKEN")
        ):
            continue
        changes[name] = value
    return replace(flags, **changes)
