"""Typed values published to a subject that nobody answers: `Client.publish`."""

from __future__ import annotations

import functools
from collections.abc import Mapping
from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection, check_publish, encode_headers

from .blocks import with_headers


class Publisher:
    """The part of a client that publishes."""

    def __init__(self, connection: Connection, codec: codecs.Codec) -> None:
        self._link = connection.link
        self._codec = codec

    async def publish(
        self,
        subject: str,
        value: Any,
        *,
        headers: Mapping[str, str] | None,
        codec: str | codecs.Codec | None,
    ) -> None:
        """Send a value. It waits only while the connection's output is congested."""
        chosen = self._codec if codec is None else codecs.get(codec)
        data = chosen.bind(None if value is None else type(value)).encode(value)
        block = _block(chosen.content_type)
        if headers:
            block = with_headers(block, headers)
        link = self._link
        if link.outbound.congested:
            await link.writable()
        link.outbound.send(check_publish(subject), data, b"", block)


@functools.lru_cache(maxsize=64)
def _block(content_type: str) -> bytes:
    return encode_headers({"Content-Type": content_type})
