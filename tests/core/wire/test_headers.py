"""Header blocks: strict when written, lenient when read, and never a way into another frame."""

from __future__ import annotations

import copy
import pickle
import string
from collections.abc import Mapping
from typing import Any, cast

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natsrpc.core.wire import Headers, Msg, Parser, encode_headers
from natsrpc.core.wire.headers import status_of
from natsrpc.errors import BadHeaderError

V = b"NATS/1.0"

BLOCKS: list[tuple[bytes, list[tuple[str, str]]]] = [
    (V + b"\r\n\r\n", []),
    (V + b"\r\nA: b\r\n\r\n", [("A", "b")]),
    (V + b"\r\nA: b\r\na: c\r\n\r\n", [("A", "b"), ("a", "c")]),
    (V + b"\r\nA: 1\r\nA: 2\r\nA: 1\r\n\r\n", [("A", "1"), ("A", "2"), ("A", "1")]),
    (V + b"\r\nA: \r\n\r\n", [("A", "")]),
    (V + b"\r\nA: b: c\r\n\r\n", [("A", "b: c")]),
    (V + "\r\nÄ: größe 東京\r\n\r\n".encode(), [("Ä", "größe 東京")]),
    (V + b"\r\nA: \xff\xfe\r\n\r\n", [("A", "\udcff\udcfe")]),
]
"""Blocks as clients write them, and their pairs."""

READ: list[tuple[bytes, list[tuple[str, str]]]] = [
    (V + b"\r\nA:b\r\n\r\n", [("A", "b")]),
    (V + b"\r\nA: \t b\r\n\r\n", [("A", "b")]),
    (V + b"\r\nA: b \t\r\n\r\n", [("A", "b \t")]),
    (V + b"\r\nA:\r\n\r\n", [("A", "")]),
    (V + b"\r\nA : b\r\n\r\n", [("A ", "b")]),
    (V + b"\r\n A: b\r\n\r\n", [(" A", "b")]),
    (V + b"\r\nA: b\r\n folded: c\r\n\r\n", [("A", "b"), (" folded", "c")]),
    (V + b"\r\n: nameless\r\nA: b\r\n\r\n", [("A", "b")]),
    (V + b"\r\nA: one\ntwo: 2\r\n\r\n", [("A", "one\ntwo: 2")]),
    (V + b"\r\nA: one\rtwo\r\n\r\n", [("A", "one\rtwo")]),
    (V + b"\r\nA: b\r\n", [("A", "b")]),
    (V + b"\r\nA: b", [("A", "b")]),
    (V + b"\r\n\r\nA: b\r\n\r\n", [("A", "b")]),
    (V, []),
    (V + b"\r\n", []),
    (V + b" 503\r\n\r\n", []),
    (V + b" 503\r\nNats-Subject: svc.none\r\n\r\n", [("Nats-Subject", "svc.none")]),
    (V + b" 100 Idle Heartbeat\r\nNats-Last-Stream: 0\r\n\r\n", [("Nats-Last-Stream", "0")]),
    (V + b"\t404\r\nStatus: mine\r\n\r\n", [("Status", "mine")]),
    (V + b" nonsense\r\nA: b\r\n\r\n", [("A", "b")]),
]
"""Blocks nobody should write, and what is read from them."""

POISON = [
    b"garbage",
    b"\x00",
    b"\r\n\r\n",
    b"NATS/1.1\r\n\r\n",
    b"nats/1.0\r\n\r\n",
    V + b"x\r\n\r\n",
    V + b"\nA: b\r\n\r\n",
    V + b"\r\nno colon\r\n\r\n",
    V + b"\r\nA: b\r\nno colon\r\n\r\n",
    V + b"\r\nA: b\r\n folded\r\n\r\n",
    b" " + V + b"\r\nA: b\r\n\r\n",
]


@pytest.mark.parametrize(("block", "pairs"), BLOCKS, ids=repr)
def test_a_block_is_read(block: bytes, pairs: list[tuple[str, str]]) -> None:
    headers = Headers.decode(block)
    assert list(headers.items()) == pairs
    assert not headers.malformed


@pytest.mark.parametrize(
    ("block", "pairs"), [case for case in BLOCKS if "Ä".encode() not in case[0]], ids=repr
)
def test_a_block_is_written(block: bytes, pairs: list[tuple[str, str]]) -> None:
    assert Headers(pairs).encode() == block
    assert encode_headers(Headers(pairs)) == block
    assert Headers.decode(block).encode() == block


@pytest.mark.parametrize(("block", "pairs"), READ, ids=repr)
def test_an_odd_block_is_read_as_far_as_it_has_meaning(
    block: bytes, pairs: list[tuple[str, str]]
) -> None:
    headers = Headers.decode(block)
    assert list(headers.items()) == pairs
    assert not headers.malformed


@pytest.mark.parametrize("block", POISON, ids=repr)
def test_a_poisoned_block_gives_empty_headers_marked_malformed(block: bytes) -> None:
    headers = Headers.decode(block)
    assert headers.malformed
    assert len(headers) == 0
    assert list(headers.items()) == []


@pytest.mark.parametrize("block", POISON, ids=repr)
def test_a_message_with_poisoned_headers_is_delivered_with_its_block(block: bytes) -> None:
    reader = Parser()
    frame = b"HMSG a 1 %d %d\r\n%b%b\r\n" % (len(block), len(block) + 2, block, b"hi")
    (msg,) = reader.feed(frame)
    assert isinstance(msg, Msg)
    assert reader.failure is None
    assert (msg.raw_headers, msg.data) == (block, b"hi")
    assert msg.headers.malformed
    assert msg.headers is msg.headers
    assert (msg.status, msg.status_text) == (None, "")


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=120).map(lambda tail: V + tail) | st.binary(max_size=120))
def test_any_block_can_be_read(block: bytes) -> None:
    headers = Headers.decode(block)
    for name in headers:
        assert headers.get_all(name)
    status_of(block)


names = st.text(string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~", min_size=1, max_size=12)
values = st.text(
    st.characters(exclude_characters="\r\n\x00", exclude_categories=["Cs"]), max_size=20
).map(lambda value: value.strip(" \t"))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(names, values), max_size=6))
def test_what_is_written_is_read_back(pairs: list[tuple[str, str]]) -> None:
    headers = Headers(pairs)
    read = Headers.decode(headers.encode())
    assert read == headers
    for name, _ in pairs:
        assert read.get_all(name) == [value for key, value in pairs if key == name]


@settings(max_examples=200, deadline=None)
@given(st.dictionaries(st.text(max_size=8), st.text(max_size=12), max_size=4))
def test_any_headers_are_refused_or_read_back_as_they_were(raw: dict[str, str]) -> None:
    try:
        block = encode_headers(raw)
    except BadHeaderError:
        return
    read = Headers.decode(block)
    assert list(read.items()) == [(name, value.strip(" \t")) for name, value in raw.items()]
    assert block.count(b"\r\n") == len(raw) + 2
    assert block.count(b"\n") == block.count(b"\r") == block.count(b"\r\n")


# Writing


def test_a_mapping_may_give_one_value_or_several() -> None:
    block = V + b"\r\nA: 1\r\nB: 2\r\nB: 3\r\n\r\n"
    assert encode_headers({"A": "1", "B": ["2", "3"]}) == block
    assert encode_headers({"A": "1", "B": ("2", "3")}) == block
    assert Headers({"A": "1", "B": ["2", "3"]}).encode() == block
    assert encode_headers({}) == V + b"\r\n\r\n"


def test_outer_blanks_of_a_value_are_not_sent() -> None:
    assert encode_headers({"A": " \t b c \t"}) == V + b"\r\nA: b c\r\n\r\n"


@pytest.mark.parametrize(
    "name",
    [
        "", " ", "A B", "A:", ":", "A\r", "A\n", "A\r\nB: c", "A\x00", "\x7f", "A\t", "Ä", "東",
        *'"(),/:;<=>?@[\\]{}', "A\n:", "\udcff",
    ],
    ids=repr,
)  # fmt: skip
def test_a_name_that_cannot_be_sent_is_refused_and_quoted(name: str) -> None:
    for headers in ({name: "v"}, Headers([(name, "v")])):
        with pytest.raises(BadHeaderError) as caught:
            encode_headers(headers)
        assert repr(name) in str(caught.value)


@pytest.mark.parametrize(
    "value", ["\r", "\n", "a\r\nB: c", "a\nb", "a\rb", "a\x00b", "a\r\n\r\nPUB x 0", "\ud800"],
    ids=repr,
)  # fmt: skip
def test_a_value_that_cannot_be_sent_is_refused_and_quoted(value: str) -> None:
    for headers in ({"A": value}, {"A": ["fine", value]}, Headers([("A", value)])):
        with pytest.raises(BadHeaderError) as caught:
            encode_headers(headers)
        assert "'A'" in str(caught.value)


@pytest.mark.parametrize(
    "headers",
    [{"A": 1}, {"A": None}, {"A": b"b"}, {"A": ["b", 1]}, {"A": [b"b"]}, {1: "b"}, {b"A": "b"},
     ["A"], "A: b", 5],
    ids=repr,
)  # fmt: skip
def test_what_is_no_mapping_of_text_is_refused(headers: Any) -> None:
    with pytest.raises(BadHeaderError):
        encode_headers(headers)


@pytest.mark.parametrize("values", [{"A": 1}, {"A": None}, {"A": b"b"}, {1: "b"}], ids=repr)
def test_headers_made_of_other_things_than_text_are_refused(values: Any) -> None:
    with pytest.raises(BadHeaderError):
        Headers(values).encode()


# The mapping


def test_lookup_takes_the_exact_case_first_then_any() -> None:
    headers = Headers([("content-type", "low"), ("Content-Type", "exact"), ("X", "1")])
    assert headers.get("Content-Type") == headers["Content-Type"] == "exact"
    assert headers.get("content-type") == "low"
    assert headers.get("CONTENT-TYPE") == headers["CONTENT-TYPE"] == "low"
    assert headers.get_all("x") == ["1"]
    assert "CONTENT-TYPE" in headers
    assert "Content" not in headers
    assert cast(Any, 1) not in headers


def test_headers_are_a_mapping_of_the_first_values() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("A", "3")])
    assert isinstance(headers, Mapping)
    assert dict(headers) == {**headers} == {"A": "1", "B": "2"}
    assert list(headers) == list(headers.keys()) == ["A", "B"]
    assert list(headers.values()) == ["1", "2"]
    assert len(headers) == len(headers.keys()) == len(headers.values()) == 2
    assert headers.keys() & {"A", "C"} == {"A"}
    assert "a" in headers.keys()  # noqa: SIM118  the view is what is looked at
    assert "2" in headers.values()
    assert "3" not in headers.values()

    def keywords(**given: str) -> dict[str, str]:
        return given

    assert keywords(**headers) == {"A": "1", "B": "2"}
    assert Headers({}) == {}


def test_items_are_all_values_and_can_be_looked_at_again_and_again() -> None:
    headers = Headers([("A", "1"), ("B", "2"), ("A", "3")])
    items = headers.items()
    pairs = [("A", "1"), ("A", "3"), ("B", "2")]
    assert list(items) == list(items) == pairs
    assert len(items) == 3
    assert ("A", "3") in items
    assert ("a", "1") not in items
    assert items & {("B", "2"), ("C", "4")} == {("B", "2")}
    headers.add("C", "4")
    assert len(items) == 4
    assert not Headers().items()


def test_headers_that_are_handed_on_keep_all_their_values() -> None:
    class Mine(Headers):
        pass

    for headers in (Headers([("A", "1"), ("A", "2")]), Mine([("A", "1"), ("A", "2")])):
        assert encode_headers(headers) == V + b"\r\nA: 1\r\nA: 2\r\n\r\n"
        assert copy.deepcopy(headers).get_all("A") == ["1", "2"]
    assert pickle.loads(pickle.dumps(Headers({"A": ["1", "2"]}))).get_all("A") == ["1", "2"]


def test_a_missing_name_gives_the_default() -> None:
    headers = Headers()
    assert headers.get("A") is None
    assert headers.get("A", "b") == "b"
    assert headers.get_all("A") == []
    with pytest.raises(KeyError, match="'A'"):
        headers["A"]


def test_values_are_set_added_and_deleted_under_the_exact_name() -> None:
    headers = Headers({"A": "1"})
    headers.add("A", "2")
    headers.add("a", "3")
    assert headers.get_all("A") == ["1", "2"]
    headers["A"] = "4"
    assert list(headers.items()) == [("A", "4"), ("a", "3")]
    headers.set("b", "5")
    headers.delete("A")
    headers.delete("missing")
    assert list(headers) == ["a", "b"]
    assert len(headers) == 2


def test_a_list_of_values_handed_out_is_a_copy() -> None:
    headers = Headers({"A": "1"})
    headers.get_all("A").append("2")
    assert headers.get_all("A") == ["1"]


def test_headers_compare_with_headers_and_mappings() -> None:
    headers = Headers([("A", "1"), ("A", "2")])
    assert headers == Headers({"A": ["1", "2"]}) == {"A": ["1", "2"]}
    assert headers != Headers({"A": "1"})
    assert headers != {"a": ["1", "2"]}
    assert headers != "A: 1"
    assert repr(headers) == "Headers({'A': ['1', '2']})"
    with pytest.raises(TypeError):
        hash(headers)


def test_headers_are_copied_from_headers() -> None:
    first = Headers([("A", "1"), ("A", "2")])
    second = Headers(first)
    second.add("A", "3")
    assert first.get_all("A") == ["1", "2"]
    assert second.get_all("A") == ["1", "2", "3"]


# The status line


@pytest.mark.parametrize(
    ("block", "status"),
    [
        (V + b"\r\n\r\n", (None, "")),
        (V + b" 503\r\n\r\n", (503, "")),
        (V + b" 503 \r\n\r\n", (503, "")),
        (V + b" 503\r\nNats-Subject: a\r\n\r\n", (503, "")),
        (V + b" 100 Idle Heartbeat\r\n\r\n", (100, "Idle Heartbeat")),
        (V + b"\t408  Request Timeout \r\n\r\n", (408, "Request Timeout")),
        (V + b" 404\tNo \xff\r\n\r\n", (404, "No \udcff")),
        (V + b" 503", (503, "")),
        (V + b"503\r\n\r\n", (None, "")),
        (V + b" 50\r\n\r\n", (None, "")),
        (V + b" 5030\r\n\r\n", (None, "")),
        (V + b" -50\r\n\r\n", (None, "")),
        (V + b" \xb2\xb3\xb9\r\n\r\n", (None, "")),
        (V + b" No 503\r\n\r\n", (None, "")),
        (V + b"\r\nStatus: 503\r\n\r\n", (None, "")),
        (b"NATS/2.0 503\r\n\r\n", (None, "")),
        (b"garbage", (None, "")),
        (b"", (None, "")),
    ],
    ids=repr,
)
def test_the_status_line(block: bytes, status: tuple[int | None, str]) -> None:
    assert status_of(block) == status


def test_status_is_trusted_on_an_empty_message_only() -> None:
    reader = Parser()
    block = V + b" 503 No Responders\r\nA: b\r\n\r\n"
    size = len(block)
    empty, full = reader.feed(
        b"HMSG a 1 %d %d\r\n%b\r\nHMSG a 1 %d %d\r\n%bx\r\n"
        % (size, size, block, size, size + 1, block)
    )
    assert isinstance(empty, Msg)
    assert isinstance(full, Msg)
    assert (empty.status, empty.status_text) == (503, "No Responders")
    assert (full.status, full.status_text) == (None, "")
    assert full.headers == empty.headers == {"A": "b"}


def test_a_header_called_status_is_an_ordinary_header() -> None:
    block = encode_headers({"Status": "503", "Description": "No Responders"})
    (msg,) = Parser().feed(b"HMSG a 1 %d %d\r\n%b\r\n" % (len(block), len(block), block))
    assert isinstance(msg, Msg)
    assert msg.status is None
    assert msg.headers["Status"] == "503"
