"""A cluster is restarted under load, and no request is lost or answered twice."""

from __future__ import annotations

import pytest

from .rolling_restart import Fleet, TypedFleet, rolling_restart

pytestmark = pytest.mark.live


@pytest.mark.alone  # nodes tell each other of new instances as fast as the machine lets them
@pytest.mark.parametrize("kind", [Fleet, TypedFleet])
async def test_restarting_one_server_of_three_under_load_loses_nothing(kind: type[Fleet]) -> None:
    tally = await rolling_restart(0, 500, rolls=1, fleet_type=kind)
    print(tally)
    assert tally.asked > 100
    assert (tally.lost, tally.handled_twice) == (0, 0), str(tally)
    assert tally.reconnects >= 1
    assert (tally.restarts, tally.drains) == (1, 1)


@pytest.mark.soak
@pytest.mark.timeout(180)
@pytest.mark.parametrize("kind", [Fleet, TypedFleet])
async def test_a_rolling_restart_at_500_requests_a_second_loses_nothing(kind: type[Fleet]) -> None:
    tally = await rolling_restart(30, 500, rolls=3, fleet_type=kind)
    print(tally)
    assert tally.asked >= 14_000
    assert (tally.lost, tally.handled_twice) == (0, 0), str(tally)
    assert tally.restarts >= 3
