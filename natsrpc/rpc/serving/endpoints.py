"""`Group`, and what it shares with `Service`: functions and objects become endpoints of a contract.

Everything that can be wrong about an endpoint is found here, at registration; a running service
only reads what was decided.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar, Unpack, overload

from natsrpc.errors import ConfigError, ConfigTypeError, RpcError

from ..contract import EndpointContract, check_errors
from ..headers import is_reserved
from ..signature import Event, HandlerOptions, check_guards, describe, guarded, located, plan
from ..signature import names as naming
from .definition import Definition, Handler, Registration
from .level import INHERIT, Level, check_options
from .objects import methods_of
from .router import Included, NotedSubscriber, NotedWorker, Router, check_router
from .subscribing import SubscriberOptions, check_subscribing, subscription
from .working import WorkerOptions, Working, worker

if TYPE_CHECKING:
    from .shapes import Subscribing

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")


class Endpoints:
    """The ways to add endpoints under a prefix, which `Service` and `Group` share."""

    def __init__(self, definition: Definition, level: Level) -> None:
        self._definition = definition
        self._level = level

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
        dependencies: Sequence[Any] = (),
    ) -> Callable[[F], F]:
        """Serve the decorated function, which stays what it was.

        Args:
            subject: where it is called; the function's name if not given. A part in braces, as
                in `orders.{user}.get`, takes any token, which `Token("user")` reads.
            name: the endpoint's name in listings and figures. If not given it is made from the
                subject or the function's name, and is like no other of the service. Endpoints may
                be given the same name, as ADR-32 has it: their subjects tell them apart.
            queue_group: None makes every instance answer; not given, the group's or service's.
            metadata: what INFO shows of this endpoint.
            errors: the error classes it raises, for the contract and for callers.
            max_concurrency: how many may run at once, within the service's own limit.
            max_waiting: how many may wait for a slot; more are refused with 429 at once.
            timeout: seconds after which a request is stopped, however long its caller waits.
            idempotent: it may run twice for one call, so callers may send again what they lost.
            dependencies: `Depends(...)` whose values nobody reads, as in `[Depends(authorize)]`.
                They run before the body is read: those of the service, then those of routers and
                groups, then these.

        Raises:
            ConfigError: anything above, or the function's signature, is refused.
        """
        if callable(subject):
            with located(subject):
                raise ConfigTypeError(
                    f"handler takes a subject, not the function {describe(subject)!r}: write "
                    "@service.handler() with brackets"
                )
        options: HandlerOptions = {
            "name": name,
            "queue_group": queue_group,
            "metadata": metadata,
            "errors": errors,
            "max_concurrency": max_concurrency,
            "max_waiting": max_waiting,
            "timeout": timeout,
            "idempotent": idempotent,
            "dependencies": dependencies,
        }

        def decorate(function: F) -> F:
            self._definition.add([self._handler(self._level, function, subject, options)])
            return function

        return decorate

    @overload
    def subscriber(
        self, event: Event[T], /, **options: Unpack[SubscriberOptions]
    ) -> Subscribing[T]: ...
    @overload
    def subscriber(
        self, event: str, /, **options: Unpack[SubscriberOptions]
    ) -> Callable[[F], F]: ...
    def subscriber(self, event: str | Event[Any], /, **options: Unpack[SubscriberOptions]) -> Any:
        """Handle each event with the decorated function, which stays what it was.

        It takes what a handler takes, but for streams, and returns None. Nobody can call it: what
        comes with a reply subject is an event like any other, and is not answered. Prefixes do not
        touch it; dependencies and middleware of the levels around it run before it.

        Args:
            event: an `Event`, or a subject, of which the function's parameter tells the type.
            **options: `name`, `queue_group`, `metadata`, `max_concurrency`, `max_waiting`,
                `max_waiting_bytes`, `ordered`, `timeout` and `dependencies`; each is described in
                `SubscriberOptions`.

        Raises:
            ConfigError: anything above, or the function's signature, is refused.
        """
        check_subscribing(event, options)

        def decorate(function: F) -> F:
            found = subscription(self._definition, self._level, event, function, options)
            self._definition.add([(function, found)])
            return function

        return decorate

    @overload
    def worker(
        self, event: Event[T], /, *, stream: str, **options: Unpack[WorkerOptions]
    ) -> Subscribing[T]: ...
    @overload
    def worker(
        self, event: Event[T], /, *, stream: str, batch: int, **options: Unpack[WorkerOptions]
    ) -> Subscribing[list[T]]: ...
    @overload
    def worker(
        self,
        event: str,
        /,
        *,
        stream: str,
        batch: int | None = None,
        **options: Unpack[WorkerOptions],
    ) -> Callable[[F], F]: ...
    def worker(
        self,
        event: str | Event[Any],
        /,
        *,
        stream: str,
        batch: int | None = None,
        **options: Unpack[WorkerOptions],
    ) -> Any:
        """Handle each message of a stream that has an event's subject, at least once.

        The decorated function stays what it was. It takes what a subscriber takes, and a
        `natsrpc.Delivery`, and returns None. A message is acknowledged when it has returned; if it
        raises, the message is tried again, and in the end published to the dead letters. A message
        is left at the server until there is room to handle it. Prefixes do not touch it;
        dependencies and middleware of the levels around it run before it.

        The consumer is made, or brought up to date, when the service starts.

        Args:
            event: an `Event`, or a subject, of which the function's parameter tells the type.
            stream: the name of the stream.
            batch: how many messages it takes at once: its parameter is then a list of them.
            **options: `durable`, `name`, `metadata`, `max_concurrency`, `timeout`, `ack_wait`,
                `retry`, `dead_letter`, `batch_wait` and `dependencies`; each is described in
                `WorkerOptions`.

        Raises:
            ConfigError: anything above, or the function's signature, is refused.
        """
        working = Working(event, stream, batch, options)

        def decorate(function: F) -> F:
            found = worker(self._definition, self._level, working, function)
            self._definition.add([(function, found)])
            return function

        return decorate

    def group(
        self,
        prefix: str,
        *,
        queue_group: str | None = INHERIT,
        dependencies: Sequence[Any] = (),
    ) -> Group:
        """Endpoints under a common prefix; an empty prefix adds nothing.

        `dependencies` run before each of their requests, after those of the level above.

        Raises:
            ConfigError: an argument is refused.
        """
        level = self._level.under(prefix, queue_group)
        return Group(self._definition, level.guarded(f"group {prefix!r}", dependencies))

    def register(self, instance: object, *, prefix: str = "", api: type | None = None) -> None:
        """Serve an object's methods: those marked by `natsrpc.endpoint`, or all public ones, each
        under its own name, if none is marked.

        Args:
            instance: the object; its methods are called on it.
            prefix: stands before the methods' subjects.
            api: a Protocol or class; only the methods it names are served.

        Raises:
            ConfigError: `instance` is a class, lacks a method of `api`, or has nothing to serve.
        """
        level = self._level.under(prefix)
        self._definition.add(
            [
                self._handler(level, method.function, method.subject, method.options)
                for method in methods_of(instance, api)
            ]
        )

    def include(self, router: Router, prefix: str = "") -> None:
        """Serve all that a router holds, its handlers below `prefix` and the router's own.

        Where the service runs already, they are served from now on. If anything of it is refused,
        none of its handlers is served.

        Raises:
            ConfigError: it is no router, or one of its handlers conflicts with another.
        """
        check_router(router)
        handlers: list[Registration] = []
        self._collect(self._level.under(prefix), router, handlers)
        self._definition.add(handlers)

    def _collect(self, level: Level, router: Router, handlers: list[Registration]) -> None:
        """All that a router, and those within it, add below a level."""
        inner, entries = router.contents()
        level = inner.inside(level)
        for entry in entries:
            if isinstance(entry, Included):
                self._collect(level.under(entry.prefix), entry.router, handlers)
            elif isinstance(entry, NotedSubscriber):
                handlers.append(self._subscriber(level, entry))
            elif isinstance(entry, NotedWorker):
                found = worker(self._definition, level, entry.working, entry.function)
                handlers.append((entry.function, found))
            else:
                below = level.under(entry.prefix)
                handlers.append(self._handler(below, entry.function, entry.subject, entry.options))

    def _subscriber(self, level: Level, noted: NotedSubscriber) -> Registration:
        """A subscriber of a router, with what the levels around it add."""
        found = subscription(self._definition, level, noted.event, noted.function, noted.options)
        return noted.function, found

    def _handler(
        self,
        level: Level,
        function: Callable[..., Any],
        subject: str | None,
        options: HandlerOptions,
    ) -> Registration:
        """A function as a handler at a level: all that can be wrong about it alone is found, and
        told with the place of the function."""
        with located(function):
            return self._make(level, function, subject, options)

    def _make(
        self,
        level: Level,
        function: Callable[..., Any],
        subject: str | None,
        options: HandlerOptions,
    ) -> Registration:
        own_name = describe(function).rpartition(".")[2]
        template = naming.join(level.prefix, own_name if subject is None else subject)
        full, tokens = naming.parse_template(template)
        if is_reserved(full.encode()):
            raise ConfigError(
                f"bad subject {template!r}: `_NATSRPC` is the token of what natsrpc itself sends, "
                "and reaches no handler; choose another"
            )
        call_plan = plan(function, tokens)
        where = f"handler {call_plan.name!r}"
        check_options(where, options)
        queue_group = options.get("queue_group", INHERIT)
        chosen = level.queue_group if queue_group is INHERIT else queue_group
        name = options.get("name")
        errors = check_errors(f"errors of {where}", options.get("errors", ()))
        contract = EndpointContract(
            name=name or naming.name_from(subject or "", own_name),
            subject=full,
            queue_group=chosen or "",
            metadata=naming.check_metadata({**level.metadata, **(options.get("metadata") or {})}),
            doc=inspect.getdoc(function) or "",
            request_type=call_plan.request_type,
            response_type=call_plan.response_type,
            kind=call_plan.kind,
            stream_type=call_plan.stream_type,
            errors=tuple(dict.fromkeys((*level.errors, *errors))),
            template=template,
            codec=self._definition.codec.name,
            idempotent=options.get("idempotent", False),
        )
        guards = (*level.guards, *check_guards(where, options.get("dependencies", ())))
        handler = Handler(
            contract,
            guarded(call_plan, guards, tokens),
            self._definition.limits(
                options.get("max_concurrency"), options.get("max_waiting"), options.get("timeout")
            ),
            middlewares=level.middlewares,
            is_named=name is not None,
        )
        return function, handler


class Group(Endpoints):
    """Endpoints under a common prefix, as made by `Service.group`."""
