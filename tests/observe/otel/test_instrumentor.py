"""Programs that know nothing of traces are traced by `opentelemetry-instrument`."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import entry_points

import pytest
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

import natsrpc
from natsrpc.observe import otel


@pytest.fixture
def exporter() -> Iterator[InMemorySpanExporter]:
    (point,) = entry_points(group="opentelemetry_instrumentor", name="natsrpc")
    instrumentor = point.load()()
    assert isinstance(instrumentor, otel.Instrumentor)
    assert instrumentor.instrumentation_dependencies() == ()
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    for _ in range(2):  # a second time it does nothing more
        instrumentor.instrument(tracer_provider=provider, skip_dep_check=True)
    yield exporter
    instrumentor.uninstrument()


async def called() -> None:
    service = natsrpc.Service("shop", version="1.0.0")

    @service.handler("echo")
    async def echo(text: str) -> str:
        return text

    async with service.test() as client:
        await client.call(echo, "x")


def kinds(exporter: InMemorySpanExporter) -> list[str]:
    return [span.kind.name for span in exporter.get_finished_spans()]


async def test_what_is_made_later_is_traced(exporter: InMemorySpanExporter) -> None:
    await called()
    assert kinds(exporter) == ["SERVER", "CLIENT"]


async def test_what_a_program_instruments_itself_is_left_to_it(
    exporter: InMemorySpanExporter,
) -> None:
    own, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(own))
    service = natsrpc.Service("shop", version="1.0.0")
    otel.instrument(service, tracer_provider=provider)

    @service.handler("echo")
    async def echo(text: str) -> str:
        return text

    async with service.test() as client:
        otel.instrument(client, tracer_provider=provider)
        await client.call(echo, "x")
    assert kinds(exporter) == []
    assert kinds(own) == ["SERVER", "CLIENT"]


async def test_it_can_be_taken_back(exporter: InMemorySpanExporter) -> None:
    otel.Instrumentor().uninstrument()
    await called()
    assert kinds(exporter) == []
