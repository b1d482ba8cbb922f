"""The configuration of a bucket, the stream that it is, and its status."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from natsrpc.errors import ConfigError

from ..api import (
    Placement,
    Republish,
    StreamConfig,
    StreamInfo,
    StreamSource,
    SubjectTransform,
    check_bucket,
    check_seconds,
)
from .keys import PREFIX

_MAX_HISTORY = 64
_WINDOW = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueConfig:
    """What a bucket is to be. None, or a field not given, leaves it to the server, and for an
    update to what the bucket has.

    Args:
        bucket: its name: letters, digits, `-` and `_`.
        description: for people.
        max_value_size: bytes of the largest value.
        history: how many revisions of a key are kept, 1 to 64.
        ttl: seconds after which a value goes.
        max_bytes: bytes of the whole bucket.
        storage: "file" or "memory".
        replicas: on how many servers of a cluster it is.
        placement: on which.
        republish: publish again what is stored.
        mirror: the bucket that it is a copy of.
        sources: the buckets whose entries it also has.
        compression: compress what is stored.
        limit_marker_ttl: seconds that a marker stays where the server removed a key by its age;
            also allows a `ttl` for single keys. It needs nats-server 2.11.
        metadata: facts of one's own.

    Ref: nats.go `jetstream.KeyValueConfig`; ADR-8, ADR-48.
    """

    bucket: str
    description: str | None = None
    max_value_size: int | None = None
    history: int | None = None
    ttl: float | None = None
    max_bytes: int | None = None
    storage: Literal["file", "memory"] | None = None
    replicas: int | None = None
    placement: Placement | None = None
    republish: Republish | None = None
    mirror: StreamSource | None = None
    sources: Sequence[StreamSource] | None = None
    compression: bool | None = None
    limit_marker_ttl: float | None = None
    metadata: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        check_bucket(self.bucket)
        history = self.history
        if history is not None and (type(history) is not int or not 1 <= history <= _MAX_HISTORY):
            raise ConfigError(f"KeyValueConfig(history=...) must be 1 to 64, not {history!r}")
        if self.ttl is not None:
            check_seconds("KeyValueConfig(ttl=...)", self.ttl)
        if self.limit_marker_ttl is not None:
            check_seconds("KeyValueConfig(limit_marker_ttl=...)", self.limit_marker_ttl, 1.0)
        StreamConfig(mirror=self.mirror, sources=self.sources)  # refuses what is none


def asked_of_stream(config: KeyValueConfig) -> StreamConfig:
    """The fields of the stream that the user has set: for an update."""
    ttl = config.limit_marker_ttl
    compression = config.compression
    return StreamConfig(
        name=PREFIX + config.bucket,
        description=config.description,
        max_msg_size=config.max_value_size,
        max_msgs_per_subject=config.history,
        max_age=config.ttl,
        max_bytes=config.max_bytes,
        storage=config.storage,
        num_replicas=config.replicas,
        placement=config.placement,
        republish=config.republish,
        compression=None if compression is None else "s2" if compression else "none",
        mirror=None if config.mirror is None else _bucket_source(config.mirror),
        sources=_bucket_sources(config),
        allow_msg_ttl=True if ttl is not None else None,
        subject_delete_marker_ttl=ttl,
        metadata=config.metadata,
        duplicate_window=min(config.ttl, _WINDOW) if config.ttl else None,
    )


def whole_stream(config: KeyValueConfig) -> StreamConfig:
    """The stream of a new bucket."""
    asked = dataclasses.replace(
        asked_of_stream(config),
        max_msgs_per_subject=config.history or 1,
        discard="new",
        allow_rollup_hdrs=True,
        deny_delete=True,
        allow_direct=True,
    )
    if config.mirror is not None:
        return dataclasses.replace(asked, mirror_direct=True)
    return dataclasses.replace(asked, subjects=[f"$KV.{config.bucket}.>"])


def _bucket_sources(config: KeyValueConfig) -> list[StreamSource] | None:
    if config.sources is None:
        return None
    return [_with_transform(_bucket_source(each), config.bucket) for each in config.sources]


def _bucket_source(source: StreamSource) -> StreamSource:
    name = source.name if source.name.startswith(PREFIX) else PREFIX + source.name
    return dataclasses.replace(source, name=name)


def _with_transform(source: StreamSource, bucket: str) -> StreamSource:
    """Store what comes from another bucket under this one's subjects."""
    if source.subject_transforms or source.filter_subject:
        return source
    origin = source.name.removeprefix(PREFIX)
    transform = SubjectTransform(src=f"$KV.{origin}.>", dest=f"$KV.{bucket}.>")
    return dataclasses.replace(source, subject_transforms=[transform])


@dataclass(frozen=True, slots=True, kw_only=True)
class KeyValueStatus:
    """What a bucket holds. `values` counts all revisions, markers included; `ttl` and
    `limit_marker_ttl` are seconds, 0 for none."""

    bucket: str
    values: int
    history: int
    ttl: float
    bytes: int
    limit_marker_ttl: float
    is_compressed: bool
    stream_info: StreamInfo

    @classmethod
    def of(cls, bucket: str, info: StreamInfo) -> KeyValueStatus:
        """The status that a stream's facts tell."""
        config = info.config
        return cls(
            bucket=bucket,
            values=info.state.messages,
            history=config.max_msgs_per_subject or 1,
            ttl=config.max_age or 0.0,
            bytes=info.state.bytes,
            limit_marker_ttl=config.subject_delete_marker_ttl or 0.0,
            is_compressed=config.compression not in (None, "none"),
            stream_info=info,
        )
