"""What key-value buckets and object stores have in common: each is a stream of a certain name."""

from __future__ import annotations

from collections.abc import AsyncIterator

from natsrpc.errors import (
    BucketNotFoundError,
    JetStreamError,
    StreamNameInUseError,
    StreamNotFoundError,
)

from ..api import StreamConfig, StreamInfo, check_bucket, differing, write
from .manager import StreamManager


class BucketStreams:
    """The streams of one kind of bucket: made, changed, found and deleted by the bucket's name.

    Args:
        streams: all streams.
        prefix: what the names of these begin with.
        what: the kind of bucket, for errors.
    """

    def __init__(self, streams: StreamManager, prefix: str, what: str) -> None:
        self._streams = streams
        self._prefix = prefix
        self._what = what

    async def create(self, bucket: str, whole: StreamConfig, asked: StreamConfig) -> StreamInfo:
        """Create one, or take that which is there if it is as asked for.

        Args:
            bucket: its name.
            whole: the stream to create.
            asked: of that, what the user asked for: older clients set the other fields otherwise.

        Raises:
            StreamNameInUseError: there is one, and something differs.
        """
        try:
            stream = await self._streams.create(whole)
        except StreamNameInUseError as error:
            stream = await self._streams.get(self._prefix + bucket)
            differ = differences(asked, stream.cached_info.config)
            if differ:
                raise StreamNameInUseError(
                    f"{self._what} {bucket!r} is there, with {'; '.join(differ)}",
                    code=error.code,
                    err_code=error.err_code,
                    description=error.description,
                ) from None
        return stream.cached_info

    async def update(self, bucket: str, asked: StreamConfig) -> StreamInfo:
        """Change the fields that are set.

        Raises:
            BucketNotFoundError: there is none of that name.
        """
        try:
            stream = await self._streams.update(asked)
        except StreamNotFoundError as error:
            raise not_found(bucket, error) from None
        return stream.cached_info

    async def get(self, bucket: str) -> StreamInfo:
        """Find one that is there.

        Raises:
            BucketNotFoundError: it is not.
        """
        check_bucket(bucket)
        try:
            stream = await self._streams.get(self._prefix + bucket)
        except StreamNotFoundError as error:
            raise not_found(bucket, error) from None
        return stream.cached_info

    async def delete(self, bucket: str) -> None:
        """Delete one and all it holds.

        Raises:
            BucketNotFoundError: there is none of that name.
        """
        check_bucket(bucket)
        try:
            await self._streams.delete(self._prefix + bucket)
        except StreamNotFoundError as error:
            raise not_found(bucket, error) from None

    async def names(self) -> AsyncIterator[str]:
        """The names of all. Mirrors have no subjects, so streams are looked at by name."""
        async for name in self._streams.names():
            if name.startswith(self._prefix):
                yield name.removeprefix(self._prefix)


def not_found(bucket: str, error: JetStreamError) -> BucketNotFoundError:
    """The error for a bucket whose stream is not there."""
    return BucketNotFoundError(
        f"there is no bucket {bucket!r}",
        code=error.code,
        err_code=error.err_code,
        description=error.description,
    )


def differences(asked: StreamConfig, there: StreamConfig) -> list[str]:
    """What of a stream is not as it was asked for: the field and both values."""
    has, wanted = write(there), write(asked)
    return [
        f"{name}={has.get(name)!r}, not {wanted[name]!r}" for name, *_ in differing(asked, there)
    ]
