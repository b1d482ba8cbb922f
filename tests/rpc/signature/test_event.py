"""Events as they are declared: what is taken, and what is refused where it is written."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from typing import Any

import pytest

import natsrpc
from natsrpc import Event
from natsrpc.errors import BadSubjectError, ConfigError


def test_an_event_is_frozen_data() -> None:
    placed = Event("shop.{region}.placed", int, description="an order")
    assert (placed.subject, placed.type) == ("shop.{region}.placed", int)
    assert (placed.wildcard, dict(placed.tokens)) == ("shop.*.placed", {"region": 1})
    assert Event[int]("shop.placed", int).type is int
    with pytest.raises(dataclasses.FrozenInstanceError):
        placed.subject = "other"  # type: ignore[misc]  # that it is refused is what is tested
    for again in (copy.deepcopy(placed), pickle.loads(pickle.dumps(placed))):
        assert (again.subject, again.type, again.description) == (
            placed.subject, int, "an order"
        )  # fmt: skip


@pytest.mark.parametrize(
    ("subject", "told"),
    [
        ("", "non-empty tokens"),
        ("shop..placed", "non-empty tokens"),
        ("shop placed", "without blanks"),
        (5, "must be a str"),
        ("$JS.API.x", "begin with"),
        ("$shop", "begin with"),
        ("_INBOX.x", "`_INBOX`"),
        ("_NATSRPC.x", "`_NATSRPC`"),
        ("shop._NATSRPC.cancel", "`_NATSRPC`"),
        ("shop.*.placed", "a wildcard has no name"),
        ("shop.>", "a wildcard has no name"),
        ("shop.{a}.*", "a wildcard has no name"),
        ("shop.{a}.{a}", "named twice"),
        ("shop.x{a}", "mixes a token with text"),
        ("/shop/{a}", "a dot, not a slash, ends a part"),
    ],
)
def test_a_subject_that_is_no_events_is_refused(subject: Any, told: str) -> None:
    with pytest.raises((BadSubjectError, ConfigError), match=told):
        Event(subject, int)


@pytest.mark.parametrize("value", ["OrderPlaced", 5, [int], {"a": int}])
def test_a_value_in_the_place_of_a_type_is_refused(value: Any) -> None:
    with pytest.raises(ConfigError, match="expected a type"):
        Event("shop.placed", value)


@pytest.mark.parametrize(
    ("publishes", "told"),
    [(["shop.placed"], "expected an Event"), (Event("a", int), "as in"), (5, "as in")],
)
def test_a_service_publishes_events_alone(publishes: Any, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        natsrpc.Service("shop", version="1.0.0", publishes=publishes)
