"""How long the reconnect loop waits: as configured, or as a function of the user's says."""

from __future__ import annotations

import logging
import random

import pytest

from natsrpc.core import Options
from natsrpc.core.servers.backoff import Backoff


def test_the_wait_is_the_configured_one_with_its_jitter() -> None:
    backoff = Backoff(
        Options(reconnect_wait=2, reconnect_jitter=0.5, reconnect_jitter_tls=1), random.Random(1)
    )
    plain = [backoff.delay(1, elapsed=0, tls=False) for _ in range(200)]
    tls = [backoff.delay(1, elapsed=0, tls=True) for _ in range(200)]
    assert 2 <= min(plain) < 2.1 < 2.4 < max(plain) <= 2.5
    assert 2 <= min(tls) < 2.2 < 2.8 < max(tls) <= 3


def test_the_time_of_the_pass_counts_as_waited() -> None:
    backoff = Backoff(Options(reconnect_wait=2, reconnect_jitter=0), random.Random(1))
    assert [backoff.delay(1, elapsed=spent, tls=False) for spent in (0.5, 2, 7)] == [1.5, 0, 0]


def test_a_function_may_say_how_long_to_wait() -> None:
    backoff = Backoff(Options(reconnect_delay_cb=lambda n: n - 2.0), random.Random(1))
    assert [backoff.delay(n, elapsed=9, tls=False) for n in (1, 2, 3, 5)] == [0, 0, 1, 3]


def test_a_function_that_raises_is_logged_and_the_configured_wait_taken(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def broken(passes: int) -> float:
        raise ZeroDivisionError

    options = Options(reconnect_wait=2, reconnect_jitter=0, reconnect_delay_cb=broken)
    with caplog.at_level(logging.ERROR, "natsrpc.core"):
        assert Backoff(options, random.Random(1)).delay(1, elapsed=0, tls=False) == 2
    assert "reconnect_delay_cb raised" in caplog.text
