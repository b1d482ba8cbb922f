"""A key-value bucket as users hold it."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Sequence

from natsrpc.core import Msg, Payload, check_publish, encode_headers, payload_bytes
from natsrpc.errors import (
    ConfigError,
    KeyDeletedError,
    KeyExistsError,
    KeyNotFoundError,
    MsgNotFoundError,
    StreamNotFoundError,
    WrongLastRevisionError,
    WrongLastSequenceError,
)

from ..api import (
    MOST_SECONDS,
    Api,
    DeliverPolicy,
    StreamInfo,
    check_seconds,
    check_whole,
    read,
)
from ..consuming import Cursor, Feed, Supply
from ..publishing import Publisher, PublishOptions, ttl_of, with_options
from ..streams import get, get_last, not_found
from .config import KeyValueStatus
from .entry import Entry, from_delivered, from_stored
from .keys import Subjects, check_filters, check_key
from .watcher import KeyWatcher

SUPPLY = Supply(most=256, threshold=128, expires=30.0, heartbeat=5.0)
_DELETE = {"KV-Operation": "DEL"}
_PURGE = {"KV-Operation": "PURGE", "Nats-Rollup": "sub"}
_TRIES = 3


class KeyValue:
    """A bucket: made by `JetStream.key_value` and `create_key_value`."""

    def __init__(self, api: Api, publisher: Publisher, bucket: str, info: StreamInfo) -> None:
        self._api = api
        self._publisher = publisher
        self._subjects = Subjects(api, bucket, info.config)
        self._stream = self._subjects.stream
        self._is_direct = bool(info.config.allow_direct)
        self.bucket: str = bucket

    def __repr__(self) -> str:
        return f"<KeyValue {self.bucket}>"

    # reading

    async def get(self, key: str, revision: int | None = None) -> Entry:
        """The latest value of a key, or that of a revision.

        Raises:
            KeyNotFoundError: there is none, or that revision is not of this key.
            KeyDeletedError: the key was deleted or purged.
            ConfigError, ConfigTypeError: the key cannot be.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        entry = await self._entry(check_key(key), revision)
        if entry.operation != "PUT":
            raise KeyDeletedError(
                f"key {key!r} of bucket {self.bucket!r} was removed",
                key=key,
                revision=entry.revision,
                operation=entry.operation,
            )
        return entry

    async def _entry(
        self, key: str, revision: int | None = None, *, direct: bool | None = None
    ) -> Entry:
        """The latest revision of a key, marker or not."""
        subject = self._subjects.read + key
        direct = self._is_direct if direct is None else direct
        try:
            if revision is None:
                stored = await get_last(self._api, self._stream, subject, direct=direct)
            else:
                request = {"seq": check_whole("get(revision=...)", revision, 1)}
                stored = await get(self._api, self._stream, request, direct=direct)
        except MsgNotFoundError:
            raise self._not_found(key, revision) from None
        if stored.subject != subject:
            raise self._not_found(key, revision)
        return from_stored(self.bucket, key, stored)

    def _not_found(self, key: str, revision: int | None) -> KeyNotFoundError:
        which = "" if revision is None else f" with revision {revision}"
        return KeyNotFoundError(f"bucket {self.bucket!r} has no key {key!r}{which}", key=key)

    async def keys(self, filters: str | Sequence[str] | None = None) -> list[str]:
        """All keys that have a value now, or those that match a filter, or one of several.

        Raises:
            ConfigError, ConfigTypeError: a filter cannot be.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        listed = [">"] if filters is None else check_filters(filters)
        found: dict[str, None] = {}
        async for entry in self._there(listed, "last_per_subject", headers_only=True):
            # one that was overwritten meanwhile comes twice, and its last word counts
            found.pop(entry.key, None)
            if entry.operation == "PUT":
                found[entry.key] = None
        return list(found)

    async def history(self, key: str) -> list[Entry]:
        """All revisions of a key that are kept, markers included, the oldest first.

        Raises:
            KeyNotFoundError: there is none.
            ConfigError, ConfigTypeError: the key cannot be.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        check_key(key)
        entries = [entry async for entry in self._there([key], "all")]
        if not entries:
            raise self._not_found(key, None)
        return entries

    async def _there(
        self, filters: Sequence[str], policy: DeliverPolicy, *, headers_only: bool = False
    ) -> AsyncIterator[Entry]:
        """What is there now."""
        subjects = self._subjects.filters(filters)
        cursor = Cursor(filters=subjects, deliver_policy=policy, headers_only=headers_only)
        feed = Feed(self._api, self._stream, cursor, SUPPLY, marks=True)
        await feed.open()
        try:
            while (msg := await feed.next()) is not None:
                yield self._delivered(msg)
        except StopAsyncIteration:  # the connection drains
            return
        finally:
            await feed.close()

    def _delivered(self, msg: Msg) -> Entry:
        return from_delivered(self.bucket, len(self._subjects.read), msg)

    def watch(
        self,
        keys: str | Sequence[str] = ">",
        *,
        include_history: bool = False,
        ignore_deletes: bool = False,
        meta_only: bool = False,
        updates_only: bool = False,
        resume_from_revision: int | None = None,
    ) -> KeyWatcher:
        """The values of keys, then None, then their changes: `async with kv.watch() as watcher`,
        then iterate.

        Args:
            keys: a key, a filter such as `a.*` or `a.>`, or several.
            include_history: begin with all revisions that are kept, not the latest of each key.
            ignore_deletes: leave out the markers of removed keys.
            meta_only: leave out the values.
            updates_only: begin with what is new; then there is no None.
            resume_from_revision: begin with this revision.

        Raises:
            ConfigError, ConfigTypeError: an argument cannot be.

        Ref: nats.go `KeyValue.Watch`.
        """
        if include_history and updates_only:
            raise ConfigError("watch takes either include_history or updates_only, not both")
        filters = self._subjects.filters(check_filters(keys))
        policy: DeliverPolicy = "all" if include_history else "last_per_subject"
        if updates_only:
            policy = "new"
        if resume_from_revision is not None:
            policy = "by_start_sequence"
            check_whole("watch(resume_from_revision=...)", resume_from_revision, 1)
        cursor = Cursor(
            filters=filters,
            deliver_policy=policy,
            opt_start_seq=resume_from_revision,
            headers_only=meta_only,
        )
        feed = Feed(self._api, self._stream, cursor, SUPPLY, marks=not updates_only)
        return KeyWatcher(feed, self._delivered, ignore_deletes=ignore_deletes)

    # writing

    async def put(self, key: str, value: Payload) -> int:
        """Set a key; its new revision.

        Raises:
            ConfigError, ConfigTypeError: the key cannot be.
            NoStreamResponseError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError, MaxPayloadError: as `JetStream.publish`.
        """
        return await self._write(check_key(key), value, b"")

    async def create(self, key: str, value: Payload, *, ttl: float | None = None) -> int:
        """Set a key that has no value now; its revision.

        Args:
            key: the key.
            value: its value.
            ttl: seconds after which it goes. It needs a bucket with `limit_marker_ttl`.

        Raises:
            KeyExistsError: it has a value.
            ConfigError, ConfigTypeError: the key or ttl cannot be.
            NoStreamResponseError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError, MaxPayloadError: as `JetStream.publish`.
        """
        check_key(key)
        expected = 0
        for again in range(_TRIES):
            try:
                return await self._write_if(key, value, expected, ttl=ttl)
            except WrongLastSequenceError:
                # The marker of a removed key counts as its last. A replica may be behind.
                try:
                    last = await self._entry(key, direct=False if again else None)
                except KeyNotFoundError:
                    expected = 0
                    continue
                if last.operation == "PUT":
                    raise self._exists(key, last.revision) from None
                expected = last.revision
        raise self._exists(key, expected)  # others were quicker each time

    def _exists(self, key: str, revision: int) -> KeyExistsError:
        return KeyExistsError(
            f"key {key!r} of bucket {self.bucket!r} is there", key=key, revision=revision
        )

    async def update(self, key: str, value: Payload, *, last: int) -> int:
        """Set a key if its last revision is `last` (0: it never had one); its new revision.

        Raises:
            WrongLastRevisionError: it has another.
            ConfigError, ConfigTypeError: the key or revision cannot be.
            NoStreamResponseError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError, MaxPayloadError: as `JetStream.publish`.
        """
        check_key(key)
        try:
            return await self._write_if(key, value, check_whole("last=...", last))
        except WrongLastSequenceError as error:
            raise self._wrong_last(key, last, error) from None

    async def delete(self, key: str, *, last: int | None = None) -> None:
        """Delete a key: a marker is its newest revision. With `last`, only if that was the last.

        Raises:
            WrongLastRevisionError: `last` is not the last revision.
            ConfigError, ConfigTypeError: the key or revision cannot be.
            NoStreamResponseError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as `JetStream.publish`.
        """
        await self._remove(check_key(key), _DELETE, last)

    async def purge(self, key: str, *, last: int | None = None, ttl: float | None = None) -> None:
        """Delete a key with its history; a marker is left, for `ttl` seconds if that is given.

        Raises:
            WrongLastRevisionError: `last` is not the last revision.
            ConfigError, ConfigTypeError: the key, revision or ttl cannot be.
            NoStreamResponseError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: as `JetStream.publish`.
        """
        headers = dict(_PURGE)
        if ttl is not None:
            await self._api.require(1, "purge(ttl=...)")
            headers["Nats-TTL"] = ttl_of(ttl)
        await self._remove(check_key(key), headers, last)

    async def _remove(self, key: str, headers: dict[str, str], last: int | None) -> None:
        if last is not None:
            headers = {
                **headers,
                "Nats-Expected-Last-Subject-Sequence": str(check_whole("last=...", last)),
            }
        try:
            await self._write(key, b"", encode_headers(headers))
        except WrongLastSequenceError as error:
            raise self._wrong_last(key, last, error) from None

    def _wrong_last(
        self, key: str, last: int | None, error: WrongLastSequenceError
    ) -> WrongLastRevisionError:
        return WrongLastRevisionError(
            f"key {key!r} of bucket {self.bucket!r} has not {last} as its last revision: {error}",
            key=key,
            last=error.last_seq,
            code=error.code,
            err_code=error.err_code,
        )

    async def _write_if(
        self, key: str, value: Payload, last: int, *, ttl: float | None = None
    ) -> int:
        options: PublishOptions = {"expected_last_subject_seq": last}
        if ttl is not None:
            await self._api.require(1, "create(ttl=...)")
            options["ttl"] = ttl
        return await self._write(key, value, with_options(None, options).encode())

    async def _write(self, key: str, value: Payload, block: bytes) -> int:
        subject = check_publish(self._subjects.write + key)
        data = value if type(value) is bytes else payload_bytes(value)
        ack = await self._publisher.publish(subject, data, block, self._api.timeout)
        return ack.seq

    async def purge_deletes(self, older_than: float = 1800.0) -> None:
        """Take away the history of removed keys, and their markers where these are older than so
        many seconds. A negative number takes away all markers.

        What is put meanwhile stays.

        Raises:
            ConfigError, ConfigTypeError: `older_than` is no number of seconds.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        if older_than != math.inf:
            check_seconds("purge_deletes(older_than=...)", older_than, -MOST_SECONDS)
        markers: dict[str, Entry] = {}
        async for entry in self._there([">"], "last_per_subject"):
            markers.pop(entry.key, None)
            if entry.operation != "PUT":
                markers[entry.key] = entry
        for key, entry in markers.items():
            takes_marker = older_than < 0 or entry.age() > older_than
            # up to a sequence, and not by a number to keep: a value may have come meanwhile
            request = {
                "filter": self._subjects.read + key,
                "seq": entry.revision + 1 if takes_marker else entry.revision,
            }
            await self._api.call(f"STREAM.PURGE.{self._stream}", request)

    async def status(self) -> KeyValueStatus:
        """What the bucket holds, and its settings.

        Raises:
            BucketNotFoundError: it is gone.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        try:
            answer = await self._api.call(f"STREAM.INFO.{self._stream}")
        except StreamNotFoundError as error:
            raise not_found(self.bucket, error) from None
        return KeyValueStatus.of(self.bucket, read(StreamInfo, answer))
