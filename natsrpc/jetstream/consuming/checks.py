"""Checks of what users ask of a consumer."""

from __future__ import annotations

from natsrpc.errors import ConfigError, ConfigTypeError

from ..api import check_wait, check_whole
from .pull import Asked, Priority

MAX_BATCH = 1_000_000
"""The batch of a pull that is bounded by bytes."""


def asked_of_fetch(
    batch: int, timeout: float, max_bytes: int | None, no_wait: bool, heartbeat: float | None
) -> Asked:
    """What a fetch asks for in its first pull.

    Raises:
        ConfigError, ConfigTypeError, BadTimeoutError: an argument cannot be.
    """
    check_whole("fetch(batch=...)", batch, 1)
    if max_bytes is not None:
        check_whole("fetch(max_bytes=...)", max_bytes, 1)
    check_wait("fetch(timeout=...)", timeout)
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
    check_wait(f"{call}(heartbeat=...)", heartbeat)
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
        ConfigError, ConfigTypeError: the consumer has groups and none was named, or has none; or
            an argument cannot be.
    """
    if group is None and groups:
        raise ConfigError(f"the consumer has priority groups: {call}(group=...) of {groups!r}")
    if group is None:
        if min_pending is not None or min_ack_pending is not None or priority is not None:
            raise ConfigError(f"{call}: min_pending, min_ack_pending and priority need group=")
        return None
    if not isinstance(group, str):
        raise ConfigTypeError(f"{call}(group=...) must be a str, not {group!r}")
    for name, value in (("min_pending", min_pending), ("min_ack_pending", min_ack_pending)):
        if value is not None:
            check_whole(f"{call}({name}=...)", value)
    if priority is not None and check_whole(f"{call}(priority=...)", priority) > 9:
        raise ConfigError(f"{call}(priority=...) must be 0 to 9, not {priority!r}")
    return Priority(group, min_pending, min_ack_pending, priority)
