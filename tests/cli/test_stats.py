"""`natsrpc stats`, beside a running service."""

from __future__ import annotations

import json

import pytest

from .processes import Shell

pytestmark = [pytest.mark.live, pytest.mark.once]


async def test_stats_count_requests_and_errors(natsrpc_command: Shell) -> None:
    await natsrpc_command("call", "cli.missing")
    code, out, _ = await natsrpc_command("stats", "cli-test", "--json")
    assert code == 0
    counts = {
        e["name"]: (e["num_requests"], e["num_errors"]) for e in json.loads(out)[0]["endpoints"]
    }
    assert counts["missing"] == (1, 1)
    assert counts["echo"] == (0, 0)
    code, out, _ = await natsrpc_command("stats")
    assert code == 0
    assert ["missing", "cli.missing", "1", "1"] in [line.split()[2:6] for line in out.splitlines()]
