"""`Level`: what endpoints have of the service, the routers and the groups around them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from natsrpc.core import check_queue_group
from natsrpc.errors import ConfigError, ConfigTypeError, RpcError

from ..contract import Context, Middleware, check_errors
from ..signature import DependsMarker, HandlerOptions, check_guards
from ..signature import names as naming

INHERIT: Any = object()
"""The queue group of the level above."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Level:
    """A place where endpoints are added. Guards (dependencies without a value), middleware and
    errors are those of all levels, from the outermost to this one."""

    prefix: str = ""
    queue_group: str | None = None
    guards: tuple[DependsMarker, ...] = ()
    middlewares: tuple[Middleware[Context], ...] = ()
    errors: tuple[type[RpcError], ...] = ()
    metadata: Mapping[str, str] = field(default_factory=dict)

    def under(self, prefix: str, queue_group: str | None = INHERIT) -> Level:
        """The same below a prefix.

        Raises:
            ConfigError, BadSubjectError, BadQueueNameError: the prefix or the group is refused.
        """
        chosen = self.queue_group if queue_group is INHERIT else queue_group
        check_queue_group(chosen or "")
        inner = naming.join(self.prefix, naming.check_prefix(prefix)) if prefix else self.prefix
        return dataclasses.replace(self, prefix=inner, queue_group=chosen)

    def guarded(self, where: str, dependencies: Sequence[Any]) -> Level:
        """The same with more dependencies; `where` names, in errors, who has them.

        Raises:
            ConfigError: one is refused.
        """
        return dataclasses.replace(self, guards=(*self.guards, *check_guards(where, dependencies)))

    def inside(self, other: Level) -> Level:
        """This one within another."""
        chosen = other.queue_group if self.queue_group is INHERIT else self.queue_group
        return Level(
            prefix=naming.join(other.prefix, self.prefix) if self.prefix else other.prefix,
            queue_group=chosen,
            guards=(*other.guards, *self.guards),
            middlewares=(*other.middlewares, *self.middlewares),
            errors=tuple(dict.fromkeys((*other.errors, *self.errors))),
            metadata={**other.metadata, **self.metadata},
        )


def check_options(where: str, options: HandlerOptions) -> None:
    """Refuse options of a handler; `where` names it in errors.

    Raises:
        ConfigError, BadQueueNameError: one is unknown, or has a value that it cannot have.
    """
    for key in options:
        if key not in HandlerOptions.__annotations__:
            known = ", ".join(HandlerOptions.__annotations__)
            raise ConfigTypeError(f"{where} has no option {key!r}; it has: {known}")
    if options.get("name"):
        naming.check_name("endpoint", options["name"] or "")
    queue_group = options.get("queue_group", INHERIT)
    check_queue_group("" if queue_group is INHERIT else queue_group or "")
    naming.check_metadata(options.get("metadata"))
    check_errors(f"errors of {where}", options.get("errors", ()))
    check_guards(where, options.get("dependencies", ()))
    check_timeout(options.get("timeout"))
    for key, least in (("max_concurrency", 1), ("max_waiting", 0)):
        value: Any = options.get(key)
        if value is not None:
            at_least(key, value, least)


def check_timeout(timeout: float | None) -> None:
    """Refuse what is no time that a handler may take.

    Raises:
        ConfigError: it is none.
    """
    if timeout is not None and not (
        isinstance(timeout, int | float) and 0 < timeout < float("inf")
    ):
        raise ConfigError(f"timeout is {timeout!r}: expected a positive number of seconds")


def at_least(name: str, value: int, least: int) -> int:
    """Refuse what is no whole number, or too small.

    Raises:
        ConfigError: it is so.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ConfigError(f"{name} is {value!r}: expected a whole number of at least {least}")
    return value
