"""`natsrpc ls`, beside a running service."""

from __future__ import annotations

import json

import pytest

from .processes import Shell

pytestmark = pytest.mark.live


async def test_ls_shows_services_and_their_subjects(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("ls")
    assert code == 0
    assert "cli-test" in out
    assert "1.2.3" in out
    assert "cli.echo" in out
    code, out, _ = await natsrpc_command("ls", "--json")
    assert code == 0
    assert json.loads(out)[0]["name"] == "cli-test"
