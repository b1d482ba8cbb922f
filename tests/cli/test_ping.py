"""`natsrpc ping`, beside a running service."""

from __future__ import annotations

import pytest

from .processes import Shell

pytestmark = pytest.mark.live


async def test_ping_lists_the_instances(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("ping")
    assert code == 0
    assert "cli-test" in out
    assert "ms" in out
