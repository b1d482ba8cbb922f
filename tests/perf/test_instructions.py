"""No message executes more than it did: bytecode instructions and calls, counted.

They are the same on any machine, however busy. What a budget is for, and how to measure it anew:
`budgets.py`.
"""

from __future__ import annotations

import pytest

from natsrpc.testing import NatsServer

from .budgets import ALL_HEADROOM, CALL_HEADROOM, OWN_HEADROOM, THIS_PYTHON, WORK, work_of
from .operations import OPERATIONS
from .tracing import hindrance

pytestmark = pytest.mark.live


@pytest.mark.parametrize("operation", OPERATIONS)
async def test_a_message_executes_no_more_than_it_did(
    nats_server: NatsServer, operation: str
) -> None:
    hindered = hindrance()
    if hindered:
        pytest.skip(f"instructions cannot be counted: {hindered}")
    work = await work_of(operation, nats_server.url)
    if THIS_PYTHON not in WORK:
        pytest.skip(f"no budget was measured on Python {THIS_PYTHON} yet: {work!r}")
    own, own_calls, instructions = WORK[THIS_PYTHON][operation]
    told = f"{operation}: {own:.1f} instructions of natsrpc, {own_calls:.2f} calls of it and "
    told += f"{instructions:.1f} instructions in all were measured before; now it is\n"
    assert work.own_calls <= own_calls + CALL_HEADROOM, told + work.table()
    assert work.own <= own * OWN_HEADROOM, told + work.table()
    assert work.instructions <= instructions * ALL_HEADROOM, told + work.table()
