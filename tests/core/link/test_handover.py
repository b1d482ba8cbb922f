"""Twins: what comes on two sessions is told once, in order, wherever the first of them ends."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from natsrpc.core import Msg
from natsrpc.core.link.handover import Twins


def message(data: bytes) -> Msg:
    return Msg("inbox.token", data)


@given(
    stream=st.one_of(
        st.lists(st.sampled_from([b"a", b"b", b"c"]), max_size=20),
        st.integers(0, 20).map(lambda size: [b"%d" % n for n in range(size)]),
    ),
    data=st.data(),
)
def test_each_message_is_told_once_and_in_order(stream: list[bytes], data: st.DataObject) -> None:
    """The old session brings the beginning, the new one the end; they meet or overlap."""
    start = data.draw(st.integers(0, len(stream)), label="the new session begins at")
    stop = data.draw(st.integers(start, len(stream)), label="the old session ends before")
    told: list[bytes] = []
    twins = Twins(lambda msg: told.append(msg.data))
    old, new = list(stream[:stop]), list(stream[start:])
    ended = False
    while old or new:
        from_old = bool(old) and (not new or data.draw(st.booleans(), label="old is faster"))
        if from_old:
            twins.take_old(message(old.pop(0)))
        else:
            twins.take_new(message(new.pop(0)))
        if not old and not ended and data.draw(st.booleans(), label="the end is noticed"):
            twins.end()
            ended = True
    twins.end()
    if len(set(stream)) == len(stream) or start == 0:
        assert told == stream
    else:  # equal messages from before the new session began may stand for later ones
        assert told[:stop] == stream[:stop]
        assert len(told) <= len(stream)
