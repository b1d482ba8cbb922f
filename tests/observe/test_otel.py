"""Traces of real calls, as OpenTelemetry's own exporter sees them."""

from __future__ import annotations

import asyncio
import logging
import subprocess
import sys
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

import natsrpc
import natsrpc.sync
from natsrpc.observe import otel
from natsrpc.testing import NatsServer

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = "b7ad6b7169203331"


class Sold(natsrpc.RpcError, code=409):
    """Somebody was quicker."""


class Traced:
    """A service whose spans are kept, and its client."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()
        self.provider = TracerProvider()
        self.provider.add_span_processor(SimpleSpanProcessor(self.exporter))
        self.inside: list[int] = []
        self.service = natsrpc.Service("shop", version="1.0.0")
        self.service.handler("echo")(self.echo)
        self.service.handler("sell")(self.sell)
        self.service.handler("fail")(self.fail)
        self.service.handler("count")(self.count)
        otel.instrument(self.service, tracer_provider=self.provider)

    async def echo(self, text: str) -> str:
        self.inside.append(trace.get_current_span().get_span_context().span_id)
        return text

    async def sell(self) -> None:
        raise Sold("gone")

    async def fail(self) -> None:
        raise ValueError("secret")

    async def count(self, to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    def spans(self) -> dict[SpanKind, ReadableSpan]:
        return {span.kind: span for span in self.exporter.get_finished_spans()}


def ids(span: ReadableSpan) -> tuple[int, int]:
    assert span.context is not None
    return span.context.trace_id, span.context.span_id


def attribute(span: ReadableSpan, name: str) -> Any:
    assert span.attributes is not None
    return span.attributes.get(name)


async def test_a_call_and_its_request_are_one_trace() -> None:
    traced = Traced()
    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        assert await client.call("echo", "hello", str) == "hello"
    spans = traced.spans()
    caller, server = spans[SpanKind.CLIENT], spans[SpanKind.SERVER]
    assert (caller.name, server.name) == ("echo", "shop/echo")
    assert server.parent is not None
    assert (server.parent.trace_id, server.parent.span_id) == ids(caller)
    assert traced.inside == [ids(server)[1]]
    assert attribute(server, "rpc.method") == "echo"
    assert server.status.status_code is StatusCode.UNSET


@pytest.mark.live
async def test_a_blocking_call_is_in_the_trace_of_its_thread(nats_server: NatsServer) -> None:
    traced = Traced()
    tracer = traced.provider.get_tracer("view")

    def view(client: natsrpc.sync.Client) -> str:
        with tracer.start_as_current_span("view"):
            return client.call("echo", "hello", str)

    async with natsrpc.connect(nats_server.url) as worker, worker.serve(traced.service):
        client = natsrpc.sync.connect(nats_server.url, lazy=True)
        otel.instrument(client, tracer_provider=traced.provider)
        assert await asyncio.to_thread(view, client) == "hello"
        await asyncio.to_thread(client.close)
    spans = traced.spans()
    outer, caller, server = (
        spans[kind] for kind in (SpanKind.INTERNAL, SpanKind.CLIENT, SpanKind.SERVER)
    )
    assert caller.parent is not None and server.parent is not None
    assert (caller.parent.trace_id, caller.parent.span_id) == ids(outer)
    assert (server.parent.trace_id, server.parent.span_id) == ids(caller)


async def test_a_handler_runs_once_where_nothing_records() -> None:
    ran: list[str] = []
    service = natsrpc.Service("untraced", version="1.0.0")

    @service.handler("note")
    async def note(text: str) -> None:
        ran.append(text)

    otel.instrument(service, tracer_provider=trace.NoOpTracerProvider())
    async with service.test() as client:
        otel.instrument(client, tracer_provider=trace.NoOpTracerProvider())
        await client.call(note, "once")
    assert ran == ["once"]


async def test_a_stranger_s_traceparent_is_continued() -> None:
    traced = Traced()
    async with traced.service.test() as client:
        headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
        await client.call("echo", "hello", str, headers=headers)
    server = traced.spans()[SpanKind.SERVER]
    assert server.parent is not None
    assert (f"{server.parent.trace_id:032x}", f"{server.parent.span_id:016x}") == (TRACE, PARENT)


async def test_errors_are_noted_on_both_sides() -> None:
    traced = Traced()
    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        with pytest.raises(Sold):
            await client.call("sell")
    for span in traced.spans().values():
        assert span.status.status_code is StatusCode.ERROR
        assert attribute(span, "rpc.natsrpc.code") == 409
        assert attribute(span, "error.type") == "Sold"


async def test_text_of_other_exceptions_stays_at_the_server() -> None:
    traced = Traced()
    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        with pytest.raises(natsrpc.InternalError):
            await client.call("fail")
    spans = traced.spans()
    assert spans[SpanKind.SERVER].status.description == "secret"
    assert "secret" not in str(spans[SpanKind.CLIENT].status.description)


@pytest.mark.parametrize("read", [1, 3])
async def test_the_span_of_a_stream_ends_with_it(read: int) -> None:
    traced = Traced()
    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        items = client.stream("count", 3, returns=int)
        got = [await anext(items) for _ in range(read)]
        assert SpanKind.CLIENT not in traced.spans()
        await items.aclose()
        assert got == list(range(read))
    assert traced.spans()[SpanKind.CLIENT].status.status_code is StatusCode.UNSET


async def test_handlers_and_contracts_name_the_span_of_a_call() -> None:
    traced = Traced()
    handler = traced.service.contract.endpoints[0]
    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        await client.call(handler, "x")
        await client.call(traced.echo, "x")
    names = [s.name for s in traced.exporter.get_finished_spans() if s.kind is SpanKind.CLIENT]
    assert names == ["echo", "Traced.echo"]


def test_other_targets_are_refused() -> None:
    other: Any = "shop"
    with pytest.raises(natsrpc.ConfigError, match="services and clients, not 'shop'"):
        otel.instrument(other)


@pytest.mark.parametrize(
    ("module", "package", "extra"),
    [("otel", "opentelemetry", "otel"), ("prometheus", "prometheus_client", "prometheus")],
)
def test_missing_package_names_the_extra(module: str, package: str, extra: str) -> None:
    code = (
        f"import sys; sys.modules[{package!r}] = None\n"
        "import natsrpc\n"
        f"try: import natsrpc.observe.{module}\n"
        "except ImportError as error: print(error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True
    )
    assert f"pip install 'natsrpc[{extra}]'" in done.stdout


async def test_an_event_is_a_consumers_span_in_the_publishers_trace() -> None:
    service, exporter, provider = (
        natsrpc.Service("bill", version="1.0.0"), InMemorySpanExporter(), TracerProvider()
    )  # fmt: skip
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    otel.instrument(service, tracer_provider=provider)

    @service.subscriber("placed")
    async def charge(order: int) -> None:
        if order:
            raise ValueError("secret")

    async with service.test() as client:
        for order in (0, 1):
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            await client.publish("placed", order, headers=headers)
        assert len(await client.settled()) == 1
    good, bad = exporter.get_finished_spans()
    assert (good.kind, good.name) == (SpanKind.CONSUMER, "bill/charge")
    assert good.context is not None
    assert f"{good.context.trace_id:032x}" == TRACE
    assert (good.status.status_code, bad.status.status_code) == (StatusCode.UNSET, StatusCode.ERROR)


async def test_the_log_line_of_a_failed_handler_and_its_span_name_each_other() -> None:
    traced = Traced()
    lines: list[tuple[int, str]] = []

    class Notes(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            context = trace.get_current_span().get_span_context()
            lines.append((context.trace_id, vars(record)["error_id"]))

    logger, handler = logging.getLogger("natsrpc.rpc"), Notes()
    logger.addHandler(handler)
    try:
        async with traced.service.test() as client:
            with pytest.raises(natsrpc.InternalError) as caught:
                await client.call("fail")
    finally:
        logger.removeHandler(handler)
    span = traced.spans()[SpanKind.SERVER]
    error_id = attribute(span, "natsrpc.error_id")
    assert lines == [(ids(span)[0], error_id)]
    assert caught.value.details == {"error_id": error_id}


async def test_an_answer_that_is_an_error_of_the_application_has_no_id() -> None:
    traced = Traced()
    async with traced.service.test() as client:
        with pytest.raises(Sold):
            await client.call("sell")
    attributes = traced.spans()[SpanKind.SERVER].attributes
    assert attributes is not None
    assert "natsrpc.error_id" not in attributes
