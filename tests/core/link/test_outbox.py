"""The reconnect buffer: its limit, its order, and what is carried in front."""

from __future__ import annotations

import pytest

from natsrpc.core.link.outbox import Outbox
from natsrpc.errors import ReconnectBufferExceededError


def test_frames_come_out_once_in_the_order_they_went_in() -> None:
    outbox = Outbox(100)
    outbox.put(b"one")
    outbox.put(b"two")
    assert outbox.size == 6
    assert outbox.take() == [b"one", b"two"]
    assert (outbox.take(), outbox.size) == ([], 0)


def test_a_frame_is_refused_once_the_limit_is_reached_and_leaves_no_trace() -> None:
    outbox = Outbox(5)
    outbox.put(b"four")
    outbox.put(b"overshoots")
    with pytest.raises(ReconnectBufferExceededError, match="14 of 5 bytes"):
        outbox.put(b"x")
    assert outbox.take() == [b"four", b"overshoots"]
    outbox.put(b"room again")


def test_a_negative_limit_keeps_nothing() -> None:
    with pytest.raises(ReconnectBufferExceededError, match="switched off"):
        Outbox(-1).put(b"x")


def test_carried_frames_stand_in_front_and_count() -> None:
    outbox = Outbox(5)
    outbox.put(b"later")
    outbox.carry([b"earlier", b"than that"])
    assert outbox.size == 21
    assert outbox.take() == [b"earlier", b"than that", b"later"]
