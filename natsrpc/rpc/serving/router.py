"""`Router`: handlers that a module collects without a service, to be included in any.

A router only notes what is registered, in its order; `Service.include` does it again with the
service. A router that was included takes nothing more: that would be served by nobody.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar, Unpack, overload

from natsrpc.errors import ConfigError, ConfigTypeError, RpcError

from ..contract import Context, Middleware, check_errors
from ..signature import (
    Event,
    HandlerOptions,
    caller,
    check_guards,
    describe,
    located,
    place_of,
    rehearse,
)
from ..signature import names as naming
from .level import INHERIT, Level, check_options
from .objects import methods_of
from .subscribing import SubscriberOptions, check_subscribing, read
from .working import WorkerOptions, Working

if TYPE_CHECKING:
    from .shapes import Subscribing

F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")
M = TypeVar("M", bound=Middleware[Context])


class Noted(NamedTuple):
    """A handler, as it was registered; `prefix` is that of the object that it is a method of."""

    function: Callable[..., Any]
    subject: str | None
    prefix: str
    options: HandlerOptions


class NotedSubscriber(NamedTuple):
    """A subscriber, as it was registered."""

    function: Callable[..., Any]
    event: str | Event[Any]
    options: SubscriberOptions


class NotedWorker(NamedTuple):
    """A worker, as it was registered."""

    function: Callable[..., Any]
    working: Working


class Included(NamedTuple):
    """A router within a router."""

    router: Router
    prefix: str


Entry = Noted | NotedSubscriber | NotedWorker | Included


class Router:
    """Handlers of one module, included in services by `service.include(router)`.

    It may be included in several services, and in one under several prefixes.

    Args:
        prefix: stands before the subjects of its handlers, after that given to `include`.
        dependencies: `Depends(...)` that run before each request, after those of the service.
        errors: error classes that all its handlers raise, besides their own.
        queue_group: that of handlers that name none; if not given, that of what it is included in.
        metadata: what INFO shows of each of its handlers, besides their own.

    Raises:
        ConfigError: an argument is refused.
    """

    def __init__(
        self,
        prefix: str = "",
        *,
        dependencies: Sequence[Any] = (),
        errors: tuple[type[RpcError], ...] = (),
        queue_group: str | None = INHERIT,
        metadata: Mapping[str, str] | None = None,
    ) -> None:
        if not isinstance(prefix, str):
            raise ConfigTypeError(f"prefix of a router is {prefix!r}: expected text")
        where = f"router {prefix!r}"
        check_options(where, {"queue_group": queue_group})
        self.prefix: str = naming.check_prefix(prefix)
        self._queue_group = queue_group
        self._guards = check_guards(where, dependencies)
        self._errors = check_errors(f"errors of {where}", errors)
        self._metadata = naming.check_metadata(metadata)
        self._middlewares: list[Middleware[Context]] = []
        self._entries: list[Entry] = []
        self._included_at = ""

    def handler(
        self, subject: str | None = None, **options: Unpack[HandlerOptions]
    ) -> Callable[[F], F]:
        """Serve the decorated function wherever this router is included.

        Args:
            subject: where it is called, below the prefixes; the function's name if not given.
            **options: those of `Service.handler`.

        Raises:
            ConfigError: anything above, or the function's signature, is refused; or this router
                was included already.
        """
        if callable(subject):
            with located(subject):
                raise ConfigTypeError(
                    f"handler takes a subject, not the function {describe(subject)!r}: write "
                    "@router.handler() with brackets"
                )

        def decorate(function: F) -> F:
            self._note(Noted(function, subject, "", options))
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
        """Have the decorated function handle an event wherever this router is included.

        Prefixes do not touch events; the router's dependencies and middleware run before it.

        Args:
            event: the event, or the subject of one.
            **options: those of `Service.subscriber`.

        Raises:
            ConfigError: anything above, or the function's signature, is refused; or this router
                was included already.
        """
        check_subscribing(event, options)

        def decorate(function: F) -> F:
            self._check_open(place_of(function))
            read(event, function)
            self._entries.append(NotedSubscriber(function, event, options))
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
        """Have the decorated function handle messages of a stream wherever this router is included.

        Prefixes do not touch them; the router's dependencies and middleware run before it.

        Args:
            event: the event, or the subject of one.
            stream: the name of the stream.
            batch: how many messages it takes at once: its parameter is then a list of them.
            **options: those of `Service.worker`.

        Raises:
            ConfigError: anything above, or the function's signature, is refused; or this router
                was included already.
        """
        working = Working(event, stream, batch, options)

        def decorate(function: F) -> F:
            self._check_open(place_of(function))
            working.read(function)
            self._entries.append(NotedWorker(function, working))
            return function

        return decorate

    def register(self, instance: object, *, prefix: str = "", api: type | None = None) -> None:
        """Serve an object's methods wherever this router is included; see `Service.register`.

        Raises:
            ConfigError: as `Service.register`; or this router was included already.
        """
        naming.check_prefix(prefix)
        for method in methods_of(instance, api):
            self._note(Noted(method.function, method.subject, prefix, method.options))

    def middleware(self, function: M) -> M:
        """Put `async def mw(context, call_next)` around its handlers, within the service's.

        Raises:
            ConfigError: it cannot be called; or this router was included already.
        """
        if not callable(function):
            raise ConfigTypeError(f"middleware is {function!r}: expected an async function")
        self._check_open(f"middleware {place_of(function)}")
        self._middlewares.append(function)
        return function

    def include(self, router: Router, prefix: str = "") -> None:
        """Take the handlers of another router, below this one's prefix and `prefix`.

        Raises:
            ConfigError: it includes this one itself, or this one was included already.
        """
        check_router(router)
        naming.check_prefix(prefix)
        if router is self or self in router.inner():
            raise ConfigError(f"{router!r} cannot be included in {self!r}: it includes that itself")
        self._check_open(repr(router))
        router.contents()
        self._entries.append(Included(router, prefix))

    def inner(self) -> list[Router]:
        """The routers that are included here, and those within them; for `include`."""
        found: list[Router] = []
        for entry in self._entries:
            if isinstance(entry, Included):
                found += [entry.router, *entry.router.inner()]
        return found

    def contents(self) -> tuple[Level, list[Entry]]:
        """What it adds to each endpoint, and all that it has; for those who include it. From now on
        nothing can be added."""
        self._included_at = self._included_at or caller()
        level = Level(
            prefix=self.prefix,
            queue_group=self._queue_group,
            guards=self._guards,
            middlewares=tuple(self._middlewares),
            errors=self._errors,
            metadata=self._metadata,
        )
        return level, self._entries

    def _note(self, noted: Noted) -> None:
        """Keep a handler, after refusing what no prefix could cure."""
        function = noted.function
        if not callable(function):
            raise ConfigError(f"a handler must be callable, not {function!r}")
        self._check_open(place_of(function))
        own_name = describe(function).rpartition(".")[2]
        below = naming.join(noted.prefix, own_name if noted.subject is None else noted.subject)
        with located(function):
            check_options(f"handler {describe(function)!r}", noted.options)
            _, tokens = naming.parse_template(naming.join(self.prefix, below))
            rehearse(function, tokens)
        self._entries.append(noted)

    def _check_open(self, what: str) -> None:
        if self._included_at:
            raise ConfigError(
                f"{what} comes too late for {self!r}, which was included already "
                f"({self._included_at}): include a router after the modules that fill it"
            )

    def __repr__(self) -> str:
        return f"<Router {self.prefix!r}, {len(self._entries)} entries>"


def check_router(router: Any) -> None:
    """Refuse what is no router.

    Raises:
        ConfigTypeError: it is none.
    """
    if not isinstance(router, Router):
        raise ConfigTypeError(f"include takes a natsrpc.Router, not {router!r}")
