"""An object store as users hold it."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from natsrpc.core import HeaderValues, check_publish, encode_headers, random_text
from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    JetStreamError,
    MsgNotFoundError,
    ObjectDeletedError,
    ObjectNotFoundError,
    StreamNotFoundError,
    WrongLastSequenceError,
)

from ..api import Api, DeliverPolicy, StreamConfig, StreamInfo, check_bucket, check_whole, read
from ..consuming import Cursor, Feed, Supply
from ..publishing import Pipeline, Publisher
from ..streams import StreamManager, get_last, not_found
from .chunks import Content, Sender, chunks_of
from .config import ObjectStoreStatus
from .info import (
    DEFAULT_CHUNK,
    PREFIX,
    ObjectInfo,
    ObjectLink,
    check_object_name,
    checked_facts,
    digest_text,
    encoded_name,
    from_json,
    to_json,
)
from .reader import ObjectReader
from .watcher import ObjectWatcher

R = TypeVar("R")

_SUPPLY = Supply(most=256, threshold=128, expires=30.0, heartbeat=5.0)
_NUID_SIZE = 22
_TRIES = 20


class ObjectStore:
    """Objects of any size: made by `JetStream.object_store` and `create_object_store`."""

    def __init__(
        self,
        api: Api,
        publisher: Publisher,
        pipeline: Pipeline,
        streams: StreamManager,
        bucket: str,
    ) -> None:
        self._api = api
        self._publisher = publisher
        self._pipeline = pipeline
        self._streams = streams
        self._stream = PREFIX + bucket
        self._tasks: set[asyncio.Task[None]] = set()
        self.bucket: str = bucket

    def __repr__(self) -> str:
        return f"<ObjectStore {self.bucket}>"

    # writing

    async def put(
        self,
        name: str,
        data: Content,
        *,
        description: str | None = None,
        headers: HeaderValues | None = None,
        metadata: Mapping[str, str] | None = None,
        chunk_size: int = DEFAULT_CHUNK,
    ) -> ObjectInfo:
        """Store an object, in place of one of that name. Of several at once, the last one stays.

        If it fails, or is cancelled, nothing of it stays.

        Args:
            name: any text.
            data: bytes, an async iterable of bytes, or a file opened for bytes.
            description: for people.
            headers: facts of one's own, with several values each.
            metadata: facts of one's own.
            chunk_size: bytes of a chunk, each of which is one message.

        Raises:
            ConfigError, ConfigTypeError, BadHeaderError: an argument cannot be.
            NoStreamResponseError, JetStreamError, NatsTimeoutError, PermissionsError,
                ConnectionClosedError: something was not stored.
        """
        check_object_name(name)
        _check_chunk_size(chunk_size, self._api.link.max_payload)
        info = ObjectInfo(
            name=name,
            bucket=self.bucket,
            nuid=random_text(_NUID_SIZE).decode(),
            max_chunk_size=chunk_size,
            **checked_facts(description, headers, metadata),
        )
        before = await self._latest(name)
        subject = check_publish(self._chunks(info.nuid))
        sender = Sender(self._pipeline, subject, self._api.timeout)
        try:
            async for chunk in chunks_of(data, chunk_size):
                await sender.send(chunk)
            await sender.complete()
            info = dataclasses.replace(
                info, size=sender.size, chunks=sender.count, digest=digest_text(sender.digest)
            )
            info = await self._replace(info, before)
        except BaseException:
            await self._to_the_end(self._take_back(sender, info.nuid))
            raise
        return info

    async def _take_back(self, sender: Sender, nuid: str) -> None:
        """Remove what was stored, once all is answered: else some would be stored behind it."""
        await sender.settle()
        if sender.stored and not self._api.link.is_closed:
            await self._purge(nuid)

    async def _to_the_end(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something whole, even if the caller is cancelled meanwhile."""
        task = asyncio.get_running_loop().create_task(work, name="natsrpc object store")
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        await asyncio.wait({task})

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            self._api.link.report(
                error if isinstance(error, Exception) else RuntimeError(str(error)), None
            )

    async def _replace(self, info: ObjectInfo, before: ObjectInfo | None) -> ObjectInfo:
        """Make `info` the latest word on its name, and remove the chunks of the former."""
        for _ in range(_TRIES):
            try:
                info = await self._tell(info, 0 if before is None else before.revision)
                break
            except WrongLastSequenceError:  # somebody was quicker, and is replaced as well
                before = await self._latest(info.name)
        else:
            raise _written_by_too_many(info.name)
        if before is not None and before.nuid and before.nuid != info.nuid and not before.deleted:
            await self._to_the_end(self._purge(before.nuid))
        return info

    async def _tell(self, info: ObjectInfo, last: int) -> ObjectInfo:
        """Say something of a name, if the latest word on it has the revision `last` (0: none): what
        somebody else has said since then may be of an object that must not be lost."""
        headers = {"Nats-Rollup": "sub", "Nats-Expected-Last-Subject-Sequence": str(last)}
        subject = check_publish(self._meta(info.name))
        block = encode_headers(headers)
        ack = await self._publisher.publish(subject, to_json(info), block, self._api.timeout)
        return dataclasses.replace(info, revision=ack.seq, mtime=datetime.now(UTC))

    async def _purge(self, nuid: str) -> None:
        await self._api.call(f"STREAM.PURGE.{self._stream}", {"filter": self._chunks(nuid)})

    def _chunks(self, nuid: str) -> str:
        return f"$O.{self.bucket}.C.{nuid}"

    def _meta(self, name: str) -> str:
        return f"$O.{self.bucket}.M.{encoded_name(name)}"

    # information

    async def _latest(self, name: str) -> ObjectInfo | None:
        """The latest word on a name, asked of the stream's leader."""
        subject = self._meta(check_object_name(name))
        try:
            stored = await get_last(self._api, self._stream, subject, direct=False)
        except MsgNotFoundError:
            return None
        return from_json(stored.data, mtime=stored.time, revision=stored.seq)

    async def info(self, name: str, *, show_deleted: bool = False) -> ObjectInfo:
        """What the store knows of an object, or of a link.

        Raises:
            ObjectNotFoundError: there is none of that name.
            ObjectDeletedError: it was deleted (unless `show_deleted`).
            ConfigError, ConfigTypeError: the name cannot be.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        info = await self._latest(name)
        if info is None:
            raise ObjectNotFoundError(f"store {self.bucket!r} has no object {name!r}", name=name)
        if info.deleted and not show_deleted:
            raise ObjectDeletedError(
                f"object {name!r} of store {self.bucket!r} was deleted", name=name
            )
        return info

    # reading

    def get(self, name: str) -> ObjectReader:
        """Read an object: `async with store.get(name) as reader`, then iterate over its chunks, or
        `await reader.read()`. A link is followed once. Entering the block raises what `info`
        raises, and `JetStreamError` where a link leads nowhere.

        Raises:
            ConfigError, ConfigTypeError: the name cannot be.
        """
        check_object_name(name)
        return ObjectReader(self._api, lambda: self._followed(name))

    async def get_bytes(self, name: str) -> bytes:
        """All of an object.

        Raises:
            ObjectNotFoundError, ObjectDeletedError: as `info`.
            DigestMismatchError: what was read is not what was written.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        async with self.get(name) as reader:
            return await reader.read()

    async def _followed(self, name: str) -> ObjectInfo:
        info = await self.info(name)
        link = info.link
        if link is None:
            return info
        if not link.name:
            raise JetStreamError(
                f"{name!r} is a link to the whole store {link.bucket!r}, and no object"
            )
        store = self if link.bucket == self.bucket else self._other(link.bucket)
        target = await store.info(link.name)
        if target.link is not None:
            raise JetStreamError(f"{name!r} is a link to {link.name!r}, which is a link itself")
        return target

    def _other(self, bucket: str) -> ObjectStore:
        check_bucket(bucket)
        return ObjectStore(self._api, self._publisher, self._pipeline, self._streams, bucket)

    async def list(self, *, include_deleted: bool = False) -> AsyncIterator[ObjectInfo]:
        """All objects and links.

        Raises:
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        async with self.watch(ignore_deletes=not include_deleted) as watcher:
            async for info in watcher:
                if info is None:
                    return
                yield info

    def watch(
        self,
        *,
        include_history: bool = False,
        ignore_deletes: bool = False,
        updates_only: bool = False,
    ) -> ObjectWatcher:
        """What is in the store, then None, then changes: `async with store.watch() as watcher`,
        then iterate.

        Args:
            include_history: begin with all that is stored on each name, in order.
            ignore_deletes: leave out deleted objects.
            updates_only: begin with what is new; then there is no None.

        Raises:
            ConfigError: `include_history` and `updates_only` were given.

        Ref: nats.go `ObjectStore.Watch`.
        """
        if include_history and updates_only:
            raise ConfigError("watch takes either include_history or updates_only, not both")
        policy: DeliverPolicy = "all" if include_history else "last_per_subject"
        if updates_only:
            policy = "new"
        cursor = Cursor(filters=[f"$O.{self.bucket}.M.>"], deliver_policy=policy)
        feed = Feed(self._api, self._stream, cursor, _SUPPLY, marks=not updates_only)
        return ObjectWatcher(feed, ignore_deletes=ignore_deletes)

    # changing

    async def delete(self, name: str) -> None:
        """Delete an object: a mark stays, its chunks go. A deleted one may be deleted again.

        Raises:
            ObjectNotFoundError: there is none of that name.
            ConfigError, ConfigTypeError: the name cannot be.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        await self._in_turn(name, lambda: self._delete(name))

    async def _delete(self, name: str) -> None:
        info = await self.info(name, show_deleted=True)
        if info.deleted:
            return
        await self._tell(_deleted(info), info.revision)
        if info.nuid:
            await self._purge(info.nuid)

    async def _in_turn(self, name: str, change: Callable[[], Awaitable[R]]) -> R:
        """Change what is said of a name: anew from the start where somebody was quicker."""
        for _ in range(_TRIES):
            with contextlib.suppress(WrongLastSequenceError):
                return await change()
        raise _written_by_too_many(name)

    async def update_meta(
        self,
        object_name: str,
        *,
        name: str | None = None,
        description: str | None = None,
        headers: HeaderValues | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> ObjectInfo:
        """Change what the store says of an object: what is given. `name` renames it.

        Raises:
            ObjectNotFoundError, ObjectDeletedError: as `info`.
            JetStreamError: there is an object with the new name.
            ConfigError, ConfigTypeError, BadHeaderError: an argument cannot be.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        told = checked_facts(description, headers, metadata)
        if name is not None:
            told["name"] = check_object_name(name)
        return await self._in_turn(object_name, lambda: self._change(object_name, told))

    async def _change(self, object_name: str, told: Mapping[str, Any]) -> ObjectInfo:
        info = await self.info(object_name)
        changed = dataclasses.replace(info, **told)
        if changed.name == info.name:
            return await self._tell(changed, info.revision)
        return await self._rename(info, changed)

    async def _rename(self, info: ObjectInfo, changed: ObjectInfo) -> ObjectInfo:
        """Tell the new name, then take the old one away if it still is what was renamed. In this
        order an object always has a name, whatever comes between."""
        target = await self._latest(changed.name)
        if target is not None and not target.deleted:
            raise JetStreamError(f"store {self.bucket!r} has an object {changed.name!r} already")
        changed = await self._tell(changed, 0 if target is None else target.revision)
        try:
            mark = await self._tell(_deleted(info), info.revision)
        except WrongLastSequenceError:
            # Another object has the old name, and the chunks went with the former.
            with contextlib.suppress(WrongLastSequenceError):
                await self._tell(_deleted(changed), changed.revision)
            raise
        # Up to the mark, and no further: there may be an object of the old name already.
        request = {"filter": self._meta(info.name), "seq": mark.revision + 1}
        await self._api.call(f"STREAM.PURGE.{self._stream}", request)
        return changed

    async def add_link(self, name: str, info: ObjectInfo) -> ObjectInfo:
        """Let a name lead to an object, of this store or another.

        Raises:
            ConfigTypeError: `info` is no `ObjectInfo`.
            JetStreamError: `info` is that of a deleted object or of a link, or there is an object
                of that name.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        if not isinstance(info, ObjectInfo):
            raise ConfigTypeError(f"add_link takes an ObjectInfo, not {info!r}")
        if info.deleted or info.link is not None:
            what = "deleted" if info.deleted else "a link itself"
            raise JetStreamError(f"no link can lead to {info.name!r}: it is {what}")
        return await self._link(name, ObjectLink(info.bucket, info.name))

    async def add_bucket_link(self, name: str, store: ObjectStore) -> ObjectInfo:
        """Let a name lead to a whole store.

        Raises:
            ConfigTypeError: `store` is no `ObjectStore`.
            JetStreamError: there is an object of that name.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        if not isinstance(store, ObjectStore):
            raise ConfigTypeError(f"add_bucket_link takes an ObjectStore, not {store!r}")
        return await self._link(name, ObjectLink(store.bucket))

    async def _link(self, name: str, link: ObjectLink) -> ObjectInfo:
        before = await self._latest(name)
        if before is not None and not before.deleted and before.link is None:
            raise JetStreamError(f"store {self.bucket!r} has an object {name!r} already")
        nuid = random_text(_NUID_SIZE).decode()
        info = ObjectInfo(name=name, bucket=self.bucket, nuid=nuid, link=link)
        return await self._tell(info, 0 if before is None else before.revision)

    async def seal(self) -> None:
        """Let nothing be changed any more, ever.

        Raises:
            BucketNotFoundError: the store is gone.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        try:
            await self._streams.update(StreamConfig(name=self._stream, sealed=True))
        except StreamNotFoundError as error:
            raise not_found(self.bucket, error) from None

    async def status(self) -> ObjectStoreStatus:
        """What the store holds, and its settings.

        Raises:
            BucketNotFoundError: it is gone.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        try:
            answer = await self._api.call(f"STREAM.INFO.{self._stream}")
        except StreamNotFoundError as error:
            raise not_found(self.bucket, error) from None
        return ObjectStoreStatus.of(self.bucket, read(StreamInfo, answer))


def _deleted(info: ObjectInfo) -> ObjectInfo:
    """The word that an object is gone."""
    return dataclasses.replace(info, deleted=True, size=0, chunks=0, digest="")


def _written_by_too_many(name: str) -> JetStreamError:
    return JetStreamError(f"object {name!r} is written by too many at once")


def _check_chunk_size(size: int, most: int) -> None:
    if check_whole("put(chunk_size=...)", size, 1) > most:
        raise ConfigError(
            f"put(chunk_size={size}) is more than the {most} bytes that the server takes at once"
        )
