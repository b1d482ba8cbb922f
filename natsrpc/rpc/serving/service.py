"""`Service`: functions and objects become endpoints of a contract.

Everything that can be wrong about an endpoint is found here, at registration; a running service
only reads what was decided.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, contextmanager
from typing import Any, NamedTuple, Protocol, TypeVar

from natsrpc import codecs
from natsrpc.core import check_queue_group, overlaps
from natsrpc.errors import ConfigError, ConfigTypeError, RpcError

from ..contract import Context, EndpointContract, Limits, Middleware, ServiceContract, check_errors
from ..signature import (
    CallPlan,
    all_dependencies,
    describe,
    plan,
    public_methods,
    registry,
    substitute,
)
from ..signature import names as naming
from ..streams import MAX_BODY

F = TypeVar("F", bound=Callable[..., Any])
M = TypeVar("M", bound=Middleware[Context])
P = TypeVar("P", bound=Callable[[], Any])

Lifespan = Callable[["Service"], AbstractAsyncContextManager[Any]]

MAX_CONCURRENCY = 256
MAX_WAITING = 1024

INHERIT: Any = object()
"""The queue group of the level above."""


class Handler(NamedTuple):
    """One registered endpoint: what it promises, how it is called, how much of it may run."""

    contract: EndpointContract
    plan: CallPlan
    limits: Limits


class Kit(Protocol):
    """Serves services for their tests."""

    def __call__(self, *services: Service, **options: Any) -> AbstractAsyncContextManager[Any]: ...


kits: list[Kit] = []
"""What `Service.test` uses. The room above puts it here, unknown to this one."""


class Endpoints:
    """What `Service` and `Group` share: the ways to add endpoints under a prefix."""

    def __init__(self, service: Service, prefix: str, queue_group: str | None) -> None:
        self._service = service
        self._prefix = prefix
        self._queue_group = queue_group

    def handler(
        self,
        subject: str | None = None,
        *,
        name: str | None = None,
        queue_group: str | None = INHERIT,
        metadata: Mapping[str, str] | None = None,
        errors: tuple[type[RpcError], ...] = (),
        max_concurrency: int | None = None,
        max_waiting: int | None = None,
        timeout: float | None = None,
        idempotent: bool = False,
    ) -> Callable[[F], F]:
        """Serve the decorated function, which stays what it was.

        Args:
            subject: where it is called; the function's name if not given. A part in braces, as
                in `orders.{user}.get`, takes any token, which `Token("user")` reads.
            name: the endpoint's name in listings; made from the subject if not given. Endpoints may
                share one, as ADR-32 has it: their subjects tell them apart.
            queue_group: None makes every instance answer; not given, the group's or service's.
            metadata: what INFO shows of this endpoint.
            errors: the error classes it raises, for the contract and for callers.
            max_concurrency: how many may run at once, within the service's own limit.
            max_waiting: how many may wait for a slot; more are refused with 429 at once.
            timeout: seconds after which a request is stopped, however long its caller waits.
            idempotent: it may run twice for one call, so callers may send again what they lost.

        Raises:
            ConfigError: anything above, or the function's signature, is refused.
        """
        if callable(subject):
            raise ConfigTypeError("handler takes a subject: write @service.handler() with brackets")

        def decorate(function: F) -> F:
            self._add(
                function,
                subject,
                name=name,
                queue_group=queue_group,
                metadata=metadata,
                errors=errors,
                limits=self._service.limits(max_concurrency, max_waiting, timeout),
                idempotent=idempotent,
            )
            return function

        return decorate

    def group(self, prefix: str, *, queue_group: str | None = INHERIT) -> Group:
        """Endpoints under a common prefix; an empty prefix adds nothing."""
        inner = naming.join(self._prefix, naming.check_prefix(prefix)) if prefix else self._prefix
        chosen = self._queue_group if queue_group is INHERIT else queue_group
        if chosen is not None:
            check_queue_group(chosen)
        return Group(self._service, inner, chosen)

    def register(self, instance: object, *, prefix: str = "", api: type | None = None) -> None:
        """Serve an object's public methods, each under its own name.

        Args:
            instance: the object; its methods are called on it.
            prefix: stands before the methods' names.
            api: a Protocol or class; only the methods it names are served.

        Raises:
            ConfigError: `instance` is a class, lacks a method of `api`, or has nothing to serve.
        """
        if inspect.isclass(instance):
            raise ConfigError(f"register an instance of {instance.__name__!r}, not the class")
        names = public_methods(api if api is not None else type(instance))
        if not names:
            raise ConfigError(f"{type(instance).__name__!r} has no public methods to serve")
        group = self.group(prefix)
        for name in names:
            method = getattr(instance, name, None)
            if not callable(method):
                raise ConfigError(f"{type(instance).__name__!r} has no method {name!r}")
            group.handler(name)(method)

    def _add(
        self,
        function: Callable[..., Any],
        subject: str | None,
        *,
        name: str | None,
        queue_group: str | None,
        metadata: Mapping[str, str] | None,
        errors: tuple[type[RpcError], ...],
        limits: Limits,
        idempotent: bool,
    ) -> None:
        own_name = describe(function).rpartition(".")[2]
        template = naming.join(self._prefix, own_name if subject is None else subject)
        full, tokens = naming.parse_template(template)
        call_plan = plan(function, tokens)
        chosen = self._queue_group if queue_group is INHERIT else queue_group
        check_queue_group(chosen or "")
        contract = EndpointContract(
            name=naming.check_name("endpoint", name or naming.name_from(subject or "", own_name)),
            subject=full,
            queue_group=chosen or "",
            metadata=naming.check_metadata(metadata),
            doc=inspect.getdoc(function) or "",
            request_type=call_plan.request_type,
            response_type=call_plan.response_type,
            kind=call_plan.kind,
            stream_type=call_plan.stream_type,
            errors=check_errors(f"errors of handler {call_plan.name!r}", errors),
            template=template,
            codec=self._service.codec.name,
            idempotent=idempotent,
        )
        self._service.add(function, Handler(contract, call_plan, limits))


class Group(Endpoints):
    """Endpoints under a common prefix, as made by `Service.group`."""


class Service(Endpoints):
    """A named, versioned set of endpoints.

    Args:
        name: letters, digits, `-` and `_`.
        version: a semantic version.
        description: what people read in listings.
        metadata: strings shown by INFO.
        queue_group: the group instances share requests in; None makes every instance answer.
        codec: what requests without a `Content-Type` are read with.
        max_concurrency: how many handlers run at once in one process; as many streams besides.
        max_waiting: how many requests of one endpoint may wait beyond that.
        max_body: bytes of a request, or of an item of a stream, that may come in frames where a
            message cannot be so large; 0 takes none.
        lifespan: a function from this service to an async context manager; what it yields is
            `Context.state`.

    Raises:
        ConfigError: an argument is refused.
    """

    def __init__(
        self,
        name: str,
        *,
        version: str,
        description: str = "",
        metadata: Mapping[str, str] | None = None,
        queue_group: str | None = "q",
        codec: str | codecs.Codec = "json",
        max_concurrency: int = MAX_CONCURRENCY,
        max_waiting: int = MAX_WAITING,
        max_body: int = MAX_BODY,
        lifespan: Lifespan | None = None,
    ) -> None:
        self.name = naming.check_name("service", name)
        self.version = naming.check_version(version)
        self.description = description
        self.metadata = naming.check_metadata(metadata)
        self.codec = codecs.get(codec)
        self.max_concurrency = _at_least("max_concurrency", max_concurrency, 1)
        self.max_waiting = _at_least("max_waiting", max_waiting, 0)
        self.max_body = _at_least("max_body", max_body, 0)
        self.lifespan = lifespan
        self.handlers: list[Handler] = []
        self.middlewares: list[Middleware[Context]] = []
        self.probes: list[Callable[[], Any]] = []
        self.overrides: dict[Callable[..., Any], Callable[..., Any]] = {}
        self.on_added: list[Callable[[Handler], None]] = []
        check_queue_group(queue_group or "")
        super().__init__(self, "", queue_group)

    @property
    def contract(self) -> ServiceContract:
        """What the service promises, as data."""
        return ServiceContract(
            name=self.name,
            version=self.version,
            description=self.description,
            metadata=self.metadata,
            queue_group=self._queue_group or "",
            endpoints=tuple(handler.contract for handler in self.handlers),
        )

    def middleware(self, function: M) -> M:
        """Put `async def mw(context, call_next)` around all handlers; the first is outermost."""
        self.middlewares.append(function)
        return function

    def probe(self, function: P) -> P:
        """Ask this function, plain or async, for the service's health.

        It is unwell if it raises or returns False; a mapping it returns is shown as it is.
        """
        self.probes.append(function)
        return function

    async def health(self) -> dict[str, Any]:
        """Ask every probe. `status` is "ok" only if all are well."""
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
        """Let `Depends(function)` call `replacement` instead, in this service: for tests.

        Raises:
            ConfigError: it cannot be called there.
        """
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

    def test(self, **options: Any) -> AbstractAsyncContextManager[Any]:
        """Serve in memory, for a test: `async with service.test() as client`.

        No server is needed, and what the client sees is what callers in production see. The options
        are those of `natsrpc.testing.serve_in_memory`.
        """
        if not kits:
            raise ConfigError("the testing kit is not loaded: import natsrpc.testing first")
        return kits[0](self, **options)

    def limits(
        self, max_concurrency: int | None, max_waiting: int | None, timeout: float | None
    ) -> Limits:
        """A handler's limits, with the service's where it names none."""
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
        try:
            self.codec.bind(new.request_type)
            self.codec.bind(new.response_type)
            self.codec.bind(new.stream_type)
        except Exception as error:
            raise ConfigError(
                f"handler {handler.plan.name!r} has a type that codec {self.codec.name!r} "
                f"cannot carry: {error}"
            ) from error
        check_overlap(new, [other.contract for other in self.handlers], self.name)
        self.handlers.append(handler)
        registry.register(function, new, handler.plan)
        for serve in list(self.on_added):
            serve(handler)

    def __repr__(self) -> str:
        return f"<Service {self.name} {self.version}, {len(self.handlers)} endpoints>"


def check_overlap(new: EndpointContract, others: list[EndpointContract], service: str) -> None:
    """Refuse a second endpoint on one subject; warn where subjects of one queue group overlap.

    A queue group spans subjects: of two members that both match, the server picks one.
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
