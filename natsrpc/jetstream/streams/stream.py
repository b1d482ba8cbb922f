"""A stream as users hold it: what it holds, and its consumers."""

from __future__ import annotations

import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from natsrpc.core import check_subscribe
from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    ConsumerNotFoundError,
    NatsTimeoutError,
)

from ..api import (
    Api,
    ConsumerConfig,
    ConsumerInfo,
    DeliverPolicy,
    PauseState,
    ReplayPolicy,
    StreamInfo,
    check_name,
    check_whole,
    lacking,
    overlay,
    read,
    to_moment,
    to_rfc3339,
    to_seconds,
    write,
)
from ..consuming import (
    Consumer,
    Cursor,
    OrderedConsumer,
    make,
    name_of,
    wire_config,
    with_filters,
)
from .stored import StoredMsg, get, get_last


class Stream:
    """A stream: made by `JetStream.stream`, `create_stream` and the like.

    `cached_info` is what the server told last.
    """

    def __init__(self, api: Api, info: StreamInfo) -> None:
        self._api = api
        self.name: str = info.config.name
        self.cached_info: StreamInfo = info

    def __repr__(self) -> str:
        return f"<Stream {self.name}>"

    async def info(
        self, *, subjects_filter: str | None = None, deleted_details: bool = False
    ) -> StreamInfo:
        """What the server tells of it now; kept as `cached_info`.

        Args:
            subjects_filter: count messages by subject for those that match, in `state.subjects`.
            deleted_details: name the sequences that are missing, in `state.deleted`.

        Raises:
            StreamNotFoundError: it is gone.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        request: dict[str, Any] = {}
        if deleted_details:
            request["deleted_details"] = True
        if subjects_filter is not None:
            check_subscribe(subjects_filter)
            request["subjects_filter"] = subjects_filter
        call = f"STREAM.INFO.{self.name}"
        answer = await self._api.call(call, request or None)
        subjects: dict[str, int] = dict(answer.get("state", {}).get("subjects") or {})
        while subjects_filter is not None and len(subjects) < answer.get("total", 0):
            page = await self._api.call(call, {**request, "offset": len(subjects)})
            more = page.get("state", {}).get("subjects")
            if not more:
                break
            subjects.update(more)
        if subjects:
            answer["state"]["subjects"] = subjects
        self.cached_info = read(StreamInfo, answer)
        return self.cached_info

    async def purge(
        self, *, subject: str | None = None, sequence: int | None = None, keep: int | None = None
    ) -> int:
        """Remove messages; how many were removed.

        Args:
            subject: only those of subjects that match.
            sequence: only those before this one.
            keep: leave so many of the latest.

        Raises:
            ConfigError, ConfigTypeError: both `sequence` and `keep` were given, or one cannot be.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        if sequence is not None and keep is not None:
            raise ConfigError("purge takes either sequence= or keep=, not both")
        request: dict[str, Any] = {}
        if subject is not None:
            check_subscribe(subject)
            request["filter"] = subject
        if sequence is not None:
            request["seq"] = check_whole("purge(sequence=...)", sequence, 1)  # 0 is: all
        if keep is not None:
            request["keep"] = check_whole("purge(keep=...)", keep)
        answer = await self._api.call(f"STREAM.PURGE.{self.name}", request or None)
        return int(answer.get("purged", 0))

    # messages

    async def get_msg(self, seq: int, subject: str | None = None) -> StoredMsg:
        """The message with a sequence; with `subject`, the first of that subject from there on.

        Where the stream has `allow_direct`, any replica answers, so it may be a moment behind.

        Raises:
            MsgNotFoundError: there is none.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        check_whole("get_msg(seq=...)", seq, 1 if subject is None else 0)
        request: dict[str, Any] = {"seq": seq}
        if subject is not None:
            check_subscribe(subject)
            request["next_by_subj"] = subject
        return await get(self._api, self.name, request, direct=self._is_direct)

    async def get_last_msg(self, subject: str) -> StoredMsg:
        """The last message of a subject, which may have wildcards. As `get_msg` otherwise.

        Raises:
            MsgNotFoundError: there is none.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        check_subscribe(subject)
        return await get_last(self._api, self.name, subject, direct=self._is_direct)

    async def delete_msg(self, seq: int, *, secure: bool = False) -> None:
        """Delete a message; with `secure`, overwrite its bytes, too.

        Raises:
            JetStreamError: there is none, or the stream denies it.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        request = {"seq": check_whole("delete_msg(seq=...)", seq, 1), "no_erase": not secure}
        await self._api.call(f"STREAM.MSG.DELETE.{self.name}", request)

    @property
    def _is_direct(self) -> bool:
        return bool(self.cached_info.config.allow_direct)

    # consumers

    async def create_consumer(self, config: ConsumerConfig) -> Consumer:
        """Create a consumer. One of that name with an equal configuration is taken as it is.

        Raises:
            ConsumerNameInUseError: there is one of that name with another configuration.
            JetStreamError: the server refused it, or is too old for a field.
            ConfigError: the configuration contradicts itself.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        raw = wire_config(_checked(config), name_of(config))
        info = await make(self._api, self.name, raw, "create", set_=write(config))
        return Consumer(self._api, self.name, info)

    async def update_consumer(self, config: ConsumerConfig) -> Consumer:
        """Change a consumer: the fields that are set; the others stay as they are.

        Raises:
            ConsumerNotFoundError: there is none of that name.
            JetStreamError: a field cannot be changed, or the server is too old for it.
            ConfigError: the configuration has no name, or contradicts itself.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        name = _checked(config).durable_name or config.name
        if not name:
            raise ConfigError("update_consumer needs a ConsumerConfig with its name")
        answer = await self._consumer_info(name)
        raw = _overlaid(config, answer.get("config") or {}, name)
        info = await make(self._api, self.name, raw, "update", set_=write(config))
        return Consumer(self._api, self.name, info)

    async def create_or_update_consumer(self, config: ConsumerConfig) -> Consumer:
        """Change a consumer as `update_consumer` does, or create it.

        Raises:
            JetStreamError: a field cannot be changed, or the server is too old for it.
            ConfigError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as
                `update_consumer`.
        """
        if not (_checked(config).durable_name or config.name):
            return await self.create_consumer(config)
        try:
            return await self.update_consumer(config)
        except ConsumerNotFoundError:
            return await self.create_consumer(config)

    async def consumer(self, name: str) -> Consumer:
        """A consumer that is there.

        Raises:
            ConsumerNotFoundError, StreamNotFoundError: it is not.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        info = read(ConsumerInfo, await self._consumer_info(name))
        return Consumer(self._api, self.name, info)

    async def _consumer_info(self, name: str) -> dict[str, Any]:
        check_name("consumer", name)
        return await self._api.call(f"CONSUMER.INFO.{self.name}.{name}")

    async def delete_consumer(self, name: str) -> None:
        """Delete a consumer.

        Raises:
            ConsumerNotFoundError: there is none of that name.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        check_name("consumer", name)
        await self._api.call(f"CONSUMER.DELETE.{self.name}.{name}")

    async def consumer_names(self) -> AsyncIterator[str]:
        """The names of its consumers, asked page by page.

        Raises:
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        async for page in self._api.pages(f"CONSUMER.NAMES.{self.name}", "consumers"):
            for name in page:
                yield name

    async def consumers(self) -> AsyncIterator[ConsumerInfo]:
        """What the server tells of its consumers, asked page by page.

        Raises:
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        async for page in self._api.pages(f"CONSUMER.LIST.{self.name}", "consumers"):
            for raw in page:
                yield read(ConsumerInfo, raw)

    async def ordered_consumer(
        self,
        *,
        filter_subjects: str | Sequence[str] | None = None,
        deliver_policy: DeliverPolicy = "all",
        opt_start_seq: int | None = None,
        opt_start_time: datetime | None = None,
        headers_only: bool = False,
        replay_policy: ReplayPolicy | None = None,
        inactive_threshold: float = 300.0,
        metadata: Mapping[str, str] | None = None,
    ) -> OrderedConsumer:
        """A reader that gets each message once, in order, and needs no acks.

        Its consumer at the server is in memory, and replaced by itself when it is lost.

        Raises:
            StreamNotFoundError, JetStreamError: the server refused it.
            ConfigError, ConfigTypeError: an argument cannot be.
            NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.

        Ref: ADR-17; nats.go `Stream.OrderedConsumer`.
        """
        filters = [filter_subjects] if isinstance(filter_subjects, str) else filter_subjects or []
        if not isinstance(filters, Sequence):
            raise ConfigTypeError(
                f"ordered_consumer(filter_subjects=...) must be subjects, not {filters!r}"
            )
        cursor = Cursor(
            filters=filters,
            deliver_policy=deliver_policy,
            opt_start_seq=opt_start_seq,
            opt_start_time=opt_start_time,
            headers_only=headers_only,
            replay_policy=replay_policy,
            inactive_threshold=inactive_threshold,
            metadata=metadata,
        )
        ordered = OrderedConsumer(self._api, self.name, cursor)
        await ordered.open()
        return ordered

    async def pause_consumer(self, name: str, until: datetime) -> PauseState:
        """Let a consumer deliver nothing until a time. It needs nats-server 2.11.

        Raises:
            ConsumerNotFoundError: there is none of that name.
            ConfigTypeError: `until` is no datetime with a time zone.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        if not isinstance(until, datetime) or until.tzinfo is None:
            raise ConfigTypeError(
                f"pause_consumer(until=...) must be a datetime with a time zone, not {until!r}"
            )
        return await self._pause(name, {"pause_until": to_rfc3339(until)})

    async def resume_consumer(self, name: str) -> PauseState:
        """End a pause. It needs nats-server 2.11.

        Raises:
            ConsumerNotFoundError: there is none of that name.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        return await self._pause(name, None)

    async def _pause(self, name: str, request: dict[str, Any] | None) -> PauseState:
        answer = await self._newer(f"CONSUMER.PAUSE.{self.name}", name, request, 1, "pausing")
        return PauseState(
            bool(answer.get("paused", False)),
            to_moment(answer.get("pause_until") or "0001-01-01T00:00:00Z"),
            to_seconds(answer.get("pause_remaining", 0)),
        )

    async def unpin_consumer(self, name: str, group: str) -> None:
        """Let another client of a priority group be served. It needs nats-server 2.11.

        Raises:
            ConsumerNotFoundError: there is none of that name.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.

        Ref: ADR-42.
        """
        await self._newer(f"CONSUMER.UNPIN.{self.name}", name, {"group": group}, 1, "unpinning")

    async def reset_consumer(self, name: str, seq: int | None = None) -> None:
        """Let a consumer begin anew, at a sequence or at its ack floor. It needs nats-server 2.14.

        Raises:
            ConsumerNotFoundError: there is none of that name.
            JetStreamError, NatsTimeoutError, PermissionsError, ConnectionClosedError: as any call.
        """
        request = None if seq is None else {"seq": check_whole("reset_consumer(seq=...)", seq, 1)}
        await self._newer(f"CONSUMER.RESET.{self.name}", name, request, 4, "resetting a consumer")

    async def _newer(
        self, call: str, name: str, request: dict[str, Any] | None, level: int, what: str
    ) -> dict[str, Any]:
        """A call that old servers do not answer at all."""
        check_name("consumer", name)
        await self._api.require(level, what)
        try:
            return await self._api.call(f"{call}.{name}", request)
        except NatsTimeoutError:
            if await self._api.level() in range(level):
                raise lacking(what, level) from None
            raise


def _checked(config: ConsumerConfig) -> ConsumerConfig:
    if not isinstance(config, ConsumerConfig):
        raise ConfigTypeError(f"expected a ConsumerConfig, not {config!r}")
    return config


def _overlaid(config: ConsumerConfig, there: dict[str, Any], name: str) -> dict[str, Any]:
    """What a consumer is to be: what it is, with what is set put over it."""
    one, several = there.pop("filter_subject", None), there.pop("filter_subjects", None)
    filters = several or ([one] if one else [])
    asked = [] if config.filter_subjects is None else [list(config.filter_subjects)]
    if config.filter_subject is not None:
        asked.append([config.filter_subject] if config.filter_subject else [])
    changed = [each for each in asked if each != filters]
    if len(changed) == 2 and changed[0] != changed[1]:
        raise ConfigError("give the new filters as filter_subjects= alone")
    rest = dataclasses.replace(config, filter_subject=None, filter_subjects=None)
    raw = overlay(rest, there)
    return with_filters(raw, changed[0] if changed else filters, name)
