"""Log lines that peers can cause: one of a kind in a second, and none is forgotten."""

from __future__ import annotations

import logging

import pytest

from natsrpc.core import Throttle


def test_a_kind_is_logged_once_a_second_with_how_many_were_held_back(
    caplog: pytest.LogCaptureFixture,
) -> None:
    moment = 0.0
    throttle = Throttle(logging.getLogger("natsrpc.test"), now=lambda: moment)
    for number in range(2000):
        moment = number / 1000
        throttle.warning("a", "number %d", number)
    throttle.warning("b", "of another kind")
    assert [record.getMessage() for record in caplog.records] == [
        "number 0",
        "number 1000 (and 999 more like it before)",
        "of another kind",
    ]
