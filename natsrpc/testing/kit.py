"""Services under test: served in memory, called as in production.

`async with service.test() as client` is `serve_in_memory` with one service. What a caller sees is
what callers in production see: the same codec, the same errors, the same deadlines; never the
handler's own exception. And a handler sees of them what it sees in production: the message, and
none of the caller's context variables. What events and durable work came to is told by
`Client.settled`, for no caller is told it.
"""

from __future__ import annotations

import contextvars
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import NoReturn, Unpack

from natsrpc import rpc
from natsrpc.core import ConnectOptions, Opening
from natsrpc.rpc import Client, ClientOptions, OfClient, Service

from .broker import Broker
from .settling import Settling


class ServingInMemory(AbstractAsyncContextManager[Client]):
    """Services that are served in memory from `async with` on, which gives their client."""

    def __init__(self, serving: AbstractAsyncContextManager[Client]) -> None:
        self._serving = serving

    async def __aenter__(self) -> Client:
        return await self._serving.__aenter__()

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        return await self._serving.__aexit__(kind, error, traceback)

    def __getattr__(self, name: str) -> NoReturn:
        raise AttributeError(
            f"this is no client yet, and has no {name!r}: write `async with service.test() as "
            f"client`, and in that block client.{name}",
            name=name,
            obj=self,
        )


def serve_in_memory(
    *services: Service, broker: Broker | None = None, **options: Unpack[ClientOptions]
) -> ServingInMemory:
    """Serve services on a broker in memory, and give a client on a connection of its own.

    Args:
        services: what is served, together, on one connection.
        broker: the broker to use, for its faults; a new one if not given.
        **options: for the client, as for `natsrpc.connect`.
    """
    return ServingInMemory(_serve(services, broker, options))


@asynccontextmanager
async def _serve(
    services: tuple[Service, ...], broker: Broker | None, options: ClientOptions
) -> AsyncIterator[Client]:
    broker = broker or Broker()
    elsewhere = partial(broker.dial, context=contextvars.Context())  # as another process
    there = rpc.connect("nats://memory:4222", **broker.options(dialer=elsewhere))
    async with there as server:
        served = rpc.unstarted(server, services)
        settling = Settling(broker, served)  # it hears of what fails at once
        await served.start()
        async with served, _client(broker, options, settling) as client:
            yield client


def _client(broker: Broker, options: ClientOptions, settling: Settling) -> Opening[Client]:
    of_client: OfClient = {}
    settings: ConnectOptions = {}
    for name, value in options.items():
        chosen: dict[str, object] = of_client if name in OfClient.__annotations__ else settings  # type: ignore[assignment]
        chosen[name] = value
    return rpc.opening(
        "nats://memory:4222", broker.options(**settings), None, settling, **of_client
    )
