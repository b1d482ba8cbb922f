"""Calls that a stream answers, as server-sent events or as NDJSON: what the client's `Accept` says.

The response begins with the first item, so that an error before it still has its status; where none
comes within a second it begins without one. What ends a stream that has begun is its last event or
line. Of a stream of raw bytes, which has no such line, the connection breaks.

Ref: https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
from typing import Protocol

from natsrpc.rpc import Client

from .bodies import Bodies
from .calls import Terms, passed_on
from .exchange import Exchange
from .passing import RAW
from .problems import Problem, problem_of
from .requests import NDJSON, items_of, query_of, request_of
from .routes import Route
from .settings import Settings
from .terms import preferred

__all__ = ["EVENTS", "Streams"]

EVENTS = "text/event-stream"
JSONL = "application/jsonl"

FIRST = 1.0
"""Seconds that a response waits for the first item."""


class Format(Protocol):
    """How a stream is written."""

    beat: bytes
    """What is sent now and then where no item comes; nothing if it is empty."""

    end: bytes
    """What is sent behind the last item."""

    def item(self, data: bytes) -> bytes:
        """One item."""
        ...

    def problem(self, problem: Problem, request_id: str) -> bytes:
        """The error that ended the stream; nothing if it cannot be written."""
        ...


class Events:
    """Server-sent events: an item is a message, `end` the event of the end, `problem` an error."""

    beat = b": still here\n\n"
    end = b"event: end\ndata: {}\n\n"

    def __init__(self, *, raw: bool) -> None:
        self._raw = raw

    def item(self, data: bytes) -> bytes:
        """A message; of raw bytes as base64."""
        if self._raw:
            data = base64.b64encode(data)
        elif b"\n" in data or b"\r" in data:
            data = b"\ndata: ".join(data.splitlines())
        return b"data: %b\n\n" % data

    def problem(self, problem: Problem, request_id: str) -> bytes:
        """The event that holds a problem document."""
        return b"event: problem\ndata: %b\n\n" % problem.body(request_id)


class Lines:
    """NDJSON: a line for each item, and for an error a last one, `{"$problem": {...}}`."""

    beat = b""
    end = b""

    def item(self, data: bytes) -> bytes:
        """A line. Line ends within JSON are white space."""
        if b"\n" in data or b"\r" in data:
            data = data.replace(b"\n", b" ").replace(b"\r", b" ")
        return data + b"\n"

    def problem(self, problem: Problem, request_id: str) -> bytes:
        """The line that holds a problem document."""
        return b'{"$problem":%b}\n' % problem.body(request_id)


class Bytes:
    """Raw bytes, one item behind the other."""

    beat = b""
    end = b""

    def item(self, data: bytes) -> bytes:
        """An item as it is."""
        return data

    def problem(self, problem: Problem, request_id: str) -> bytes:
        """Nothing: it would be taken for an item."""
        return b""


class Streams:
    """Makes the calls of a gateway that a stream answers."""

    def __init__(self, client: Client, settings: Settings, bodies: Bodies) -> None:
        self._client = client
        self._settings = settings
        self._bodies = bodies

    async def call(self, exchange: Exchange, route: Route, terms: Terms) -> None:
        """Call an endpoint, and respond with its items as they come.

        Raises:
            Problem: the request does not fit.
            RpcError, NatsError: as `Client.stream`, where it ended before its first item.
        """
        type_, format_ = _format(exchange, route)
        if route.takes_items:
            items = passed_on(exchange, items_of(exchange, route, self._bodies))
            body: bytes | bytearray = query_of(exchange, route)
        else:
            items, body = None, await request_of(exchange, route, self._bodies)
            exchange.attendant.received()
        contract, tokens = route.aim(terms.tokens)
        stream = self._client.stream(
            contract,
            body,
            items=items,
            timeout=terms.timeout,
            headers=terms.headers,
            codec=route.codec,
            tokens=tokens,
        )
        out = _Out(exchange, type_, format_)
        pulse = asyncio.ensure_future(out.pulse(self._settings.heartbeat))
        try:
            async with contextlib.aclosing(stream):
                async for item in stream:
                    await out.write(format_.item(item))
            await out.end(format_.end)
        except Exception as error:
            if not exchange.started:
                raise
            await out.fail(problem_of(error, route.where(exchange.method)))
        finally:
            pulse.cancel()


def _format(exchange: Exchange, route: Route) -> tuple[str, Format]:
    """The media type that a stream is sent as, and how it is written."""
    offered = (RAW, EVENTS) if route.gives_raw else (NDJSON, EVENTS, JSONL)
    type_ = preferred(exchange, offered)
    if type_ == EVENTS:
        return type_, Events(raw=route.gives_raw)
    return type_, Bytes() if route.gives_raw else Lines()


class _Out:
    """The response to which a stream is written, from two tasks: that of the request, and that
    which keeps a quiet one alive."""

    def __init__(self, exchange: Exchange, type_: str, format_: Format) -> None:
        self._exchange = exchange
        self._format = format_
        self._lock = asyncio.Lock()
        self._written = 0
        self._headers = [
            (b"content-type", type_.encode()),
            (b"cache-control", b"no-store"),
            (b"x-accel-buffering", b"no"),  # a proxy is not to wait for more
        ]

    async def write(self, data: bytes) -> None:
        """Write what an item is."""
        async with self._lock:
            await self._begin()
            self._written += 1
            await self._exchange.write(data)

    async def end(self, data: bytes) -> None:
        """Write the end."""
        if data:
            await self.write(data)
        async with self._lock:
            await self._begin()
            await self._exchange.end()

    async def fail(self, problem: Problem) -> None:
        """Write the error that ended the stream. Where it cannot be told the response stays without
        its end, which the client takes for what it is."""
        data = self._format.problem(problem, self._exchange.request_id)
        if data:
            await self.end(data)

    async def pulse(self, heartbeat: float) -> None:
        """Begin the response if no item comes soon; then write a sign of life now and then."""
        await asyncio.sleep(FIRST)
        async with self._lock:
            await self._begin()
        while beat := self._format.beat:
            seen = self._written
            await asyncio.sleep(heartbeat)
            if seen == self._written:
                async with self._lock:
                    await self._exchange.write(beat)

    async def _begin(self) -> None:
        if not self._exchange.started:
            await self._exchange.start(200, self._headers)
