"""Streams made, changed, found and deleted."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from natsrpc.core import check_subscribe
from natsrpc.errors import (
    ConfigTypeError,
    JetStreamError,
    StreamNameInUseError,
    StreamNotFoundError,
)

from ..api import (
    STREAM_LEVELS,
    Api,
    StreamConfig,
    StreamInfo,
    asks,
    check_name,
    dropped,
    overlay,
    read,
    write,
)
from ..consuming import too_old
from .stream import Stream

_WINDOW = "duplicate_window"


class StreamManager:
    """The streams of one JetStream. Buckets and stores are streams, too."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def create(self, config: StreamConfig) -> Stream:
        """Create a stream, as `JetStream.create_stream` describes it."""
        name = _name_in(config)
        raw = write(config)
        await self._check_level(raw)
        return self._made(raw, await self._api.call(f"STREAM.CREATE.{name}", raw))

    async def update(self, config: StreamConfig) -> Stream:
        """Change a stream, as `JetStream.update_stream` describes it."""
        name = _name_in(config)
        asked = write(config)
        await self._check_level(asked)
        there = await self._api.call(f"STREAM.INFO.{name}")
        raw = overlay(config, there.get("config") or {})
        if config.duplicate_window is None and 0 < raw.get("max_age", 0) < raw.get(_WINDOW, 0):
            # Servers fill in a window of their own, and refuse one that is longer than messages
            # are kept.
            raw[_WINDOW] = raw["max_age"]
        return self._made(asked, await self._api.call(f"STREAM.UPDATE.{name}", raw))

    async def create_or_update(self, config: StreamConfig) -> Stream:
        """Change a stream, or create it."""
        try:
            return await self.update(config)
        except StreamNotFoundError:
            try:
                return await self.create(config)
            except StreamNameInUseError:  # somebody was quicker
                return await self.update(config)

    async def _check_level(self, asked: dict[str, Any]) -> None:
        for field, level in STREAM_LEVELS.items():
            if asks(asked.get(field)):
                await self._api.require(level, f"StreamConfig({field}=...)")

    def _made(self, asked: dict[str, Any], answer: dict[str, Any]) -> Stream:
        info = read(StreamInfo, answer)
        lost = dropped(asked, answer.get("config") or {})
        if lost:
            level = max(STREAM_LEVELS.get(field, 0) for field in lost)
            raise too_old("stream", info.config.name, lost, level)
        return Stream(self._api, info)

    async def get(self, name: str) -> Stream:
        """A stream that is there."""
        check_name("stream", name)
        return Stream(self._api, read(StreamInfo, await self._api.call(f"STREAM.INFO.{name}")))

    async def delete(self, name: str) -> None:
        """Delete a stream and all it holds."""
        check_name("stream", name)
        await self._api.call(f"STREAM.DELETE.{name}")

    async def names(self, subject: str | None = None) -> AsyncIterator[str]:
        """The names of all streams, or of those whose subjects overlap with one."""
        async for page in self._api.pages("STREAM.NAMES", "streams", _by(subject)):
            for name in page:
                yield name

    async def list(self, subject: str | None = None) -> AsyncIterator[StreamInfo]:
        """All streams, or those whose subjects overlap with one."""
        async for page in self._api.pages("STREAM.LIST", "streams", _by(subject)):
            for raw in page:
                yield read(StreamInfo, raw)

    async def name_by_subject(self, subject: str) -> str:
        """The name of the one stream that has a subject."""
        found = [name async for name in self.names(subject)]
        if not found:
            raise StreamNotFoundError(f"no stream has the subject {subject!r}", code=404)
        if len(found) > 1:
            raise JetStreamError(f"several streams overlap with {subject!r}: {', '.join(found)}")
        return found[0]


def _by(subject: str | None) -> dict[str, Any]:
    if subject is None:
        return {}
    check_subscribe(subject)
    return {"subject": subject}


def _name_in(config: StreamConfig) -> str:
    if not isinstance(config, StreamConfig):
        raise ConfigTypeError(f"expected a StreamConfig, not {config!r}")
    return check_name("stream", config.name)
