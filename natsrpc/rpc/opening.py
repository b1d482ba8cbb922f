"""`connect`: a `Client` on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from natsrpc import codecs, core
from natsrpc.core import Opening

from .client import Client
from .streams import MAX_BODY


def connect(
    servers: str | Sequence[str] = core.DEFAULT_URL,
    *,
    codec: str | codecs.Codec = "json",
    max_body: int = MAX_BODY,
    **options: Any,
) -> Opening[Client]:
    """Connect to NATS: await it, or enter it with `async with`, which closes on leaving.

    Args:
        servers: one or more URLs.
        codec: what requests are written in.
        max_body: bytes of a reply, or of an item of a stream, that may come in frames where a
            message cannot be so large; 0 takes none.
        options: those of `natsrpc.core.connect`.

    Raises:
        ConfigError: an option is refused.
        NoServersError: no server could be reached.
        AuthorizationError: the credentials were refused.
    """
    chosen = codecs.get(codec)

    async def make() -> Client:
        return Client(await core.connect(servers, **options), codec=chosen, max_body=max_body)

    return Opening(make)
