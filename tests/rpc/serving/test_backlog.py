"""The bounded row of a subscriber's events."""

from __future__ import annotations

from typing import Any, cast

import pytest

from natsrpc.core import Msg
from natsrpc.rpc.contract import Limits
from natsrpc.rpc.serving.backlog import Backlog
from natsrpc.rpc.serving.slots import Gate


class Link:
    @property
    def outbound(self) -> Link:
        return self

    congested = False


def event(data: bytes = b"") -> Msg:
    return Msg("s", data)


@pytest.mark.parametrize("is_held", [False, True])
def test_slots_that_are_free_while_held_make_room(is_held: bool) -> None:
    gate, started = Gate(cast(Any, Link()), 3), list[Msg]()
    limits = Limits(max_concurrency=2, max_waiting=1, timeout=None, max_waiting_bytes=10)
    backlog = Backlog(gate, limits, started.append)
    if is_held:
        gate.hold()
    else:
        backlog.free = 0
    room = [backlog.put(event()) for _ in range(5)]
    assert room == ([True] * 3 + [False] * 2 if is_held else [True] + [False] * 4)
    assert not backlog.put(event(b"x" * 11))
