"""`connect`: a `Client` on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypedDict, Unpack

from natsrpc import codecs, core
from natsrpc.core import Connection, ConnectOptions, Opening, Options
from natsrpc.errors import ConfigError

from .client import Client
from .contract import check_inbox_prefix
from .headers import DeadlineClock, check_deadline_clock
from .settling import Settling
from .streams import MAX_BODY, PATIENCE, Patience


class OfClient(TypedDict, total=False):
    """The keyword arguments of `Client`."""

    codec: str | codecs.Codec
    """The codec that requests are written in."""

    max_body: int
    """Bytes of a reply, or of an item of a stream, that may come in frames where a message cannot
    be so large; 0 takes none."""

    open_timeout: float
    """Seconds within which a worker must acknowledge a stream, an upload or a large request."""

    presence_timeout: float
    """Seconds of silence after which the other side of a stream or large body is taken for gone."""

    progress_timeout: float
    """Seconds that a value in parts, or credit to send more, may stand still."""

    deadline_clock: DeadlineClock
    """Whether requests say only what is left of their time ("relative"), or the moment at which it
    is over, too ("wall", for synchronised clocks): then what was delayed on the way is not run."""


class ClientOptions(OfClient, ConnectOptions, total=False):
    """The keyword arguments of `natsrpc.connect` but for `options`."""


def connect(
    servers: str | Sequence[str] = core.DEFAULT_URL,
    *,
    codec: str | codecs.Codec = "json",
    max_body: int = MAX_BODY,
    open_timeout: float = PATIENCE.opening,
    presence_timeout: float = PATIENCE.presence,
    progress_timeout: float = PATIENCE.progress,
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
        open_timeout: seconds within which a worker must acknowledge a stream, an upload or a large
            request; then `UnavailableError` is raised.
        presence_timeout: seconds of silence after which the other side of a stream or large body
            is taken for gone. Both sides say every second that they are there.
        progress_timeout: seconds that a value in parts, or credit to send more, may stand still.
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
    return opening(
        servers,
        settings,
        options,
        codec=codec,
        max_body=max_body,
        open_timeout=open_timeout,
        presence_timeout=presence_timeout,
        progress_timeout=progress_timeout,
        deadline_clock=deadline_clock,
    )


def check_of_client(options: OfClient) -> None:
    """Refuse what `Client` would refuse of its options.

    Raises:
        ConfigError, UnknownCodecError: an option is refused.
    """
    codecs.get(options.get("codec", "json"))
    if (largest := options.get("max_body", MAX_BODY)) < 0:
        raise ConfigError(f"max_body is {largest!r}: expected 0 or more bytes")
    check_deadline_clock(options.get("deadline_clock", "relative"))
    Patience(
        options.get("open_timeout", PATIENCE.opening),
        options.get("presence_timeout", PATIENCE.presence),
        options.get("progress_timeout", PATIENCE.progress),
    )


def opening(
    servers: str | Sequence[str],
    settings: ConnectOptions,
    options: Options | None = None,
    settling: Settling | None = None,
    /,
    **of_client: Unpack[OfClient],
) -> Opening[Client]:
    """As `connect`, for a client that may wait by `settling`."""
    check_of_client(of_client)  # refused here, not when awaited
    of_client["codec"] = codecs.get(of_client.get("codec", "json"))

    def connect() -> Opening[Connection]:  # so that `make`, which may fail, holds no secret
        return core.connect(servers, options=options, **settings)

    check_inbox_prefix(options.inbox_prefix if options else settings.get("inbox_prefix"))

    async def make() -> Client:
        return Client(await connect(), settling=settling, **of_client)

    return Opening(make)
