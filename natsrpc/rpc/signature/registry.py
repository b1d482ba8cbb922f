"""The endpoint that each function serves, so that a client can call by handler.

Functions are held weakly: a handler that nobody keeps takes its entry with it.
"""

from __future__ import annotations

import inspect
import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

from natsrpc.errors import ConfigError

from ..contract import EndpointContract
from .layers import describe
from .plan import CallPlan


class Registered(NamedTuple):
    """An endpoint's contract, how its handler is called, and the instance it is a method of."""

    contract: EndpointContract
    plan: CallPlan
    owner: Callable[[], Any] | None = None


_by_function: weakref.WeakKeyDictionary[Any, list[Registered]] = weakref.WeakKeyDictionary()


def register(function: Callable[..., Any], contract: EndpointContract, plan: CallPlan) -> None:
    """Remember that `function` serves `contract`."""
    owner = weakref.ref(function.__self__) if inspect.ismethod(function) else None
    key = function.__func__ if inspect.ismethod(function) else function
    try:
        _by_function.setdefault(key, []).append(Registered(contract, plan, owner))
    except TypeError:
        return  # cannot be referenced weakly or hashed: it is called by subject only


def find(target: Callable[..., Any]) -> Registered:
    """The endpoint that `target` serves.

    Raises:
        ConfigError: it is no handler, or serves several subjects.
    """
    key: Any = target.__func__ if inspect.ismethod(target) else target
    try:
        entries = _by_function.get(key, [])
    except TypeError:
        entries = []
    if inspect.ismethod(target):
        mine = [e for e in entries if e.owner is not None and e.owner() is target.__self__]
        entries = mine or entries
    if not entries:
        raise ConfigError(f"{describe(target)!r} is not registered as a handler of any service")
    subjects = sorted({entry.contract.template for entry in entries})
    if len(subjects) > 1:
        raise ConfigError(
            f"{describe(target)!r} serves {', '.join(map(repr, subjects))}: call it by subject"
        )
    return entries[-1]
