"""Conversations cut at seeded random moments: all end, whole or typed, and nothing is left.

A few seeds of each trouble; `make soak` takes many.
"""

from __future__ import annotations

import signal
import sys

import pytest

from .troubles import NETWORK, through_a_network, through_a_stop, through_callers, through_killings

pytestmark = pytest.mark.live

unix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")


@pytest.mark.parametrize("kind", NETWORK)
async def test_a_failing_network_ends_conversations_typed_and_leaves_nothing(kind: str) -> None:
    ends = await through_a_network([kind], seed=1, count=4)
    print(ends)
    assert ends["whole"] > 0


@unix
async def test_a_killed_worker_ends_conversations_typed_and_leaves_nothing() -> None:
    ends = await through_killings(seed=1, count=2)
    print(ends)
    assert ends["whole"] > 0


@unix
@pytest.mark.parametrize("seconds", [0.5, 7])
async def test_a_stopped_worker_ends_conversations_typed_and_leaves_nothing(seconds: float) -> None:
    """For a moment all wait for it; after longer, both sides have given up, each by itself."""
    ends = await through_a_stop(seed=1, seconds=seconds)
    print(ends)
    assert ends["whole"] > 0


@unix
async def test_killed_callers_leave_nothing_at_the_worker() -> None:
    await through_callers(1, [signal.SIGKILL] * 2, seconds=0)
