"""Consumers made and deleted at the server: the calls that all who need a consumer share."""

from __future__ import annotations

import asyncio
import contextlib
from typing import Any, Literal

from natsrpc.core import check_subscribe, random_text
from natsrpc.errors import ConfigError, JetStreamError, NatsError, NatsTimeoutError

from ..api import (
    CONSUMER_LEVELS,
    Api,
    ConsumerConfig,
    ConsumerInfo,
    asks,
    check_name,
    dropped,
    lacking,
    read,
    write,
)

Action = Literal["", "create", "update"]

_DELETE_TIMEOUT = 2.0
_NAME_SIZE = 16


def wire_config(config: ConsumerConfig, name: str) -> dict[str, Any]:
    """A configuration as the server takes it: one filter, or several, never both.

    Raises:
        ConfigError: it has filters both ways, and they differ.
        BadSubjectError: one is malformed.
    """
    raw = write(config)
    one, several = raw.pop("filter_subject", None), raw.pop("filter_subjects", None)
    if one and several and [one] != several:
        raise ConfigError(
            f"ConsumerConfig has filter_subject={one!r} and filter_subjects={several!r}: "
            "give filter_subjects= alone"
        )
    filters = several or ([one] if one else [])
    raw.setdefault("ack_policy", "explicit")  # the server's own default is none
    return with_filters(raw, filters, name)


def with_filters(raw: dict[str, Any], filters: list[str], name: str) -> dict[str, Any]:
    """The same with its filters and its name put in."""
    for filter_ in filters:  # one stands in the subject of the call, and would be told as that
        check_subscribe(filter_)
    if len(filters) == 1:
        raw["filter_subject"] = filters[0]
    elif filters:
        raw["filter_subjects"] = filters
    if raw.get("durable_name"):
        raw["durable_name"] = name
    raw["name"] = name
    return raw


def name_of(config: ConsumerConfig) -> str:
    """The name of a consumer: that in its configuration, or a fresh one."""
    name = config.durable_name or config.name
    return check_name("consumer", name) if name else random_text(_NAME_SIZE).decode()


async def make(
    api: Api, stream: str, raw: dict[str, Any], action: Action, *, set_: dict[str, Any]
) -> ConsumerInfo:
    """Create or update a consumer; `set_` is what the user asked for.

    Raises:
        ConsumerNameInUseError, ConsumerNotFoundError, StreamNotFoundError, JetStreamError: the
            server refused it, or is too old for a field.
        NatsTimeoutError, PermissionsError, ConnectionClosedError: as any request.
    """
    for field, level in CONSUMER_LEVELS.items():
        if asks(set_.get(field)):
            await api.require(level, f"ConsumerConfig({field}=...)")
    if set_.get("priority_policy") == "prioritized":
        await api.require(2, "ConsumerConfig(priority_policy='prioritized')")
    name = raw["name"]
    filter_ = raw.get("filter_subject", "")
    # The filter stands in the subject, so that permissions can be given by it.
    suffix = f".{filter_}" if filter_ and not api.asking.is_old_style else ""
    request = {"stream_name": stream, "config": raw, "action": action}
    answer = await api.call(f"CONSUMER.CREATE.{stream}.{name}{suffix}", request)
    lost = dropped(set_, answer.get("config") or {})
    lost = [field for field in lost if not field.startswith("filter_subject")]
    if lost:
        level = max((CONSUMER_LEVELS.get(field, 0) for field in lost), default=0)
        raise too_old("consumer", name, lost, level)
    return read(ConsumerInfo, answer)


async def make_own(api: Api, stream: str, config: ConsumerConfig) -> ConsumerInfo:
    """Create a consumer that only its maker uses. If the maker does not wait for its end, or the
    server's word does not come, it is deleted in the background: else it would stay for minutes.

    Raises:
        StreamNotFoundError, JetStreamError, NatsTimeoutError, PermissionsError,
            ConnectionClosedError: as `make`.
    """
    name = config.name or ""
    making = api.spawn(make(api, stream, wire_config(config, name), "create", set_={}))
    try:
        return await asyncio.shield(making)
    except (asyncio.CancelledError, NatsTimeoutError):
        if not making.cancelling():  # else the loop itself ends
            api.spawn(_unmake(api, stream, name, making))
        raise


async def _unmake(api: Api, stream: str, name: str, making: asyncio.Task[ConsumerInfo]) -> None:
    """A server in a cluster does not keep the order of both, so one is behind the other."""
    await asyncio.wait({making})
    await delete(api, stream, name)


def too_old(kind: str, name: str, fields: list[str], level: int) -> JetStreamError:
    """The error for fields that the server did not take: it made the thing without them."""
    listed = ", ".join(f"{field}=" for field in fields)
    if level:
        error = lacking(listed, level)
        return JetStreamError(f"{kind} {name!r} is there, but without {listed}: {error}", code=412)
    return JetStreamError(f"{kind} {name!r} is there, but the server did not take {listed}")


async def delete(api: Api, stream: str, consumer: str) -> None:
    """Delete a consumer of ours, if it can be told now; else it goes by its inactivity."""
    if api.link.is_connected and not api.link.is_closed:
        with contextlib.suppress(NatsError):
            await api.call(f"CONSUMER.DELETE.{stream}.{consumer}", timeout=_DELETE_TIMEOUT)
