"""Keys, filters and subjects of buckets."""

from __future__ import annotations

import pytest

from natsrpc.core import Connection
from natsrpc.errors import ConfigError, ConfigTypeError
from natsrpc.jetstream import JetStream, StreamConfig, StreamSource
from natsrpc.jetstream.api import Api
from natsrpc.jetstream.kv.keys import Subjects, check_filters, check_key


@pytest.mark.parametrize("key", ["a", "a.b.c", "A-b_c/d=e.1", "=", "a" * 500])
def test_what_keys_may_be(key: str) -> None:
    assert check_key(key) == key


@pytest.mark.parametrize(
    ("key", "named"),
    [
        ("", "no token is empty"),
        (".a", "no token is empty"),
        ("a.", "no token is empty"),
        ("a..b", "no token is empty"),
        ("a b", "' '"),
        ("a*", "'*'"),
        (">", "'>'"),
        ("ä", "'ä'"),
        ("a:b", "':'"),
        ("a\\b", repr("\\")),
        ("a\n", repr("\n")),
    ],
)
def test_what_they_may_not_names_the_character(key: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        check_key(key)
    assert named in str(caught.value)


BAD_FILTERS: list[str | list[str]] = ["a.>.b", "a.b*", "", "a b", [], ["a", ""]]


def test_filters_may_have_wildcards_and_be_several() -> None:
    assert check_filters("a.*.b") == ["a.*.b"]
    assert check_filters(["a", "b.>"]) == ["a", "b.>"]
    for bad in BAD_FILTERS:
        with pytest.raises(ConfigError):
            check_filters(bad)
    with pytest.raises(ConfigTypeError):
        check_filters([7])  # type: ignore[list-item]
    with pytest.raises(ConfigTypeError):
        check_key(7)  # type: ignore[arg-type]


async def test_where_a_bucket_is_read_and_written(nc: Connection) -> None:
    plain, hub = Api(nc), Api(nc, domain="hub")
    own = StreamConfig(name="KV_b")
    mirror = StreamConfig(name="KV_m", mirror=StreamSource(name="KV_o"))
    afar = StreamConfig(name="KV_m", mirror=StreamSource(name="KV_o", domain="leaf"))
    found = [
        (subjects.stream, subjects.read, subjects.write)
        for subjects in (
            Subjects(plain, "b", own),
            Subjects(hub, "b", own),
            Subjects(plain, "m", mirror),
            Subjects(plain, "m", afar),
            Subjects(hub, "m", mirror),
        )
    ]
    assert found == [
        ("KV_b", "$KV.b.", "$KV.b."),
        ("KV_b", "$KV.b.", "$JS.hub.API.$KV.b."),
        ("KV_m", "$KV.o.", "$KV.o."),
        ("KV_m", "$KV.o.", "$JS.leaf.API.$KV.o."),
        ("KV_m", "$KV.o.", "$JS.hub.API.$KV.o."),
    ]
    assert JetStream(nc, domain="hub").connection is nc
