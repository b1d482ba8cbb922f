"""Object stores made, changed, found and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator

from natsrpc.errors import ConfigTypeError, StreamNameInUseError, StreamNotFoundError

from ..api import Api, check_bucket
from ..publishing import Pipeline, Publisher
from ..streams import StreamManager, differences, not_found
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
        self._streams = streams

    def _store(self, bucket: str) -> ObjectStore:
        return ObjectStore(self._api, self._publisher, self._pipeline, self._streams, bucket)

    async def create(self, config: ObjectStoreConfig) -> ObjectStore:
        """Create a store, as `JetStream.create_object_store` describes it."""
        _checked(config)
        try:
            await self._streams.create(whole_stream(config))
        except StreamNameInUseError as error:
            # Older clients set other fields of the stream: only what the user asked for counts.
            stream = await self._streams.get(PREFIX + config.bucket)
            differ = differences(asked_of_stream(config), stream.cached_info.config)
            if differ:
                raise StreamNameInUseError(
                    f"object store {config.bucket!r} is there, with {'; '.join(differ)}",
                    code=error.code,
                    err_code=error.err_code,
                    description=error.description,
                ) from None
        return self._store(config.bucket)

    async def update(self, config: ObjectStoreConfig) -> ObjectStore:
        """Change a store, as `JetStream.update_object_store` describes it."""
        try:
            await self._streams.update(asked_of_stream(_checked(config)))
        except StreamNotFoundError as error:
            raise not_found(config.bucket, error) from None
        return self._store(config.bucket)

    async def get(self, bucket: str) -> ObjectStore:
        """A store that is there."""
        check_bucket(bucket)
        try:
            await self._streams.get(PREFIX + bucket)
        except StreamNotFoundError as error:
            raise not_found(bucket, error) from None
        return self._store(bucket)

    async def delete(self, bucket: str) -> None:
        """Delete a store and all it holds."""
        check_bucket(bucket)
        try:
            await self._streams.delete(PREFIX + bucket)
        except StreamNotFoundError as error:
            raise not_found(bucket, error) from None

    async def names(self) -> AsyncIterator[str]:
        """The names of all stores."""
        async for name in self._streams.names():
            if name.startswith(PREFIX):
                yield name.removeprefix(PREFIX)


def _checked(config: ObjectStoreConfig) -> ObjectStoreConfig:
    if not isinstance(config, ObjectStoreConfig):
        raise ConfigTypeError(f"expected an ObjectStoreConfig, not {config!r}")
    return config
