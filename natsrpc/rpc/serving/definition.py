"""`Definition`: all that a running service reads of the `Service` that it runs.

`Service` and `Group` fill it; `RunningService` reads it, and is told of endpoints that are added
while it runs.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

from natsrpc import codecs
from natsrpc.core import check_queue_group, overlaps
from natsrpc.errors import ConfigError

from ..contract import Context, EndpointContract, Limits, Middleware, ServiceContract
from ..signature import (
    CallPlan,
    all_dependencies,
    check_codec,
    describe,
    hashable,
    registry,
    substitute,
)
from ..signature import names as naming
from ..streams import Patience

MAX_CONCURRENCY = 256
MAX_WAITING = 1024


class Handler(NamedTuple):
    """One registered endpoint: its contract, the plan to call its function, and its limits."""

    contract: EndpointContract
    plan: CallPlan
    limits: Limits


@dataclass(slots=True, eq=False, kw_only=True)
class Definition:
    """A service as `Server` takes it.

    `overrides` maps functions named by `Depends` to their replacements in tests. `on_added` is
    called with each endpoint that is added, by those who serve it already. `lifespan` is a function of
    the client that the service is given.

    Raises:
        ConfigError: a name, a version or a limit is refused.
    """

    name: str
    version: str
    description: str
    metadata: Mapping[str, str]
    queue_group: str | None
    codec: codecs.Codec
    max_concurrency: int
    max_waiting: int
    max_body: int
    patience: Patience
    reply_prefixes: tuple[bytes, ...]
    lifespan: Callable[[Any], AbstractAsyncContextManager[Any]] | None
    handlers: list[Handler] = field(default_factory=list)
    middlewares: list[Middleware[Context]] = field(default_factory=list)
    probes: list[Callable[[], Any]] = field(default_factory=list)
    overrides: dict[Callable[..., Any], Callable[..., Any]] = field(default_factory=dict)
    on_added: list[Callable[[Handler], None]] = field(default_factory=list)
    on_dropped: list[Callable[[str], object]] = field(default_factory=list)

    def __post_init__(self) -> None:
        naming.check_name("service", self.name)
        naming.check_version(self.version)
        _at_least("max_concurrency", self.max_concurrency, 1)
        _at_least("max_waiting", self.max_waiting, 0)
        _at_least("max_body", self.max_body, 0)
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
        )

    def limits(
        self, max_concurrency: int | None, max_waiting: int | None, timeout: float | None
    ) -> Limits:
        """A handler's limits, with the service's where it names none.

        Raises:
            ConfigError: one of them is out of range.
        """
        if timeout is not None and not (
            isinstance(timeout, int | float) and 0 < timeout < float("inf")
        ):
            raise ConfigError(f"timeout is {timeout!r}: expected a positive number of seconds")
        running = self.max_concurrency if max_concurrency is None else max_concurrency
        waiting = self.max_waiting if max_waiting is None else max_waiting
        return Limits(
            max_concurrency=_at_least("max_concurrency", running, 1),
            max_waiting=_at_least("max_waiting", waiting, 0),
            timeout=timeout,
        )

    def add(self, function: Callable[..., Any], handler: Handler) -> None:
        """Take an endpoint, after checking it against those already there.

        Where the service runs already, the endpoint is served from now on.

        Raises:
            ConfigError: its types do not fit the codec, or its subject is taken.
        """
        new = handler.contract
        check_codec(handler.plan, self.codec)
        check_overlap(new, [other.contract for other in self.handlers], self.name)
        self.handlers.append(handler)
        registry.register(function, new, handler.plan)
        for serve in list(self.on_added):
            serve(handler)

    async def health(self) -> dict[str, Any]:
        """Ask every probe; see `Service.health`."""
        found: dict[str, Any] = {}
        well = True
        for probe in self.probes:
            try:
                result = probe()
                if inspect.isawaitable(result):
                    result = await result
            except Exception as error:
                result = False
                found[describe(probe)] = type(error).__name__
            well = well and result is not False
            found.setdefault(describe(probe), True if result is None else result)
        return {"status": "ok" if well else "unwell", "probes": found}

    @contextmanager
    def override(
        self, function: Callable[..., Any], replacement: Callable[..., Any]
    ) -> Iterator[None]:
        """Replace a dependency; see `Service.override`."""
        function = hashable(function)
        for handler in self.handlers:
            for each in all_dependencies(handler.plan.dependencies):
                if each.function == function:
                    substitute(each, replacement)
        before = self.overrides.get(function)
        self.overrides[function] = replacement
        try:
            yield
        finally:
            if before is None:
                self.overrides.pop(function, None)
            else:
                self.overrides[function] = before


class Servable(Protocol):
    """A service, as `Client.serve` takes it: `natsrpc.Service`."""

    @property
    def definition(self) -> Definition:
        """The data that it is served by."""
        ...


def check_overlap(new: EndpointContract, others: list[EndpointContract], service: str) -> None:
    """Refuse a second endpoint on one subject; warn where subjects of one queue group overlap.

    A queue group spans subjects: of two members that both match, the server picks one.

    Raises:
        ConfigError: the subject is taken.
    """
    for other in others:
        if not new.queue_group or new.queue_group != other.queue_group:
            continue
        if new.subject == other.subject:
            raise ConfigError(
                f"service {service!r} already serves {new.subject!r} in queue group "
                f"{new.queue_group!r}: endpoints {other.name!r} and {new.name!r} would each get "
                "only some of the requests; give one of them another subject"
            )
        if overlaps(new.subject, other.subject):
            warnings.warn(
                f"subjects {other.subject!r} and {new.subject!r} of service {service!r} overlap "
                f"in queue group {new.queue_group!r}: their endpoints steal each other's requests",
                UserWarning,
                stacklevel=6,
            )


def _at_least(name: str, value: int, least: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} is {value!r}: expected a whole number of at least {least}")
    return value
