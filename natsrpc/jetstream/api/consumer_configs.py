"""The configuration of a consumer. Names are those of the wire; durations are seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from natsrpc.errors import ConfigError

from .records import (
    FLAG,
    INTERVALS,
    MAPPING,
    MOMENT,
    SECONDS,
    SEQUENCE,
    TEXT,
    TEXTS,
    WHOLE,
    check,
    choice,
    of,
)

DeliverPolicy = Literal[
    "all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject"
]
"""Where in its stream a consumer begins."""

ReplayPolicy = Literal["instant", "original"]
"""How fast a consumer delivers what is there: at once, or as it was published."""

_DELIVER = choice("all", "last", "new", "by_start_sequence", "by_start_time", "last_per_subject")


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerConfig:
    """What a consumer is to be. None, or a field not given, leaves it to the server: its default
    for a new consumer, and for an update what the consumer has.

    With `durable_name` it stays until it is deleted; with `name`, or neither, it goes when nobody
    has used it for `inactive_threshold` seconds. Durations are seconds. `extra` holds fields that
    this class does not know, by their names on the wire.

    Ref: nats.go `jetstream.ConsumerConfig`.
    """

    durable_name: str | None = of(TEXT)
    name: str | None = of(TEXT)
    description: str | None = of(TEXT)
    deliver_policy: DeliverPolicy | None = of(_DELIVER)
    opt_start_seq: int | None = of(SEQUENCE)
    opt_start_time: datetime | None = of(MOMENT)
    ack_policy: Literal["explicit", "all", "none", "flow_control"] | None = of(
        choice("explicit", "all", "none", "flow_control")
    )
    ack_wait: float | None = of(SECONDS)
    max_deliver: int | None = of(WHOLE)
    backoff: Sequence[float] | None = of(INTERVALS)
    filter_subject: str | None = of(TEXT)
    filter_subjects: Sequence[str] | None = of(TEXTS)
    replay_policy: ReplayPolicy | None = of(choice("instant", "original"))
    rate_limit_bps: int | None = of(WHOLE)
    sample_freq: str | None = of(TEXT)
    max_waiting: int | None = of(WHOLE)
    max_ack_pending: int | None = of(WHOLE)
    headers_only: bool | None = of(FLAG)
    max_batch: int | None = of(WHOLE)
    max_expires: float | None = of(SECONDS)
    max_bytes: int | None = of(WHOLE)
    inactive_threshold: float | None = of(SECONDS)
    num_replicas: int | None = of(WHOLE)
    mem_storage: bool | None = of(FLAG)
    metadata: Mapping[str, str] | None = of(MAPPING)
    pause_until: datetime | None = of(MOMENT)
    priority_groups: Sequence[str] | None = of(TEXTS)
    priority_policy: Literal["none", "overflow", "pinned_client", "prioritized"] | None = of(
        choice("none", "overflow", "pinned_client", "prioritized")
    )
    priority_timeout: float | None = of(SECONDS)
    deliver_subject: str | None = of(TEXT)
    deliver_group: str | None = of(TEXT)
    flow_control: bool | None = of(FLAG)
    idle_heartbeat: float | None = of(SECONDS)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)
        if self.durable_name and self.name and self.durable_name != self.name:
            raise ConfigError(
                f"ConsumerConfig has durable_name={self.durable_name!r} and name={self.name!r}: "
                "give durable_name= for one that stays, name= for one that does not"
            )

    @property
    def filters(self) -> tuple[str, ...]:
        """The subjects that it is limited to, however they were given; empty for all."""
        if self.filter_subjects:
            return tuple(self.filter_subjects)
        return (self.filter_subject,) if self.filter_subject else ()


CONSUMER_LEVELS = {
    "pause_until": 1,
    "priority_groups": 1,
    "priority_policy": 1,
    "priority_timeout": 1,
}
"""The API level that a field of a consumer's configuration needs."""
