"""Names that go into control lines: checked on every way in, and matched as the server does."""

from __future__ import annotations

import itertools
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natsrpc.core.requests.inbox import TOKEN_SIZE, new_inbox
from natsrpc.core.wire import subject
from natsrpc.errors import BadQueueNameError, BadSubjectError

LITERAL = [
    "a",
    "a.b.c",
    "$SRV.PING",
    "_INBOX.x.y",
    "größe.東京.🎈",
    "a-b_c/d:e(f)",
    "x" * 3900,
    "é" * 1950,
]
WILDCARD = ["*", ">", "a.*", "a.>", "*.*.*", "a.*.b", "*.>", "größe.*"]
MALFORMED = [
    "", ".", "..", ".a", "a.", "a..b", " ", "a b", "a ", " a", "a\tb", "a\rb", "a\nb", "a\r\nb",
    "a\r\nPUB b 0\r\n", "a\x00", "a\x1f", "a\x7f", "\ud800", "x" * 3901, "é" * 1951, "a\n", "a.b\n",
]  # fmt: skip
PARTIAL_WILDCARD = ["a*", "*a", "a>", ">a", ">.a", "a.>.b", "**", ">>", "a.b*", "*>", ">.>"]

CHECKS = (
    subject.check_publish, subject.check_reply, subject.check_literal, subject.check_subscribe,
)  # fmt: skip

refused = pytest.mark.parametrize("name", MALFORMED, ids=lambda name: repr(name)[:30])


@pytest.mark.parametrize("name", LITERAL, ids=lambda name: repr(name)[:30])
def test_a_literal_subject_is_encoded_by_every_check(name: str) -> None:
    for check in CHECKS:
        assert check(name) == name.encode()
        assert check(name) == name.encode()  # now remembered
    assert subject.decode(name.encode()) == name


@pytest.mark.parametrize("name", WILDCARD)
def test_a_wildcard_is_subscribed_and_published_to_and_never_called(name: str) -> None:
    for check in (subject.check_subscribe, subject.check_publish, subject.check_reply):
        assert check(name) == name.encode()
    for strict in (subject.check_literal, subject.check_inbox_prefix):
        for _ in range(2):
            with pytest.raises(BadSubjectError, match="wildcard") as caught:
                strict(name)
            assert caught.value.subject == name
            assert repr(name) in str(caught.value)


@pytest.mark.parametrize("name", PARTIAL_WILDCARD)
def test_a_wildcard_inside_a_token_or_before_the_end_is_no_pattern(name: str) -> None:
    for check in (subject.check_subscribe, subject.check_literal):
        with pytest.raises(BadSubjectError):
            check(name)
    assert subject.check_publish(name) == subject.check_reply(name) == name.encode()


@refused
def test_a_malformed_subject_is_refused_everywhere(name: str) -> None:
    for check in CHECKS:
        with pytest.raises(BadSubjectError) as caught:
            check(name)
        assert caught.value.subject == name
    with pytest.raises(BadSubjectError):
        subject.check_inbox_prefix(name)


@pytest.mark.parametrize("name", [None, b"a", 1, ["a"], ("a",)], ids=repr)
def test_a_subject_that_is_no_text_is_refused(name: Any) -> None:
    for check in CHECKS:
        with pytest.raises(BadSubjectError) as caught:
            check(name)
        assert repr(name) in str(caught.value)
    with pytest.raises(BadQueueNameError):
        subject.check_queue_group(name)


def test_a_subclass_of_text_is_a_subject() -> None:
    class Name(str):
        __slots__ = ()

    assert subject.check_publish(Name("sub.class")) == b"sub.class"
    assert subject.check_subscribe(Name("sub.class")) == b"sub.class"
    with pytest.raises(BadSubjectError):
        subject.check_publish(Name("a b"))


def test_checks_stay_right_when_many_names_were_seen() -> None:
    for number in range(10_000):
        name = f"many.{number}"
        assert subject.check_publish(name) == subject.check_subscribe(name) == name.encode()
    with pytest.raises(BadSubjectError):
        subject.check_publish("many..")
    assert subject.check_publish("many.0") == b"many.0"


@settings(max_examples=300, deadline=None)
@given(st.text(max_size=20))
def test_what_passes_is_one_argument_of_a_control_line(name: str) -> None:
    for check in (*CHECKS, subject.check_queue_group):
        try:
            encoded = check(name)
        except (BadSubjectError, BadQueueNameError):
            continue
        assert encoded == name.encode()
        if name:
            assert (b"SUB %b 1" % encoded).split() == [b"SUB", encoded, b"1"]
            assert not re.search(rb"[\x00-\x20\x7f]", encoded)


@pytest.mark.parametrize("name", ["q", "a.b", "größe", "$x", "x" * 1950])
def test_a_queue_group_is_encoded(name: str) -> None:
    assert subject.check_queue_group(name) == name.encode()


def test_no_queue_group_is_empty() -> None:
    assert subject.check_queue_group("") == b""


@pytest.mark.parametrize(
    "name",
    [" ", "a b", "a\t", "a\r\n", "\n", "a\x00", "\x7f", "*", "a>", "a*", "\ud800", "x" * 3000],
    ids=lambda name: repr(name)[:30],
)  # fmt: skip
def test_a_malformed_queue_group_is_refused(name: str) -> None:
    with pytest.raises(BadQueueNameError):
        subject.check_queue_group(name)


def test_an_inbox_prefix_is_a_literal_subject_with_room_for_the_rest() -> None:
    assert subject.check_inbox_prefix("_INBOX_alice.x") == "_INBOX_alice.x"
    for bad in ("a.", "*", "a.>", "x" * 3000):
        with pytest.raises(BadSubjectError):
            subject.check_inbox_prefix(bad)


def test_two_names_must_fit_on_one_control_line() -> None:
    subject.check_fit(b"a" * 3000, b"b" * 900)
    with pytest.raises(BadSubjectError, match="3901"):
        subject.check_fit(b"a" * 3000, b"b" * 901)


def test_the_longest_subject_fits_with_an_inbox_under_the_longest_prefix() -> None:
    prefix = "p" * subject.MAX_INBOX_PREFIX_BYTES
    subject.check_inbox_prefix(prefix)
    with pytest.raises(BadSubjectError):
        subject.check_inbox_prefix(prefix + "p")
    inbox = new_inbox(prefix).encode() + b"." + b"t" * TOKEN_SIZE
    line = b"%b %b 67108864 67108864" % (b"s" * subject.MAX_SUBJECT_BYTES, inbox)
    assert len(line) <= 4096


def test_a_received_subject_keeps_bytes_that_are_no_text() -> None:
    assert subject.decode(b"a.\xff") == "a.\udcff"


def test_join_leaves_out_empty_parts() -> None:
    assert subject.join("a", "", "b.c") == "a.b.c"
    assert subject.join("", "") == ""


# Matching, against the definition spelled out another way

TOKENS = ["a", "b", "*", ">"]
SUBJECTS = [".".join(parts) for n in (1, 2, 3, 4) for parts in itertools.product("ab", repeat=n)]
PATTERNS = [
    ".".join(parts)
    for n in (1, 2, 3)
    for parts in itertools.product(TOKENS, repeat=n)
    if ">" not in parts[:-1]
]


def expected(pattern: str) -> re.Pattern[str]:
    parts = {"*": r"[^.]+", ">": r".+"}
    return re.compile(r"\.".join(parts.get(part, part) for part in pattern.split(".")))


def test_matching_is_as_defined_for_all_small_patterns() -> None:
    for pattern in PATTERNS:
        accepts = expected(pattern).fullmatch
        for name in SUBJECTS:
            assert subject.matches(pattern, name) == bool(accepts(name)), (pattern, name)


def test_two_patterns_overlap_when_some_subject_matches_both() -> None:
    matched = {p: {name for name in SUBJECTS if expected(p).fullmatch(name)} for p in PATTERNS}
    for left, right in itertools.product(PATTERNS, repeat=2):
        assert subject.overlaps(left, right) == bool(matched[left] & matched[right]), (left, right)


@pytest.mark.parametrize(
    ("pattern", "name", "result"),
    [
        ("w.>", "w", False),
        ("w.>", "w.a.b", True),
        (">", "a", True),
        ("a*b", "a*b", True),
        ("a*b", "axb", False),
        ("foo>", "foo>", True),
        ("A", "a", False),
        ("a.*", "a.größe", True),
    ],
)
def test_matching_of_particular_cases(pattern: str, name: str, result: bool) -> None:
    assert subject.matches(pattern, name) is result
