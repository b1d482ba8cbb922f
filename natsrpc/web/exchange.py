"""One HTTP request and its response, over the callables of ASGI."""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Iterable, Mapping
from urllib.parse import quote

from starlette.types import Message, Receive, Scope, Send

from .attendant import Attendant
from .problems import MEDIA_TYPE, Problem

__all__ = ["JSON", "Exchange", "StalledError", "encoded"]

JSON = "application/json"

MAX_CHUNK = 64 * 1024
"""Bytes of a body that are given to the server at once; it takes more when these are on their way,
so that a client which does not read holds up its own answer, and memory no more than once."""

# What a service answers is shown as it is, and never run: it may be HTML that somebody else wrote.
_SAFE = b"default-src 'none'; sandbox"

STALL = 30.0
"""Seconds that a client may take nothing of its answer."""

_request_id = re.compile(rb"[!-~]{1,128}").fullmatch
_value = re.compile(r"[\t -~\x80-\xff]*").fullmatch


class StalledError(Exception):
    """The client does not read its answer."""


class Exchange:
    """A request, and the response to it, which is sent once.

    `held` is how many bytes of bodies it holds, which `Account` counts.
    """

    __slots__ = ("attendant", "headers", "held", "method", "receive", "request_id", "scope",
                 "send", "started")  # fmt: skip

    attendant: Attendant

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope: Scope = scope
        self.receive: Receive = receive
        self.send: Send = send
        self.method: str = scope["method"]
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self.started: bool = False
        self.held: int = 0
        given = self.headers.get(b"x-request-id", b"")
        self.request_id: str = given.decode() if _request_id(given) else os.urandom(16).hex()

    @property
    def path(self) -> str:
        """The path below the place where the gateway is mounted, as it came: with its `%`s."""
        scope = self.scope
        root: str = scope.get("root_path", "")
        raw = scope.get("raw_path")
        path: str = quote(scope["path"]) if raw is None else raw.decode("latin-1").partition("?")[0]
        if root and path.startswith((below := quote(root)) + "/"):
            return path[len(below) :]
        return path

    def header(self, name: bytes) -> str:
        """A header's value; empty if it did not come."""
        return self.headers.get(name, b"").decode("latin-1")

    async def respond(
        self,
        body: bytes,
        media_type: str = JSON,
        *,
        status: int = 200,
        headers: Iterable[tuple[bytes, bytes]] = (),
        policy: bytes = _SAFE,
    ) -> None:
        """Send the whole response. `policy` says what a browser may do with it."""
        own = [] if status == 204 else [(b"content-length", b"%d" % len(body))]
        if body or media_type != JSON:
            own.append((b"content-type", media_type.encode("latin-1")))
        await self.start(status, [*own, *headers], policy)
        if len(body) <= MAX_CHUNK or self.method == "HEAD":
            await self.send({"type": "http.response.body", "body": body})
            return
        for begin in range(0, len(body), MAX_CHUNK):
            await self.write(body[begin : begin + MAX_CHUNK])
        await self.end()

    async def start(
        self, status: int, headers: list[tuple[bytes, bytes]], policy: bytes = _SAFE
    ) -> None:
        """Send the beginning of the response."""
        self.started = True
        own = [
            (b"x-request-id", self.request_id.encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"content-security-policy", policy),
        ]
        message: Message = {
            "type": "http.response.start",
            "status": status,
            "headers": [*headers, *own],
        }
        await self.send(message)

    async def write(self, chunk: bytes) -> None:
        """Send a part of the body; returns when the server takes more.

        Raises:
            StalledError: it took none for too long.
        """
        try:
            async with asyncio.timeout(STALL):
                await self.send({"type": "http.response.body", "body": chunk, "more_body": True})
        except TimeoutError:
            raise StalledError from None

    async def end(self) -> None:
        """Send the end of the body."""
        await self.send({"type": "http.response.body", "body": b""})

    async def refuse(self, problem: Problem) -> None:
        """Send a problem document, if the response has not begun."""
        if not self.started:
            headers = encoded(problem.headers)
            body = problem.body(self.request_id)
            await self.respond(body, MEDIA_TYPE, status=problem.status, headers=headers)


def encoded(headers: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
    """Headers as ASGI has them. What is no value of a header in HTTP is left out."""
    return [
        (name.lower().encode("latin-1"), value.encode("latin-1"))
        for name, value in headers.items()
        if _value(value)
    ]
