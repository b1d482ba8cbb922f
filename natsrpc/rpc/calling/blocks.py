"""Header blocks that name a moment by the clock on the wall: each is kept while it is right."""

from __future__ import annotations

import time
from typing import Literal, TypeAlias

from natsrpc.errors import ConfigError

from ..headers import deadline_line

DeadlineClock: TypeAlias = Literal["relative", "wall"]
"""How requests say when their time is over: by what is left of it, or by a moment, too."""

Block: TypeAlias = "tuple[bytes, float | None]"
"""A header block, and how many seconds to wait for the reply."""


def check_deadline_clock(clock: DeadlineClock) -> None:
    """Refuse what is no way to say when the time of a request is over.

    Raises:
        ConfigError: naming the value.
    """
    if clock not in ("relative", "wall"):
        raise ConfigError(f"deadline_clock is {clock!r}: expected 'relative' or 'wall'")


class DatedBlocks:
    """The blocks of a `BoundCall`, by timeout: a dict whose entries last a tenth of a second.

    `Client.call` looks here as it looks into the dict of other calls, which so pay nothing for it.
    """

    def __init__(self) -> None:
        self._blocks: dict[float | None, Block] = {}

    def __len__(self) -> int:
        return len(self._blocks)

    def __setitem__(self, timeout: float | None, block: Block) -> None:
        self._blocks[timeout] = block

    def get(self, timeout: float | None) -> Block | None:
        """The block for a timeout, if a request that is sent now would say the same."""
        known = self._blocks.get(timeout)
        if known is None or timeout is None or deadline_line(time.time() + timeout) in known[0]:
            return known
        return None

    def clear(self) -> None:
        """Forget all."""
        self._blocks.clear()
