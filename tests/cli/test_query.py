"""Questions that nobody answers."""

from __future__ import annotations

import pytest

from natsrpc.testing import NatsServer

from .processes import Shell

pytestmark = pytest.mark.live


async def test_service_that_is_not_there_is_one_line(natsrpc_command: Shell) -> None:
    for verb in ("info", "stats", "ping"):
        code, _, err = await natsrpc_command(verb, "nobody")
        assert (code, err) == (3, "error: no service 'nobody' answered\n")


@pytest.mark.parametrize("verb", ["ls", "stats", "ping"])
async def test_no_services_at_all_is_said(fresh_server: NatsServer, verb: str) -> None:
    shell = Shell(fresh_server.url)
    assert await shell(verb, "-t", "300ms") == (0, "", "no services answered\n")
    assert await shell(verb, "-t", "300ms", "--json") == (0, "[]\n", "")
