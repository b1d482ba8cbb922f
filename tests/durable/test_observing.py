"""What is seen of workers from outside: STATS and INFO, metrics, spans."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from natsrpc import Delivery, Reject, discovery
from natsrpc.observe import otel
from natsrpc.observe.figures import Sheet, measure

from .desk import QUICK, Desk, Job

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def unlucky(desk: Desk) -> Any:
    service = desk.service()

    @service.worker(
        desk.event, stream=desk.stream.name, durable="d", retry=QUICK, dead_letter=desk.dead
    )
    async def charge(job: Job, delivery: Delivery) -> None:
        if job.number == 2:
            raise Reject("no")
        if job.number == 3 and delivery.attempt == 1:
            raise ValueError("amid it")

    return service


async def test_discovery_lists_them_with_figures_of_their_own(desk: Desk) -> None:
    await desk.put(1, 2, 3)
    async with desk.serving(unlucky(desk)):
        await desk.settled("d")
        (found,) = await discovery.stats(desk.client.connection, "billing", timeout=1.0)
        (info,) = await discovery.info(desk.client.connection, "billing", timeout=1.0)
    (stats,) = found.endpoints
    assert (stats.name, stats.metadata) == ("charge", {"natsrpc.kind": "worker"})
    assert (stats.num_requests, stats.num_errors) == (4, 2)
    ours = stats.data["natsrpc"]
    assert {name: ours[name] for name in ("redelivered", "retried", "dead_lettered")} == {
        "redelivered": 1,
        "retried": 1,
        "dead_lettered": 1,
    }
    assert ours["given_back"] == ours["inflight"] == ours["dropped"] == 0
    (endpoint,) = info.endpoints
    assert endpoint.metadata["natsrpc.stream"] == desk.stream.name
    assert endpoint.metadata["natsrpc.durable"] == "d"


async def test_a_reset_zeroes_all_of_it(desk: Desk) -> None:
    await desk.put(2)
    async with desk.serving(unlucky(desk)) as server:
        await desk.settled("d")
        server.services[0].reset()
        (worker,) = server.services[0].workers
        assert set(worker.answers.figures().values()) == {0}
        assert worker.answers.num_requests == worker.answers.num_errors == 0


async def test_metrics_count_attempts_and_what_came_again(desk: Desk) -> None:
    service, sheet = unlucky(desk), Sheet()
    measure(sheet, service)
    await desk.put(1, 2, 3)
    async with desk.serving(service):
        await desk.settled("d")
    found = {
        (each.name, each.labels.get("code", "")): sum(each.values[:-1]) or each.values[0]
        for each in sheet.series()
        if each.labels.get("endpoint") == "charge"
    }
    assert found["natsrpc_server_requests", "200"] == 2
    assert found["natsrpc_server_requests", "422"] == 1
    assert found["natsrpc_server_requests", "500"] == 1
    assert found["natsrpc_server_redelivered", ""] == 1
    assert found["natsrpc_server_wait_seconds", ""] == 3  # how long they were in the stream
    assert found["natsrpc_server_seconds", ""] == 4
    assert found["natsrpc_server_running", ""] == 0


@pytest.mark.parametrize("batch", [None, 5])
async def test_each_attempt_is_a_span_of_its_publisher_s_trace(
    desk: Desk, batch: int | None
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    if batch is None:
        service = unlucky(desk)
    else:
        service = desk.service()

        @service.worker(
            desk.event, stream=desk.stream.name, durable="d", batch=5, batch_wait=0.05, retry=QUICK
        )
        async def charge(jobs: list[Job], deliveries: list[Delivery]) -> None:
            if deliveries[0].attempt == 1:
                raise ValueError("amid it")

    otel.instrument(service, tracer_provider=provider)
    await desk.put(3, traceparent=PARENT)
    async with desk.serving(service):
        await desk.settled("d")
    spans = [each for each in exporter.get_finished_spans() if each.kind is SpanKind.CONSUMER]
    assert [each.attributes["natsrpc.attempt"] for each in _sorted(spans)] == [1, 2]  # type: ignore[index]
    for span in spans:
        assert span.context is not None
        assert f"{span.context.trace_id:032x}" == TRACE
        assert span.attributes is not None
        assert span.attributes["messaging.consumer.group.name"] == "d"
    first, second = _sorted(spans)
    assert first.status.status_code is StatusCode.ERROR
    assert second.status.status_code is not StatusCode.ERROR


def _sorted(spans: list[ReadableSpan]) -> list[ReadableSpan]:
    return sorted(spans, key=lambda span: span.start_time or 0)
