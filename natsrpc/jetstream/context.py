"""JetStream as users hold it: publishing, streams, buckets and stores on one connection."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

from natsrpc.core import (
    Connection,
    HeaderValues,
    Payload,
    check_literal,
    check_timeout,
    payload_bytes,
)

from .api import AccountInfo, Api, StreamConfig, StreamInfo, check_whole, read
from .kv import Buckets, KeyValue, KeyValueConfig
from .objects import ObjectStore, ObjectStoreConfig, Stores
from .publishing import (
    AGAIN_IF_LOST,
    AGAIN_IF_REFUSED,
    Pipeline,
    PubAck,
    Publisher,
    PublishOptions,
    Storing,
    with_options,
)
from .streams import Stream, StreamManager


class JetStream:
    """Streams on a connection. It costs nothing to make, and needs no closing.

    Args:
        connection: a `natsrpc.core.Connection`, or the `connection` of a `natsrpc.Client`.
        domain: the JetStream domain to use, where that is not the server's own.
        api_prefix: the prefix of the API where an account imports it as another.
        timeout: seconds for each call and publish, unless it says otherwise.
        max_pending: how many publishes of `publish_async` may wait for their ack.

    Raises:
        ConfigError, ConfigTypeError, BadTimeoutError: an argument cannot be.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        domain: str | None = None,
        api_prefix: str | None = None,
        timeout: float = 5.0,
        max_pending: int = 4000,
    ) -> None:
        check_whole("JetStream(max_pending=...)", max_pending, 1)
        self._api = api = Api(connection, domain=domain, api_prefix=api_prefix, timeout=timeout)
        storing = Storing(api)
        self.publisher: Publisher = Publisher(api, storing)
        """For those who build on JetStream: publishes what is checked and encoded already."""
        self._pipeline = Pipeline(api, storing, max_pending)
        self._streams = StreamManager(api)
        self._buckets = Buckets(api, self.publisher, self._streams)
        self._stores = Stores(api, self.publisher, self._pipeline, self._streams)
        self._timeout = timeout
        self._encode = connection.link.outbound.encode

    def __repr__(self) -> str:
        return f"<JetStream {self._api.prefix} on {self._api.connection!r}>"

    @property
    def connection(self) -> Connection:
        """The connection that it uses."""
        return self._api.connection

    async def account_info(self) -> AccountInfo:
        """What the account has and may have, and what the server can (`api.level`).

        Raises:
            JetStreamNotEnabledError: there is no JetStream, or none for the account.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return read(AccountInfo, await self._api.call("INFO"))

    # publishing

    async def publish(
        self,
        subject: str,
        data: Payload = b"",
        *,
        headers: HeaderValues | None = None,
        timeout: float | None = None,
        msg_id: str | None = None,
        expected_stream: str | None = None,
        expected_last_seq: int | None = None,
        expected_last_subject_seq: int | None = None,
        expected_last_msg_id: str | None = None,
        ttl: float | None = None,
    ) -> PubAck:
        """Publish a message, and wait until a stream has stored it.

        While its stream has no leader it is sent again, until the timeout. With `msg_id` it is also
        sent again after a reconnect, for the stream then knows it.

        Args:
            subject: a literal subject.
            data: the payload.
            headers: headers of the message.
            timeout: seconds in all; None: that of this JetStream.
            msg_id: the stream stores it once within its `duplicate_window`.
            expected_stream: refuse it unless this stream takes it.
            expected_last_seq: refuse it unless the stream's last sequence is this one.
            expected_last_subject_seq: the same for the last of this subject; 0: there is none.
            expected_last_msg_id: refuse it unless the last message has this id.
            ttl: seconds after which the stream drops it; needs nats-server 2.11, and
                `allow_msg_ttl`.

        Raises:
            NoStreamResponseError: no stream has the subject, or its stream had no leader until the
                timeout. Nothing was stored.
            WrongLastSequenceError: it was refused by an expected sequence.
            JetStreamError: it was refused otherwise, or the answer is no PubAck.
            NatsTimeoutError: no answer: it may be stored or not.
            BadSubjectError, BadHeaderError, InvalidMsgError, ConfigError, BadTimeoutError: an
                argument cannot be.
            MaxPayloadError, PermissionsError, ConnectionClosedError: as `Connection.request`.

        Ref: nats.go `JetStream.Publish`; ADR-22.
        """
        encoded = check_literal(subject)
        if type(data) is not bytes:
            data = payload_bytes(data)
        if timeout is None:
            timeout = self._timeout
        else:
            check_timeout(timeout)
        unnamed = msg_id is expected_stream is expected_last_msg_id is None
        if unnamed and ttl is None and expected_last_seq is expected_last_subject_seq is None:
            block = self._encode(headers) if headers else b""
            return await self.publisher.publish(encoded, data, block, timeout)
        options: PublishOptions = {
            "msg_id": msg_id,
            "expected_stream": expected_stream,
            "expected_last_seq": expected_last_seq,
            "expected_last_subject_seq": expected_last_subject_seq,
            "expected_last_msg_id": expected_last_msg_id,
            "ttl": ttl,
        }
        block = self._encode(with_options(headers, options))
        if ttl is not None:
            await self._api.require(1, "publish(ttl=...)")
        return await self.publisher.publish(
            encoded, data, block, timeout, has_id=msg_id is not None
        )

    async def publish_async(
        self,
        subject: str,
        data: Payload = b"",
        *,
        headers: HeaderValues | None = None,
        timeout: float | None = None,
        msg_id: str | None = None,
        expected_stream: str | None = None,
        expected_last_seq: int | None = None,
        expected_last_subject_seq: int | None = None,
        expected_last_msg_id: str | None = None,
        ttl: float | None = None,
    ) -> asyncio.Future[PubAck]:
        """Publish a message, and return the future of its ack. Waits for a place while
        `max_pending` have none.

        Messages leave in the order of the calls. One that is sent again, because its stream had no
        leader, may be stored behind later ones.

        Raises:
            BadSubjectError, BadHeaderError, InvalidMsgError, ConfigError, BadTimeoutError: an
                argument cannot be.
            MaxPayloadError, PermissionsError, ConnectionClosedError: it was not sent. All other
                errors, as `publish` lists them, are those of the future.

        Ref: nats.go `JetStream.PublishAsync`.
        """
        encoded = check_literal(subject)
        if type(data) is not bytes:
            data = payload_bytes(data)
        if timeout is None:
            timeout = self._timeout
        else:
            check_timeout(timeout)
        unnamed = msg_id is expected_stream is expected_last_msg_id is None
        if unnamed and ttl is None and expected_last_seq is expected_last_subject_seq is None:
            block = self._encode(headers) if headers else b""
            return await self._pipeline.publish(encoded, data, block, timeout, AGAIN_IF_REFUSED)
        options: PublishOptions = {
            "msg_id": msg_id,
            "expected_stream": expected_stream,
            "expected_last_seq": expected_last_seq,
            "expected_last_subject_seq": expected_last_subject_seq,
            "expected_last_msg_id": expected_last_msg_id,
            "ttl": ttl,
        }
        block = self._encode(with_options(headers, options))
        if ttl is not None:
            await self._api.require(1, "publish_async(ttl=...)")
        again = AGAIN_IF_REFUSED if msg_id is None else AGAIN_IF_LOST
        return await self._pipeline.publish(encoded, data, block, timeout, again)

    @property
    def pending_acks(self) -> int:
        """How many publishes of `publish_async` wait for their ack."""
        return len(self._pipeline)

    async def publish_async_complete(self, timeout: float | None = None) -> None:
        """Wait until no publish of `publish_async` waits for its ack.

        Raises:
            NatsTimeoutError: some still do after `timeout` seconds.
            BadTimeoutError: `timeout` is not above 0.
        """
        if timeout is not None:
            check_timeout(timeout)
        await self._pipeline.complete(timeout)

    # streams

    async def create_stream(self, config: StreamConfig) -> Stream:
        """Create a stream. One of that name with an equal configuration is taken as it is.

        Raises:
            StreamNameInUseError: there is one of that name with another configuration.
            JetStreamError: the server refused it, or is too old for a field.
            ConfigError, ConfigTypeError: its name cannot be, or it is no configuration.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return await self._streams.create(config)

    async def update_stream(self, config: StreamConfig) -> Stream:
        """Change a stream: the fields that are set; the others stay as they are, those that this
        version does not know, too.

        Raises:
            StreamNotFoundError: there is none of that name.
            JetStreamError: a field cannot be changed, or the server is too old for it.
            ConfigError, ConfigTypeError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as `create_stream`.
        """
        return await self._streams.update(config)

    async def create_or_update_stream(self, config: StreamConfig) -> Stream:
        """Change a stream as `update_stream` does, or create it.

        Raises:
            JetStreamError, ConfigError, ConfigTypeError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as `update_stream`.
        """
        return await self._streams.create_or_update(config)

    async def stream(self, name: str) -> Stream:
        """A stream that is there.

        Raises:
            StreamNotFoundError: it is not.
            ConfigError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as any call.
        """
        return await self._streams.get(name)

    async def delete_stream(self, name: str) -> None:
        """Delete a stream and all it holds.

        Raises:
            StreamNotFoundError: there is none of that name.
            ConfigError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as any call.
        """
        await self._streams.delete(name)

    def stream_names(self, subject: str | None = None) -> AsyncIterator[str]:
        """The names of all streams, or of those whose subjects overlap with `subject`.

        Raises:
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return self._streams.names(subject)

    def streams(self, subject: str | None = None) -> AsyncIterator[StreamInfo]:
        """All streams, or those whose subjects overlap with `subject`.

        Raises:
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return self._streams.list(subject)

    async def stream_name_by_subject(self, subject: str) -> str:
        """The name of the stream that has a subject.

        Raises:
            StreamNotFoundError: none has it.
            JetStreamError: several overlap with it; all are named.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return await self._streams.name_by_subject(subject)

    # key-value buckets

    async def create_key_value(self, config: KeyValueConfig) -> KeyValue:
        """Create a key-value bucket. One of that name is taken as it is, if it is as asked for.

        Raises:
            StreamNameInUseError: there is one of that name, and something differs: it is named.
            JetStreamError: the server refused it, or is too old for a field.
            ConfigTypeError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return await self._buckets.create(config)

    async def update_key_value(self, config: KeyValueConfig) -> KeyValue:
        """Change a key-value bucket: the fields that are set; the others stay as they are.

        Raises:
            BucketNotFoundError: there is none of that name.
            JetStreamError: a field cannot be changed, or the server is too old for it.
            ConfigTypeError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return await self._buckets.update(config)

    async def create_or_update_key_value(self, config: KeyValueConfig) -> KeyValue:
        """Change a key-value bucket as `update_key_value` does, or create it.

        Raises:
            JetStreamError, ConfigTypeError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as `update_key_value`.
        """
        return await self._buckets.create_or_update(config)

    async def key_value(self, bucket: str) -> KeyValue:
        """A key-value bucket that is there.

        Raises:
            BucketNotFoundError: it is not.
            BadBucketError: the stream of that name is no bucket.
            ConfigError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as any call.
        """
        return await self._buckets.get(bucket)

    async def delete_key_value(self, bucket: str) -> None:
        """Delete a key-value bucket and all it holds.

        Raises:
            BucketNotFoundError: there is none of that name.
            ConfigError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as any call.
        """
        await self._buckets.delete(bucket)

    def key_value_names(self) -> AsyncIterator[str]:
        """The names of all key-value buckets.

        Raises:
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return self._buckets.names()

    # object stores

    async def create_object_store(self, config: ObjectStoreConfig) -> ObjectStore:
        """Create an object store. One of that name is taken as it is, if it is as asked for.

        Raises:
            StreamNameInUseError: there is one of that name, and something differs: it is named.
            JetStreamError: the server refused it, or is too old for a field.
            ConfigTypeError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return await self._stores.create(config)

    async def update_object_store(self, config: ObjectStoreConfig) -> ObjectStore:
        """Change an object store: the fields that are set; the others stay as they are.

        Raises:
            BucketNotFoundError: there is none of that name.
            JetStreamError: a field cannot be changed.
            ConfigTypeError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return await self._stores.update(config)

    async def object_store(self, bucket: str) -> ObjectStore:
        """An object store that is there.

        Raises:
            BucketNotFoundError: it is not.
            ConfigError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as any call.
        """
        return await self._stores.get(bucket)

    async def delete_object_store(self, bucket: str) -> None:
        """Delete an object store and all it holds.

        Raises:
            BucketNotFoundError: there is none of that name.
            ConfigError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as any call.
        """
        await self._stores.delete(bucket)

    def object_store_names(self) -> AsyncIterator[str]:
        """The names of all object stores.

        Raises:
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return self._stores.names()
