"""One trace from a script through a service, one that it calls, an event, and its subscriber."""

from __future__ import annotations

import json
import logging
from importlib import import_module
from typing import Any

import pytest
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind

import natsrpc
from natsrpc.observe import otel
from natsrpc.observe.logs import JsonFormatter
from natsrpc.observe.otel import conventions
from natsrpc.testing import serve_in_memory

PLACES = (
    "_incubating.attributes.rpc_attributes",
    "_incubating.attributes.messaging_attributes",
    "_incubating.metrics.rpc_metrics",
    "_incubating.metrics.messaging_metrics",
    "attributes.error_attributes",
    "attributes.exception_attributes",
)
SEMCONV: dict[str, Any] = {}
"""The constants of the conventions' own package, by name."""
for place in PLACES:
    SEMCONV |= vars(import_module(f"opentelemetry.semconv.{place}"))

placed = natsrpc.Event("shop.{region}.placed", int)
log = logging.getLogger("shop")


class Lines(logging.Handler):
    """The lines of loggers, as JSON, in the tasks that they were written in."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.lines: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(json.loads(self.format(record)))


def tree(spans: tuple[ReadableSpan, ...], above: int | None = None) -> Any:
    """Names and kinds of spans, each with those below it."""
    return [
        (span.kind.name, span.name, tree(spans, span.context.span_id))
        for span in spans
        if (span.parent.span_id if span.parent else None) == above and span.context is not None
    ]


async def test_it_is_one_tree_and_log_lines_carry_its_id(caplog: pytest.LogCaptureFixture) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    prices = natsrpc.Service("prices", version="1.0.0")
    shop = natsrpc.Service("shop", version="1.0.0")
    bill = natsrpc.Service("bill", version="1.0.0")

    @prices.handler("prices.get")
    def get(sku: str) -> int:
        log.info("price")
        return len(sku)

    @shop.handler("shop.buy")
    async def buy(sku: str, client: natsrpc.Client) -> int:
        log.info("bought")
        price = await client.call(get, sku)
        await client.publish(placed, price, tokens={"region": "eu"})
        return price

    @bill.subscriber(placed)
    async def charge(price: int) -> None:
        log.info("charged")
        raise ValueError("no funds")

    lines = Lines()
    caplog.set_level(logging.INFO)
    logging.getLogger().addHandler(lines)
    otel.instrument(prices, shop, bill, tracer_provider=provider)  # and no client of theirs
    try:
        async with serve_in_memory(prices, shop, bill) as client:
            otel.instrument(client, tracer_provider=provider)
            tracer = provider.get_tracer("script")
            with tracer.start_as_current_span("script"):
                assert await client.call(buy, "abc") == 3
            assert len(await client.settled()) == 1
    finally:
        logging.getLogger().removeHandler(lines)

    spans = exporter.get_finished_spans()
    nested: Any = ("CLIENT", "prices/get", [("SERVER", "prices/get", [])])
    event: Any = ("PRODUCER", "publish shop.{region}.placed", [
        ("CONSUMER", "process shop.{region}.placed", []),
    ])  # fmt: skip
    server = ("SERVER", "shop/buy", [nested, event])
    assert tree(spans) == [("INTERNAL", "script", [("CLIENT", "shop/buy", [server])])]
    (trace,) = {span.context.trace_id for span in spans if span.context is not None}

    told = {line["message"].partition(" failed")[0]: line for line in lines.lines}
    # each line is of the trace, and of the span that it was written in
    servers = {str(span.name): span for span in spans if span.kind is SpanKind.SERVER}
    consumer = next(span for span in spans if span.kind is SpanKind.CONSUMER)
    homes = {
        "bought": servers["shop/buy"],
        "price": servers["prices/get"],
        "charged": consumer,
        "subscriber 'charge'": consumer,
    }
    for message, span in homes.items():
        assert span.context is not None
        line = told[message]
        assert (line["trace_id"], line["span_id"]) == (
            f"{trace:032x}",
            f"{span.context.span_id:016x}",
        )
    error_id = told["subscriber 'charge'"]["error_id"]
    assert {str(span.kind.name) + " " + str(span.name): span.attributes for span in spans} == {
        "INTERNAL script": {},
        **attributes_of("shop/buy"),
        **attributes_of("prices/get"),
        "PRODUCER publish shop.{region}.placed": event_attributes("publish", "send"),
        "CONSUMER process shop.{region}.placed": {
            **event_attributes("process", "process"),
            SEMCONV["RPC_METHOD"]: "bill/charge",
            SEMCONV["MESSAGING_CONSUMER_GROUP_NAME"]: "bill.charge",
            SEMCONV["RPC_RESPONSE_STATUS_CODE"]: "500",
            SEMCONV["ERROR_TYPE"]: "ValueError",
            "natsrpc.error_id": error_id,
            "natsrpc.subject": "shop.eu.placed",
        },
    }
    (noted,) = consumer.events
    assert noted.name == "exception"
    assert noted.attributes is not None
    assert noted.attributes[SEMCONV["EXCEPTION_TYPE"]] == "ValueError"


def attributes_of(method: str) -> dict[str, dict[str, str]]:
    """The attributes of both spans of a call, by the constants of the conventions' package."""
    found = {SEMCONV["RPC_SYSTEM_NAME"]: "natsrpc", SEMCONV["RPC_METHOD"]: method}
    return {f"{kind} {method}": found for kind in ("CLIENT", "SERVER")}


def event_attributes(name: str, kind: str) -> dict[str, str]:
    """The attributes of a span of the event that both its ends have."""
    return {
        SEMCONV["MESSAGING_SYSTEM"]: "nats",
        SEMCONV["MESSAGING_OPERATION_NAME"]: name,
        SEMCONV["MESSAGING_OPERATION_TYPE"]: kind,
        SEMCONV["MESSAGING_DESTINATION_TEMPLATE"]: "shop.{region}.placed",
    }


def test_names_are_those_of_the_conventions() -> None:
    """They are copied: the package has them among what may still move."""
    prefixes = ("RPC_", "MESSAGING_", "ERROR_TYPE")
    ours = {n: v for n, v in vars(conventions).items() if n.startswith(prefixes)}
    assert len(ours) == 15
    assert ours == {name: SEMCONV[name] for name in ours}
    kinds = SEMCONV["MessagingOperationTypeValues"]
    assert (kinds.SEND.value, kinds.PROCESS.value) == (conventions.SEND, conventions.PROCESS)
