"""A stream that stores the subject of a call answers in place of the service; that is told."""

from __future__ import annotations

import logging
import pickle
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel

import natsrpc
from natsrpc import codecs
from natsrpc.core import Throttle
from natsrpc.errors import SubjectStoredError
from natsrpc.rpc.calling import acks
from natsrpc.testing import Broker, NatsServer

FULL = (
    b'{"error":{"code":503,"err_code":10077,"description":"maximum messages exceeded"},'
    b'"stream":"ORDERS","seq":0}'
)
ACKS = [
    b'{"stream":"ORDERS","seq":1}',
    b'{"stream":"ORDERS", "seq":1}',
    b'{"stream":"ORDERS","domain":"hub","seq":7,"duplicate":true}',
    b'{"type":"io.nats.jetstream.api.v1.pub_ack_response","stream":"ORDERS","seq":1}',
    FULL,
]
OTHERS = [
    b'{"stream":"ORDERS"}',
    b'{"stream":1,"seq":1}',
    b'{"stream":"ORDERS","seq":"1"}',
    b'{"stream":"ORDERS","seq":1,"total":3}',
    b'{"stream":"ORDERS","seq":1',
    b'[{"stream":"ORDERS","seq":1}]',
    b'{"error":{"code":1}}',
    b'{"stream":"' + b"S" * 5000 + b'","seq":1}',
    b"",
]


class Placed(BaseModel):
    number: int


class Lenient(BaseModel):
    number: int = 0


class Ack(BaseModel):
    stream: str
    seq: int


@pytest.mark.parametrize("data", ACKS)
def test_an_acknowledgement_is_known_by_its_keys(data: bytes) -> None:
    error = acks.stored(data, "orders.place")
    assert error is not None
    assert (error.subject, error.stream) == ("orders.place", "ORDERS")
    assert error.reason == ("maximum messages exceeded" if data is FULL else "")
    assert "orders.place" in str(error)
    assert "ORDERS" in str(error)
    assert error.reason in str(error)
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), vars(again)) == (str(error), vars(error))


@pytest.mark.parametrize("data", OTHERS)
def test_nothing_else_is_taken_for_one(data: bytes) -> None:
    assert acks.stored(data, "orders.place") is None


@pytest.fixture
async def orders(tmp_path: Path) -> AsyncIterator[natsrpc.Client]:
    """A client of a server where a stream stores all that is sent to `orders.>`."""
    config = f'jetstream {{ store_dir: "{tmp_path}" }}'
    async with NatsServer(config) as server, natsrpc.connect(server.url) as client:
        stream = {
            "name": "ORDERS",
            "subjects": ["orders.>"],
            "storage": "memory",
            "max_msgs": 3,
            "discard": "new",
        }
        made = await client.call("$JS.API.STREAM.CREATE.ORDERS", stream, dict[str, Any])
        assert "error" not in made
        yield client


@pytest.mark.live
@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_a_caller_is_told_of_the_stream_that_stores_its_subject(
    orders: natsrpc.Client, codec: str
) -> None:
    # no worker: its answer would race with that of the stream
    for _ in range(3):
        with pytest.raises(SubjectStoredError, match="'ORDERS' stores this subject") as told:
            await orders.call("orders.place", 1, Placed, codec=codec)
        assert (told.value.subject, told.value.reason) == ("orders.place", "")
    with pytest.raises(SubjectStoredError, match="did not store") as told:
        await orders.call("orders.place", 1, Placed, codec=codec)
    assert told.value.reason == "maximum messages exceeded"
    for returns in (int, Any):
        with pytest.raises(SubjectStoredError):
            async for _ in orders.stream("orders.each", 1, returns, codec=codec):
                pass
    with pytest.raises(SubjectStoredError):
        await orders.call("orders.place", "x" * 2_000_000, Placed, codec=codec)


@pytest.mark.live
async def test_who_asks_all_is_told_of_the_stream_beside_their_answers(
    orders: natsrpc.Client,
) -> None:
    service = natsrpc.Service("orders", version="1.0.0")

    @service.handler("orders.place")
    async def place(number: int) -> Placed:
        return Placed(number=number)

    async with orders.serve(service):
        found = await orders.gather("orders.place", 1, Placed, timeout=9, max_responses=2)
    assert {SubjectStoredError, Placed} == set(map(type, found))


@pytest.mark.parametrize("returns", [Placed, Lenient, int, None, list[int]])
async def test_a_value_that_it_would_fit_by_chance_is_an_error_too(returns: Any) -> None:
    async with answering(ACKS[0]) as client:
        with pytest.raises(SubjectStoredError):
            await client.call("orders.place", 1, returns)
        with pytest.raises(SubjectStoredError):
            await client.request("orders.place", 1, returns)


@pytest.mark.parametrize("returns", [Any, dict, dict[str, Any], object])
async def test_who_reads_any_mapping_gets_it_and_one_log_line(
    returns: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "natsrpc.rpc.calling.bound._log", Throttle(logging.getLogger("natsrpc.rpc"))
    )
    async with answering(ACKS[0]) as client:
        for _ in range(3):
            got = await client.call("orders.place", 1, returns)
            assert got == {"stream": "ORDERS", "seq": 1}
    (line,) = caplog.records
    assert "'ORDERS' stores this subject" in line.getMessage()


async def test_a_type_that_is_made_for_it_reads_it(caplog: pytest.LogCaptureFixture) -> None:
    async with answering(ACKS[0]) as client:
        assert await client.call("orders.place", 1, Ack) == Ack(stream="ORDERS", seq=1)
    assert caplog.records == []


def test_types_that_it_does_not_fit_are_read_without_a_look() -> None:
    for type_ in (int, bool, Placed, list[int], Ack):
        decode = codecs.get("json").bind(type_).decode
        assert acks.watch(decode, "orders.place", Throttle(logging.getLogger())) is decode


@asynccontextmanager
async def answering(data: bytes) -> AsyncIterator[natsrpc.Client]:
    """A client, and something that answers with these bytes."""
    broker = Broker()
    async with (
        natsrpc.connect(**broker.options()) as other,
        natsrpc.connect(**broker.options()) as client,
    ):

        async def answer(msg: natsrpc.Msg) -> None:
            await msg.respond(data)

        await other.connection.subscribe("orders.place", cb=answer)
        await other.connection.flush()
        yield client
