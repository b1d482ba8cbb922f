"""Errors of JetStream: what they tell, and that copies tell the same."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

import natsrpc
from natsrpc import errors
from natsrpc.errors import (
    DigestMismatchError,
    JetStreamError,
    KeyDeletedError,
    KeyExistsError,
    KeyNotFoundError,
    NatsError,
    NoStreamResponseError,
    ObjectDeletedError,
    ObjectNotFoundError,
    StreamDifference,
    StreamDiffersError,
    StreamFullError,
    StreamNotFoundError,
    WrongLastRevisionError,
    WrongLastSequenceError,
)

FACTS = {"code": 404, "err_code": 10059, "description": "stream not found"}


@pytest.mark.parametrize("way", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize(
    "error",
    [
        JetStreamError("refused", **FACTS),  # type: ignore[arg-type]  # a mapping of both kinds
        StreamNotFoundError("stream not found", **FACTS),  # type: ignore[arg-type]  # likewise
        WrongLastSequenceError("wrong last sequence: 7", last_seq=7, code=400, err_code=10071),
        NoStreamResponseError("nobody stored it", subject="orders.new"),
        KeyNotFoundError("no key", key="a"),
        KeyDeletedError("deleted", key="a", revision=3, operation="PURGE"),
        KeyExistsError("is there", key="a", revision=3),
        WrongLastRevisionError("wrong", key="a", last=4),
        StreamFullError("full", code=503, err_code=10077, description="maximum messages"),
        StreamDiffersError("differs", differences=[StreamDifference("A", "max_age", 2.0, 1.0)]),
        ObjectNotFoundError("no object", name="a"),
        ObjectDeletedError("deleted", name="a"),
        DigestMismatchError("differs", name="a", expected="x", found="y"),
    ],
)
def test_a_copy_tells_the_same(error: Any, way: Any) -> None:
    again = way(error)
    assert type(again) is type(error)
    assert (str(again), vars(again)) == (str(error), vars(error))


def test_all_are_one_tree_below_those_of_the_client() -> None:
    found = [
        value
        for value in vars(errors).values()
        if isinstance(value, type) and issubclass(value, JetStreamError)
    ]
    assert len(found) == 24
    for class_ in found:
        assert issubclass(class_, NatsError)
        assert getattr(natsrpc, class_.__name__) is class_
        assert isinstance(class_("text"), Exception)
