"""Many seeds of what `tests/rpc/streams/test_adversity.py` tries a few of."""

from __future__ import annotations

import signal
import sys
from collections import Counter

import pytest

from tests.rpc.streams.troubles import (
    NETWORK,
    through_a_network,
    through_a_stop,
    through_callers,
    through_killings,
)

pytestmark = [
    pytest.mark.live,
    pytest.mark.soak,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
    pytest.mark.timeout(600),
]


@pytest.mark.parametrize("kinds", [[kind] for kind in NETWORK] + [NETWORK], ids=" ".join)
async def test_any_network_ends_conversations_typed_and_leaves_nothing(kinds: list[str]) -> None:
    ends: Counter[str] = Counter()
    for seed in range(100, 112):
        ends += await through_a_network(kinds, seed, count=5)
    print(kinds, ends.total(), ends.most_common(4))
    assert ends["whole"] > 100


async def test_killed_workers_end_conversations_typed_and_leave_nothing() -> None:
    print(await through_killings(seed=100, count=20))


@pytest.mark.parametrize("seconds", [0.1, 1, 4, 7, 12])
async def test_stopped_workers_end_conversations_typed_and_leave_nothing(seconds: float) -> None:
    for seed in (100, 101):
        print(seconds, await through_a_stop(seed, seconds))


async def test_killed_and_stopped_callers_leave_nothing_at_the_worker() -> None:
    await through_callers(100, [signal.SIGKILL, signal.SIGSTOP] * 5, seconds=3)
