"""The endpoint that each function serves, so that a client can call by handler.

Functions are held weakly: a handler that nobody keeps takes its entry with it.
"""

from __future__ import annotations

import contextlib
import inspect
import types
import weakref
from collections.abc import Callable, Hashable
from typing import Any, NamedTuple

from natsrpc.errors import ConfigError

from ..contract import EndpointContract, Kind
from .layers import describe
from .marks import Mark, mark_of
from .names import parse_template
from .plan import CallPlan, plan


class Registered(NamedTuple):
    """An endpoint's contract, how its handler is called, and the instance it is a method of."""

    contract: EndpointContract
    plan: CallPlan
    owner: Callable[[], Any] | None = None


_by_function: weakref.WeakKeyDictionary[Any, list[Registered]] = weakref.WeakKeyDictionary()
_uncallable: weakref.WeakKeyDictionary[Any, str] = weakref.WeakKeyDictionary()
_WHAT_ELSE = {
    "event": "is a subscriber, which nobody can call: publish its event",
    "worker": "is a worker, which nobody can call: enqueue its event",
}


def register_uncallable(function: Callable[..., Any], kind: Kind) -> None:
    """Remember that `function` handles events, or messages of a stream, to say so to those who want
    to call it."""
    with contextlib.suppress(TypeError):  # cannot be referenced weakly or hashed
        key = function.__func__ if inspect.ismethod(function) else function
        _uncallable[key] = _WHAT_ELSE[kind]


def register(function: Callable[..., Any], contract: EndpointContract, plan: CallPlan) -> None:
    """Remember that `function` serves `contract`."""
    owner = weakref.ref(function.__self__) if inspect.ismethod(function) else None
    key = function.__func__ if inspect.ismethod(function) else function
    try:
        _by_function.setdefault(key, []).append(Registered(contract, plan, owner))
    except TypeError:
        return  # cannot be referenced weakly or hashed: it is called by subject only


def find(target: Callable[..., Any]) -> Registered:
    """The endpoint that `target` serves: as it is registered here or, if it is not, as its mark
    says.

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
    if not entries and (mark := mark_of(key)) is not None:
        return _as_marked(key, mark)
    if not entries:
        if isinstance(key, Hashable) and key in _uncallable:
            raise ConfigError(f"{describe(target)!r} {_uncallable[key]}")
        raise ConfigError(
            f"{describe(target)!r} is not registered as a handler of any service: decorate it; if "
            "a router has it, import the module that includes the router, or call it by subject"
        )
    subjects = sorted({entry.contract.template for entry in entries})
    if len(subjects) > 1:
        raise ConfigError(
            f"{describe(target)!r} serves {', '.join(map(repr, subjects))}: call it by subject"
        )
    return entries[-1]


def _as_marked(function: Callable[..., Any], mark: Mark) -> Registered:
    """A marked method of a class that is served elsewhere, for those who only call it."""
    template = function.__name__ if mark.subject is None else mark.subject
    subject, tokens = parse_template(template)
    first = next(iter(inspect.signature(function).parameters), "")
    bound = types.MethodType(function, object()) if first in ("self", "cls") else function
    call_plan = plan(bound, tokens)
    contract = EndpointContract(
        name=function.__name__,
        subject=subject,
        queue_group="",
        request_type=call_plan.request_type,
        response_type=call_plan.response_type,
        kind=call_plan.kind,
        stream_type=call_plan.stream_type,
        errors=tuple(mark.options.get("errors", ())),
        template=template,
        idempotent=mark.options.get("idempotent", False),
    )
    return Registered(contract, call_plan)
