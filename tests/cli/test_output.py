"""Text of services in tables."""

from __future__ import annotations

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import Shell

pytestmark = pytest.mark.live


async def test_what_services_say_is_shown_as_it_is(fresh_server: NatsServer) -> None:
    texts = ["a [red]word[/red], :b: and [/nothing]", "code 422:b: x"]
    said = natsrpc.Service("said", version="1.0.0", description=texts[0])

    @said.handler("said.error")
    async def error() -> None:
        raise natsrpc.RpcError(texts[1])

    shell = Shell(fresh_server.url)
    async with natsrpc.connect(fresh_server.url) as client, client.serve(said):
        with pytest.raises(natsrpc.RpcError):
            await client.call(error)
        for verb, text in zip(("ls", "stats"), texts, strict=True):
            code, out, err = await shell(verb)
            assert (code, err) == (0, "")
            assert text in out
