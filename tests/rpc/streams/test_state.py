"""The two halves of a stream, as pure state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.core import Headers
from natsrpc.errors import ReplyTooLargeError, UnavailableError
from natsrpc.rpc.headers.frame import control, read_control
from natsrpc.rpc.streams.state import START, Reader, Writer


def test_control_frames_are_read_as_written() -> None:
    assert read_control(Headers.decode(control("credit", 128))) == ("credit", 128)


@pytest.mark.parametrize(
    "text", ["", "credit", "credit -1", "credit 1.5", "credit ٣", "end " + "9" * 19]
)
def test_frames_that_make_no_sense_are_none(text: str) -> None:
    assert read_control(Headers({"Natsrpc-Frame": text})) is None
    assert read_control(Headers({"Other": "credit 1"})) is None


def test_a_lost_item_breaks_the_stream() -> None:
    reader = Reader()
    reader.receive(1, b"a")
    with pytest.raises(UnavailableError, match="item 2 was lost"):
        reader.receive(3, b"c")
    with pytest.raises(UnavailableError, match="item 2 was lost"):
        reader.check(2)
    with pytest.raises(UnavailableError, match="item 2 was lost"):
        reader.end(5)
    assert not reader.ended
    reader.check(1)
    reader.end(1)
    assert reader.ended


def test_a_sender_beyond_its_credit_breaks_the_stream() -> None:
    reader = Reader(window=2)
    reader.receive(1, b"")
    reader.receive(2, b"")
    with pytest.raises(UnavailableError, match="beyond its credit"):
        reader.receive(3, b"")


def test_credit_is_absolute_and_never_shrinks() -> None:
    writer = Writer(2)
    writer.sent = 2
    assert writer.sent >= writer.credit
    assert not writer.allow(1)
    assert writer.sent >= writer.credit
    assert writer.allow(5)
    assert writer.sent < writer.credit
    assert not writer.allow(6)


@given(window=st.integers(1, 20), steps=st.lists(st.booleans(), max_size=200))
def test_nothing_is_stuck_and_nothing_overflows(window: int, steps: list[bool]) -> None:
    """At most `window` items wait, and an empty buffer means that there is room."""
    reader, writer = Reader(window), Writer(window)
    for sends in steps:
        if sends and writer.sent < writer.credit:
            writer.sent += 1
            reader.receive(writer.sent, b"")
        elif not sends and reader.buffer:
            reader.buffer.popleft()
            credit = reader.took()
            if credit is not None:
                writer.allow(credit)
        assert len(reader.buffer) <= window
        assert reader.buffer or writer.sent < writer.credit


def test_parts_get_credit_at_once_only_if_nothing_waits_before_them() -> None:
    reader = Reader(window=4, limit=100)
    assert reader.receive_part(1, b"ab", 50) is None
    assert reader.receive_part(2, b"c", 49) is None
    assert reader.receive_part(3, b"d", 48) == 7
    reader.receive(4, b"e")
    assert list(reader.buffer) == [b"abcde"]
    for number in (5, 6, 7):
        assert reader.receive_part(number, b"x", 1) is None
    with pytest.raises(UnavailableError, match="credit"):
        reader.receive_part(8, b"x", 1)
    reader.buffer.popleft()
    assert reader.took() == 11
    with pytest.raises(ReplyTooLargeError, match="103 bytes"):
        reader.receive_part(8, b"", 100)
    with pytest.raises(UnavailableError, match="lost"):
        reader.receive_part(10, b"", 0)


@pytest.mark.parametrize(
    ("size", "ahead"), [(0, 128), (1000, 128), (128 * 1024, 64), (1024 * 1024, 8), (10**8, 1)]
)
def test_the_larger_the_items_the_fewer_are_let_ahead(size: int, ahead: int) -> None:
    reader, number, most, item = Reader(), 0, 0, b"x" * size
    for _ in range(300):
        while number < reader.granted:  # the sender uses all its credit at once
            number += 1
            reader.receive(number, item)
        if reader.taken > START:
            most = max(most, len(reader.buffer))
        reader.buffer.popleft()
        reader.took()
    assert most == ahead
