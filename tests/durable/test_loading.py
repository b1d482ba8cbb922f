"""When the room is loaded."""

from __future__ import annotations

import natsrpc


def test_the_room_is_reached_from_the_package() -> None:
    assert natsrpc.durable.__name__ == "natsrpc.durable"
