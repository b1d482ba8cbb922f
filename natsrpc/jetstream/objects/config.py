"""The configuration of an object store, the stream that it is, and its status."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from ..api import Placement, StreamConfig, StreamInfo, check_bucket, check_seconds
from .info import PREFIX

_WINDOW = 120.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStoreConfig:
    """What an object store is to be. None, or a field not given, leaves it to the server, and for
    an update to what the store has.

    Args:
        bucket: its name: letters, digits, `-` and `_`.
        description: for people.
        ttl: seconds after which objects go.
        max_bytes: bytes of the whole store.
        storage: "file" or "memory".
        replicas: on how many servers of a cluster it is.
        placement: on which.
        compression: compress what is stored.
        metadata: facts of one's own.

    Ref: nats.go `jetstream.ObjectStoreConfig`; ADR-20.
    """

    bucket: str
    description: str | None = None
    ttl: float | None = None
    max_bytes: int | None = None
    storage: Literal["file", "memory"] | None = None
    replicas: int | None = None
    placement: Placement | None = None
    compression: bool | None = None
    metadata: Mapping[str, str] | None = None

    def __post_init__(self) -> None:
        check_bucket(self.bucket)
        if self.ttl is not None:
            check_seconds("ObjectStoreConfig(ttl=...)", self.ttl)


def asked_of_stream(config: ObjectStoreConfig) -> StreamConfig:
    """The fields of the stream that the user has set: for an update."""
    compression = config.compression
    return StreamConfig(
        name=PREFIX + config.bucket,
        description=config.description,
        max_age=config.ttl,
        max_bytes=config.max_bytes,
        storage=config.storage,
        num_replicas=config.replicas,
        placement=config.placement,
        compression=None if compression is None else "s2" if compression else "none",
        metadata=config.metadata,
        duplicate_window=min(config.ttl, _WINDOW) if config.ttl else None,
    )


def whole_stream(config: ObjectStoreConfig) -> StreamConfig:
    """The stream of a new store."""
    bucket = config.bucket
    return dataclasses.replace(
        asked_of_stream(config),
        subjects=[f"$O.{bucket}.C.>", f"$O.{bucket}.M.>"],
        discard="new",
        allow_rollup_hdrs=True,
        allow_direct=True,
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class ObjectStoreStatus:
    """What an object store holds: `size` in bytes, chunks and information together. `ttl` is
    seconds, 0 for none."""

    bucket: str
    description: str
    ttl: float
    storage: str
    replicas: int
    sealed: bool
    size: int
    is_compressed: bool
    metadata: Mapping[str, str]
    stream_info: StreamInfo

    @classmethod
    def of(cls, bucket: str, info: StreamInfo) -> ObjectStoreStatus:
        """The status that a stream's facts tell."""
        config = info.config
        return cls(
            bucket=bucket,
            description=config.description or "",
            ttl=config.max_age or 0.0,
            storage=config.storage or "file",
            replicas=config.num_replicas or 1,
            sealed=bool(config.sealed),
            size=info.state.bytes,
            is_compressed=config.compression not in (None, "none"),
            metadata=config.metadata or {},
            stream_info=info,
        )
