"""A function becomes a subscriber: what `subscriber` of services and routers does, at registration.

Everything that can be wrong about a subscriber is found here, before an event is published.
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypedDict

from natsrpc import codecs
from natsrpc.core import check_queue_group
from natsrpc.errors import ConfigError, ConfigTypeError

from ..contract import (
    KIND_KEY,
    MAX_WAITING_BYTES,
    MAX_WAITING_EVENTS,
    EndpointContract,
    check_event_subject,
)
from ..signature import (
    UNANNOTATED,
    CallPlan,
    Event,
    check_guards,
    describe,
    guarded,
    located,
    parameters,
    peel,
    plain,
    plan,
)
from ..signature import names as naming
from .definition import Definition, Handler
from .level import Level, at_least, check_timeout


class SubscriberOptions(TypedDict, total=False):
    """The keyword arguments of `Service.subscriber`."""

    name: str | None
    """The subscriber's name in listings and in its queue group; the function's own if not given.
    Another name is another group: `name` keeps it when the function is renamed."""

    queue_group: str | None
    """The instances of one group share the events. Not given, it is `<service>.<name>`, so that
    each subscriber gets each event once over all instances; None makes every instance get each."""

    metadata: Mapping[str, str] | None
    """What INFO shows of the subscriber."""

    max_concurrency: int | None
    """How many events may run at once, within the service's limit for events."""

    max_waiting: int
    """How many events may wait for a slot (65 536). Those beyond are dropped: counted, logged, and
    told to `on_error`."""

    max_waiting_bytes: int
    """How many bytes of events may wait (64 MiB)."""

    ordered: bool
    """One event at a time, in the order in which they came to this instance."""

    timeout: float | None
    """Seconds after which a handler is stopped, counted from its start."""

    dependencies: Sequence[Any]
    """`Depends(...)` that run before each event is read, and whose values nobody reads."""


def check_subscribing(target: object, options: SubscriberOptions) -> None:
    """Refuse a target or an option of a subscriber, before there is a function.

    Raises:
        ConfigError, BadSubjectError, BadQueueNameError: one is refused.
    """
    if not isinstance(target, str | Event):
        way = "write @service.subscriber(placed), with an Event or a subject in the brackets"
        raise ConfigTypeError(f"subscriber takes an Event or a subject, not {target!r}: {way}")
    place_of_event(target)
    where = f"subscriber of {target if isinstance(target, str) else target.subject!r}"
    for key in options:
        if key not in SubscriberOptions.__annotations__:
            known = ", ".join(SubscriberOptions.__annotations__)
            raise ConfigTypeError(f"{where} has no option {key!r}; it has: {known}")
    if options.get("name"):
        naming.check_name("subscriber", options["name"] or "")
    check_queue_group(options.get("queue_group") or "")
    naming.check_metadata(options.get("metadata"))
    check_timeout(options.get("timeout"))
    check_guards(where, options.get("dependencies", ()))
    running = options.get("max_concurrency")
    at_least("max_concurrency", 1 if running is None else running, 1)
    at_least("max_waiting", options.get("max_waiting", 0), 0)
    at_least("max_waiting_bytes", options.get("max_waiting_bytes", 0), 0)
    if options.get("ordered") and options.get("max_concurrency") not in (None, 1):
        raise ConfigError(
            f"{where} is ordered, so it handles one event at a time: max_concurrency="
            f"{options['max_concurrency']!r} is another wish; leave one of them out"
        )


def read(
    target: str | Event[Any], function: Callable[..., Any], what: str = "subscriber"
) -> CallPlan:
    """A function's plan as a subscriber, which reads the body as the event's own type; `what` is
    what it is called in errors.

    Raises:
        ConfigError: its signature is refused, or does not fit the event.
    """
    _, _, tokens = place_of_event(target)
    with located(function):
        call_plan = unanswered(function, tokens, what)
        type_ = event_type(target, call_plan, call_plan.request_type, what)
        return dataclasses.replace(call_plan, request_type=type_)


def unanswered(function: Callable[..., Any], tokens: dict[str, int], what: str) -> CallPlan:
    """The plan of a function whose result nobody waits for.

    Raises:
        ConfigError: its signature is refused, or it answers.
    """
    if inspect.isroutine(function) and parameters(function)[1] is UNANNOTATED:
        text = "has no annotation: write '-> None', for nobody is answered"
        raise ConfigError(f"the result of {what} {describe(function)!r} {text}")
    call_plan = plan(function, tokens)
    _check_result(call_plan, what)
    return call_plan


def subscription(
    definition: Definition,
    level: Level,
    target: str | Event[Any],
    function: Callable[..., Any],
    options: SubscriberOptions,
) -> Handler:
    """A function as a subscriber at a level of a service.

    Raises:
        ConfigError: its signature is refused, or its name is taken.
    """
    template, subject, tokens = place_of_event(target)
    call_plan = read(target, function)
    own_name = describe(function).rpartition(".")[2]
    name = options.get("name") or naming.name_from("", own_name)
    group = options.get("queue_group", f"{definition.name}.{name}")
    contract = EndpointContract(
        name=name,
        subject=subject,
        queue_group=group or "",
        metadata=naming.check_metadata(
            {**level.metadata, **(options.get("metadata") or {}), KIND_KEY: "event"}
        ),
        doc=inspect.getdoc(function) or "",
        request_type=call_plan.request_type,
        kind="event",
        template=template,
        codec=definition.codec.name,
    )
    limits = definition.limits(
        1 if options.get("ordered") else options.get("max_concurrency"),
        options.get("max_waiting", MAX_WAITING_EVENTS),
        options.get("timeout"),
        options.get("max_waiting_bytes", MAX_WAITING_BYTES),
    )
    where = f"subscriber {call_plan.name!r}"
    guards = (*level.guards, *check_guards(where, options.get("dependencies", ())))
    return Handler(
        contract, guarded(call_plan, guards, tokens), limits, middlewares=level.middlewares
    )


def place_of_event(target: str | Event[Any]) -> tuple[str, str, dict[str, int]]:
    """The subject as it was written, the one to subscribe to, and the places of its tokens."""
    if isinstance(target, Event):
        return target.subject, target.wildcard, dict(target.tokens)
    subject, tokens = naming.parse_template(target)
    check_event_subject(target)
    return target, subject, tokens


def _check_result(call_plan: CallPlan, what: str) -> None:
    name = call_plan.name
    if call_plan.kind != "unary":
        raise ConfigError(
            f"{what} {name!r} streams: an event is one message, and is not answered; take the "
            "event's own type, and return None"
        )
    if call_plan.response_type is not None and call_plan.response_type is not Any:
        raise ConfigError(
            f"{what} {name!r} returns {_spelled(call_plan.response_type)}: nobody waits for an "
            "answer to an event; annotate it as '-> None' (and publish what others need, or serve "
            "it with @service.handler)"
        )


def event_type(target: str | Event[Any], call_plan: CallPlan, wanted: Any, what: str) -> Any:
    """What a function reads an event as that wants it as `wanted`; None if it reads none of its
    body.

    Raises:
        ConfigError: the event carries something else.
    """
    if not isinstance(target, Event) or not call_plan.body:
        return wanted
    if not call_plan.whole:
        _check_fields(target, call_plan, what)
        return wanted
    wanted = codecs.nameless(wanted)  # an event is of its own type, also beside tokens
    if wanted in (Any, UNANNOTATED, object) or _takes(wanted, target.type):
        return target.type
    parameter = call_plan.body[0].name
    raise ConfigError(
        f"parameter {parameter!r} of {what} {call_plan.name!r} is {_spelled(wanted)}, and "
        f"event {target.subject!r} carries {_spelled(target.type)}: annotate it as that, or "
        f"name the subject, {target.subject!r}, to read the body in another way"
    )


def _check_fields(event: Event[Any], call_plan: CallPlan, what: str) -> None:
    """Refuse parameters that would be fields of an event which has none of that name: no event
    would ever be read."""
    json = codecs.get("json")
    try:
        given = json.schema(event.type, mode="serialization") or {}
        wanted = json.schema(call_plan.request_type, mode="validation") or {}
    except ConfigError:  # a type of another codec: it tells nothing of its fields
        return
    has = given.get("properties") or {}
    missing = [name for name in wanted.get("required", ()) if has and name not in has]
    if missing:
        raise ConfigError(
            f"{what} {call_plan.name!r} reads {missing[0]!r} as a field of event "
            f"{event.subject!r}, and {_spelled(event.type)} has only: {', '.join(has)}"
        )


def _takes(wanted: Any, carried: Any) -> bool:
    """Whether a parameter takes what an event carries: its type by whatever name, or a wider class.
    Constraints of the event need not be repeated; others than the event's would never be looked
    at."""
    parameter, event = peel(wanted), peel(codecs.described(plain(carried)).type)
    if parameter.metadata and repr(parameter.metadata) != repr(event.metadata):
        return False
    return bool(parameter.type == event.type) or _is_subclass(event.type, parameter.type)


def _is_subclass(cls: Any, base: Any) -> bool:
    try:
        return issubclass(cls, base)
    except TypeError:  # one of them is no class
        return False


def _spelled(type_: Any) -> str:
    return type_.__qualname__ if isinstance(type_, type) else str(type_)
