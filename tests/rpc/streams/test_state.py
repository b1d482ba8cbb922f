"""The two halves of a conversation, as pure state."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsrpc.errors import ReplyTooLargeError, UnavailableError
from natsrpc.rpc.streams.account import Account
from natsrpc.rpc.streams.state import Reader, Writer
from natsrpc.rpc.streams.window import LEAST, START, START_ITEMS, WINDOW, Window

MIB = 1 << 20


class Half:
    """A reader with a window and an account of its own."""

    def __init__(self, window: int = 16 * MIB, largest: int = MIB) -> None:
        self.window = Window(window)
        self.account = Account()
        self.account.allow(largest)
        self.room = 0
        self.reader = Reader(self.window.share(), self.account, self.got_room, limit=largest)

    def got_room(self) -> None:
        self.room += 1
        self.reader.move()


def test_items_are_taken_in_order() -> None:
    reader = Half().reader
    reader.receive(1, b"a")
    reader.receive(2, b"")
    reader.end(2)
    assert [reader.take(), reader.take(), reader.take()] == [b"a", b"", None]
    assert reader.ended
    assert reader.is_whole


@pytest.mark.parametrize("number", [0, 1, 3, 10**18])
def test_a_number_that_does_not_follow_breaks_the_stream(number: int) -> None:
    reader = Half().reader
    reader.receive(1, b"a")
    with pytest.raises(UnavailableError, match="item 2 was lost"):
        reader.receive(number, b"b")


def test_credit_begins_small_and_grows_to_the_window() -> None:
    reader = Half().reader
    assert reader.credit == (START_ITEMS, START)
    for number in range(1, START_ITEMS // 2 + 1):
        assert not reader.is_due
        reader.receive(number, b"x" * 100)
        reader.take()
    assert reader.is_due
    items, size = reader.grant() or (0, 0)
    assert items == START_ITEMS // 2 + WINDOW
    assert size == 16 * MIB + START_ITEMS // 2 * 100
    assert not reader.is_due


def test_many_bytes_are_told_as_well_as_many_items() -> None:
    reader = Half().reader
    reader.receive(1, b"x" * (START // 2))
    assert not reader.is_due
    reader.take()
    assert reader.is_due


def test_without_room_credit_is_not_looked_at_for_every_item() -> None:
    half = Half(window=MIB)
    others = [half.window.share() for _ in range(50)]
    for other in others:
        other.grow(MIB)
    reader = half.reader
    asked = 0
    number = 0
    while number < 1000:
        number += 1
        if number > reader.granted or reader.received_bytes + 100 > reader.allowed:
            break
        reader.receive(number, b"x" * 100)
        reader.take()
        if reader.is_due:
            asked += 1
            reader.grant()
    assert number == 1000
    assert asked < 25


def test_parts_are_moved_to_the_account_and_given_back_when_the_value_is_taken() -> None:
    half = Half()
    reader = half.reader
    reader.receive_part(1, b"abc", 3)
    assert half.account.free == 4 * MIB - 6
    reader.receive(2, b"def")
    assert half.window.size - half.window.free == reader.allowed - 6
    assert reader.take() == b"abcdef"
    assert half.account.free == 4 * MIB


def test_a_value_without_room_is_held_back_until_an_older_one_goes() -> None:
    half = Half(largest=100)
    older = half.account.enter(400, lambda: None)
    reader = half.reader
    reader.begin(100)
    assert reader.is_held_back
    older.close()
    assert half.room == 1
    assert not reader.is_held_back


def test_what_is_held_back_gets_no_more_credit_than_it_has_room() -> None:
    half = Half(largest=10 * MIB)
    half.account.enter(40 * MIB - 100_000, lambda: None)
    reader = half.reader
    reader.begin(10 * MIB)
    before = reader.allowed
    reader.receive_part(1, b"x" * 90_000, 10 * MIB - 90_000)
    reader.grant()
    assert reader.allowed == before  # more than there is room for is on its way already


def test_an_end_in_the_middle_of_a_value_is_no_end() -> None:
    reader = Half().reader
    reader.receive_part(1, b"a", 1)
    with pytest.raises(UnavailableError, match="should go on"):
        reader.end(1)


def test_a_value_over_the_limit_is_refused_before_it_is_kept() -> None:
    half = Half(largest=10)
    with pytest.raises(ReplyTooLargeError, match="11 bytes"):
        half.reader.receive_part(1, b"a", 10)
    assert half.account.free == half.account.size


def test_closing_gives_everything_back() -> None:
    half = Half()
    half.reader.receive(1, b"a")
    half.reader.receive_part(2, b"b", 5)
    half.reader.receive(3, b"cdefg")
    half.reader.receive_part(4, b"h", 5)
    half.reader.close()
    half.reader.close()
    assert half.reader.grant() is None or half.window.free == half.window.size
    assert half.window.free == half.window.size
    assert half.account.free == half.account.size


def test_a_writer_counts_items_and_bytes() -> None:
    writer = Writer(1, 10)
    assert writer.room() == 10
    writer.sent, writer.sent_bytes = 1, 4
    assert writer.room() == 0
    assert writer.allow(2, 5)
    assert writer.room() == 6
    assert not writer.allow(2, 10)
    assert not writer.allow(0, 0)


@given(
    st.lists(st.integers(0, 300_000), max_size=30),
    st.integers(1, 40),
    st.integers(10_000, 200_000),
    st.integers(LEAST, 2 * MIB),
)
def test_whatever_is_sent_within_the_credit_arrives_and_the_window_holds(
    sizes: list[int], others: int, part: int, window: int
) -> None:
    half = Half(window=window)
    shares = [half.window.share() for _ in range(others)]
    for share in shares:
        share.grow(1 << 62)
    reader, writer = half.reader, Writer(*half.reader.credit)
    arrived: list[int] = []

    def read() -> None:
        while (data := reader.take()) is not None:
            arrived.append(len(data))
        if reader.is_due and (credit := reader.grant()):
            writer.allow(*credit)

    for size in sizes:
        left = size
        while True:
            room, tries = writer.room(), 0
            while (room == 0 and (left or writer.sent >= writer.credit)) and tries < 3:
                read()
                if credit := reader.grant():  # what a tick does
                    writer.allow(*credit)
                room, tries = writer.room(), tries + 1
            assert room or not left, "credit never comes"
            data = b"x" * min(left, room, part)
            left -= len(data)
            number = writer.sent + 1
            if left:
                reader.receive_part(number, data, left)
            else:
                reader.receive(number, data)
            writer.sent, writer.sent_bytes = number, writer.sent_bytes + len(data)
            held = sum(share.held for share in shares) + reader.allowed - reader.taken_bytes
            assert held <= window + LEAST * (others + 1) + START
            if not left:
                break
    reader.end(writer.sent)
    read()
    assert arrived == sizes
    reader.close()
    assert half.account.free == half.account.size
