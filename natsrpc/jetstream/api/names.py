"""Checks of the names that become part of a subject: streams, consumers, buckets, keys.

A dot in a name makes a subject that nobody serves: the call would end by its timeout, or reach
another stream. So names are checked here, in front of every call.
"""

from __future__ import annotations

import re

from natsrpc.errors import ConfigError, ConfigTypeError

_name = re.compile(r"[^\x00-\x20\x7f.*>/\\]+").fullmatch
_bucket = re.compile(r"[-_A-Za-z0-9]+").fullmatch


def check_name(kind: str, name: str) -> str:
    """Return the name of a stream or consumer.

    Raises:
        ConfigError: it is empty or has a character that names cannot have.
    """
    if not isinstance(name, str):
        raise ConfigTypeError(f"the name of a {kind} must be a str, not {name!r}")
    if _name(name) is None:
        raise ConfigError(
            f"bad {kind} name {name!r}: expected text without blanks, control characters "
            r"and '.', '*', '>', '/', '\'"
        )
    return name


def check_bucket(name: str) -> str:
    """Return the name of a key-value bucket or object store.

    Raises:
        ConfigError: it has other characters than letters, digits, `-` and `_`.
    """
    if not isinstance(name, str):
        raise ConfigTypeError(f"the name of a bucket must be a str, not {name!r}")
    if _bucket(name) is None:
        raise ConfigError(f"bad bucket name {name!r}: expected letters, digits, '-' and '_'")
    return name
