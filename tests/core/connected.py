"""A natsrpc connection to a scripted server: what most tests of the core begin with."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple

from natsrpc.core import Connection, connect
from tests.core.harness import Peer, ScriptedServer


class Pair(NamedTuple):
    """The client, its connection as the server sees it, and the server."""

    nc: Connection
    peer: Peer
    server: ScriptedServer


@contextlib.asynccontextmanager
async def connected(
    *,
    info: Mapping[str, Any] | None = None,
    auto_pong: bool = True,
    receive_buffer: int | None = None,
    **options: Any,
) -> AsyncIterator[Pair]:
    """A client that has shaken hands. Reconnecting is quick unless `options` say otherwise."""
    quick = {"reconnect_wait": 0.01, "reconnect_jitter": 0.0}
    async with (
        ScriptedServer(info=info, receive_buffer=receive_buffer) as server,
        connect(server.url, **{**quick, **options}) as nc,
    ):
        peer = await server.accept()
        await peer.expect(b"PING")
        peer.auto_pong = server.auto_pong = auto_pong
        yield Pair(nc, peer, server)


async def sid_of(peer: Peer, subject: bytes) -> bytes:
    """The sid under which the client subscribed; skips the frames before it."""
    frame = await peer.expect(b"SUB " + subject + b" ")
    return frame.sid
