"""INFO is read into typed fields, and trusted in nothing."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.core.wire import ServerInfo
from natsrpc.errors import RemoteProtocolError


def test_absent_and_null_fields_are_false_empty_or_zero() -> None:
    empty = ServerInfo()
    assert ServerInfo.parse(b"{}") == empty
    assert ServerInfo.parse(b'{"nonce":null,"max_payload":null,"connect_urls":null}') == empty
    assert (empty.headers, empty.nonce, empty.max_payload, empty.connect_urls) == (False, "", 0, ())


def test_known_fields_are_read_and_unknown_ones_ignored() -> None:
    text = json.dumps(
        {
            "server_id": "N1",
            "version": "2.15.1",
            "headers": True,
            "max_payload": 1048576,
            "client_id": 2**63,
            "nonce": "abc",
            "ldm": True,
            "connect_urls": ["a:1", "b:2"],
            "xkey": "X",
            "new": {"deep": []},
        }
    ).encode()
    info = ServerInfo.parse(text)
    assert (info.server_id, info.version, info.headers, info.ldm) == ("N1", "2.15.1", True, True)
    assert (info.max_payload, info.client_id, info.nonce) == (1048576, 2**63, "abc")
    assert info.connect_urls == ("a:1", "b:2")


@pytest.mark.parametrize(
    "text",
    [b"", b"{", b"[]", b"null", b"5", b'"x"', b"\xff", b"{'a':1}", b"[" * 100_000,
     b'{"a":' * 100_000, b'{"max_payload":' + b"9" * 5000 + b"}"],
    ids=lambda text: repr(text)[:20],
)  # fmt: skip
def test_what_is_no_json_object_is_a_protocol_error(text: bytes) -> None:
    with pytest.raises(RemoteProtocolError):
        ServerInfo.parse(text)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("max_payload", "1048576"),
        ("max_payload", True),
        ("max_payload", -1),
        ("max_payload", 1.5),
        ("headers", "true"),
        ("headers", 1),
        ("nonce", 5),
        ("nonce", ["a"]),
        ("connect_urls", "a:1"),
        ("connect_urls", {"a": 1}),
    ],
)
def test_a_field_of_the_wrong_type_is_a_protocol_error_that_names_it(name: str, value: Any) -> None:
    with pytest.raises(RemoteProtocolError, match=name):
        ServerInfo.parse(json.dumps({name: value}).encode())


def test_urls_that_are_no_text_are_left_out() -> None:
    assert ServerInfo.parse(b'{"connect_urls":["a:1",5,null,"b:2"]}').connect_urls == ("a:1", "b:2")


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(["headers", "max_payload", "nonce", "connect_urls", "ldm", "other"]),
        json_values,
    ).map(lambda value: json.dumps(value).encode())
    | st.binary()
)
def test_any_text_is_read_or_is_a_protocol_error(text: bytes) -> None:
    try:
        info = ServerInfo.parse(text)
    except RemoteProtocolError:
        return
    assert type(info.headers) is bool
    assert type(info.max_payload) is int
    assert info.max_payload >= 0
    assert type(info.nonce) is str
    assert all(type(url) is str for url in info.connect_urls)
