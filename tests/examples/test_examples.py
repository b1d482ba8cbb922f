"""Each of the small examples, served and called as its first lines say."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

import natsrpc
from examples.services import calc, helpdesk, shop, stream
from natsrpc.testing import NatsServer


@pytest.fixture
async def client(nats_server: NatsServer) -> AsyncIterator[natsrpc.Client]:
    async with natsrpc.connect(nats_server.url) as connected:
        yield connected


async def test_helpdesk_answers_by_subject_and_by_handler(client: natsrpc.Client) -> None:
    question = helpdesk.Question(topic="nats")
    async with client.serve(helpdesk.service):
        answer = await client.call("help", question, helpdesk.Answer, timeout=1.0)
        assert answer == helpdesk.Answer(text="I can help with nats")
        assert await client.call(helpdesk.help, question) == answer
    assert await helpdesk.help(question) == answer


async def test_calc_takes_its_parameters_from_the_fields_of_the_body(
    client: natsrpc.Client,
) -> None:
    async with client.serve(calc.service):
        assert await client.call("calc.add", {"a": 1, "b": 2}, float) == 3.0
        assert await client.call("calc.mean", [1, 2, 6], float) == 3.0
        with pytest.raises(natsrpc.RpcError) as caught:
            await client.call("calc.add", {"a": 1}, float)
    assert caught.value.code == 422
    assert caught.value.details[0]["path"] == "b"


async def test_shop_raises_its_own_class_at_the_caller(client: natsrpc.Client) -> None:
    async with client.serve(shop.service):
        assert await client.call("shop.order", {"sku": "teapot", "count": 1}, int) == 2
        with pytest.raises(shop.OutOfStock) as caught:
            await client.call(shop.order, {"sku": "unicorn", "count": 1})
        assert (caught.value.code, caught.value.sku, caught.value.left) == (409, "unicorn", 0)
        with pytest.raises(natsrpc.NotFoundError, match="'yeti'"):
            await client.call("shop.order", {"sku": "yeti", "count": 1}, int)


async def test_stream_reads_sums_up_and_filters(client: natsrpc.Client) -> None:
    async with client.serve(stream.service):
        first = await anext(client.stream("weather.watch", {"count": 3}, stream.Reading))
        assert first == stream.Reading(number=0, celsius=15.0)
        assert await client.upload(stream.mean, stream.watch(100)) == 16.9
        found = client.stream(stream.alarms, 24.9, items=stream.watch(100))
        assert [alarm async for alarm in found] == [
            "reading 15: 25.0 degrees",
            "reading 16: 25.0 degrees",
            "reading 78: 25.0 degrees",
            "reading 79: 25.0 degrees",
        ]


async def test_stream_runs_as_it_stands(capsys: pytest.CaptureFixture[str]) -> None:
    await stream.main()
    assert capsys.readouterr().out.splitlines()[:4] == [
        "0 15.0",
        "1 16.0",
        "2 17.0",
        "on average 16.9",
    ]
