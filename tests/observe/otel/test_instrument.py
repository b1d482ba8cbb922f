"""Traces of real calls, as OpenTelemetry's own exporter sees them."""

from __future__ import annotations

import asyncio
import gc
import logging
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from typing import Any

import pytest
from opentelemetry import baggage, propagate, trace
from opentelemetry.context import Context
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, Span, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanContext, SpanKind, StatusCode, TraceFlags, TraceState

import natsrpc
import natsrpc.sync
from natsrpc.core import encode_headers
from natsrpc.observe import otel
from natsrpc.observe.otel.propagation import Propagation
from natsrpc.rpc.serving.slots import Admitted
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
        self.service.handler("sell", errors=(Sold,))(self.sell)
        self.service.handler("break")(self.broken)
        self.service.handler("fail")(self.fail)
        self.service.handler("count")(self.count)
        otel.instrument(self.service, tracer_provider=self.provider)

    async def echo(self, text: str) -> str:
        self.inside.append(trace.get_current_span().get_span_context().span_id)
        return text

    async def sell(self) -> None:
        raise Sold("gone")

    async def broken(self) -> None:
        raise natsrpc.RpcError("no stock", code=507)

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


def parent(span: ReadableSpan) -> int:
    return 0 if span.parent is None else span.parent.span_id


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
    assert (caller.name, server.name) == ("echo", "shop/echo")  # a subject is all it was given
    assert server.parent is not None
    assert (server.parent.trace_id, server.parent.span_id) == ids(caller)
    assert traced.inside == [ids(server)[1]]
    assert attribute(server, "rpc.method") == "shop/echo"
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


@pytest.mark.parametrize(
    ("subject", "code", "failed"), [("sell", "409", False), ("break", "507", True)]
)
async def test_answers_of_a_code_are_noted_on_both_sides(
    subject: str, code: str, failed: bool
) -> None:
    traced = Traced()
    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        with pytest.raises(natsrpc.RpcError):
            await client.call(subject)
    assert len(traced.spans()) == 2
    for span in traced.spans().values():
        assert attribute(span, "rpc.response.status_code") == code
        assert attribute(span, "error.type") == (code if failed else None)
        assert span.status.status_code is (StatusCode.ERROR if failed else StatusCode.UNSET)
        assert len(span.events) == failed


async def test_a_declared_error_is_no_failure_whatever_its_code() -> None:
    traced = Traced()

    class Closed(natsrpc.RpcError, code=503):
        """Come back tomorrow."""

    @traced.service.handler("buy", errors=(Closed,))
    async def buy() -> None:
        raise Closed

    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        with pytest.raises(Closed):
            await client.call(buy)
    statuses = [span.status.status_code for span in traced.exporter.get_finished_spans()]
    assert statuses == [StatusCode.UNSET] * 2


async def test_a_request_that_was_wrong_failed_at_its_caller_alone() -> None:
    traced = Traced()

    @traced.service.handler("double")
    async def double(number: int) -> int:
        return number * 2

    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        with pytest.raises(natsrpc.InvalidRequestError):
            await client.call("double", "none")
    spans = traced.spans()
    assert spans[SpanKind.SERVER].status.status_code is StatusCode.UNSET
    assert spans[SpanKind.CLIENT].status.status_code is StatusCode.ERROR


async def test_a_deadline_that_passed_is_the_service_s_failure() -> None:
    traced = Traced()

    @traced.service.handler("wait")
    async def wait() -> None:
        await asyncio.Event().wait()

    async with traced.service.test() as client:
        with pytest.raises(natsrpc.DeadlineExceededError):
            await client.call(wait, timeout=0.05)
    server = traced.spans()[SpanKind.SERVER]
    assert attribute(server, "rpc.response.status_code") == "504"
    assert server.status.status_code is StatusCode.ERROR


async def test_a_call_that_is_given_up_is_no_error_on_either_side() -> None:
    traced, started, ended = Traced(), asyncio.Event(), asyncio.Event()

    @traced.service.handler("wait")
    async def wait() -> None:
        started.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        call = asyncio.ensure_future(client.call(wait))
        await started.wait()
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        await ended.wait()
    spans = traced.spans()
    assert attribute(spans[SpanKind.CLIENT], "natsrpc.cancelled") is True
    assert attribute(spans[SpanKind.SERVER], "rpc.response.status_code") == "499"
    statuses = {span.status.status_code for span in spans.values()}
    assert statuses == {StatusCode.UNSET}


async def test_retries_are_numbered_spans_below_the_call_s() -> None:
    traced, runs = Traced(), iter(range(3))

    class Busy(natsrpc.RpcError, code=503, retryable=True):
        """Not now."""

    @traced.service.handler("try")
    async def attempt() -> None:
        if next(runs) < 2:
            raise Busy

    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        await client.call(attempt, policy=natsrpc.Policy(attempts=3, wait=0.0))
    finished = traced.exporter.get_finished_spans()
    clients = [span for span in finished if span.kind is SpanKind.CLIENT]
    servers = [span for span in finished if span.kind is SpanKind.SERVER]
    *attempts, call = clients
    assert [attribute(span, "natsrpc.attempt") for span in attempts] == [1, 2, 3]
    assert [parent(span) for span in attempts] == [ids(call)[1]] * 3
    assert [parent(span) for span in servers] == [ids(span)[1] for span in attempts]
    assert attribute(call, "natsrpc.attempt") is None
    failed = [span.status.status_code is StatusCode.ERROR for span in clients]
    assert failed == [True, True, False, False]


async def test_the_losing_half_of_a_hedge_is_no_error() -> None:
    traced, runs = Traced(), iter(range(2))

    @traced.service.handler("slow", idempotent=True)
    async def slow() -> int:
        number = next(runs)
        if number == 0:
            await asyncio.Event().wait()
        return number

    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        policy = natsrpc.Policy(hedge_after=0.01)
        assert await client.call(slow, policy=policy) == 1
    clients = [s for s in traced.exporter.get_finished_spans() if s.kind is SpanKind.CLIENT]
    numbers = {attribute(span, "natsrpc.attempt"): span for span in clients}
    assert numbers.keys() == {1, 2, None}
    assert attribute(numbers[1], "natsrpc.cancelled") is True
    assert {span.status.status_code for span in clients} == {StatusCode.UNSET}


async def test_items_of_streams_are_events_when_asked() -> None:
    traced = Traced()
    otel.instrument(traced.service, tracer_provider=traced.provider, items=True)
    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider, items=True)
        assert [n async for n in client.stream("count", 3, returns=int)] == [0, 1, 2]
    spans = traced.spans()
    for kind, direction in ((SpanKind.CLIENT, "received"), (SpanKind.SERVER, "sent")):
        told = [dict(event.attributes or {}) for event in spans[kind].events]
        assert told == [{"direction": direction, "number": n} for n in (1, 2, 3)]


async def test_what_is_instrumented_again_has_one_span() -> None:
    traced = Traced()
    otel.instrument(traced.service, tracer_provider=traced.provider)
    async with traced.service.test() as client:
        for _ in range(2):
            otel.instrument(client, tracer_provider=traced.provider)
        await client.call("echo", "x")
    assert len(traced.exporter.get_finished_spans()) == 2


async def test_a_service_that_is_served_is_refused() -> None:
    service = natsrpc.Service("late", version="1.0.0")
    async with service.test():
        with pytest.raises(natsrpc.ConfigError, match="'late' is served already"):
            otel.instrument(service)


async def test_names_stay_few_where_subjects_hold_values() -> None:
    traced = Traced()

    @traced.service.handler("users.{user}.get")
    async def get(user: str) -> str:
        return user

    async with traced.service.test() as client:
        otel.instrument(client, tracer_provider=traced.provider)
        await client.call("users.7.get")
        await client.call(get, tokens={"user": "ada"})
        for number in range(300):
            await client.publish("a" * 20 + "." + chr(0x4E00 + number))
    finished = traced.exporter.get_finished_spans()
    calls = [span for span in finished if span.kind is SpanKind.CLIENT]
    assert [span.name for span in calls] == ["users.*.get", "shop/get"]
    assert attribute(calls[0], "rpc.method_original") == "users.7.get"
    assert attribute(calls[1], "rpc.method_original") is None
    servers = [span for span in finished if span.kind is SpanKind.SERVER]
    assert [attribute(span, "natsrpc.subject") for span in servers] == [
        "users.7.get",
        "users.ada.get",
    ]
    producers = [span for span in finished if span.kind is SpanKind.PRODUCER]
    assert len({span.name for span in producers}) <= 257
    assert producers[-1].name == "publish"


@pytest.mark.live
async def test_what_is_enqueued_has_a_span_whose_context_is_stored() -> None:
    traced = Traced()
    placed: natsrpc.Event[int] = natsrpc.Event("jobs.{region}.placed", int)
    with NatsServer(jetstream=True) as server:
        async with natsrpc.connect(server.url) as client:
            js = natsrpc.jetstream.JetStream(client.connection)
            config = natsrpc.jetstream.StreamConfig(name="JOBS", subjects=["jobs.>"])
            stream = await js.create_stream(config)
            otel.instrument(client, tracer_provider=traced.provider)
            ack = await client.enqueue(placed, 1, tokens={"region": "eu"})
            with pytest.raises(natsrpc.NoStreamResponseError):
                await client.enqueue("nowhere", 1)
            stored = await stream.get_msg(ack.seq)
    good, bad = traced.exporter.get_finished_spans()
    assert (good.kind, good.name) == (SpanKind.PRODUCER, "publish jobs.{region}.placed")
    assert f"{good.context.span_id:016x}" in stored.headers["traceparent"]
    assert attribute(bad, "error.type") == "natsrpc.errors.jetstream.NoStreamResponseError"


async def test_durations_are_recorded_where_a_provider_is_given() -> None:
    traced, reader = Traced(), InMemoryMetricReader()
    meters = MeterProvider([reader])
    given: Any = {"tracer_provider": traced.provider, "meter_provider": meters}
    otel.instrument(traced.service, **given)

    @traced.service.subscriber("placed")
    async def placed(order: int) -> None: ...

    async with traced.service.test() as client:
        otel.instrument(client, **given)
        await client.call("echo", "x")
        with pytest.raises(natsrpc.InternalError):
            await client.call("fail")
        await client.publish("placed", 1)
        await client.settled()
    data = reader.get_metrics_data()
    assert data is not None
    metrics = {m.name: m for r in data.resource_metrics for s in r.scope_metrics for m in s.metrics}
    assert metrics.keys() == {
        "rpc.server.call.duration",
        "rpc.client.call.duration",
        "messaging.process.duration",
        "messaging.client.operation.duration",
    }
    server = metrics["rpc.server.call.duration"]
    assert server.unit == "s"
    points: Any = server.data.data_points
    told = {point.attributes["rpc.method"]: dict(point.attributes) for point in points}
    assert told["shop/echo"] == {"rpc.system.name": "natsrpc", "rpc.method": "shop/echo"}
    assert told["shop/fail"]["error.type"] == "ValueError"


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
    assert names == ["shop/echo", "shop/echo"]


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
    assert (good.kind, good.name) == (SpanKind.CONSUMER, "process placed")
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


async def test_a_blocking_client_s_calls_and_events_are_in_the_trace_of_its_thread() -> None:
    traced = Traced()

    @traced.service.subscriber("placed")
    async def placed() -> None: ...

    def script(url: str) -> None:
        with natsrpc.sync.connect(url) as client:
            otel.instrument(client, tracer_provider=traced.provider)
            with traced.provider.get_tracer("script").start_as_current_span("script"):
                assert client.call("echo", "x", str) == "x"
                client.publish("placed")

    async with (
        NatsServer() as server,
        natsrpc.connect(server.url) as serving,
        serving.serve(traced.service),
    ):
        await asyncio.to_thread(script, server.url)
        await serving.connection.flush()
    finished = traced.exporter.get_finished_spans()
    assert len({ids(span)[0] for span in finished}) == 1
    (above,) = [span for span in finished if span.name == "script"]
    below = {span.kind for span in finished if parent(span) == ids(above)[1]}
    assert below == {SpanKind.CLIENT, SpanKind.PRODUCER}


async def test_work_after_the_answer_is_no_part_of_a_span_s_time() -> None:
    traced, go = Traced(), asyncio.Event()

    async def tidy() -> None:
        traced.inside.append(trace.get_current_span().get_span_context().span_id)
        await go.wait()

    @traced.service.handler("leave")
    async def leave(context: natsrpc.Context) -> None:
        context.after_reply(tidy)

    async with traced.service.test() as client:
        await client.call(leave)
        answered = time.time_ns()
        go.set()
    server = traced.spans()[SpanKind.SERVER]
    assert traced.inside == [ids(server)[1]]
    assert server.end_time is not None
    assert server.end_time <= answered


async def test_the_propagator_of_the_program_counts() -> None:
    """What is read and written faster here is what OpenTelemetry's default would read and write."""
    propagation, standard = Propagation(), propagate.get_global_textmap()
    state = TraceState([("vendor", "1")])
    spans = [
        SpanContext(int(TRACE, 16), int(PARENT, 16), True, TraceFlags(flags), given)
        for flags in (0, 1, 3, 255)
        for given in (TraceState(), state)
    ]
    for found in (*spans, trace.INVALID_SPAN_CONTEXT):
        for context in (Context(), baggage.set_baggage("tenant", "acme", Context())):
            span = trace.NonRecordingSpan(found)
            context = trace.set_span_in_context(span, context)
            ours: dict[str, str] = {}
            theirs: dict[str, str] = {}
            propagation.inject(ours, span, context)
            standard.inject(theirs, context)
            assert ours == theirs
            read = propagation.extract(encode_headers(ours))
            again = standard.extract(theirs, Context())
            assert trace.get_current_span(read).get_span_context() == (
                trace.get_current_span(again).get_span_context()
            )
            assert baggage.get_all(read) == baggage.get_all(again)
    for odd in ("", "00-0-0-0", f"01-{TRACE}-{PARENT}-01-x", f"ff-{TRACE}-{PARENT}-01"):
        block = encode_headers({"TraceParent": odd})
        read = propagation.extract(block)
        again = standard.extract({"traceparent": odd}, Context())
        assert trace.get_current_span(read).get_span_context() == (
            trace.get_current_span(again).get_span_context()
        )


class Broken(SpanProcessor):
    """Raises where spans begin, or where they end."""

    def __init__(self, when: str) -> None:
        self.when = when

    def on_start(self, span: Span, parent_context: Context | None = None) -> None:
        if self.when == "start":
            raise ValueError("no collector")

    def on_end(self, span: ReadableSpan) -> None:
        if self.when == "end":
            raise ValueError("no collector")


@pytest.mark.parametrize("when", ["start", "end"])
async def test_what_takes_spans_keeps_nothing_from_being_served(
    when: str, caplog: pytest.LogCaptureFixture
) -> None:
    traced, heard = Traced(), asyncio.Semaphore(0)
    traced.provider.add_span_processor(Broken(when))

    @traced.service.handler("one", max_concurrency=1)
    async def one() -> int:
        return 1

    @traced.service.subscriber("placed", max_concurrency=1)
    async def placed() -> None:
        heard.release()

    async with traced.service.test() as client:
        for _ in range(3):
            assert await client.call(one) == 1
            await client.publish("placed")
            await heard.acquire()
        assert await client.settled() == []
    assert "no collector" in caplog.text


async def test_errors_and_their_requests_are_freed_at_once() -> None:
    traced = Traced()
    async with traced.service.test() as client:
        with pytest.raises(Sold):
            await client.call("sell")
        gc.collect()
        gc.disable()
        try:
            before = sum(isinstance(each, Admitted) for each in gc.get_objects())
            for _ in range(3):
                with pytest.raises(Sold):
                    await client.call("sell")
            after = sum(isinstance(each, Admitted) for each in gc.get_objects())
        finally:
            gc.enable()
    assert after == before


class Relayed(natsrpc.RpcError, code=500):
    """One of many codes."""


async def test_codes_without_end_are_few_attributes_of_durations() -> None:
    traced, reader = Traced(), InMemoryMetricReader()
    given: Any = {
        "tracer_provider": traced.provider,
        "meter_provider": MeterProvider([reader]),
    }

    @traced.service.handler("relay")
    async def relay(code: int) -> None:
        raise Relayed("no", code=code)

    otel.instrument(traced.service, **given)
    async with traced.service.test() as client:
        otel.instrument(client, **given)
        for code in range(1000, 1040):
            with pytest.raises(natsrpc.RpcError):
                await client.call("relay", code)
    data: Any = reader.get_metrics_data()
    metrics = data.resource_metrics[0].scope_metrics[0].metrics
    for name in ("rpc.server.call.duration", "rpc.client.call.duration"):
        (points,) = (metric.data.data_points for metric in metrics if metric.name == name)
        counts = {point.attributes["error.type"]: point.count for point in points}
        assert len(counts) == 33
        assert counts["_OTHER"] == 8
        codes = {point.attributes["rpc.response.status_code"] for point in points}
        assert codes == set(counts)
    last = traced.spans()[SpanKind.SERVER]
    assert attribute(last, "rpc.response.status_code") == "1039"  # a span says what it was


@pytest.mark.parametrize("when", ["start", "end"])
async def test_a_broken_processor_keeps_no_call_from_being_made_once(
    when: str,
) -> None:
    provider = TracerProvider()
    provider.add_span_processor(Broken(when))
    service, ran = natsrpc.Service("shop", version="1.0.0"), list[str]()

    @service.handler("sell", errors=(Sold,))
    async def sell(text: str) -> str:
        ran.append(text)
        if text == "last":
            raise Sold("gone")
        return text

    @service.handler("count")
    async def count(to: int) -> AsyncIterator[int]:
        for number in range(to):
            yield number

    @service.subscriber("placed")
    async def placed(order: str) -> None:
        ran.append(order)

    twice = natsrpc.Policy(attempts=2)
    async with service.test() as client:
        otel.instrument(client, tracer_provider=provider)
        assert await client.call(sell, "first") == "first"
        assert await client.call(sell, "second", policy=twice) == "second"
        assert [item async for item in client.stream(count, 2)] == [0, 1]
        with pytest.raises(Sold) as caught:
            await client.call(sell, "last")
        assert caught.value.__context__ is None
        await client.publish("placed", "event")
        assert await client.settled() == []
    assert ran == ["first", "second", "last", "event"]
