"""Durations on the command line, as in `2s`, `500ms` or `1m30s`."""

from __future__ import annotations

import re

from natsrpc.errors import ConfigError

__all__ = ["parse_seconds"]

_LONGEST = 10 * 365 * 86400.0  # seconds: not all that waits takes any number
_UNITS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0}


def parse_seconds(text: str) -> float:
    """Return the seconds that a text means: `2`, `2s`, `500ms`, `1m`, `1m30s`.

    Raises:
        ConfigError: it is no duration, or more than ten years.
    """
    if re.fullmatch(r"\d+(\.\d+)?", text):
        seconds = float(text)
    elif re.fullmatch(r"(\d+(\.\d+)?(ms|s|m|h))+", text):
        parts = re.findall(r"(\d+(?:\.\d+)?)(ms|s|m|h)", text)
        seconds = sum(float(number) * _UNITS[unit] for number, unit in parts)
    else:
        raise ConfigError(f"{text!r} is no duration: expected something like 2s, 500ms or 1m30s")
    if seconds > _LONGEST:
        raise ConfigError(f"{text!r} is too long: a duration is 10 years at most")
    return seconds
