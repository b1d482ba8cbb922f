"""Keys of a bucket: what they may be, and the subjects that they are stored under.

One object builds the subjects of a bucket, so that a mirror, a domain or a prefix is not forgotten
on one of the ways.

Ref: ADR-8, ADR-19.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from natsrpc.errors import ConfigError, ConfigTypeError

from ..api import Api, StreamConfig

_key = re.compile(r"[-/_=A-Za-z0-9]+(?:\.[-/_=A-Za-z0-9]+)*").fullmatch
_filter = re.compile(r"(?:(?:[-/_=A-Za-z0-9]+|\*)\.)*(?:[-/_=A-Za-z0-9]+|\*|>)").fullmatch
_good = re.compile(r"[-/_=.A-Za-z0-9]").fullmatch

PREFIX = "KV_"


def check_key(key: str) -> str:
    """Return a key.

    Raises:
        ConfigError, ConfigTypeError: it is empty, has a character that keys cannot have, or a dot
            at an end or beside another.
    """
    if not isinstance(key, str):
        raise ConfigTypeError(f"a key must be a str, not {key!r}")
    if _key(key) is None:
        bad = next((char for char in key if _good(char) is None), None)
        why = f"it has {bad!r}" if bad else "dots join tokens, and no token is empty"
        raise ConfigError(
            f"bad key {key!r}: {why}; expected letters, digits and '-', '/', '_', '='"
        )
    return key


def check_filters(filters: str | Sequence[str]) -> list[str]:
    """Return filters of keys as a list; a lone one may be given as it is.

    Raises:
        ConfigError, ConfigTypeError: one is no key with `*` for a token, or `>` at the end.
    """
    if not isinstance(filters, Sequence) or isinstance(filters, bytes):
        raise ConfigTypeError(f"filters of keys must be a str or several, not {filters!r}")
    listed = [filters] if isinstance(filters, str) else list(filters)
    for each in listed:
        if not isinstance(each, str):
            raise ConfigTypeError(f"a filter of keys must be a str, not {each!r}")
        if _filter(each) is None:
            raise ConfigError(
                f"bad filter {each!r}: expected a key, with '*' for any token or a last '>' for all"
            )
    if not listed:
        raise ConfigError("no filter was given: leave it out for all keys")
    return listed


class Subjects:
    """The subjects of one bucket: `read` in front of a key where it is stored, `write` where it is
    published to.

    A mirror is read by the subjects of its origin, and written to at its origin.
    """

    def __init__(self, api: Api, bucket: str, config: StreamConfig) -> None:
        self.stream: str = PREFIX + bucket
        origin, put_prefix = bucket, ""
        if config.mirror is not None and config.mirror.name:
            origin = config.mirror.name.removeprefix(PREFIX)
            external = config.mirror.external
            put_prefix = external.api if external is not None and external.api else ""
        self.read: str = f"$KV.{origin}."
        if not put_prefix and api.is_foreign:
            put_prefix = api.prefix
        self.write: str = f"{put_prefix}.{self.read}" if put_prefix else self.read

    def filters(self, filters: Sequence[str]) -> list[str]:
        """The subjects that filters of keys stand for."""
        return [self.read + each for each in filters]
