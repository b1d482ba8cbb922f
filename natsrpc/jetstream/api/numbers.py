"""Checks of the numbers that users give: counts, sequences and seconds.

Servers read whole numbers of 64 bits, and durations as nanoseconds in one. What does not fit is
refused here, by the name of its argument: a server answers what its JSON reader makes of it, or
takes it for something else.
"""

from __future__ import annotations

import math

from natsrpc.core import check_timeout
from natsrpc.errors import BadTimeoutError, ConfigError, ConfigTypeError

MOST = 2**63 - 1
"""The largest number."""

MOST_SECONDS = 9e9
"""The longest duration: 285 years."""


def check_whole(what: str, value: object, least: int = 0) -> int:
    """Return a count or a sequence. `what` is its argument, as in "fetch(batch=...)".

    Raises:
        ConfigTypeError: it is no whole number.
        ConfigError: it is below `least`, or more than 64 bits hold.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigTypeError(f"{what} must be a whole number, not {value!r}")
    if value < least:
        raise ConfigError(f"{what} must be at least {least}, not {value!r}")
    if value > MOST:
        raise ConfigError(f"{what} must be at most {MOST}, not {value!r}")
    return value


def check_seconds(what: str, value: object, least: float = 0.0) -> float:
    """Return a duration. `what` is its argument, as in "nak(delay=...)".

    Raises:
        ConfigTypeError: it is no number.
        ConfigError: it is no number of seconds from `least` to 9e9, which is what servers hold.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise ConfigTypeError(f"{what} must be a number of seconds, not {value!r}")
    if math.isnan(value) or not least <= value <= MOST_SECONDS:
        raise ConfigError(
            f"{what} must be {least:g} or more seconds, at most {MOST_SECONDS:g}, not {value!r}"
        )
    return value


def check_wait(what: str, value: float) -> float:
    """Return seconds that the server is to wait, or to be waited for.

    Raises:
        BadTimeoutError: it is not above 0, or more than 9e9, which is what servers hold.
    """
    check_timeout(value)
    if value > MOST_SECONDS:
        raise BadTimeoutError(f"{what} must be at most {MOST_SECONDS:g} seconds, not {value!r}")
    return value
