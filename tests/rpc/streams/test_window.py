"""One window for all conversations of a connection, overdrawn by no more than their leasts."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from natsrpc.rpc.streams.window import LEAST, Window

MIB = 1 << 20


def test_one_share_may_hold_the_whole_window() -> None:
    window = Window(16 * MIB)
    share = window.share()
    assert share.grow(1 << 62) == 16 * MIB
    assert share.grow(1) == 0
    share.shrink(MIB)
    assert share.grow(1 << 62) == MIB


def test_shares_are_equal_parts() -> None:
    window = Window(16 * MIB)
    shares = [window.share() for _ in range(4)]
    assert [share.grow(1 << 62) for share in shares] == [4 * MIB] * 4


def test_each_gets_its_least_where_others_hold_everything() -> None:
    window = Window(MIB)
    greedy, late = window.share(), None
    assert greedy.grow(1 << 62) == MIB
    late = window.share()
    assert late.grow(1 << 62) == LEAST
    assert late.grow(1 << 62) == 0


def test_what_is_closed_gives_back_once() -> None:
    window = Window(MIB)
    share = window.share()
    share.grow(1 << 62)
    share.close()
    share.close()
    share.shrink(5)
    assert (window.free, window.shares) == (MIB, 0)


@given(st.lists(st.tuples(st.sampled_from("ogsc"), st.integers(0, 30), st.integers(0, 1 << 21))))
def test_the_sum_stays_within_the_window_and_the_leasts(steps: list[tuple[str, int, int]]) -> None:
    window = Window(MIB)
    shares = [window.share()]
    for what, which, size in steps:
        share = shares[which % len(shares)]
        if what == "o":
            shares.append(window.share())
        elif what == "g":
            share.grow(size)
        elif what == "s":
            share.shrink(min(size, share.held))
        else:
            share.close()
        live = [each for each in shares if each.is_open]
        assert sum(each.held for each in live) + window.free == MIB
        assert sum(each.held for each in live) <= MIB + LEAST * len(live)
        assert window.shares == len(live)
