"""Headers that only pass through make no header block a new one, and are there all the same."""

from __future__ import annotations

from typing import Annotated

import pytest

import natsrpc
from natsrpc.core import encode_headers
from natsrpc.rpc.contract import lasting
from natsrpc.rpc.serving import codings, terms


def test_their_lines_are_cut_out_whatever_their_case() -> None:
    block = encode_headers({"Traceparent": "00-1", "A": "b", "X-REQUEST-ID": "7", "baggage": "c=d"})
    assert lasting(block) == b"NATS/1.0\r\nA: b\r\n\r\n"


@pytest.mark.parametrize(
    "block",
    [
        b"",
        b"NATS/1.0\r\n\r\n",
        b"NATS/1.0\r\nA: b\r\n\r\n",
        b"NATS/1.0\r\nX-traceparent: 1\r\n\r\n",
        b"NATS/1.0\r\ntraceparent: a\rb\r\n\r\n",  # a lone CR ends no line
        b"NATS/1.0\r\ntraceparent: no end",
    ],
)
def test_what_is_no_whole_line_of_theirs_stays(block: bytes) -> None:
    assert lasting(block) == block


async def test_a_handler_reads_those_of_its_own_request() -> None:
    service = natsrpc.Service("shop", version="1.0.0")

    @service.handler("read")
    async def read(
        trace: Annotated[str, natsrpc.Header("traceparent")],
        ids: Annotated[list[str], natsrpc.Header("X-Request-Id")],
        tenant: Annotated[str, natsrpc.Header("Tenant")],
    ) -> str:
        return f"{trace} {ids[0]} {tenant}"

    @service.handler("all")
    async def all_(context: natsrpc.Context) -> dict[str, str]:
        return dict(context.headers)

    async with service.test() as client:
        for number in range(3):
            headers = {"traceparent": f"00-{number}", "X-Request-Id": str(number), "Tenant": "acme"}
            assert await client.call("read", headers=headers) == f"00-{number} {number} acme"
            found = await client.call("all", headers=headers)
            assert {name: found[name] for name in headers} == headers


async def test_a_block_is_read_once_for_many_traces(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of requests, of those that name a moment, and of events."""
    read: list[object] = []
    service = natsrpc.Service("shop", version="1.0.0")

    @service.handler("sell")
    async def sell() -> None: ...

    @service.subscriber("sold")
    async def sold() -> None: ...

    def noting(name: str, module: type) -> None:
        original = getattr(module, name)

        def note(self: object, *args: object) -> object:
            read.append(self)
            return original(self, *args)

        monkeypatch.setattr(module, name, note)

    noting("_read", terms.TermsBook)
    noting("_by_content_type", codings.Codings)
    async with service.test() as client:
        for number in range(5):
            headers = {"traceparent": f"00-{number:032x}-{number:016x}-01"}
            await client.call("sell", headers=headers)
            await client.publish("sold", headers=headers)
        await client.settled()
    assert len(read) == 2
