"""`natsrpc ping`, beside a running service."""

from __future__ import annotations

import json

import pytest

from .processes import Shell

pytestmark = pytest.mark.live


async def test_ping_lists_the_instances(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("ping")
    assert code == 0
    assert "cli-test" in out
    assert "ms" in out


async def test_json_names_the_unit_of_the_time(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("ping", "--json")
    (told,) = json.loads(out)
    assert (code, told["name"]) == (0, "cli-test")
    assert 0 < told["rtt_ms"] < 60_000
    assert "rtt" not in told
