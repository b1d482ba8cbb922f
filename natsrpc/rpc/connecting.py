"""`connect`: a `Client` on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from natsrpc import codecs, core
from natsrpc.core import ConnectOptions, Opening, Options

from .calling import DeadlineClock, check_deadline_clock
from .client import Client
from .streams import MAX_BODY


class ClientOptions(ConnectOptions, total=False):
    """The keyword arguments of `natsrpc.connect` but for `options`."""

    codec: str | codecs.Codec
    """The codec that requests are written in."""

    max_body: int
    """Bytes of a reply, or of an item of a stream, that may come in frames where a message cannot
    be so large; 0 takes none."""

    deadline_clock: DeadlineClock
    """Whether requests say only what is left of their time ("relative"), or the moment at which it
    is over, too ("wall", for synchronised clocks): then what was delayed on the way is not run."""


def connect(
    servers: str | Sequence[str] = core.DEFAULT_URL,
    *,
    codec: str | codecs.Codec = "json",
    max_body: int = MAX_BODY,
    deadline_clock: DeadlineClock = "relative",
    options: Options | None = None,
    **settings: Unpack[ConnectOptions],
) -> Opening[Client]:
    """Connect to NATS: await it, or enter it with `async with`, which closes on leaving.

    Args:
        servers: one or more URLs.
        codec: what requests are written in.
        max_body: bytes of a reply, or of an item of a stream, that may come in frames where a
            message cannot be so large; 0 takes none.
        deadline_clock: "wall" where the clocks of callers and services are synchronised: requests
            name the moment at which their time is over, too, and what was delayed on the way is
            not run.
        options: ready-made settings of the connection, instead of keyword arguments.
        **settings: those of `natsrpc.core.connect`.

    Raises:
        ConfigError: an option is refused.
        NoServersError: no server could be reached.
        AuthorizationError: the credentials were refused.
    """
    chosen = codecs.get(codec)
    check_deadline_clock(deadline_clock)

    async def make() -> Client:
        connection = await core.connect(servers, options=options, **settings)
        return Client(connection, codec=chosen, max_body=max_body, deadline_clock=deadline_clock)

    return Opening(make)
