"""`Definition`: all that a running service reads of the `Service` that it runs.

`Service` and `Group` fill it; `RunningService` reads it, and is told of endpoints that are added
while it runs.
"""

from __future__ import annotations

import dataclasses
import inspect
import itertools
import json
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from natsrpc import codecs
from natsrpc.core import check_queue_group, overlaps
from natsrpc.errors import ConfigError

from ..contract import (
    MAX_WAITING_BYTES,
    Context,
    EndpointContract,
    EventContract,
    Limits,
    Middleware,
    ServiceContract,
)
from ..signature import (
    CallPlan,
    all_dependencies,
    check_codec,
    check_work,
    depth_of_caller,
    describe,
    identity,
    place_of,
    registry,
    substitute,
)
from ..signature import names as naming
from ..streams import Patience
from .callbacks import ServiceCallbacks
from .level import at_least, check_timeout
from .meters import Meter
from .observers import Observer

if TYPE_CHECKING:
    from natsrpc.jetstream import StreamConfig

MAX_CONCURRENCY = 256
MAX_WAITING = 1024

_LONGEST_RESULT = 4096  # characters of what a probe has returned


class Handler(NamedTuple):
    """One registered endpoint: its contract, the plan to call its function, and its limits.

    `middlewares` are those of the routers that it is in; `is_named` tells that its name was given.
    """

    contract: EndpointContract
    plan: CallPlan
    limits: Limits
    middlewares: tuple[Middleware[Context], ...] = ()
    is_named: bool = True


Registration = tuple[Callable[..., Any], Handler]
"""A function as the program has it, and the handler that it becomes."""


@dataclass(slots=True, eq=False, kw_only=True)
class Definition:
    """A service as `Server` takes it.

    `overrides` maps functions named by `Depends` (by their `identity`) to their replacements in
    tests. `on_adding` is called, by those who serve it already, with each endpoint before any of
    them is added, and may refuse it; then `on_added`. `lifespan` is a function of the client that
    the service is given.
    `meters` make, from the service's name and an endpoint's contract, what counts that endpoint's
    requests. `observers` see all that runs, the first one outermost. `on_client` are told of the
    client that the handlers are given, each time that the service starts.

    Raises:
        ConfigError: a name, a version or a limit is refused.
    """

    name: str
    version: str
    description: str
    metadata: Mapping[str, str]
    queue_group: str | None
    codec: codecs.Codec
    spoken: frozenset[str] | None
    max_concurrency: int
    max_waiting: int
    max_body: int
    patience: Patience
    reply_prefixes: tuple[bytes, ...]
    lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None
    publishes: tuple[EventContract, ...] = ()
    streams: tuple[StreamConfig, ...] = ()
    handlers: list[Handler] = field(default_factory=list)
    middlewares: list[Middleware[Context]] = field(default_factory=list)
    probes: list[Callable[[], Any]] = field(default_factory=list)
    overrides: dict[Any, Callable[..., Any]] = field(default_factory=dict)
    on_adding: list[Callable[[Handler], None]] = field(default_factory=list)
    on_added: list[Callable[[Handler], None]] = field(default_factory=list)
    on_dropped: list[Callable[[str], object]] = field(default_factory=list)
    meters: list[Callable[[str, EndpointContract], Meter]] = field(default_factory=list)
    observers: list[Observer] = field(default_factory=list)
    on_client: list[Callable[[Any], object]] = field(default_factory=list)
    callbacks: ServiceCallbacks = field(default_factory=ServiceCallbacks)

    def __post_init__(self) -> None:
        naming.check_name("service", self.name)
        naming.check_version(self.version)
        at_least("max_concurrency", self.max_concurrency, 1)
        at_least("max_waiting", self.max_waiting, 0)
        at_least("max_body", self.max_body, 0)
        check_queue_group(self.queue_group or "")

    @property
    def contract(self) -> ServiceContract:
        """The service and its endpoints, as data."""
        return ServiceContract(
            name=self.name,
            version=self.version,
            description=self.description,
            metadata=self.metadata,
            queue_group=self.queue_group or "",
            endpoints=tuple(handler.contract for handler in self.handlers),
            publishes=self.publishes,
            streams=tuple(stream.name for stream in self.streams),
        )

    @property
    def is_durable(self) -> bool:
        """Whether it needs JetStream."""
        return bool(self.streams) or any(each.contract.work for each in self.handlers)

    def limits(
        self,
        max_concurrency: int | None,
        max_waiting: int | None,
        timeout: float | None,
        max_waiting_bytes: int = MAX_WAITING_BYTES,
    ) -> Limits:
        """A handler's limits, with the service's where it names none.

        Raises:
            ConfigError: one of them is out of range.
        """
        check_timeout(timeout)
        running = self.max_concurrency if max_concurrency is None else max_concurrency
        waiting = self.max_waiting if max_waiting is None else max_waiting
        return Limits(
            max_concurrency=at_least("max_concurrency", running, 1),
            max_waiting=at_least("max_waiting", waiting, 0),
            timeout=timeout,
            max_waiting_bytes=at_least("max_waiting_bytes", max_waiting_bytes, 0),
        )

    def add(self, registrations: list[Registration]) -> None:
        """Take endpoints, all or none, after checking them against each other and those already
        there.

        Where the service runs already, they are served from now on.

        Raises:
            ConfigError: their types do not fit the codec, or their subjects are taken.
        """
        new: list[Handler] = []
        for _, handler in registrations:
            contract = handler.contract
            is_batch = contract.work is not None and contract.work.batch > 0
            check_work(handler.plan, is_worker=contract.kind == "worker", batch=is_batch)
            check_codec(handler.plan, self.codec)
            there = [*self.handlers, *new]
            check_overlap(handler, there, self.name)
            _check_subscriber(handler, there, self.name)
            check_worker(handler, there, self.name)
            named = handler if handler.is_named else _with_own_name(handler, there)
            contract = dataclasses.replace(named.contract, service=self.name)
            new.append(named._replace(contract=contract))
        for handler in new:
            for check in self.on_adding:
                check(handler)
        self.handlers += new
        for (function, _), handler in zip(registrations, new, strict=True):
            if handler.contract.kind in ("event", "worker"):
                registry.register_uncallable(function, handler.contract.kind)
            else:
                registry.register(function, handler.contract, handler.plan)
            for serve in list(self.on_added):
                serve(handler)

    def check_not_served(self, what: str) -> None:
        """Refuse, before `what` is done, a service that is served: its endpoints are made.

        Raises:
            ConfigError: it is served.
        """
        if self.on_added:
            raise ConfigError(
                f"service {self.name!r} is served already: call {what} before it is, where the "
                "service is made"
            )

    def remove(self, contract: EndpointContract) -> None:
        """Forget an endpoint, which nobody serves from the next start on; nothing happens if it is
        not here."""
        self.handlers[:] = [each for each in self.handlers if each.contract is not contract]

    async def health(self) -> dict[str, Any]:
        """Ask every probe; see `Service.health`."""
        found: dict[str, Any] = {}
        well = True
        for probe in self.probes:
            try:
                result = probe()
                if inspect.isawaitable(result):
                    result = await result
                found[describe(probe)] = True if result is None else _shown(result)
            except Exception as error:
                result = False
                found[describe(probe)] = type(error).__name__
            well = well and result is not False
        return {"status": "ok" if well else "unwell", "probes": found}

    @contextmanager
    def override(
        self, function: Callable[..., Any], replacement: Callable[..., Any]
    ) -> Iterator[None]:
        """Replace a dependency; see `Service.override`."""
        key = identity(function)
        for handler in self.handlers:
            for each in all_dependencies(handler.plan.dependencies):
                if identity(each.function) == key:
                    substitute(each, replacement)
        before = self.overrides.get(key)
        self.overrides[key] = replacement
        try:
            yield
        finally:
            if before is None:
                self.overrides.pop(key, None)
            else:
                self.overrides[key] = before


def _shown(result: object) -> object:
    """What a probe has returned if it is JSON and not too long, else its text: whatever it is, what
    is told of the health can be told."""
    try:
        if len(json.dumps(result, allow_nan=False)) <= _LONGEST_RESULT:
            return result
    except (TypeError, ValueError, RecursionError):
        pass
    return str(result)[:_LONGEST_RESULT]


class Servable(Protocol):
    """A service, as `Client.serve` takes it: `natsrpc.Service`."""

    @property
    def definition(self) -> Definition:
        """The data that it is served by."""
        ...


def check_overlap(handler: Handler, others: list[Handler], service: str) -> None:
    """Refuse a second endpoint on one subject; warn where subjects of one queue group overlap.

    A queue group spans subjects: of two members that both match, the server picks one.

    Raises:
        ConfigError: the subject is taken.
    """
    new = handler.contract
    for each in others:
        other = each.contract
        if not new.queue_group or new.queue_group != other.queue_group:
            continue
        if new.subject == other.subject:
            few, way = "requests", "give one of them another subject"
            if new.kind == "event":
                few, way = "events", "give one of them another queue_group"
                if each.plan.function is handler.plan.function:
                    way = "a prefix does not touch events: include their router once"
            raise ConfigError(
                f"service {service!r} already serves {new.subject!r} in queue group "
                f"{new.queue_group!r}: {place_of(each.plan.function)} and "
                f"{place_of(handler.plan.function)} would each get only some of the {few}; {way}"
            )
        if overlaps(new.subject, other.subject):
            warnings.warn(
                f"subjects {other.subject!r} of {place_of(each.plan.function)} and "
                f"{new.subject!r} of {place_of(handler.plan.function)} in service {service!r} "
                f"overlap in queue group {new.queue_group!r}: they steal each other's requests",
                UserWarning,
                stacklevel=depth_of_caller(),
            )


def _check_subscriber(new: Handler, others: list[Handler], service: str) -> None:
    """Refuse a second subscriber of one name: it would be in the queue group of the first.

    Raises:
        ConfigError: the name is taken.
    """
    for other in others:
        kinds = new.contract.kind, other.contract.kind
        if kinds == ("event", "event") and new.contract.name == other.contract.name:
            raise ConfigError(
                f"service {service!r} has a subscriber {new.contract.name!r} already: "
                f"{place_of(other.plan.function)} and {place_of(new.plan.function)} would share "
                "its queue group; give one of them another `name`"
            )


def check_worker(new: Handler, others: list[Handler], service: str) -> None:
    """Refuse a second worker with the consumer of the first, which would be given half of its
    messages.

    Raises:
        ConfigError: the consumer is taken.
    """
    work = new.contract.work
    for other in others:
        theirs = other.contract.work
        if work is None or theirs is None:
            continue
        if (work.stream, work.durable) == (theirs.stream, theirs.durable):
            raise ConfigError(
                f"service {service!r}: {place_of(other.plan.function)} and "
                f"{place_of(new.plan.function)} would share the consumer {work.durable!r} of "
                f"stream {work.stream!r}, and each be given only some of its messages; give one of "
                "them another `durable`"
            )


def _with_own_name(handler: Handler, others: list[Handler]) -> Handler:
    """The handler, with a name like no other's: made from its whole subject if need be."""
    taken = {each.contract.name for each in others}
    name = handler.contract.name
    if name not in taken:
        return handler
    whole = naming.name_of(handler.contract.template)
    numbered = (f"{whole}_{number}" for number in itertools.count(2))
    name = next(each for each in itertools.chain((whole,), numbered) if each not in taken)
    return handler._replace(contract=dataclasses.replace(handler.contract, name=name))
