"""One endpoint without a network: what is answered when things go wrong around the handler."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any

import pytest

from natsrpc import codecs
from natsrpc.errors import ConfigTypeError, EncodeError, RpcError
from natsrpc.rpc import Endpoint, Service
from natsrpc.rpc.serving.slots import Gate
from natsrpc.rpc.streams import PATIENCE, conversations_of
from tests.rpc.scripted import ScriptedConnection, as_connection, block, message


def endpoint_of(
    connection: ScriptedConnection, function: Callable[..., Any], **options: Any
) -> Endpoint:
    service = Service("unit", version="1.0.0")
    service.handler("unit", **options)(function)
    (handler,) = service.definition.handlers
    link = as_connection(connection).link
    gates: dict[int, Gate] = {}
    return Endpoint(
        as_connection(connection),
        service.contract,
        handler.contract,
        handler.plan,
        handler.limits,
        codec=service.codec,
        lanes=lambda each, depth: each.lane(gates.setdefault(depth, Gate(link, 4)), None),
        all_=conversations_of(link),
        receiving=Gate(link, 4),
        sending=Gate(link, 4),
        max_body=1024,
        patience=PATIENCE,
    )


async def echo(n: int) -> int:
    return n


async def settled() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_a_congested_connection_lets_requests_wait() -> None:
    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, echo)
    connection.link.congested = True
    endpoint.accept(message(data=b"1"))
    assert connection.sent == []
    assert endpoint.inflight == 1
    await settled()  # whose waiting for room to write finds some
    assert [msg.data for msg in connection.sent] == [b"1"]


@pytest.mark.parametrize("reply", [b"$JS.API.STREAM.DELETE.X", b"a._NATSRPC.large", b"_NATSRPC.a"])
async def test_nobody_is_answered_where_no_caller_waits(reply: bytes) -> None:
    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, echo)
    endpoint.accept(message(data=b"1", reply=reply))
    endpoint.accept_large(message(reply=reply))
    endpoint.accept_stream(message(reply=reply))
    await settled()
    assert connection.sent == []
    assert endpoint.answers.num_dropped == 3
    assert endpoint.inflight == 0


async def test_a_reply_that_cannot_be_sent_is_counted_and_logged(
    caplog: pytest.LogCaptureFixture,
) -> None:
    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, echo)
    endpoint.accept(message(data=b"1"))
    connection.is_closed = True
    await settled()
    if connection.sent:  # started eagerly, so answered before the end
        endpoint.accept(message(data=b"1"))
        await settled()
    endpoint.accept(message(data=b"nix"))
    await settled()
    assert endpoint.answers.num_errors == 2
    assert endpoint.inflight == 0
    assert "was not sent" in caplog.text


async def test_no_room_even_for_the_error(caplog: pytest.LogCaptureFixture) -> None:
    connection = ScriptedConnection()
    connection.max_payload = 3
    endpoint = endpoint_of(connection, echo)
    endpoint.accept(message(data=b"12345"))
    await settled()
    assert connection.sent == []
    assert endpoint.answers.last_error.startswith("413:")
    assert "was not sent" in caplog.text


@pytest.mark.usefixtures("restored_codecs")
async def test_a_codec_that_cannot_carry_the_types_is_refused(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class Picky:
        name = "picky"
        content_type = "application/x-picky"

        def bind(self, type_: Any) -> codecs.Bound:
            raise ConfigTypeError("no such thing")

        def schema(self, type_: Any, *, mode: str = "validation") -> None: ...

    class Broken(Picky):
        name = "broken"
        content_type = "application/x-broken"

        def bind(self, type_: Any) -> codecs.Bound:
            raise ZeroDivisionError

    for codec in (Picky(), Broken()):
        codecs.register(codec.name, codec)
    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, echo)
    with caplog.at_level(logging.WARNING):
        endpoint.accept(message(headers=block(Content_Type="application/x-picky")))
        endpoint.accept(message(headers=block(Content_Type="application/x-broken")))
    assert connection.codes == ["415", "500"]
    assert "no such thing" in caplog.text


async def test_malformed_headers_are_as_none() -> None:
    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, echo)
    endpoint.accept(message(data=b"5", headers=b"NATS/1.0\r\nno colon\r\n\r\n"))
    endpoint.accept(message(data=b"6", headers=b"\xff\xff"))
    await settled()
    assert [msg.data for msg in connection.sent] == [b"5", b"6"]


async def test_distinct_header_blocks_do_not_pile_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("natsrpc.rpc.serving.terms.MAX_TERMS", 8)
    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, echo)
    for number in range(100):
        endpoint.accept(message(data=b"1", headers=block(X_Trace=str(number))))
        await settled()
    endpoint.accept(message(data=b"1", headers=block(X_Trace="x" * 5000)))
    await settled()
    assert len(connection.sent) == 101
    kept = endpoint._terms  # noqa: SLF001 — the bound is what is tested
    assert len(kept) <= 8
    assert all(len(key) < 2000 for key in kept)


async def test_aborting_answers_what_runs_and_what_waits() -> None:
    stopped: list[str] = []

    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            stopped.append("stopped")

    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, slow, max_concurrency=1)
    for _ in range(3):
        endpoint.accept(message())
    await settled()
    assert endpoint.inflight == 3
    endpoint.abort()
    assert connection.codes == ["503"] * 3
    await settled()
    assert stopped == ["stopped"]
    assert endpoint.inflight == 0
    assert endpoint.inflight == 0


async def test_aborting_before_the_task_ran_leaves_no_slot_taken() -> None:
    ran: list[int] = []

    async def handler() -> None:
        await asyncio.sleep(0)
        ran.append(1)

    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, handler)
    endpoint.accept(message())
    endpoint.abort()
    await settled()
    assert connection.codes == ["503"]
    assert ran == []
    assert endpoint.inflight == 0


async def test_cancelling_what_is_not_here_does_nothing() -> None:
    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, echo)
    assert not endpoint.cancel(b"elsewhere")
    endpoint.accept_cancel(message(data=b"elsewhere"))
    assert connection.sent == []


async def test_a_handler_that_raises_cancelled_error_itself_is_answered() -> None:
    async def handler() -> None:
        raise asyncio.CancelledError

    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, handler)
    endpoint.accept(message())
    await settled()
    assert connection.codes == ["503"]
    assert endpoint.inflight == 0


async def test_counters_and_their_reset() -> None:
    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, echo)
    endpoint.accept(message(data=b"1"))
    endpoint.accept(message(data=b"nix"))
    await settled()
    assert (endpoint.answers.num_requests, endpoint.answers.num_errors) == (2, 1)
    assert endpoint.answers.last_error == "400:the request's body cannot be decoded"
    assert type(endpoint.answers.processing_time_ns) is int
    assert endpoint.answers.processing_time_ns > 0
    endpoint.answers.reset()
    assert (
        endpoint.answers.num_requests,
        endpoint.answers.num_errors,
        endpoint.answers.last_error,
    ) == (0, 0, "")
    assert endpoint.answers.processing_time_ns == 0


async def test_an_encode_error_of_a_nested_call_is_not_the_callers_fault() -> None:
    async def handler() -> None:
        raise EncodeError("of something else")

    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, handler)
    endpoint.accept(message())
    await settled()
    assert connection.codes == ["500"]


async def test_an_error_raised_twice_is_answered_twice() -> None:
    """One instance kept at module level, as some like it."""
    kept = RpcError("always the same", code=418)

    async def handler() -> None:
        raise kept

    connection = ScriptedConnection()
    endpoint = endpoint_of(connection, handler)
    for _ in range(2):
        endpoint.accept(message())
        await settled()
    assert connection.codes == ["418", "418"]
