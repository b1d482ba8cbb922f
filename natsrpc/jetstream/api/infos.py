"""What the server tells of streams, consumers and the account: records that are only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from .configs import StreamConfig
from .consumer_configs import ConsumerConfig
from .records import ANY, COUNTS, FLAG, MOMENT, SECONDS, TEXT, WHOLE, WHOLES, many, of, one


@dataclass(frozen=True, slots=True, kw_only=True)
class PeerInfo:
    """One replica of a stream or consumer beside its leader."""

    name: str = of(TEXT, "")
    current: bool = of(FLAG, False)
    offline: bool = of(FLAG, False)
    active: float = of(SECONDS, 0.0)
    lag: int = of(WHOLE, 0)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterInfo:
    """Where a stream or consumer lives. `leader` is empty where it has none now."""

    name: str = of(TEXT, "")
    leader: str = of(TEXT, "")
    replicas: Sequence[PeerInfo] = of(many(PeerInfo), ())
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamState:
    """What a stream holds. `subjects` counts messages by subject where that was asked for, and
    `deleted` are the sequences that are missing within, likewise."""

    messages: int = of(WHOLE, 0)
    bytes: int = of(WHOLE, 0)
    first_seq: int = of(WHOLE, 0)
    first_ts: datetime | None = of(MOMENT)
    last_seq: int = of(WHOLE, 0)
    last_ts: datetime | None = of(MOMENT)
    num_subjects: int = of(WHOLE, 0)
    subjects: Mapping[str, int] = of(COUNTS, {})
    num_deleted: int = of(WHOLE, 0)
    deleted: Sequence[int] = of(WHOLES, ())
    consumer_count: int = of(WHOLE, 0)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SourceInfo:
    """How far a mirror or source is behind its origin. `active` is seconds since it was heard."""

    name: str = of(TEXT, "")
    lag: int = of(WHOLE, 0)
    active: float = of(SECONDS, 0.0)
    filter_subject: str = of(TEXT, "")
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamInfo:
    """A stream, as its server tells it."""

    config: StreamConfig = of(one(StreamConfig), StreamConfig())
    created: datetime | None = of(MOMENT)
    state: StreamState = of(one(StreamState), StreamState())
    cluster: ClusterInfo | None = of(one(ClusterInfo))
    mirror: SourceInfo | None = of(one(SourceInfo))
    sources: Sequence[SourceInfo] = of(many(SourceInfo), ())
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class SequenceInfo:
    """A place in the stream, and when it was reached."""

    consumer_seq: int = of(WHOLE, 0)
    stream_seq: int = of(WHOLE, 0)
    last_active: datetime | None = of(MOMENT)


@dataclass(frozen=True, slots=True, kw_only=True)
class PriorityGroupState:
    """Which client a priority group is pinned to."""

    group: str = of(TEXT, "")
    pinned_client_id: str = of(TEXT, "")
    pinned_ts: datetime | None = of(MOMENT)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConsumerInfo:
    """A consumer, as its server tells it."""

    stream_name: str = of(TEXT, "")
    name: str = of(TEXT, "")
    created: datetime | None = of(MOMENT)
    config: ConsumerConfig = of(one(ConsumerConfig), ConsumerConfig())
    delivered: SequenceInfo = of(one(SequenceInfo), SequenceInfo())
    ack_floor: SequenceInfo = of(one(SequenceInfo), SequenceInfo())
    num_ack_pending: int = of(WHOLE, 0)
    num_redelivered: int = of(WHOLE, 0)
    num_waiting: int = of(WHOLE, 0)
    num_pending: int = of(WHOLE, 0)
    cluster: ClusterInfo | None = of(one(ClusterInfo))
    push_bound: bool = of(FLAG, False)
    paused: bool = of(FLAG, False)
    pause_remaining: float = of(SECONDS, 0.0)
    priority_groups: Sequence[PriorityGroupState] = of(many(PriorityGroupState), ())
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiStats:
    """How much the API was used. `level` tells what the server can; 0 before 2.11."""

    level: int = of(WHOLE, 0)
    total: int = of(WHOLE, 0)
    errors: int = of(WHOLE, 0)
    inflight: int = of(WHOLE, 0)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountLimits:
    """What an account may use; -1 is no limit."""

    max_memory: int = of(WHOLE, 0)
    max_storage: int = of(WHOLE, 0)
    max_streams: int = of(WHOLE, 0)
    max_consumers: int = of(WHOLE, 0)
    max_ack_pending: int = of(WHOLE, 0)
    memory_max_stream_bytes: int = of(WHOLE, 0)
    storage_max_stream_bytes: int = of(WHOLE, 0)
    max_bytes_required: bool = of(FLAG, False)
    extra: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class AccountInfo:
    """What an account has and may have. `tiers` are raw, by name."""

    memory: int = of(WHOLE, 0)
    storage: int = of(WHOLE, 0)
    reserved_memory: int = of(WHOLE, 0)
    reserved_storage: int = of(WHOLE, 0)
    streams: int = of(WHOLE, 0)
    consumers: int = of(WHOLE, 0)
    domain: str = of(TEXT, "")
    api: ApiStats = of(one(ApiStats), ApiStats())
    limits: AccountLimits = of(one(AccountLimits), AccountLimits())
    tiers: Mapping[str, Any] = of(ANY, {})
    extra: Mapping[str, Any] = field(default_factory=dict)


class PauseState(NamedTuple):
    """Whether a consumer is paused, until when, and for how many more seconds."""

    paused: bool
    pause_until: datetime | None
    pause_remaining: float
