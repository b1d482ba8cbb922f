"""Connection options on the command line: `--option name=value`, or a table in a file."""

from __future__ import annotations

import difflib
import typing
from collections.abc import Mapping
from typing import Any

from natsrpc.core import Options
from natsrpc.errors import ConfigError
from natsrpc.rpc import ClientOptions, OfClient, check_of_client

from .duration import parse_seconds

__all__ = ["check_options", "parse_option", "parse_size", "read_options"]

_BOOLEANS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
_UNITS = {"": 1, "K": 10**3, "M": 10**6, "G": 10**9, "KI": 2**10, "MI": 2**20, "GI": 2**30}
_ELSEWHERE = {"drain_timeout": "--drain-timeout", "password": "NATS_PASSWORD or --password"}


def parse_option(text: str) -> tuple[str, Any]:
    """Return the name and the value of `name=value`.

    Raises:
        ConfigError: there is no such option, or it takes no such value.
    """
    name, equals, value = text.partition("=")
    if not equals:
        raise ConfigError(f"--option {text!r}: expected name=value, as in ping_interval=10")
    return _checked(name.strip().replace("-", "_"), value.strip())


def read_options(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the options of a table in a file, checked as those of the command line are.

    Raises:
        ConfigError: there is no such option, or it takes no such value.
    """
    return dict(_checked(name.replace("-", "_"), value) for name, value in table.items())


def check_options(options: Mapping[str, Any]) -> None:
    """Look at the values of all options together, as `connect` does.

    Raises:
        ConfigError, UnknownCodecError: one is refused.
    """
    of_client: Any = {name: options[name] for name in OfClient.__annotations__ if name in options}
    check_of_client(of_client)
    Options.of({name: value for name, value in options.items() if name not in of_client})


def _checked(name: str, value: Any) -> tuple[str, Any]:
    hints = typing.get_type_hints(ClientOptions)
    if name in _ELSEWHERE:
        raise ConfigError(f"option {name!r} is set by {_ELSEWHERE[name]}")
    if name not in hints:
        close = difflib.get_close_matches(name, hints, 1)
        hint = f": did you mean {close[0]!r}?" if close else ", see the options of natsrpc.connect"
        raise ConfigError(f"there is no connection option {name!r}{hint}")
    kinds = typing.get_args(hints[name]) or (hints[name],)
    for kind, read in (
        (bool, _read_bool),
        (int, _read_int),
        (float, _read_seconds),
        (str, _read_text),
    ):
        if kind in kinds:
            return name, read(name, value)
    if all(isinstance(kind, str) for kind in kinds):  # a Literal
        if value not in kinds:
            raise ConfigError(f"option {name!r} is {value!r}, expected one of {', '.join(kinds)}")
        return name, value
    raise ConfigError(f"option {name!r} cannot be given as text: it needs a program of your own")


def _read_bool(name: str, value: Any) -> bool:
    found = value if isinstance(value, bool) else _BOOLEANS.get(str(value).lower())
    if found is None:
        raise ConfigError(f"option {name!r} is {value!r}, expected true or false")
    return found


def _read_int(name: str, value: Any) -> int:
    try:
        if isinstance(value, bool):
            raise ValueError
        return int(str(value))
    except ValueError:
        raise ConfigError(f"option {name!r} is {value!r}, expected a whole number") from None


def _read_seconds(name: str, value: Any) -> float:
    try:
        return parse_seconds(str(value))
    except ConfigError as error:
        raise ConfigError(f"option {name!r}: {error}") from None


def _read_text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise ConfigError(f"option {name!r} is {value!r}, expected text")
    return value


def parse_size(text: str | int) -> int:
    """Return the bytes that a text means: `300000000`, `512MiB`, `2G`.

    Raises:
        ConfigError: it is no size.
    """
    plain = str(text).strip()
    digits = plain.rstrip("BbKkMmGgIi ")
    unit = plain[len(digits) :].strip().upper().removesuffix("B")
    try:
        size = int(float(digits) * _UNITS[unit])
    except (ValueError, OverflowError, KeyError):
        raise ConfigError(f"{text!r} is no size: expected something like 512MiB") from None
    if size < 0:
        raise ConfigError(f"{text!r} is no size: expected something like 512MiB")
    return size
