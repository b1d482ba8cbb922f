"""The command line, and the client that blocks, over WebSocket."""

from __future__ import annotations

import asyncio
import json

import pytest

import natsrpc
import natsrpc.sync
from natsrpc.testing import NatsServer

from .processes import run_command

pytestmark = pytest.mark.live

service = natsrpc.Service("by-web", version="1.0.0")


@service.handler("web.add", name="add")
async def add(a: int, b: int) -> int:
    return a + b


async def test_commands_and_blocking_calls_take_websocket_urls() -> None:
    config = 'websocket { host: "127.0.0.1", port: -1, no_tls: true }'
    async with NatsServer(config) as server:
        url = f"ws://127.0.0.1:{server.websocket_port}/any"

        def blocking() -> int:
            with natsrpc.sync.connect(url) as client:
                return client.call("web.add", {"a": 1, "b": 2}, returns=int)

        async with natsrpc.connect(url) as client, client.serve(service):
            code, out, err = await asyncio.to_thread(
                run_command, "info", "by-web", "--json", "--server", url
            )
            assert (code, err) == (0, "")
            assert json.loads(out)[0]["name"] == "by-web"
            assert await asyncio.to_thread(blocking) == 3
