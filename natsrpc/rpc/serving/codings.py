"""How the bodies of events are read, by their header blocks: each distinct block is read once.

Of an event's headers only `Content-Type` decides anything here. What a request says beside it (its
time, its depth, where its answer goes) means nothing to a subscriber.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from natsrpc import codecs
from natsrpc.core import Msg
from natsrpc.errors import ConfigError, HeadersTooLargeError, UnsupportedCodecError

from ..contract import EndpointContract, lasting
from ..headers import MAX_HEADERS

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

MAX_KNOWN = 512
"""Distinct header blocks remembered by a subscriber."""

MAX_BLOCK = 1024
"""Longer ones are read each time: no publisher makes a subscriber keep megabytes."""


class Coding:
    """A codec bound to the type of an event; a `Context` is made with it."""

    __slots__ = ("decode", "decode_item", "encode")

    def __init__(self, event: codecs.Bound, nothing: codecs.Bound) -> None:
        self.decode: Callable[[bytes], Any] = event.decode
        self.decode_item: Callable[[bytes], Any] = nothing.decode
        self.encode: Callable[[Any], bytes] = nothing.encode


class Codings:
    """The header blocks that a subscriber has read (`b""` is none), in `known`. `spoken` are the
    names of the codecs that events may name: all that are known if it is None."""

    def __init__(
        self,
        contract: EndpointContract,
        codec: codecs.Codec,
        spoken: frozenset[str] | None = None,
    ) -> None:
        self._contract = contract
        self._spoken = spoken
        self._by_type: dict[str, Coding] = {}
        self._unspoken: set[str] = set()
        self._plain = self._bind(codec)
        self.known: dict[bytes, Coding] = {b"": self._plain}

    def read(self, msg: Msg) -> Coding | None:
        """How a body is read whose block is not in `known`. None for what is no event, but a status
        of the server's (a consumer that pushes its messages here sends heartbeats, too).

        Raises:
            HeadersTooLargeError: the block is too large to be read.
            UnsupportedCodecError: its codec is unknown, not spoken here, or cannot carry the
                event's type.
        """
        block = msg.raw_headers
        if len(block) > MAX_HEADERS:
            raise HeadersTooLargeError(f"headers of {len(block)} bytes: at most {MAX_HEADERS}")
        if msg.status is not None and not msg.data:
            return None
        block = lasting(block)
        known = self.known.get(block)
        if known is not None:
            return known
        coding = self._by_content_type(msg.headers.get("Content-Type"))
        if len(block) <= MAX_BLOCK:
            if len(self.known) >= MAX_KNOWN:
                self.known.clear()
                self.known[b""] = self._plain
            self.known[block] = coding
        return coding

    def _by_content_type(self, content_type: str | None) -> Coding:
        if content_type is None:
            return self._plain
        codec = codecs.by_content_type(content_type)
        if codec is None:
            raise UnsupportedCodecError(f"unknown content type {content_type!r}")
        if self._spoken is not None and codec.name not in self._spoken:
            raise UnsupportedCodecError(
                f"subscriber {self._contract.name!r} does not speak {content_type!r}: "
                f"it speaks {', '.join(sorted(self._spoken))}"
            )
        try:
            return self._bind(codec)
        except ConfigError as error:
            name = self._contract.name
            if codec.name not in self._unspoken:  # said once: every event may name it
                self._unspoken.add(codec.name)
                logger.warning("subscriber %r cannot speak %r: %s", name, codec.name, error)
            text = f"subscriber {name!r} cannot read {content_type!r}"
            raise UnsupportedCodecError(text) from None

    def _bind(self, codec: codecs.Codec) -> Coding:
        found = self._by_type.get(codec.content_type)
        if found is None:
            found = Coding(codec.bind(self._contract.request_type), codec.bind(None))
            self._by_type[codec.content_type] = found
        return found
