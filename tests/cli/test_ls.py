"""`natsrpc ls`, beside a running service."""

from __future__ import annotations

import json

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import Shell

pytestmark = [pytest.mark.live, pytest.mark.once]


async def test_ls_shows_services_and_their_subjects(natsrpc_command: Shell) -> None:
    code, out, _ = await natsrpc_command("ls")
    assert code == 0
    assert "cli-test" in out
    assert "1.2.3" in out
    assert "cli.echo" in out
    code, out, _ = await natsrpc_command("ls", "--json")
    assert code == 0
    assert json.loads(out)[0]["name"] == "cli-test"


async def test_events_are_marked_where_endpoints_are_listed(fresh_server: NatsServer) -> None:
    service = natsrpc.Service("bill", version="1.0.0")

    @service.handler("bill.total")
    async def total() -> int:
        return 1

    @service.subscriber(natsrpc.Event("shop.{region}.placed", int))
    async def charge(order: int) -> None: ...

    async with natsrpc.connect(fresh_server.url) as client, client.serve(service):
        run = Shell(fresh_server.url)
        _, listed, _ = await run("ls")
        assert "bill.total, shop.*.placed (event)" in listed
        for command in ("info", "stats"):
            _, shown, _ = await run(command, "bill")
            assert "charge (event)" in shown
            assert "total (" not in shown
