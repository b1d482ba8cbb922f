"""Checks of what users ask of a consumer."""

from __future__ import annotations

from natsrpc.core import check_timeout
from natsrpc.errors import ConfigError, ConfigTypeError

from .pull import Asked, Priority

MAX_BATCH = 1_000_000
"""The batch of a pull that is bounded by bytes."""


def check_count(call: str, name: str, value: object) -> int:
    """Return a number of messages or bytes.

    Raises:
        ConfigTypeError, ConfigError: it is no whole number of at least 1.
    """
    if not isinstance(value, int) or isinstance(value, bool):
        raise ConfigTypeError(f"{call}({name}=...) must be a whole number, not {value!r}")
    if value < 1:
        raise ConfigError(f"{call}({name}=...) must be at least 1, not {value!r}")
    return value


def asked_of_fetch(
    batch: int, timeout: float, max_bytes: int | None, no_wait: bool, heartbeat: float | None
) -> Asked:
    """What a fetch asks for in its first pull.

    Raises:
        ConfigError, ConfigTypeError, BadTimeoutError: an argument cannot be.
    """
    check_count("fetch", "batch", batch)
    if max_bytes is not None:
        check_count("fetch", "max_bytes", max_bytes)
    check_timeout(timeout)
    if heartbeat is None:
        heartbeat = 5.0 if timeout >= 10 and not no_wait else 0.0
    elif no_wait:
        raise ConfigError("fetch(no_wait=True) waits for nothing, so it takes no heartbeat")
    else:
        check_heartbeat("fetch", heartbeat, timeout)
    return Asked(
        batch,
        expires=0.0 if no_wait else timeout,
        heartbeat=heartbeat,
        max_bytes=max_bytes or 0,
        no_wait=no_wait,
    )


def check_heartbeat(call: str, heartbeat: float, expires: float) -> None:
    """Refuse a heartbeat that the server would refuse.

    Raises:
        BadTimeoutError: it is not above 0.
        ConfigError: it is more than half of `expires`.
    """
    check_timeout(heartbeat)
    if heartbeat > expires / 2:
        raise ConfigError(
            f"{call}(heartbeat={heartbeat:g}) must be at most half of the {expires:g} s waited"
        )


def priority_of(
    call: str,
    groups: tuple[str, ...],
    group: str | None,
    min_pending: int | None,
    min_ack_pending: int | None,
    priority: int | None,
) -> Priority | None:
    """What pulls say about a priority group; None if the consumer has none.

    Raises:
        ConfigError: the consumer has groups and none was named, or has none.
    """
    if group is None and groups:
        raise ConfigError(f"the consumer has priority groups: {call}(group=...) of {groups!r}")
    if group is None:
        if min_pending is not None or min_ack_pending is not None or priority is not None:
            raise ConfigError(f"{call}: min_pending, min_ack_pending and priority need group=")
        return None
    if priority is not None and not 0 <= priority <= 9:
        raise ConfigError(f"{call}(priority=...) must be 0 to 9, not {priority!r}")
    return Priority(group, min_pending, min_ack_pending, priority)
