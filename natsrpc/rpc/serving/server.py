"""Runs services on a connection: start, drain, stop.

The order is the promise. Starting: lifespan, dependencies, endpoints, attachments (discovery), and
one flush, after which every request sent reaches a handler. Draining: interest is withdrawn and
what the server still delivers is served, handlers end and are answered, attachments go, a flush
pushes the last replies out, then lifespan and dependencies are left. Only when the drain timeout
runs out is anything answered 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol, Self

from natsrpc import codecs
from natsrpc.core import AsyncError, Connection, ConnectionEvent, Subscription, random_text
from natsrpc.errors import ConfigError, NatsError, PermissionsError

from ..contract import compose
from ..headers import cancel_subject
from ..streams import Allowance, large_subject
from .endpoint import Endpoint
from .invoke import Dependencies, Invoker, Threads
from .service import Handler, Service, check_overlap
from .slots import Gate

logger = logging.getLogger("natsrpc.rpc")

ID_SIZE = 22
"""Characters of a running service's id, as long as those of other implementations."""

THREADS = 32
"""Plain handlers that run at once in one server."""

WITHDRAWAL = 1.0
"""Seconds that taking interest back may always take, whatever the time for draining is."""

FLUSH = 5.0
"""Seconds that pushing the last replies out may take."""


class Attachment(Protocol):
    """Something that lives as long as a running service, such as discovery."""

    async def start(self) -> None:
        """Called when the endpoints are subscribed, before the flush."""

    async def drain(self) -> None:
        """Called when the endpoints are drained."""


class RunningService:
    """One service on one connection, with its own id and counters."""

    def __init__(self, connection: Connection, service: Service, threads: Threads) -> None:
        self.service = service
        self.contract = service.contract
        self.id = random_text(ID_SIZE).decode()
        self.started = datetime.now(UTC)
        self.endpoints: list[Endpoint] = []
        self.state: Any = None
        self._connection = connection
        self._threads = threads
        self._gates: dict[tuple[int, bool], Gate] = {}
        self._dependencies = Dependencies(service.overrides)
        self._subscriptions: list[Subscription] = []
        self._by_subscription: dict[Subscription, Endpoint] = {}
        self._optional: list[Subscription] = []
        self._cancellations: list[Subscription] = []
        self.allowance = Allowance(service.max_body)
        self._attachments: list[Attachment] = []
        self._lifespan = contextlib.AsyncExitStack()

    @property
    def inflight(self) -> int:
        """Requests that run or wait."""
        return sum(endpoint.inflight for endpoint in self.endpoints)

    def reset(self) -> None:
        """Zero the counters, as ADR-32's reset does."""
        self.started = datetime.now(UTC)
        for endpoint in self.endpoints:
            endpoint.reset()

    async def start(self) -> None:
        """Enter the lifespan, subscribe everything."""
        try:
            if self.service.lifespan is not None:
                manager = self.service.lifespan(self.service)
                self.state = await self._lifespan.enter_async_context(manager)
            self._lifespan.push_async_callback(self._dependencies.stop)
            await self._dependencies.start([handler.plan for handler in self.service.handlers])
            self.endpoints = [self._make(handler) for handler in self.service.handlers]
            for endpoint in self.endpoints:
                self._subscribe(endpoint)
            self.service.on_added.append(self._add)
            codecs.load()  # each request names its own
            for prepare in before_start:
                prepare()
            for factory in attachments:
                attachment = factory(self._connection, self)
                await attachment.start()
                self._attachments.append(attachment)
        except BaseException:
            await self.drain(0.0)
            raise

    def _gate(self, depth: int, *, streams: bool) -> Gate:
        """The slots of a depth. Streams have their own: they may last for days, and must not keep
        calls from running.
        """
        key = depth, streams
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = Gate(self.service.max_concurrency)
        return gate

    def _make(self, handler: Handler) -> Endpoint:
        endpoint = Endpoint(
            self._connection,
            self.contract,
            handler.contract,
            handler.plan,
            handler.limits,
            codec=self.service.codec,
            gates=partial(self._gate, streams=handler.contract.kind != "unary"),
            allowance=self.allowance,
        )
        endpoint.state = self.state
        middleware = self.service.middlewares
        if middleware or handler.plan.shape == "general":
            invoker = Invoker(handler.plan, self._dependencies, self._threads)
            endpoint.use(compose(middleware, invoker))
        return endpoint

    def _add(self, handler: Handler) -> None:
        """Serve an endpoint that was added while running."""
        if any(each.scope == "app" for _, each in handler.plan.dependencies):
            raise ConfigError(
                f"handler {handler.plan.name!r} needs something that lives as long as the app: "
                "add it before the service starts"
            )
        self.contract = self.service.contract
        endpoint = self._make(handler)
        self.endpoints.append(endpoint)
        self._subscribe(endpoint)

    def _subscribe(self, endpoint: Endpoint) -> None:
        contract, attach = endpoint.contract, self._connection.link.attach
        subscription = attach(contract.subject, endpoint.accept, queue_group=contract.queue_group)
        self._subscriptions.append(subscription)
        self._by_subscription[subscription] = endpoint
        # Without permission to listen there the service serves what fits one message, and calls are
        # not cancelled. Of instances that all answer, one caller could not feed each.
        if contract.kind == "unary" and contract.queue_group and self.service.max_body:
            subject = large_subject(contract.subject)
            self._optional.append(
                attach(subject, endpoint.accept_large, queue_group=contract.queue_group)
            )
        self._cancellations.append(attach(cancel_subject(contract.subject), endpoint.accept_cancel))

    def check(self) -> None:
        """Hear what the server said to the subscriptions.

        Raises:
            PermissionsError: it denied one of them.
        """
        for subscription in self._subscriptions:
            if isinstance(subscription.end_error, PermissionsError):
                raise subscription.end_error

    def note_async_error(self, event: AsyncError) -> None:
        """Count an error that the server reported of an endpoint's subscription."""
        endpoint = self._by_subscription.get(event.subscription)
        if endpoint is not None:
            endpoint.note_error(f"{type(event.error).__name__}: {event.error}")

    async def drain(self, timeout: float) -> None:
        """Take no new requests, finish those that came, and let everything go.

        What has not ended after `timeout` seconds is answered 503 and cancelled.
        """
        if self._add in self.service.on_added:
            self.service.on_added.remove(self._add)
        deadline = self._connection.link.loop.time() + timeout
        try:
            async with asyncio.timeout(max(timeout, WITHDRAWAL)):
                await asyncio.gather(*map(_drain, [*self._subscriptions, *self._optional]))
            async with asyncio.timeout_at(deadline):
                await self._idle()
        except TimeoutError:
            if self.inflight:
                name, count = self.contract.name, self.inflight
                logger.warning("service %s: %d requests are cut short", name, count)
            self.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WITHDRAWAL):
                    await self._idle()
        await asyncio.gather(*map(_drain, self._cancellations))
        for attachment in reversed(self._attachments):
            with contextlib.suppress(NatsError):
                await attachment.drain()
        self._attachments.clear()
        if self._connection.is_connected:
            with contextlib.suppress(NatsError):
                await self._connection.flush(FLUSH)
        await self._lifespan.aclose()

    def abort(self) -> None:
        """Answer all that runs or waits with 503 and cancel it."""
        for endpoint in self.endpoints:
            endpoint.abort()

    async def _idle(self) -> None:
        """Wait until nothing runs and nothing waits."""
        event = asyncio.Event()
        for gate in self._gates.values():
            gate.watch(event.set)
        while not all(gate.idle for gate in self._gates.values()):
            event.clear()
            await event.wait()


AttachmentFactory = Callable[[Connection, RunningService], Attachment]

attachments: list[AttachmentFactory] = []
"""Makes what every running service carries. The rooms above add to it, unknown to this one."""

before_start: list[Callable[[], None]] = []
"""Called before a service makes its attachments: what attaches something only then, for programs
that serve nothing not to load it."""


async def _drain(subscription: Subscription) -> None:
    with contextlib.suppress(NatsError):
        await subscription.drain()


class Server:
    """Services running on a client's connection. Made by `Client.serve`.

    Leaving it as a block drains it.
    """

    def __init__(self, connection: Connection, services: Sequence[Service]) -> None:
        if not services:
            raise ConfigError("nothing to serve: name at least one service")
        _check_services(services)
        self.connection = connection
        self._threads = Threads(THREADS)
        self.services = [RunningService(connection, each, self._threads) for each in services]
        self._drained: asyncio.Task[None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Serve. When this returns, every request sent reaches a handler.

        Raises:
            ConnectionClosedError, PermissionsError: the connection does not allow it.
        """
        started: list[RunningService] = []
        try:
            for service in self.services:
                await service.start()
                started.append(service)
            await self.connection.flush()
            for service in started:
                service.check()
        except BaseException:
            for service in reversed(started):
                await service.drain(0.0)
            raise
        self.connection.link.add_drain_hook(self._drain_early)
        self._watcher = asyncio.ensure_future(self._watch(self.connection.events()))

    async def _watch(self, events: AsyncIterator[ConnectionEvent]) -> None:
        """Pass on errors of subscriptions. A connection closed for good ends the services too."""
        async for event in events:
            if isinstance(event, AsyncError):
                for service in self.services:
                    service.note_async_error(event)
        await self.connection.wait_closed()
        await self.drain(0.0)

    async def close(self) -> None:
        """Take no new requests, answer those that came with 503, and let everything go."""
        await self.drain(0.0)

    async def abort(self) -> None:
        """Answer all that runs or waits with 503, cancel it, and push the answers out."""
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
        if self._drained is None:
            limit = self.connection.options.drain_timeout if timeout is None else timeout
            self._drained = asyncio.ensure_future(self._drain(limit))
        await asyncio.shield(self._drained)

    async def _drain_early(self) -> None:
        """For a connection that drains: be done before its own patience ends."""
        await self.drain(self.connection.options.drain_timeout * 0.9)

    async def _drain(self, timeout: float) -> None:
        self.connection.link.remove_drain_hook(self._drain_early)
        results = await asyncio.gather(
            *(service.drain(timeout) for service in self.services), return_exceptions=True
        )
        self._threads.stop()
        if self._watcher is not None and not self.connection.is_closed:
            self._watcher.cancel()
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


def _check_services(services: Sequence[Service]) -> None:
    for index, service in enumerate(services):
        if not isinstance(service, Service):
            raise ConfigError(f"{service!r} is not a Service")
        others = [c for other in services[:index] for c in other.contract.endpoints]
        for contract in service.contract.endpoints:
            check_overlap(contract, others, service.name)
