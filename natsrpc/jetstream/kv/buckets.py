"""Buckets made, changed, found and deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

from natsrpc.errors import (
    BadBucketError,
    ConfigTypeError,
    StreamNameInUseError,
    StreamNotFoundError,
)

from ..api import Api, StreamInfo, check_bucket
from ..publishing import Publisher
from ..streams import StreamManager, differences, not_found
from .bucket import KeyValue
from .config import KeyValueConfig, asked_of_stream, whole_stream
from .keys import PREFIX


class Buckets:
    """The key-value buckets of one JetStream."""

    def __init__(self, api: Api, publisher: Publisher, streams: StreamManager) -> None:
        self._api = api
        self._publisher = publisher
        self._streams = streams

    def _bucket(self, name: str, info: StreamInfo) -> KeyValue:
        return KeyValue(self._api, self._publisher, name, info)

    async def create(self, config: KeyValueConfig) -> KeyValue:
        """Create a bucket, as `JetStream.create_key_value` describes it."""
        _checked(config)
        try:
            stream = await self._streams.create(whole_stream(config))
        except StreamNameInUseError as error:
            # Older clients set other fields of the stream: only what the user asked for counts.
            stream = await self._streams.get(PREFIX + config.bucket)
            differ = differences(asked_of_stream(config), stream.cached_info.config)
            if differ:
                raise StreamNameInUseError(
                    f"bucket {config.bucket!r} is there, with {'; '.join(differ)}",
                    code=error.code,
                    err_code=error.err_code,
                    description=error.description,
                ) from None
        return self._bucket(config.bucket, stream.cached_info)

    async def update(self, config: KeyValueConfig) -> KeyValue:
        """Change a bucket, as `JetStream.update_key_value` describes it."""
        try:
            stream = await self._streams.update(asked_of_stream(_checked(config)))
        except StreamNotFoundError as error:
            raise not_found(config.bucket, error) from None
        return self._bucket(config.bucket, stream.cached_info)

    async def create_or_update(self, config: KeyValueConfig) -> KeyValue:
        """Change a bucket, or create it."""
        asked = whole_stream(_checked(config))
        if config.history is None:
            asked = dataclasses.replace(asked, max_msgs_per_subject=None)
        try:
            stream = await self._streams.update(asked)
        except StreamNotFoundError:
            return await self.create(config)
        return self._bucket(config.bucket, stream.cached_info)

    async def get(self, bucket: str) -> KeyValue:
        """A bucket that is there."""
        check_bucket(bucket)
        try:
            stream = await self._streams.get(PREFIX + bucket)
        except StreamNotFoundError as error:
            raise not_found(bucket, error) from None
        info = stream.cached_info
        if (info.config.max_msgs_per_subject or 0) < 1:
            raise BadBucketError(
                f"stream {PREFIX + bucket!r} is no key-value bucket: it keeps no history of a key"
            )
        return self._bucket(bucket, info)

    async def delete(self, bucket: str) -> None:
        """Delete a bucket and all it holds."""
        check_bucket(bucket)
        try:
            await self._streams.delete(PREFIX + bucket)
        except StreamNotFoundError as error:
            raise not_found(bucket, error) from None

    async def names(self) -> AsyncIterator[str]:
        """The names of all buckets. Mirrors have no subjects, so streams are looked at by name."""
        async for name in self._streams.names():
            if name.startswith(PREFIX):
                yield name.removeprefix(PREFIX)


def _checked(config: KeyValueConfig) -> KeyValueConfig:
    if not isinstance(config, KeyValueConfig):
        raise ConfigTypeError(f"expected a KeyValueConfig, not {config!r}")
    return config
