"""`Terms`: what a request's header block asks for, read once per distinct block.

Most requests of a caller carry the same bytes (same codec, same timeout), so an endpoint keeps what
they mean in a small table keyed by the block itself and reads no header twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from natsrpc import codecs
from natsrpc.core import Headers, encode_headers
from natsrpc.errors import ConfigError, OverloadedError, UnsupportedCodecError

from ..contract import EndpointContract, Limits
from ..headers import MAX_DEPTH, NO_DEADLINE, read_control, read_depth, read_max_reply, read_timeout
from .slots import Admitted, Gate, Lane

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

MAX_TERMS = 512
"""Distinct header blocks remembered by an endpoint."""

MAX_BLOCK = 1024
"""Longer ones are read each time: no caller makes an endpoint keep megabytes."""

BoundTypes = tuple[codecs.Bound, codecs.Bound, codecs.Bound]
"""A codec bound to the types of an endpoint: request, response, item of a request stream."""


class Terms:
    """The terms of a request: its time, its depth, its codec, and the lane it is admitted by.

    `decode` reads the body, `decode_item` an item of a request stream; `encode` writes the
    response, or an item of it. `credit` is what a request that opens a stream allows at first.
    `max_reply` is the size up to which the caller takes a reply in frames, 0 if it takes none.
    `timeout` is in seconds from the socket read, `NO_DEADLINE` without one. `reply_headers` goes
    with a successful reply.
    """

    __slots__ = (
        "codec",
        "credit",
        "decode",
        "decode_item",
        "depth",
        "encode",
        "lane",
        "max_reply",
        "reply_headers",
        "timeout",
    )

    def __init__(
        self,
        lane: Lane,
        codec: codecs.Codec,
        bound: BoundTypes,
        *,
        timeout: float,
        depth: int,
        credit: int | None,
        max_reply: int,
        reply_headers: bytes,
    ) -> None:
        self.lane: Lane = lane
        self.codec: codecs.Codec = codec
        self.decode: Callable[[bytes], Any] = bound[0].decode
        self.encode: Callable[[Any], bytes] = bound[1].encode
        self.decode_item: Callable[[bytes], Any] = bound[2].decode
        self.credit: int | None = credit
        self.max_reply: int = max_reply
        self.timeout: float = timeout
        self.depth: int = depth
        self.reply_headers: bytes = reply_headers


def shorter(asked: float | None, own: float | None) -> float:
    """The shorter of what the request asks for and what the handler allows."""
    return min(NO_DEADLINE if asked is None else asked, NO_DEADLINE if own is None else own)


def read_credit(headers: Headers) -> int | None:
    """The credit of a request that opens a stream; None for any other."""
    found = read_control(headers)
    return found[1] if found is not None and found[0] == "open" else None


class TermsBook:
    """The header blocks an endpoint has read (`b""` is none), and the lanes they led to.

    `start` is what lanes run a request with that waited.
    """

    def __init__(
        self,
        contract: EndpointContract,
        limits: Limits,
        codec: codecs.Codec,
        gates: Callable[[int], Gate],
        start: Callable[[Admitted], None],
    ) -> None:
        self.known: dict[bytes, Terms] = {}
        self.lanes: dict[int, Lane] = {}
        self._contract = contract
        self._limits = limits
        self._codec = codec
        self._gates = gates
        self._start = start
        self._bound: dict[str, BoundTypes] = {}
        self._plain = self._make(codec, Headers(), 0)
        self.known[b""] = self._plain

    def read(self, block: bytes, headers: Headers) -> Terms:
        """The terms of a header block that was not seen before; they are remembered.

        Raises:
            UnsupportedCodecError: its codec is unknown, or cannot carry the handler's types.
            OverloadedError: it comes from too deep in a chain of calls.
        """
        content_type = headers.get("Content-Type")
        codec = self._codec if content_type is None else codecs.by_content_type(content_type)
        if codec is None:
            raise UnsupportedCodecError(f"unknown content type {content_type!r}")
        depth = read_depth(headers)
        if depth >= MAX_DEPTH:
            raise OverloadedError(f"call chain of {depth} calls is taken for a loop")
        try:
            terms = self._make(codec, headers, depth)
        except ConfigError as error:
            name = self._contract.name
            logger.warning("endpoint %r cannot speak %r: %s", name, codec.name, error)
            text = f"endpoint {name!r} cannot be called with {content_type!r}"
            raise UnsupportedCodecError(text) from None
        if len(block) <= MAX_BLOCK:
            if len(self.known) >= MAX_TERMS:
                self.known.clear()
                self.known[b""] = self._plain
            self.known[block] = terms
        return terms

    def _make(self, codec: codecs.Codec, headers: Headers, depth: int) -> Terms:
        # A caller that named its codec knows it; one that did not is told, unless it is JSON.
        told = codec.name == "json" or headers.get("Content-Type") is not None
        reply_headers = {} if told else {"Content-Type": codec.content_type}
        return Terms(
            self._lane(depth),
            codec,
            self._bind(codec),
            timeout=shorter(read_timeout(headers), self._limits.timeout),
            depth=depth + 1,
            credit=read_credit(headers),
            max_reply=read_max_reply(headers),
            reply_headers=encode_headers(reply_headers) if reply_headers else b"",
        )

    def _lane(self, depth: int) -> Lane:
        lane = self.lanes.get(depth)
        if lane is None:
            limits = self._limits
            gate = self._gates(depth)
            lane = Lane(gate, limits.max_concurrency, limits.max_waiting, self._start)
            self.lanes[depth] = lane
        return lane

    def _bind(self, codec: codecs.Codec) -> BoundTypes:
        bound = self._bound.get(codec.content_type)
        if bound is None:
            bind, contract = codec.bind, self._contract
            bound = (
                bind(contract.request_type),
                bind(contract.response_type),
                bind(contract.stream_type),
            )
            self._bound[codec.content_type] = bound
        return bound
