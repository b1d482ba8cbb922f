"""`RunningService`: one service on one connection, from its start to the end of its drain.

The order is the promise. Starting: lifespan, dependencies, endpoints, which the server accepts;
then what a service can do without (large requests, cancels, discovery), and a flush, after which
every request sent reaches a handler. Draining: interest is
withdrawn and what the NATS server still delivers is served, handlers end and are answered,
attachments go, a flush pushes the last replies out, then lifespan and dependencies are left. Only
when the drain timeout runs out is anything answered 503.
"""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import importlib
import logging
import weakref
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Protocol, TypeAlias

from natsrpc import codecs
from natsrpc.core import AsyncError, Connection, Sink, Subscription, random_text
from natsrpc.errors import ConfigError, MessagesLostError, NatsError

from ..contract import Limits, ServiceContract, compose
from ..headers import cancel_subject
from ..signature import all_dependencies, describe
from ..streams import conversations_of, large_subject
from .afterwards import AfterReply
from .definition import Definition, Handler
from .denials import Denials
from .dependencies import Dependencies
from .endpoint import Endpoint
from .invoke import Invoker, keeps_thread
from .outcomes import OnFailed
from .replies import guarded
from .slots import RESERVE, Gate, Lane
from .subscriber import Subscriber
from .threads import Threads
from .works import Worker

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

ID_SIZE = 22
"""Characters of a running service's id, as long as those of other implementations."""

WITHDRAWAL = 1.0
"""Seconds that taking interest back may always take, whatever the time for draining is."""

LARGE_REPLIES = 64
"""Large replies of a service that are sent at once: at least so many, and as many as its slots."""

FLUSH = 5.0
"""Seconds that pushing the last replies out may take."""


EVENTS = "events"
"""The gate of all subscribers."""

Served: TypeAlias = Endpoint | Subscriber | Worker
"""What a service serves."""


class Attachment(Protocol):
    """Something that lives as long as a running service, such as discovery."""

    def start(self) -> None:
        """Called when the endpoints are accepted, before the last flush."""

    async def drain(self) -> None:
        """Called when the endpoints are drained."""


class RunningService:
    """One service on one connection, with its own id and counters."""

    def __init__(
        self, connection: Connection, definition: Definition, threads: Threads, client: Any
    ) -> None:
        self.definition = definition
        self.contract: ServiceContract = definition.contract
        self.id: str = random_text(ID_SIZE).decode()
        self.started: datetime = datetime.now(UTC)
        self.served: list[Served] = []
        self.on_failed: list[OnFailed] = []
        self.state: Any = None
        self._connection = connection
        self._client = client
        self._threads = threads
        self._all = conversations_of(connection.link)
        self._all.account.allow(definition.max_body)
        self._gates: dict[object, Gate] = {}
        self._is_held = self._is_aborted = False
        self._receiving = Gate(connection.link, max(RESERVE, definition.max_concurrency))
        self._sending = Gate(connection.link, max(LARGE_REPLIES, definition.max_concurrency))
        self._dependencies = Dependencies(definition.overrides, client, threads)
        self._subscriptions: list[Subscription] = []
        self._by_subscription: dict[Subscription, Served] = {}
        self._large: dict[Served, Subscription] = {}
        self._cancellations: dict[Served, Subscription] = {}
        self._leaving: list[Served] = []
        self._attachments: list[Attachment] = []
        self._can_miss: weakref.WeakSet[Subscription] = weakref.WeakSet()
        self.denials: Denials = Denials(connection, self.contract.name, lambda: self._can_miss)
        self._dropped = 0
        self._was_complete = False
        self._lifespan = contextlib.AsyncExitStack()

    @property
    def endpoints(self) -> list[Endpoint]:
        """Those that are called, of all that is served."""
        return [each for each in self.served if isinstance(each, Endpoint)]

    @property
    def subscribers(self) -> list[Subscriber]:
        """Those that events are published to."""
        return [each for each in self.served if isinstance(each, Subscriber)]

    @property
    def workers(self) -> list[Worker]:
        """Those that messages of streams are given to."""
        return [each for each in self.served if each.contract.kind == "worker"]  # type: ignore[misc]

    @property
    def inflight(self) -> int:
        """Requests, events and messages of streams that run or wait."""
        return sum(endpoint.inflight for endpoint in self._all_endpoints())

    @property
    def num_dropped(self) -> int:
        """Messages that were dropped: with a reply subject that is not answered, or to a subject of
        ours that means nothing here."""
        counts = (endpoint.answers.num_dropped for endpoint in self._all_endpoints())
        return self._dropped + sum(counts)

    def reset(self) -> None:
        """Zero the counters, as ADR-32's reset does."""
        self.started = datetime.now(UTC)
        self._dropped = 0
        for endpoint in self._all_endpoints():
            endpoint.answers.reset()

    def _all_endpoints(self) -> list[Served]:
        """Those that are served, and those that are being removed."""
        return [*self.served, *self._leaving]

    async def start(self) -> list[Subscription]:
        """Enter the lifespan and subscribe the endpoints: the subscriptions that must be accepted
        before `complete` is called."""
        try:
            for tell in self.definition.on_client:
                tell(self._client)
            if self.definition.lifespan is not None:
                manager = self.definition.lifespan(self._client)
                self.state = await self._lifespan.enter_async_context(manager)
            self._lifespan.push_async_callback(self._dependencies.stop)
            await self._dependencies.start([handler.plan for handler in self.definition.handlers])
            self.served = [self._make(handler) for handler in self.definition.handlers]
            codecs.load()  # each request names its own
            for worker in self.workers:
                await worker.prepare()
            for endpoint in self.served:
                self._subscribe(endpoint)
        except BaseException:
            await self.drain(0.0)
            raise
        return self._subscriptions

    def complete(self) -> None:
        """Subscribe what the service can do without, once its endpoints are accepted."""
        for endpoint in self.served:
            self._subscribe_optional(endpoint)
        # loaded with the first service that starts: programs that only call do without it
        discovery = importlib.import_module("natsrpc.discovery")
        attachment: Attachment = discovery.Discovery(self._connection, self)
        self._attachments.append(attachment)
        attachment.start()
        self.definition.on_adding.append(self._check_addition)
        self.definition.on_added.append(self._add)
        self._was_complete = True
        for worker in self.workers:
            worker.begin()

    def subscribe_optional(
        self,
        subject: str,
        sink: Sink,
        queue_group: str = "",
        *,
        drop: Callable[[], object] | None = None,
    ) -> Subscription:
        """Subscribe to what the service can do without: a denial is told in one log line with all
        others. What would be answered where nobody asks from is dropped; `drop` counts it."""
        sink = guarded(sink, self.definition.reply_prefixes, drop or self._drop)
        subscription = self._connection.link.attach(
            subject,
            sink,
            queue_group=queue_group,
            on_denied=lambda error: self.denials.note_optional(error, subscription),
        )
        self._can_miss.add(subscription)
        return subscription

    def _drop(self) -> None:
        self._dropped += 1

    def _gate(self, *, nested: bool, streams: bool) -> Gate:
        """The slots of one kind of requests. Streams have their own: they may last for days, and
        must not keep calls from running."""
        limit = self.definition.max_concurrency
        return self._gate_of((nested, streams), max(RESERVE, limit // 4) if nested else limit)

    def _gate_of(self, key: object, limit: int) -> Gate:
        gate = self._gates.get(key)
        if gate is None:
            gate = self._gates[key] = Gate(self._connection.link, limit)
            if self._is_held:
                gate.hold()
        return gate

    def _lane(self, endpoint: Endpoint, depth: int) -> Lane:
        """The row of an endpoint for requests of one depth."""
        streams = endpoint.contract.kind != "unary"
        gate = self._gate(nested=depth > 0, streams=streams)
        if not depth:
            return endpoint.lane(gate, None)

        def is_owed() -> bool:
            """Whether nothing else of this level runs."""
            return not any(
                each.running(depth)
                for each in self._all_endpoints()
                if isinstance(each, Endpoint) and (each.contract.kind != "unary") is streams
            )

        return endpoint.lane(gate, is_owed)

    def _make(self, handler: Handler) -> Served:
        made = self._make_of_kind(handler)
        made.state = self.state
        made.client = self._client
        made.answers.on_dropped = self.definition.on_dropped
        for meter in self.definition.meters:
            made.measure(meter(self.contract.name, handler.contract))
        for observer in reversed(self.definition.observers):
            made.observe(observer, self.on_failed)
        seen = (observer.items(handler.contract) for observer in self.definition.observers)
        middleware = [*filter(None, seen), *self.definition.middlewares, *handler.middlewares]
        if middleware or handler.plan.shape == "general":
            invoker = Invoker(handler.plan, self._dependencies, self._threads)
            after = AfterReply(self._threads, made.answers, handler.plan.name)
            around = compose(middleware, invoker.call)
            made.use(around, after, has_middleware=bool(middleware))
        return made

    def _make_of_kind(self, handler: Handler) -> Served:
        if handler.contract.kind == "event":
            return self._make_subscriber(handler)
        if handler.contract.kind == "worker":
            return self._make_worker(handler)
        return self._make_endpoint(handler)

    def _make_worker(self, handler: Handler) -> Worker:
        """Each worker has slots of its own: it is never given more than it can start."""
        limits, contract = self._limits(handler), handler.contract
        # loaded with the first worker: others do without JetStream
        durable = importlib.import_module("natsrpc.durable")
        made: Worker = durable.Worker(
            self._connection,
            self.contract,
            contract,
            handler.plan,
            limits,
            codec=self.definition.codec,
            spoken=self.definition.spoken,
            gate=self._gate_of(("worker", contract), limits.max_concurrency),
            on_failed=self.on_failed,
        )
        return made

    def _make_subscriber(self, handler: Handler) -> Subscriber:
        """Events have slots of their own: a burst of them must not keep calls from running."""
        return Subscriber(
            self._connection,
            self.contract,
            handler.contract,
            handler.plan,
            self._limits(handler),
            codec=self.definition.codec,
            spoken=self.definition.spoken,
            gate=self._gate_of(EVENTS, self.definition.max_concurrency),
            on_failed=self.on_failed,
        )

    def _make_endpoint(self, handler: Handler) -> Endpoint:
        return Endpoint(
            self._connection,
            self.contract,
            handler.contract,
            handler.plan,
            self._limits(handler),
            codec=self.definition.codec,
            spoken=self.definition.spoken,
            lanes=self._lane,
            all_=self._all,
            receiving=self._receiving,
            sending=self._sending,
            max_body=self.definition.max_body,
            patience=self.definition.patience,
            reply_prefixes=self.definition.reply_prefixes,
        )

    def _limits(self, handler: Handler) -> Limits:
        """A handler's limits; of plain ones no more run than there are threads, and the others
        wait in the row, where they expire unrun."""
        limits = handler.limits
        if not keeps_thread(handler.plan):
            return limits
        return replace(limits, max_concurrency=min(limits.max_concurrency, self._threads.limit))

    def _check_addition(self, handler: Handler) -> None:
        """Refuse an endpoint that cannot be added while running."""
        if self.definition.streams:
            durable = importlib.import_module("natsrpc.durable")
            durable.check_uncovered(self.definition.name, handler.contract, self.definition.streams)
        if handler.contract.kind == "worker":
            raise ConfigError(
                f"worker {handler.plan.name!r} needs its consumer, which is made when a service "
                "starts: add it before that"
            )
        for each in all_dependencies(handler.plan.dependencies):
            if each.lifetime == "app" and not self._dependencies.has(each):
                raise ConfigError(
                    f"handler {handler.plan.name!r} needs {describe(each.function)!r}, which lives "
                    "as long as the app: add it before the service starts"
                )

    def _add(self, handler: Handler) -> None:
        """Serve an endpoint that was added while running."""
        endpoint = self._make(handler)
        self.served.append(endpoint)
        self._note_endpoints()
        self._subscribe(endpoint)
        self._subscribe_optional(endpoint)

    def _sink(self, endpoint: Endpoint) -> Sink:
        contract = endpoint.contract
        sink: Sink = endpoint.accept if contract.kind == "unary" else endpoint.accept_stream
        if "*" in contract.subject or ">" in contract.subject:
            sink = endpoint.accept_any
        prefixes = self.definition.reply_prefixes
        return guarded(sink, prefixes, endpoint.answers.drop) if prefixes else sink

    def _subscribe(self, endpoint: Served) -> None:
        if not isinstance(endpoint, Endpoint | Subscriber):
            return  # a worker asks for its messages
        contract, attach = endpoint.contract, self._connection.link.attach
        sink = endpoint.sink if isinstance(endpoint, Subscriber) else self._sink(endpoint)
        subscription = attach(contract.subject, sink, queue_group=contract.queue_group)
        self._subscriptions.append(subscription)
        self._by_subscription[subscription] = endpoint

    def _subscribe_optional(self, endpoint: Served) -> None:
        """Listen for what comes beside an endpoint's own requests."""
        if not isinstance(endpoint, Endpoint):
            return  # nothing does: an event is one message, and nobody cancels it
        contract, subscribe = endpoint.contract, self.subscribe_optional
        if contract.subject.endswith(">"):
            return  # heads come there, too, and what is cancelled cannot be told from a value
        # Of instances that all answer, one caller could not feed each.
        if contract.kind == "unary" and contract.queue_group and self.definition.max_body:
            subject = large_subject(contract.subject)
            sink, drop = endpoint.accept_large, endpoint.answers.drop
            self._large[endpoint] = subscribe(subject, sink, contract.queue_group, drop=drop)
        subject = cancel_subject(contract.subject)
        self._cancellations[endpoint] = subscribe(subject, endpoint.accept_cancel)

    def _note_endpoints(self) -> None:
        """Tell in the contract, and so to discovery, what is served now."""
        endpoints = tuple(endpoint.contract for endpoint in self.served)
        self.contract = dataclasses.replace(self.contract, endpoints=endpoints)

    def find(self, name: str) -> list[Served]:
        """The endpoints of a name; if there are none, those of a subject."""
        by_name = [each for each in self.served if each.contract.name == name]
        return by_name or [
            each for each in self.served if name in (each.contract.subject, each.contract.template)
        ]

    async def remove(self, endpoint: Served, timeout: float) -> None:
        """Serve an endpoint no more; what came for it is finished and answered, as by `drain`."""
        self.served.remove(endpoint)
        self._leaving.append(endpoint)
        self._note_endpoints()
        self.definition.remove(endpoint.contract)
        deadline = self._connection.link.loop.time() + timeout
        own = [sub for sub, each in self._by_subscription.items() if each is endpoint]
        beside = [self._large[endpoint]] if endpoint in self._large else []
        try:
            async with asyncio.timeout(max(timeout, WITHDRAWAL)):
                if not isinstance(endpoint, Endpoint | Subscriber):
                    await endpoint.withdraw()
                await asyncio.gather(*map(_drain, [*own, *beside]))
            async with asyncio.timeout_at(deadline):
                await self._idle(endpoint)
        except TimeoutError:
            name, count = endpoint.contract.name, endpoint.inflight
            logger.warning("endpoint %s is removed: %d requests are cut short", name, count)
            endpoint.abort()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(WITHDRAWAL):
                    await self._idle(endpoint)
        if endpoint in self._cancellations:
            await _drain(self._cancellations.pop(endpoint))
        endpoint.answers.close()
        self._large.pop(endpoint, None)
        self.denials.forget(own)
        for subscription in own:
            self._subscriptions.remove(subscription)
            del self._by_subscription[subscription]
        self._leaving.remove(endpoint)
        self._dropped += endpoint.answers.num_dropped

    def hold(self) -> None:
        """Start nothing until `release`: what is read meanwhile may be old."""
        self._is_held = True
        for gate in self._gates.values():
            gate.hold()

    def release(self) -> None:
        """Undo `hold`; not after `abort`."""
        if self._is_aborted:
            return
        self._is_held = False
        for gate in self._gates.values():
            gate.release()
        for worker in self.workers:
            worker.released()

    def note_async_error(self, event: AsyncError) -> None:
        """Count an error that the server reported of an endpoint's subscription, and tell the
        service's own program of it, and of messages that were lost."""
        endpoint, error = self._by_subscription.get(event.subscription), event.error
        if endpoint is not None:
            endpoint.answers.note_error(f"{type(error).__name__}: {error}")
            self.denials.note(event)
            self._tell(endpoint.contract.subject, error)
        elif isinstance(error, MessagesLostError) and self._serves(error):
            self._tell(error.subject, error)

    def _serves(self, error: MessagesLostError) -> bool:
        subjects = (each.contract.subject for each in self._all_endpoints())
        return error.subject in subjects

    def _tell(self, subject: str, error: Exception) -> None:
        self.definition.callbacks.failed(self.contract.name, subject, error)

    async def drain(self, timeout: float) -> None:
        """Take no new requests, finish those that came, and let everything go.

        What has not ended after `timeout` seconds is answered 503 and cancelled.
        """
        if self._add in self.definition.on_added:
            self.definition.on_added.remove(self._add)
            self.definition.on_adding.remove(self._check_addition)
        deadline = self._connection.link.loop.time() + timeout
        await self.denials.stop()
        try:
            async with asyncio.timeout(max(timeout, WITHDRAWAL)):
                await asyncio.gather(
                    *map(_drain, [*self._subscriptions, *self._large.values()]),
                    *(worker.withdraw() for worker in self.workers),
                )
            if self._is_aborted:
                self.abort()  # what came until the server had heard of the end
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
        await asyncio.gather(*map(_drain, self._cancellations.values()))
        for endpoint in self.served:
            endpoint.answers.close()
        for attachment in reversed(self._attachments):
            with contextlib.suppress(NatsError):
                await attachment.drain()
        self._attachments.clear()
        if self._connection.is_connected:
            with contextlib.suppress(NatsError):
                await self._connection.flush(FLUSH)
        await self._lifespan.aclose()
        if self._was_complete:
            self._was_complete = False
            await self.definition.callbacks.done(self.contract.name)

    def abort(self) -> None:
        """Answer all that runs or waits with 503 and cancel it; drop the events that wait.

        Nothing is started any more. What the server still sends waits, until `drain` has the same
        done to it.
        """
        self._is_aborted = True
        self.hold()
        for endpoint in self._all_endpoints():
            endpoint.abort()
        for gate in self._gates.values():
            gate.attend()

    async def handled(self) -> None:
        """Wait until no event runs or waits. Cancelling it is safe."""
        if EVENTS in self._gates:
            await self._gates[EVENTS].emptied()

    async def _idle(self, endpoint: Served | None = None) -> None:
        """Wait until nothing runs and nothing waits: of the service, or of one endpoint."""
        event = asyncio.Event()
        gates = [self._receiving, self._sending, *self._gates.values()]
        for gate in gates:
            gate.watch(event.set)
        try:
            while endpoint.inflight if endpoint else not all(gate.idle for gate in gates):
                event.clear()
                await event.wait()
        finally:
            for gate in gates:
                gate.unwatch(event.set)


async def _drain(subscription: Subscription) -> None:
    with contextlib.suppress(NatsError):
        await subscription.drain()
