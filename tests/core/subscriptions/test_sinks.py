"""A callback called in place looks at each distinct header block once, and at bad ones always."""

from __future__ import annotations

import pytest

from natsrpc.core import Headers, Msg, connect
from natsrpc.testing import NatsServer

pytestmark = pytest.mark.live


async def test_repeated_headers_are_not_decoded_for_delivery(
    nats_server: NatsServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded: list[bytes] = []
    original = Headers.decode.__func__  # type: ignore[attr-defined]  # what the class method wraps

    def counting(cls: type[Headers], block: bytes) -> Headers:
        decoded.append(block)
        result: Headers = original(cls, block)
        return result

    received: list[Msg] = []
    async with connect(nats_server.url) as nc:
        await nc.subscribe("in-place.repeated", cb=received.append)
        await nc.flush()
        monkeypatch.setattr(Headers, "decode", classmethod(counting))
        for _ in range(5):
            await nc.publish("in-place.repeated", b"x", headers={"A": "1"})
        await nc.flush()
    assert len(received) == 5
    assert len(decoded) == 1
    assert received[4].headers["A"] == "1"


async def test_malformed_headers_are_reported_each_time(nats_server: NatsServer) -> None:
    errors: list[Exception] = []
    received: list[Msg] = []

    def on_error(_: object, __: object, error: Exception) -> None:
        errors.append(error)

    async with connect(nats_server.url, on_error=on_error) as nc:
        await nc.subscribe("in-place.malformed", cb=received.append)
        await nc.flush()
        for _ in range(2):
            nc.link.send(b"in-place.malformed", b"x", b"", b"NATS/1.0\r\nno colon\r\n\r\n")
        await nc.flush()
    assert len(received) == 2
    assert len(errors) == 2
