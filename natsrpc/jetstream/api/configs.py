"""The configuration of a stream. Names are those of the wire; durations are seconds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from natsrpc.errors import ConfigError

from .records import (
    FLAG,
    MAPPING,
    MOMENT,
    SECONDS,
    SEQUENCE,
    TEXT,
    TEXTS,
    WHOLE,
    check,
    choice,
    many,
    of,
    one,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class SubjectTransform:
    """Subjects that match `src` are stored as `dest` says; an empty `dest` only filters.

    Ref: ADR-36.
    """

    src: str | None = of(TEXT)
    dest: str | None = of(TEXT)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Republish:
    """What is stored is published again, under the subject that `dest` makes of it.

    Ref: ADR-28.
    """

    src: str | None = of(TEXT)
    dest: str | None = of(TEXT)
    headers_only: bool | None = of(FLAG)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where a stream lives: in which cluster, on servers with which tags."""

    cluster: str | None = of(TEXT)
    tags: Sequence[str] | None = of(TEXTS)
    preferred: str | None = of(TEXT)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ExternalStream:
    """How a stream of another domain or account is reached."""

    api: str | None = of(TEXT)
    deliver: str | None = of(TEXT)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerLimits:
    """Defaults and limits for the consumers of a stream."""

    inactive_threshold: float | None = of(SECONDS)
    max_ack_pending: int | None = of(WHOLE)

    def __post_init__(self) -> None:
        check(self)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSource:
    """A stream that another mirrors, or takes messages from.

    `domain` is short for `external` with the API of that domain.
    """

    name: str = of(TEXT, "")
    opt_start_seq: int | None = of(SEQUENCE)
    opt_start_time: datetime | None = of(MOMENT)
    filter_subject: str | None = of(TEXT)
    subject_transforms: Sequence[SubjectTransform] | None = of(many(SubjectTransform))
    external: ExternalStream | None = of(one(ExternalStream))
    domain: str = ""
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)
        if self.domain:
            if self.external is not None:
                raise ConfigError("StreamSource takes either domain= or external=, not both")
            object.__setattr__(self, "external", ExternalStream(api=f"$JS.{self.domain}.API"))
            object.__setattr__(self, "domain", "")


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamConfig:
    """What a stream is to be. None, or a field not given, leaves it to the server: its default for
    a new stream, and for an update what the stream has.

    Durations are seconds. An empty value (`()`, `0`, `""`, `Placement()`) takes away what is there.
    `extra` holds fields that this class does not know, by their names on the wire.

    Ref: nats.go `jetstream.StreamConfig`.
    """

    name: str = of(TEXT, "")
    description: str | None = of(TEXT)
    subjects: Sequence[str] | None = of(TEXTS)
    retention: Literal["limits", "interest", "workqueue"] | None = of(
        choice("limits", "interest", "workqueue")
    )
    max_consumers: int | None = of(WHOLE)
    max_msgs: int | None = of(WHOLE)
    max_bytes: int | None = of(WHOLE)
    discard: Literal["old", "new"] | None = of(choice("old", "new"))
    discard_new_per_subject: bool | None = of(FLAG)
    max_age: float | None = of(SECONDS)
    max_msgs_per_subject: int | None = of(WHOLE)
    max_msg_size: int | None = of(WHOLE)
    storage: Literal["file", "memory"] | None = of(choice("file", "memory"))
    num_replicas: int | None = of(WHOLE)
    no_ack: bool | None = of(FLAG)
    duplicate_window: float | None = of(SECONDS)
    placement: Placement | None = of(one(Placement))
    mirror: StreamSource | None = of(one(StreamSource))
    sources: Sequence[StreamSource] | None = of(many(StreamSource))
    sealed: bool | None = of(FLAG)
    deny_delete: bool | None = of(FLAG)
    deny_purge: bool | None = of(FLAG)
    allow_rollup_hdrs: bool | None = of(FLAG)
    compression: Literal["none", "s2"] | None = of(choice("none", "s2"))
    first_seq: int | None = of(SEQUENCE)
    subject_transform: SubjectTransform | None = of(one(SubjectTransform))
    republish: Republish | None = of(one(Republish))
    allow_direct: bool | None = of(FLAG)
    mirror_direct: bool | None = of(FLAG)
    consumer_limits: ConsumerLimits | None = of(one(ConsumerLimits))
    metadata: Mapping[str, str] | None = of(MAPPING)
    allow_msg_ttl: bool | None = of(FLAG)
    subject_delete_marker_ttl: float | None = of(SECONDS)
    allow_msg_counter: bool | None = of(FLAG)
    allow_atomic: bool | None = of(FLAG)
    allow_msg_schedules: bool | None = of(FLAG)
    persist_mode: Literal["default", "async"] | None = of(choice("default", "async"))
    allow_batched: bool | None = of(FLAG)
    extra: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        check(self)


STREAM_LEVELS = {
    "allow_msg_ttl": 1,
    "subject_delete_marker_ttl": 1,
    "allow_msg_counter": 2,
    "allow_atomic": 2,
    "allow_msg_schedules": 2,
    "persist_mode": 2,
    "allow_batched": 4,
}
"""The API level that a field of a stream's configuration needs."""
