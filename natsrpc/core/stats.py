"""The counters of a connection, and the names of its states."""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TypeAlias

Counts: TypeAlias = tuple[int, int, int, int]
"""Messages in and their bytes, bytes in and out of sockets."""


def add_counts(some: Counts, more: Counts) -> Counts:
    """The sums, place by place."""
    return some[0] + more[0], some[1] + more[1], some[2] + more[2], some[3] + more[3]


class Status(enum.IntEnum):
    """The state of a connection.

    CONNECTING → CONNECTED ⇄ RECONNECTING; CONNECTED → DRAINING_SUBS → DRAINING_PUBS → CLOSED; any →
    CLOSED.
    Ref: nats.go `Status`.
    """

    DISCONNECTED = 0
    CONNECTED = 1
    CLOSED = 2
    RECONNECTING = 3
    CONNECTING = 4
    DRAINING_SUBS = 5
    DRAINING_PUBS = 6


@dataclass(frozen=True, slots=True)
class Statistics:
    """A consistent copy of a connection's counters, over its whole life.

    Messages and their bytes (headers and payload) count when they are published, also while
    disconnected, and when they are received, once per matching subscription, replies included.
    `wire_bytes_*` is what went over sockets. `attempts` counts tries to connect, `reconnects` those
    that succeeded after a loss.
    """

    in_msgs: int
    out_msgs: int
    in_bytes: int
    out_bytes: int
    wire_bytes_in: int
    wire_bytes_out: int
    reconnects: int
    attempts: int
    unmatched_replies: int
