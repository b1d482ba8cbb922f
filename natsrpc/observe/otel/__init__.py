"""Traces and durations by OpenTelemetry: a span for each call, each request served, each event
published and handled, joined by the `traceparent` header.

Programs call `instrument`, or are started by `opentelemetry-instrument`, which finds
`Instrumentor`. The propagator, the providers and the sampler are those that the program has set up
in OpenTelemetry. Names and attributes follow its conventions for RPC and messaging.

Ref: https://opentelemetry.io/docs/specs/semconv/rpc/
"""

from __future__ import annotations

try:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider
except ModuleNotFoundError as _error:
    raise ImportError(
        "natsrpc.observe.otel needs OpenTelemetry: pip install 'natsrpc[otel]'", name=_error.name
    ) from _error

from natsrpc import sync
from natsrpc.errors import ConfigError
from natsrpc.rpc import Client, Service

from .instrumenting import Instrumentor, Spans

__all__ = ["Instrumentor", "instrument"]


def instrument(
    *targets: Service | Client | sync.Client,
    tracer_provider: TracerProvider | None = None,
    meter_provider: MeterProvider | None = None,
    items: bool = False,
) -> None:
    """Trace what services serve, what clients call, and what they publish.

    The client that a service's handlers are given is traced with the service. What is instrumented
    again is so by the last call alone.

    Args:
        targets: services, before they are served, and clients; those that block, too.
        tracer_provider: the provider of the tracer; OpenTelemetry's global one if not given.
        meter_provider: where durations are recorded, if it is given: `rpc.server.call.duration`,
            `rpc.client.call.duration`, and those of events.
        items: whether each item of a stream is an event of its span.

    Raises:
        ConfigError: a target is neither a service nor a client, or a service that is served.
    """
    for target in targets:
        if isinstance(target, Service):
            target.definition.check_not_served("otel.instrument")
        elif not isinstance(target, Client | sync.Client):
            raise ConfigError(f"instrument takes services and clients, not {target!r}")
    spans = Spans(tracer_provider, meter_provider, items=items)
    for target in targets:
        spans.add(target)
