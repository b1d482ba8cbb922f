"""natsrpc.cli.options: connection options as text."""

from __future__ import annotations

from typing import Any

import pytest

from natsrpc.cli.options import parse_option, parse_size, read_options
from natsrpc.errors import ConfigError


@pytest.mark.parametrize(
    ("text", "name", "value"),
    [
        ("ping_interval=10", "ping_interval", 10.0),
        ("ping-interval = 1m30s", "ping_interval", 90.0),
        ("max_pings_out=3", "max_pings_out", 3),
        ("echo=false", "echo", False),
        ("inbox_prefix=_IN=BOX", "inbox_prefix", "_IN=BOX"),
        ("codec=msgpack", "codec", "msgpack"),
        ("deadline_clock=wall", "deadline_clock", "wall"),
        ("max_body=1000", "max_body", 1000),
    ],
)
def test_text_becomes_a_value_of_the_option_s_type(text: str, name: str, value: Any) -> None:
    found = parse_option(text)
    assert found == (name, value)
    assert type(found[1]) is type(value)


def test_a_table_of_a_file_is_read_alike() -> None:
    table = {"ping_interval": 10, "max-pings-out": 3, "echo": False}
    assert read_options(table) == {"ping_interval": 10.0, "max_pings_out": 3, "echo": False}


@pytest.mark.parametrize(
    ("table", "text"),
    [
        ({"echo": 3}, "expected true or false"),
        ({"max_pings_out": True}, "expected a whole number"),
        ({"inbox_prefix": 3}, "expected text"),
        ({"deadline_clock": "sun"}, "expected one of relative, wall"),
        ({"drain_timeout": 3}, "is set by --drain-timeout"),
        ({"password": "x"}, "is set by NATS_PASSWORD"),
    ],
)
def test_what_does_not_fit_is_refused(table: dict[str, Any], text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        read_options(table)


@pytest.mark.parametrize(
    ("text", "size"),
    [("300", 300), (4096, 4096), ("1K", 1000), ("512MiB", 512 * 2**20), ("1.5 GB", 1_500_000_000)],
)
def test_sizes(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize("text", ["", "much", "MiB", "3 TiX", "-5", "inf", "1e400", "nan"])
def test_what_is_no_size(text: str) -> None:
    with pytest.raises(ConfigError, match="is no size"):
        parse_size(text)
