"""`Event`: a subject with the type of what is published to it, which programs declare once.

Publishers and subscribers name the same `Event`, so that type checkers and the code that runs hold
both to its type. It is data: what it means on the wire is decided by those who use it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from natsrpc.core import check_literal
from natsrpc.errors import BadSubjectError, ConfigTypeError

from ..contract import EventContract, check_event_subject
from .keys import check_key
from .names import parse_template

if TYPE_CHECKING:
    from typing_extensions import TypeForm

T = TypeVar("T")

_VALUES = (str, bytes, int, float, list, tuple, dict, set)
"""Types of values that are written where a type belongs."""


# Not slotted: `Event[int](...)` sets an attribute, which a frozen and slotted class cannot refuse.
@dataclass(frozen=True, eq=False, init=False)
class Event(Generic[T]):
    """A subject and the type of the values that are published to it.

        placed = natsrpc.Event("shop.events.{region}.placed", OrderPlaced)

        await client.publish(placed, OrderPlaced(...), tokens={"region": "eu"})

        @service.subscriber(placed)
        async def bill(event: OrderPlaced, region: Annotated[str, Token("region")]) -> None: ...

    Args:
        subject: the subject. A part in braces is a token that the publisher gives a value.
        type: the type of the values: what a handler's parameter may have.
        description: what people read in documents.
        key: the field of the values that tells one from another, as "order_id" or "order.id".
            `Client.enqueue` makes the message's id of it, so that a stream stores it once.

    Raises:
        BadSubjectError: it is no subject to publish to, has a wildcard without a name, begins with
            `$` or `_INBOX`, or holds our own token.
        ConfigError: a token is named twice, or only part of one is in braces; `type` is a value, or
            has no such field as `key`.
    """

    subject: str
    """The subject as it was written, with `{token}`s."""
    type: Any
    """The type of the values."""
    description: str
    """What people read in documents."""
    key: str
    """The field that tells one value from another, as a dotted path; "" for none."""
    wildcard: str = field(repr=False)
    """The subject that a subscription to all of these events has: `*` in the place of tokens."""
    tokens: Mapping[str, int] = field(repr=False)
    """The names of the tokens, with their places in the subject, counted from 0."""

    def __init__(
        self, subject: str, type: TypeForm[T], *, description: str = "", key: str | None = None
    ) -> None:
        wildcard, tokens = parse_template(subject)
        check_event_subject(subject)
        if "*" in subject or ">" in subject.split("."):
            raise BadSubjectError(
                f"bad subject {subject!r} of an event: a wildcard has no name; write it in braces, "
                "as in 'shop.events.{region}.placed'",
                subject=subject,
            )
        check_literal(wildcard.replace("*", "x"))
        if isinstance(type, _VALUES):
            raise ConfigTypeError(
                f"the type of event {subject!r} is {type!r}: expected a type, as in "
                f"Event({subject!r}, OrderPlaced)"
            )
        for name, value in (
            ("subject", subject),
            ("type", type),
            ("description", description),
            ("key", "" if key is None else check_key(subject, type, key)),
            ("wildcard", wildcard),
            ("tokens", MappingProxyType(tokens)),
        ):
            object.__setattr__(self, name, value)

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (self.subject, self.type, self.description, self.key or None)


def _again(subject: str, type_: Any, description: str, key: str | None) -> Event[Any]:
    return Event(subject, type_, description=description, key=key)


def event_contracts(events: Sequence[Event[Any]], codec: str) -> tuple[EventContract, ...]:
    """The events that a service publishes in a codec, as its contract has them.

    Raises:
        ConfigError: one of them is no event.
    """
    found = []
    if isinstance(events, Event) or not isinstance(events, Sequence):
        raise ConfigTypeError(f"publishes is {events!r}: expected events, as in [placed, paid]")
    for event in events:
        if not isinstance(event, Event):
            way = 'as in natsrpc.Event("shop.placed", OrderPlaced)'
            raise ConfigTypeError(f"publishes has {event!r}: expected an Event, {way}")
        contract = EventContract(event.subject, event.type, event.description, codec, event.key)
        found.append(contract)
    return tuple(found)
