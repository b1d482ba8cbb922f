"""Object stores made, changed, found and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

from natsrpc.errors import ConfigTypeError

from ..api import Api
from ..publishing import Pipeline, Publisher
from ..streams import BucketStreams, StreamManager
from .config import ObjectStoreConfig, asked_of_stream, whole_stream
from .info import PREFIX
from .store import ObjectStore


class Stores:
    """The object stores of one JetStream."""

    def __init__(
        self, api: Api, publisher: Publisher, pipeline: Pipeline, streams: StreamManager
    ) -> None:
        self._api = api
        self._publisher = publisher
        self._pipeline = pipeline
        self._all_streams = streams
        self._streams = BucketStreams(streams, PREFIX, "object store")

    def _store(self, bucket: str) -> ObjectStore:
        return ObjectStore(self._api, self._publisher, self._pipeline, self._all_streams, bucket)

    async def create(self, config: ObjectStoreConfig) -> ObjectStore:
        """Create a store, as `JetStream.create_object_store` describes it."""
        whole, asked = whole_stream(_checked(config)), asked_of_stream(config)
        await self._streams.create(config.bucket, whole, asked)
        return self._store(config.bucket)

    async def update(self, config: ObjectStoreConfig) -> ObjectStore:
        """Change a store, as `JetStream.update_object_store` describes it."""
        asked = asked_of_stream(_checked(config))
        await self._streams.update(config.bucket, asked)
        return self._store(config.bucket)

    async def get(self, bucket: str) -> ObjectStore:
        """A store that is there."""
        await self._streams.get(bucket)
        return self._store(bucket)

    async def delete(self, bucket: str) -> None:
        """Delete a store and all it holds."""
        await self._streams.delete(bucket)

    def names(self) -> AsyncIterator[str]:
        """The names of all stores."""
        return self._streams.names()


def _checked(config: ObjectStoreConfig) -> ObjectStoreConfig:
    if not isinstance(config, ObjectStoreConfig):
        raise ConfigTypeError(f"expected an ObjectStoreConfig, not {config!r}")
    return config
