"""`connect`: a `Client` on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from natsrpc import codecs, core
from natsrpc.core import ConnectOptions, Opening, Options

from .client import Client
from .streams import MAX_BODY


class ClientOptions(ConnectOptions, total=False):
    """The keyword arguments of `natsrpc.connect` but for `options`."""

    codec: str | codecs.Codec
    """The codec that requests are written in."""

    max_body: int
    """Bytes of a reply, or of an item of a stream, that may come in frames where a message cannot
    be so large; 0 takes none."""


def connect(
    servers: str | Sequence[str] = core.DEFAULT_URL,
    *,
    codec: str | codecs.Codec = "json",
    max_body: int = MAX_BODY,
    options: Options | None = None,
    **settings: Unpack[ConnectOptions],
) -> Opening[Client]:
    """Connect to NATS: await it, or enter it with `async with`, which closes on leaving.

    Args:
        servers: one or more URLs.
        codec: what requests are written in.
        max_body: bytes of a reply, or of an item of a stream, that may come in frames where a
            message cannot be so large; 0 takes none.
        options: ready-made settings of the connection, instead of keyword arguments.
        **settings: those of `natsrpc.core.connect`.

    Raises:
        ConfigError: an option is refused.
        NoServersError: no server could be reached.
        AuthorizationError: the credentials were refused.
    """
    chosen = codecs.get(codec)

    async def make() -> Client:
        connection = await core.connect(servers, options=options, **settings)
        return Client(connection, codec=chosen, max_body=max_body)

    return Opening(make)
