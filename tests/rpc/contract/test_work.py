"""What a worker is held to, as data: retries above all."""

from __future__ import annotations

import math
import pickle
from typing import Any

import pytest

from natsrpc import ConfigError, Reject, Retry, RetryLater


def test_each_wait_is_longer_than_the_one_before_up_to_the_longest() -> None:
    retry = Retry(wait=1.0, max_wait=10.0, factor=2.0, jitter=0.0)
    assert [round(retry.delay(n), 6) for n in range(1, 7)] == [1, 2, 4, 8, 10, 10]
    assert retry.delay(1_000_000) == 10


def test_jitter_makes_waits_differ_by_a_part() -> None:
    delays = {Retry(wait=10.0, jitter=0.5).delay(1) for _ in range(100)}
    assert len(delays) > 50
    assert all(5 <= each <= 15 for each in delays)


def test_no_wait_is_no_wait() -> None:
    retry = Retry(wait=0.0, jitter=0.0)
    assert [retry.delay(n) for n in (1, 2, 9)] == [0, 0, 0]


def test_the_last_attempt_is_known() -> None:
    assert [Retry(attempts=2).is_last(n) for n in (1, 2, 3)] == [False, True, True]
    assert not Retry(attempts=None).is_last(1_000_000)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({"attempts": 0}, r"Retry\(attempts=0\): expected a whole number of at least 1, or None"),
        ({"attempts": True}, "attempts=True"),
        ({"attempts": 2.0}, "attempts=2.0"),
        ({"wait": -1}, r"Retry\(wait=-1\): expected 0 to"),
        ({"wait": math.nan}, "wait=nan"),
        ({"max_wait": math.inf}, "max_wait=inf"),
        ({"factor": 0.5}, r"factor=0.5\): expected 1 to 100"),
        ({"jitter": 2}, r"jitter=2\): expected 0 to 1"),
        ({"wait": 5.0, "max_wait": 2.0}, "the first wait is longer than the longest"),
        ({"wait": "1"}, "wait='1'"),
    ],
)
def test_a_retry_that_cannot_be_is_refused(options: dict[str, Any], expected: str) -> None:
    with pytest.raises(ConfigError, match=expected):
        Retry(**options)


@pytest.mark.parametrize("delay", [-1, math.nan, math.inf, 1e10, 1e305, "1", True])
def test_a_delay_that_cannot_be_is_refused(delay: Any) -> None:
    with pytest.raises(ConfigError, match="expected 0 to 315360000 seconds"):
        RetryLater(delay)
    with pytest.raises(ConfigError):
        Retry(wait=delay, max_wait=delay)


def test_the_longest_delay_is_the_longest_wait() -> None:
    assert RetryLater(315360000).delay == Retry(max_wait=315360000).max_wait


def test_the_words_to_a_worker_survive_pickle() -> None:
    reject = pickle.loads(pickle.dumps(Reject("no such customer")))
    assert (str(reject), reject.reason) == ("no such customer", "no such customer")
    later = pickle.loads(pickle.dumps(RetryLater(2.5, "closed")))
    assert (str(later), later.delay, later.reason) == ("closed", 2.5, "closed")
    assert str(RetryLater(2.5)) == "asked to be tried again in 2.5 s"
