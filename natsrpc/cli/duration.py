"""Durations on the command line, as in `2s`, `500ms` or `1m30s`."""

from __future__ import annotations

import re

from natsrpc.errors import ConfigError

__all__ = ["parse_seconds"]

_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_seconds(text: str) -> float:
    """Return the seconds that a text means: `2`, `2s`, `500ms`, `1m`, `1m30s`.

    Raises:
        ConfigError: it is no duration.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        return float(text)
    if not re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        raise ConfigError(f"{text!r} is no duration: expected something like 2s, 500ms or 1m30s")
    return sum(float(n) * _UNITS[u] for n, u in re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text))
