"""`RunningService`: one service on one connection, from its start to the end of its drain.

The order is the promise. Starting: lifespan, dependencies, endpoints, attachments (discovery), and
one flush by the server, after which every request sent reaches a handler. Draining: interest is
withdrawn and what the NATS server still delivers is served, handlers end and are answered,
attachments go, a flush pushes the last replies out, then lifespan and dependencies are left. Only
when the drain timeout runs out is anything answered 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import logging
from datetime import UTC, datetime
from functools import partial
from typing import Any, Protocol

from natsrpc import codecs
from natsrpc.core import AsyncError, Connection, Subscription, random_text
from natsrpc.errors import ConfigError, NatsError, PermissionsError

from ..contract import ServiceContract, compose
from ..headers import cancel_subject
from ..streams import Allowance, large_subject
from .definition import Definition, Handler
from .endpoint import Endpoint
from .invoke import Dependencies, Invoker, Threads
from .slots import Gate

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

ID_SIZE = 22
"""Characters of a running service's id, as long as those of other implementations."""

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

    def __init__(self, connection: Connection, definition: Definition, threads: Threads) -> None:
        self.definition = definition
        self.contract: ServiceContract = definition.contract
        self.id: str = random_text(ID_SIZE).decode()
        self.started: datetime = datetime.now(UTC)
        self.endpoints: list[Endpoint] = []
        self.state: Any = None
        self._connection = connection
        self._threads = threads
        self._gates: dict[tuple[int, bool], Gate] = {}
        self._dependencies = Dependencies(definition.overrides)
        self._subscriptions: list[Subscription] = []
        self._by_subscription: dict[Subscription, Endpoint] = {}
        self._optional: list[Subscription] = []
        self._cancellations: list[Subscription] = []
        self.allowance: Allowance = Allowance(definition.max_body)
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
            endpoint.answers.reset()

    async def start(self) -> None:
        """Enter the lifespan, subscribe everything."""
        try:
            if self.definition.lifespan is not None:
                manager = self.definition.lifespan()
                self.state = await self._lifespan.enter_async_context(manager)
            self._lifespan.push_async_callback(self._dependencies.stop)
            await self._dependencies.start([handler.plan for handler in self.definition.handlers])
            self.endpoints = [self._make(handler) for handler in self.definition.handlers]
            for endpoint in self.endpoints:
                self._subscribe(endpoint)
            self.definition.on_added.append(self._add)
            codecs.load()  # each request names its own
            # loaded with the first service that starts: programs that only call do without it
            discovery = importlib.import_module("natsrpc.discovery")
            attachment: Attachment = discovery.Discovery(self._connection, self)
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
            gate = self._gates[key] = Gate(self.definition.max_concurrency)
        return gate

    def _make(self, handler: Handler) -> Endpoint:
        endpoint = Endpoint(
            self._connection,
            self.contract,
            handler.contract,
            handler.plan,
            handler.limits,
            codec=self.definition.codec,
            gates=partial(self._gate, streams=handler.contract.kind != "unary"),
            allowance=self.allowance,
        )
        endpoint.state = self.state
        middleware = self.definition.middlewares
        if middleware or handler.plan.shape == "general":
            invoker = Invoker(handler.plan, self._dependencies, self._threads)
            endpoint.use(compose(middleware, invoker))
        return endpoint

    def _add(self, handler: Handler) -> None:
        """Serve an endpoint that was added while running."""
        if any(each.lifetime == "app" for _, each in handler.plan.dependencies):
            raise ConfigError(
                f"handler {handler.plan.name!r} needs something that lives as long as the app: "
                "add it before the service starts"
            )
        self.contract = self.definition.contract
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
        if contract.kind == "unary" and contract.queue_group and self.definition.max_body:
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
            endpoint.answers.note_error(f"{type(event.error).__name__}: {event.error}")

    async def drain(self, timeout: float) -> None:
        """Take no new requests, finish those that came, and let everything go.

        What has not ended after `timeout` seconds is answered 503 and cancelled.
        """
        if self._add in self.definition.on_added:
            self.definition.on_added.remove(self._add)
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


async def _drain(subscription: Subscription) -> None:
    with contextlib.suppress(NatsError):
        await subscription.drain()
