"""`Server`: services that run together on one connection. Made by `Client.serve`."""

from __future__ import annotations

import asyncio
import contextlib
import importlib
from collections.abc import Sequence
from typing import Any, Self

from natsrpc.core import AsyncError, Closed, Connection, ConnectionEvent, Subscription
from natsrpc.errors import ConfigError, NatsError

from .definition import Definition, Servable, check_overlap, check_worker
from .running import FLUSH, RunningService, Served
from .threads import Threads

THREADS = 32
"""Plain handlers that run at once in one server."""


class Server:
    """Services running on a client's connection. Made by `Client.serve`.

    Leaving it as a block drains it. `client` is what the services are given to call others with.
    """

    def __init__(
        self, connection: Connection, services: Sequence[Servable], *, client: Any = None
    ) -> None:
        if not services:
            raise ConfigError("nothing to serve: name at least one service")
        definitions = _definitions(services)
        self.connection = connection
        self._threads = Threads(THREADS)
        self.services: list[RunningService] = [
            RunningService(connection, each, self._threads, client) for each in definitions
        ]
        self._drained: asyncio.Task[None] | None = None
        self._removing: set[asyncio.Task[None]] = set()

    async def start(self) -> None:
        """Serve. When this returns, every request sent reaches a handler.

        Raises:
            StreamDiffersError: a stream is not as a service declares it; nothing is started.
            ConfigError: a stream stores the subject of a handler; likewise.
            JetStreamError: a stream that is declared cannot be made, or there is no JetStream.
            PermissionsError: the server denied the subscription of an endpoint.
            MaxSubscriptionsError, ServerError: it refused one, without naming it.
            NatsTimeoutError, ConnectionClosedError: as `Connection.flush`.
        """
        await self._prepare()
        link = self.connection.link
        started: list[RunningService] = []
        subscriptions: list[Subscription] = []
        try:
            for service in self.services:
                subscriptions += await service.start()
                started.append(service)
            await link.check_accepted(*subscriptions)
            for service in started:
                service.complete()
            await link.subscribed()
            for service in started:
                service.denials.accepted()
        except BaseException:
            for service in reversed(started):
                await service.drain(0.0)
            self._threads.stop()
            raise
        link.add_drain_hook(self._drain_early)
        link.add_listener(self._hear)
        link.stalls.watch(self._hold, self._release)

    async def _prepare(self) -> None:
        """Make or check the streams that services declare, before anything of them starts."""
        definitions = [service.definition for service in self.services]
        if any(definition.is_durable for definition in definitions):
            # loaded with the first of them: other services do without JetStream
            durable = importlib.import_module("natsrpc.durable")
            await durable.prepare(self.connection, definitions)

    def _hold(self) -> None:
        """This process did not run for a while: what is read now is not started at once."""
        for service in self.services:
            service.hold()

    def _release(self) -> None:
        for service in self.services:
            service.release()

    def _hear(self, event: ConnectionEvent) -> None:
        """Pass on errors of subscriptions. A connection closed for good ends the services too."""
        if isinstance(event, AsyncError):
            for service in self.services:
                service.note_async_error(event)
        elif isinstance(event, Closed):
            self._begin_drain(0.0)

    async def close(self) -> None:
        """Take no new requests, answer those that came with 503, and let everything go."""
        await self.drain(0.0)

    async def abort(self) -> None:
        """Answer all that runs or waits with 503, cancel it, and push the answers out. What still
        comes is answered so by `drain`."""
        for service in self.services:
            service.abort()
        with contextlib.suppress(NatsError):
            await self.connection.flush(FLUSH)

    async def drain(self, timeout: float | None = None) -> None:
        """Take no new requests, finish and answer those that came, then let everything go.

        Safe to call again, and to cancel: the draining itself goes on.

        Args:
            timeout: seconds before what still runs is answered 503 and cancelled; the
                connection's `drain_timeout` if not given.
        """
        limit = self.connection.options.drain_timeout if timeout is None else timeout
        await asyncio.shield(self._begin_drain(limit))

    async def remove(self, name: str, *, timeout: float | None = None) -> None:
        """Serve one endpoint no more; the others go on.

        It is gone from listings at once. Returns when all that came for it is answered. Safe to
        cancel: the removal itself goes on. Adding an endpoint to the service serves it again.

        Args:
            name: the endpoint's name, or its subject.
            timeout: seconds before what still runs is answered 503 and cancelled; the
                connection's `drain_timeout` if not given.

        Raises:
            ConfigError: there is no such endpoint, or several share the name.
        """
        found = [(each, endpoint) for each in self.services for endpoint in each.find(name)]
        if self._drained is not None or len(found) != 1:
            raise ConfigError(self._cannot_remove(name, [endpoint for _, endpoint in found]))
        limit = self.connection.options.drain_timeout if timeout is None else timeout
        service, endpoint = found[0]
        removing = asyncio.ensure_future(service.remove(endpoint, limit))
        self._removing.add(removing)
        removing.add_done_callback(self._removing.discard)
        await asyncio.shield(removing)

    def _cannot_remove(self, name: str, found: list[Served]) -> str:
        if self._drained is not None:
            return f"cannot remove {name!r}: all endpoints are drained already"
        if found:
            subjects = ", ".join(repr(endpoint.contract.template) for endpoint in found)
            return f"cannot remove {name!r}: {subjects} have that name; remove one by its subject"
        all_ = [each.contract for service in self.services for each in service.served]
        known = ", ".join(f"{each.name} ({each.template})" for each in all_) or "none"
        return f"cannot remove {name!r}: there is no such endpoint; there are: {known}"

    def _begin_drain(self, timeout: float) -> asyncio.Task[None]:
        """The task that drains, made by the first who asks for it."""
        if self._drained is None:
            self._drained = asyncio.ensure_future(self._drain(timeout))
        return self._drained

    async def _drain_early(self) -> None:
        """For a connection that drains: be done before its own patience ends."""
        await self.drain(self.connection.options.drain_timeout * 0.9)

    async def _drain(self, timeout: float) -> None:
        link = self.connection.link
        link.remove_drain_hook(self._drain_early)
        results = await asyncio.gather(
            *(service.drain(timeout) for service in self.services), return_exceptions=True
        )
        self._threads.stop()
        link.remove_listener(self._hear)
        link.stalls.unwatch(self._hold, self._release)
        for result in results:
            if isinstance(result, BaseException):
                raise result

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.drain()

    @property
    def inflight(self) -> int:
        """Requests of all services that run or wait."""
        return sum(service.inflight for service in self.services)


def _definitions(services: Sequence[Servable]) -> list[Definition]:
    found: list[Definition] = []
    for service in services:
        definition = getattr(service, "definition", None)
        if not isinstance(definition, Definition):
            raise ConfigError(f"{service!r} is not a Service")
        others = [handler for other in found for handler in other.handlers]
        for handler in definition.handlers:
            check_overlap(handler, others, definition.name)
            check_worker(handler, others, definition.name)
        found.append(definition)
    return found
