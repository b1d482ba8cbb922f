"""Which spans a service or a client gets, and `Instrumentor`, by which programs that know nothing
of it get them."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.metrics import Histogram, MeterProvider
from opentelemetry.trace import TracerProvider

from natsrpc import sync
from natsrpc.rpc import Client, Service, on_created
from natsrpc.version import __version__

from . import conventions as names
from .calling import ClientSpans
from .serving import ServiceSpans


class Spans:
    """The spans of what is instrumented at one time: with one tracer, and one meter at most."""

    def __init__(
        self,
        tracer_provider: TracerProvider | None,
        meter_provider: MeterProvider | None,
        *,
        items: bool,
    ) -> None:
        self._tracer = trace.get_tracer("natsrpc", __version__, tracer_provider)
        self._meter = None
        if meter_provider is not None:
            self._meter = metrics.get_meter("natsrpc", __version__, meter_provider)
        self._items = items

    def add(self, target: Service | Client | sync.Client, *, is_default: bool = False) -> None:
        """Instrument a service or a client; `is_default`: unless it is already."""
        if not isinstance(target, Service):
            if not is_default or target.observer is None:
                target.observe(self._of_client())
            return
        observers, on_client = target.definition.observers, target.definition.on_client
        found = [each for each in observers if isinstance(each, ServiceSpans)]
        if found and is_default:
            return
        for each in found:
            observers.remove(each)
            on_client.remove(each.trace_client)
        spans = ServiceSpans(
            self._tracer,
            request_duration=self._duration(names.RPC_SERVER_CALL_DURATION),
            event_duration=self._duration(names.MESSAGING_PROCESS_DURATION),
            trace_client=self._lend,
            items=self._items,
        )
        observers.insert(0, spans)
        on_client.append(spans.trace_client)

    def _lend(self, client: Any) -> None:
        """Trace the client that handlers are given, unless somebody has had it traced."""
        if isinstance(client, Client) and client.observer is None:
            client.observe(self._of_client())

    def _of_client(self) -> ClientSpans:
        return ClientSpans(
            self._tracer,
            call_duration=self._duration(names.RPC_CLIENT_CALL_DURATION),
            publish_duration=self._duration(names.MESSAGING_CLIENT_OPERATION_DURATION),
            items=self._items,
        )

    def _duration(self, name: str) -> Histogram | None:
        if self._meter is None:
            return None
        return self._meter.create_histogram(
            name,
            unit="s",
            description="Seconds that it took.",
            explicit_bucket_boundaries_advisory=names.BUCKETS,
        )


class Instrumentor:
    """Instruments each service and each client of a process, once it is made.

    `opentelemetry-instrument` finds it by the entry point `opentelemetry_instrumentor`. It has the
    methods of OpenTelemetry's `BaseInstrumentor`, and needs not its package.
    """

    _end: Callable[[], None] | None = None

    def instrumentation_dependencies(self) -> Collection[str]:
        """The packages that must be there: none but this one."""
        return ()

    def instrument(self, **options: Any) -> None:
        """Instrument what is made from now on; what is instrumented by itself stays so.

        Args:
            options: `tracer_provider`, `meter_provider` and `items` as for
                `natsrpc.observe.otel.instrument`, but that the global meter provider is used if
                none is given. Others are ignored.
        """
        if Instrumentor._end is not None:
            return
        spans = Spans(
            options.get("tracer_provider"),
            options.get("meter_provider") or metrics.get_meter_provider(),
            items=bool(options.get("items")),
        )

        def add(made: Any) -> None:
            spans.add(made, is_default=True)

        Instrumentor._end = on_created(add)

    def uninstrument(self, **options: Any) -> None:
        """Instrument nothing that is made from now on."""
        if Instrumentor._end is not None:
            Instrumentor._end()
            Instrumentor._end = None
