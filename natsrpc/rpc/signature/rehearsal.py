"""A handler of a router is read before its whole subject is known: what no prefix could cure is
refused where it is written, and not where the router is included."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from typing import Any

from natsrpc.errors import ConfigError

from .annotations import parameters
from .markers import DependsMarker, TokenMarker
from .plan import CallPlan, dependency, plan


def rehearse(function: Callable[..., Any], tokens: dict[str, int]) -> None:
    """Read a handler's signature with the tokens that are known, and those that it may get.

    Raises:
        ConfigError: it is refused under any prefix.
    """
    known = {**dict.fromkeys(token_names(function), 0), **tokens}
    try:
        plan(function, known)
    except ConfigError:
        if not any(_passes(function, known, names) for names in _plain_names(function)):
            raise


def _passes(function: Callable[..., Any], known: dict[str, int], names: list[str]) -> bool:
    """Whether it is read if these parameters are tokens of a prefix."""
    try:
        plan(function, {**known, **dict.fromkeys(names, 0)})
    except ConfigError:
        return False
    return True


def _plain_names(function: Callable[..., Any]) -> Iterator[list[str]]:
    """The unmarked parameters, each by itself and all but one."""
    plain = [each.name for each in parameters(function)[0] if each.marker is None]
    for name in plain:
        yield [name]
        yield [other for other in plain if other != name]


def token_names(function: Callable[..., Any], path: tuple[Any, ...] = ()) -> set[str]:
    """The tokens that a function, and its dependencies, ask for by a marker."""
    found: set[str] = set()
    if function in path or not callable(function):
        return found
    for each in parameters(function)[0]:
        if isinstance(each.marker, TokenMarker):
            found.add(each.marker.name or each.name)
        elif isinstance(each.marker, DependsMarker):
            found |= token_names(each.marker.function, (*path, function))
    return found


def check_guards(where: str, guards: Any) -> tuple[DependsMarker, ...]:
    """The `dependencies` of a handler, a router or a service; `where` names it in errors.

    Raises:
        ConfigError: they are no list of `Depends(...)`, or one of them is refused.
    """
    if not isinstance(guards, list | tuple):
        raise ConfigError(f"dependencies of {where}: expected a list, as in [Depends(authorize)]")
    for guard in guards:
        if not isinstance(guard, DependsMarker):
            name = getattr(guard, "__name__", None)
            text = f"write Depends({name})" if name else "expected Depends(...)"
            raise ConfigError(f"dependencies of {where} has {guard!r}: {text}")
        dependency(guard, dict.fromkeys(token_names(guard.function), 0))
    return tuple(guards)


def guarded(
    call_plan: CallPlan, guards: tuple[DependsMarker, ...], tokens: dict[str, int]
) -> CallPlan:
    """The plan with dependencies that have no name, since no parameter takes their values; they
    come first.

    Raises:
        ConfigError: one reads a token that the subject does not have.
    """
    if not guards:
        return call_plan
    unnamed = tuple(("", dependency(guard, tokens)) for guard in guards)
    found = (*unnamed, *call_plan.dependencies)
    return dataclasses.replace(call_plan, shape="general", dependencies=found)
