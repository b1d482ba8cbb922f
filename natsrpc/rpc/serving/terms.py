"""`Terms`: what a request's header block asks for, read once per distinct block.

Most requests of a caller carry the same bytes (same codec, same timeout), so an endpoint keeps what
they mean in a small table keyed by the block itself and reads no header twice. Lines that differ
with each request and ask for nothing (a trace's, a request's id) are cut out of the key.
"""

from __future__ import annotations

import copy
import logging
import time
from collections.abc import Callable
from typing import Any, NamedTuple

from natsrpc import codecs
from natsrpc.core import Headers, Msg, encode_headers
from natsrpc.errors import (
    ConfigError,
    HeadersTooLargeError,
    OverloadedError,
    UnsupportedCodecError,
)

from ..contract import EndpointContract, Limits, lasting
from ..headers import (
    MAX_DEPTH,
    MAX_HEADERS,
    NO_DEADLINE,
    read_deadline,
    read_depth,
    read_frame,
    read_max_reply,
    read_timeout,
    with_frame,
)
from .slots import Lane

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

MAX_TERMS = 512
"""Distinct header blocks remembered by an endpoint."""

MAX_BLOCK = 1024
"""Longer ones are read each time: no caller makes an endpoint keep megabytes."""

MAX_DATED = 64
"""Blocks remembered that name a moment: in a tenth of a second nobody sends them any more."""

BoundTypes = tuple[codecs.Bound, codecs.Bound, codecs.Bound]
"""A codec bound to the types of an endpoint: request, response, item of a request stream."""


class Terms:
    """The terms of a request: its time, its depth, its codec, and the lane it is admitted by.

    `decode` reads the body, `decode_item` an item of a request stream; `encode` writes the
    response, or an item of it. `credit` is what a request that opens a stream allows at first.
    `max_reply` is the size up to which the caller takes a reply in frames, 0 if it takes none.
    `timeout` is in seconds from the socket read, `NO_DEADLINE` without one. `reply_headers` goes
    with a successful reply. `headers` is the block, parsed, without what only passes through
    (`PASSING`); requests share it.
    """

    __slots__ = (
        "codec",
        "credit",
        "decode",
        "decode_item",
        "depth",
        "encode",
        "headers",
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
        credit: tuple[int, int] | None,
        max_reply: int,
        reply_headers: bytes,
        headers: Headers,
    ) -> None:
        self.lane: Lane = lane
        self.codec: codecs.Codec = codec
        self.decode: Callable[[bytes], Any] = bound[0].decode
        self.encode: Callable[[Any], bytes] = bound[1].encode
        self.decode_item: Callable[[bytes], Any] = bound[2].decode
        self.credit: tuple[int, int] | None = credit
        self.max_reply: int = max_reply
        self.timeout: float = timeout
        self.depth: int = depth
        self.reply_headers: bytes = reply_headers
        self.headers: Headers = headers

    def with_decode(self, decode: Callable[[bytes], Any]) -> Terms:
        """A copy that reads the body otherwise."""
        found = copy.copy(self)
        found.decode = decode
        return found


def shorter(asked: float | None, own: float | None) -> float:
    """The shorter of what the request asks for and what the handler allows."""
    return min(NO_DEADLINE if asked is None else asked, NO_DEADLINE if own is None else own)


def read_credit(headers: Headers) -> tuple[int, int] | None:
    """The items and bytes that a request which opens a stream allows; None for any other."""
    word, numbers = read_frame(headers) or ("", ())
    return (numbers[0], numbers[1]) if word == "open" and len(numbers) > 1 else None


class Dated(NamedTuple):
    """The terms of a block that names a moment: `until`, in `loop.time()`. Their `timeout` is set
    anew for each request, to what is left of `timeout` and until that moment."""

    terms: Terms
    timeout: float
    until: float


class TermsBook:
    """The header blocks an endpoint has read (`b""` is none), and the lanes they led to.

    `known` holds those that mean the same whenever they come, `dated` those that name a moment.
    `make_lane` gives the lane for a depth, `now` is the clock of deadlines, `spoken` are the names
    of the codecs that requests may name: all that are known if it is None.
    """

    def __init__(
        self,
        contract: EndpointContract,
        limits: Limits,
        codec: codecs.Codec,
        make_lane: Callable[[int], Lane],
        now: Callable[[], float],
        spoken: frozenset[str] | None = None,
    ) -> None:
        self.known: dict[bytes, Terms] = {}
        self.lanes: dict[int, Lane] = {}
        self._contract = contract
        self._limits = limits
        self._codec = codec
        self._spoken = spoken
        self._make_lane = make_lane
        self._now = now
        self.dated: dict[bytes, Dated] = {}
        self._bound: dict[str, BoundTypes] = {}
        self._unspoken: set[str] = set()
        self._plain = self._make(codec, Headers(), 0)
        self.known[b""] = self._plain

    def read(self, msg: Msg, read_at: float) -> Terms:
        """What a request that was read at `read_at` asks for, where its block is not in `known`.

        Its `timeout` holds until the next request.

        Raises:
            HeadersTooLargeError: the block is too large to be read.
            UnsupportedCodecError: its codec is unknown, not spoken here, or cannot carry the
                handler's types.
            OverloadedError: it comes from too deep in a chain of calls.
        """
        block = msg.raw_headers
        if len(block) > MAX_HEADERS:
            raise HeadersTooLargeError(f"headers of {len(block)} bytes: at most {MAX_HEADERS}")
        block = lasting(block)
        known = self.known.get(block)
        if known is not None:
            return known
        dated = self.dated.get(block)
        if dated is None:
            terms = self._read(Headers.decode(block))
            moment = read_deadline(terms.headers)
            if moment is None:
                self._keep(block, terms)
                return terms
            dated = Dated(terms, terms.timeout, self._now() + moment - time.time())
            if len(block) <= MAX_BLOCK:
                if len(self.dated) >= MAX_DATED:
                    del self.dated[next(iter(self.dated))]
                self.dated[block] = dated
        dated.terms.timeout = min(dated.timeout, dated.until - read_at)
        return dated.terms

    def _read(self, headers: Headers) -> Terms:
        content_type = headers.get("Content-Type")
        codec = self._codec if content_type is None else codecs.by_content_type(content_type)
        if codec is None:
            raise UnsupportedCodecError(f"unknown content type {content_type!r}")
        if self._spoken is not None and codec.name not in self._spoken:
            raise UnsupportedCodecError(
                f"endpoint {self._contract.name!r} does not speak {content_type!r}: "
                f"it speaks {', '.join(sorted(self._spoken))}"
            )
        depth = read_depth(headers)
        if depth >= MAX_DEPTH:
            raise OverloadedError(f"call chain of {depth} calls is taken for a loop")
        try:
            return self._make(codec, headers, depth)
        except ConfigError as error:
            name = self._contract.name
            if codec.name not in self._unspoken:  # said once: every message may name it
                self._unspoken.add(codec.name)
                logger.warning("endpoint %r cannot speak %r: %s", name, codec.name, error)
            text = f"endpoint {name!r} cannot be called with {content_type!r}"
            raise UnsupportedCodecError(text) from None

    def _keep(self, block: bytes, terms: Terms) -> None:
        if len(block) <= MAX_BLOCK:
            if len(self.known) >= MAX_TERMS:
                self.known.clear()
                self.known[b""] = self._plain
            self.known[block] = terms

    def _make(self, codec: codecs.Codec, headers: Headers, depth: int) -> Terms:
        # A caller that named its codec knows it; one that did not is told, unless it is JSON.
        told = codec.name == "json" or headers.get("Content-Type") is not None
        reply_headers = {} if told else {"Content-Type": codec.content_type}
        block = encode_headers(reply_headers) if reply_headers else b""
        credit = read_credit(headers)
        if credit is not None and self._contract.kind == "unary":
            block = with_frame(block, "only", 1)  # a stream was opened: this is all there is
        return Terms(
            self._lane(depth),
            codec,
            self._bind(codec),
            timeout=shorter(read_timeout(headers), self._limits.timeout),
            depth=depth + 1,
            credit=credit,
            max_reply=read_max_reply(headers),
            reply_headers=block,
            headers=headers,
        )

    def _lane(self, depth: int) -> Lane:
        lane = self.lanes.get(depth)
        if lane is None:
            lane = self.lanes[depth] = self._make_lane(depth)
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
