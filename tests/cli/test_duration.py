"""Durations on the command line."""

from __future__ import annotations

import pytest

from natsrpc.cli.duration import parse_seconds
from natsrpc.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("2", 2.0), ("1.5", 1.5), ("2s", 2.0), ("500ms", 0.5), ("1m", 60.0), ("1m30s", 90.0)],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "soon", "5x", "-1s", "1s2", "²s"])
def test_no_durations(text: str) -> None:
    with pytest.raises(ConfigError, match="no duration"):
        parse_seconds(text)


@pytest.mark.parametrize("text", ["99999999999h", "87601h", "9" * 400])
def test_durations_that_not_all_clocks_take(text: str) -> None:
    with pytest.raises(ConfigError, match="is too long: a duration is 10 years at most"):
        parse_seconds(text)
