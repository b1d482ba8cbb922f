"""Half values on account: room goes to the oldest first, so they never lock each other out."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from natsrpc.rpc.streams.account import BODIES, Account, Body


def account(largest: int) -> Account:
    made = Account()
    made.allow(largest)
    return made


def test_room_is_given_in_the_order_of_age() -> None:
    told: list[str] = []
    books = account(10)
    first = books.enter(30, lambda: told.append("first"))
    second = books.enter(30, lambda: told.append("second"))
    third = books.enter(10, lambda: told.append("third"))
    assert (first.room, second.room, third.room) == (30, 10, 0)
    first.close()
    assert (second.room, third.room) == (30, 10)
    assert told == ["second", "third"]


def test_leaving_twice_gives_back_once() -> None:
    books = account(10)
    body = books.enter(25, lambda: None)
    body.close()
    body.close()
    assert books.free == books.size == 10 * BODIES


def test_a_larger_limit_adds_room_for_those_who_wait() -> None:
    books = account(10)
    body = books.enter(60, lambda: None)
    assert body.room == 40
    books.allow(15)
    assert body.room == 60
    books.allow(5)
    assert books.size == 60


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 50))))
def test_the_books_balance_and_the_oldest_is_never_short_for_a_younger(
    steps: list[tuple[bool, int]],
) -> None:
    books = account(20)
    live: list[Body] = []
    for enters, number in steps:
        if enters or not live:
            live.append(books.enter(number, lambda: None))
        else:
            live.pop(number % len(live)).close()
        assert books.free + sum(body.room for body in live) == books.size
        assert books.free >= 0
        if live and live[0].room < live[0].total:
            assert all(not body.room or body is live[0] for body in live[1:]) or books.free == 0
