"""Buckets made, changed, found and deleted."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator

from natsrpc.errors import BadBucketError, BucketNotFoundError, ConfigTypeError

from ..api import Api, StreamInfo, StreamSource
from ..publishing import Publisher
from ..streams import BucketStreams, StreamManager
from .bucket import KeyValue
from .config import KeyValueConfig, asked_of_stream, whole_stream
from .keys import PREFIX


class Buckets:
    """The key-value buckets of one JetStream."""

    def __init__(self, api: Api, publisher: Publisher, streams: StreamManager) -> None:
        self._api = api
        self._publisher = publisher
        self._streams = BucketStreams(streams, PREFIX, "bucket")

    def _bucket(self, name: str, info: StreamInfo) -> KeyValue:
        return KeyValue(self._api, self._publisher, name, info)

    async def create(self, config: KeyValueConfig) -> KeyValue:
        """Create a bucket, as `JetStream.create_key_value` describes it."""
        whole, asked = whole_stream(_checked(config)), asked_of_stream(config)
        if config.mirror is None:  # what is put into a mirror goes into another bucket
            asked = dataclasses.replace(asked, mirror=StreamSource())
        return self._bucket(config.bucket, await self._streams.create(config.bucket, whole, asked))

    async def update(self, config: KeyValueConfig) -> KeyValue:
        """Change a bucket, as `JetStream.update_key_value` describes it."""
        asked = asked_of_stream(_checked(config))
        return self._bucket(config.bucket, await self._streams.update(config.bucket, asked))

    async def create_or_update(self, config: KeyValueConfig) -> KeyValue:
        """Change a bucket, or create it."""
        asked = whole_stream(_checked(config))
        if config.history is None:
            asked = dataclasses.replace(asked, max_msgs_per_subject=None)
        try:
            info = await self._streams.update(config.bucket, asked)
        except BucketNotFoundError:
            return await self.create(config)
        return self._bucket(config.bucket, info)

    async def get(self, bucket: str) -> KeyValue:
        """A bucket that is there."""
        info = await self._streams.get(bucket)
        if (info.config.max_msgs_per_subject or 0) < 1:
            raise BadBucketError(
                f"stream {PREFIX + bucket!r} is no key-value bucket: it keeps no history of a key"
            )
        return self._bucket(bucket, info)

    async def delete(self, bucket: str) -> None:
        """Delete a bucket and all it holds."""
        await self._streams.delete(bucket)

    def names(self) -> AsyncIterator[str]:
        """The names of all buckets."""
        return self._streams.names()


def _checked(config: KeyValueConfig) -> KeyValueConfig:
    if not isinstance(config, KeyValueConfig):
        raise ConfigTypeError(f"expected a KeyValueConfig, not {config!r}")
    return config
