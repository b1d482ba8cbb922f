"""`connect`: a blocking `Client` on a connection of its own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Unpack

from natsrpc import codecs, core, rpc
from natsrpc.core import ConnectOptions, Opening, Options
from natsrpc.errors import ConfigError
from natsrpc.rpc import MAX_BODY, PATIENCE, DeadlineClock

from .client import Client


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
    lazy: bool = False,
    **settings: Unpack[ConnectOptions],
) -> Client:
    """Connect to NATS, and give a client that blocks: `with natsrpc.sync.connect(...) as client:`.

    The callbacks `on_...` are called in the client's own thread. They may publish, and must not
    make a call with this client, which would wait for itself.

    Args:
        servers, codec, max_body, open_timeout, presence_timeout, progress_timeout, deadline_clock,
            options: as for `natsrpc.connect`.
        lazy: do not connect before the first use, or `with`. For a client at the top of a module,
            which must import where there is no server.
        **settings: those of `natsrpc.core.connect`.

    Raises:
        ConfigError: an option is refused.
        NoServersError: no server could be reached; not if `lazy`.
        AuthorizationError: the credentials were refused; not if `lazy`.
    """
    if options is None:
        options = Options.of({"servers": servers, **settings})
    elif settings or servers != core.DEFAULT_URL:
        raise ConfigError("give either options or servers and keyword arguments, not both")

    def opening() -> Opening[rpc.Client]:
        return rpc.connect(
            codec=codec,
            max_body=max_body,
            open_timeout=open_timeout,
            presence_timeout=presence_timeout,
            progress_timeout=progress_timeout,
            deadline_clock=deadline_clock,
            options=options,
        )

    opening().close()  # what is refused is refused here, and not at the first use
    client = Client(opening)
    return client if lazy else client.__enter__()
