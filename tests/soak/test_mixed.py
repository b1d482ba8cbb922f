"""Mixed traffic through a fault every few seconds: all is accounted for, and nothing grows."""

from __future__ import annotations

import os
import sys

import pytest

from .mixed import mixed

MINUTES = float(os.environ.get("SOAK_MINUTES", "10"))

pytestmark = [
    pytest.mark.live,
    pytest.mark.soak,
    pytest.mark.skipif(sys.platform != "linux", reason="reads /proc"),
    pytest.mark.timeout(MINUTES * 60 + 300),
]


async def test_mixed_traffic_with_a_fault_every_few_seconds_is_accounted_for_and_flat() -> None:
    tally = await mixed(MINUTES)
    print(tally)
    assert tally.unexplained == []
    for side in ("caller", "worker"):
        assert tally.growth(side, "tasks") <= 0
        assert tally.growth(side, "descriptors") <= 0
        assert tally.growth(side, "objects") < 3000
        assert tally.growth(side, "KiB") < 24 * 1024
