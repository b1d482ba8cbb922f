"""Errors of the NATS client: what they tell, and that copies tell the same."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import pytest

from natsrpc.errors import DrainTimeoutError, NatsTimeoutError, NoRespondersError


@pytest.mark.parametrize("way", [copy.copy, lambda error: pickle.loads(pickle.dumps(error))])
@pytest.mark.parametrize(
    "error",
    [
        NoRespondersError("calc.add"),
        NoRespondersError("calc.add", "nobody takes it"),
        NatsTimeoutError("no reply within 1 s", subject="calc.add"),
        NatsTimeoutError("flush not answered"),
        DrainTimeoutError("too long"),
    ],
)
def test_a_copy_tells_the_same(error: Any, way: Any) -> None:
    again = way(error)
    assert type(again) is type(error)
    assert (str(again), again.subject) == (str(error), error.subject)


def test_a_timeout_without_a_request_has_no_subject() -> None:
    error = NatsTimeoutError("flush not answered")
    assert (str(error), error.subject) == ("flush not answered", "")
    assert isinstance(error, TimeoutError)
