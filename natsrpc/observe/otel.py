"""Traces: a span for each call and for each request served, joined by the `traceparent` header.

Programs call `instrument`. The propagator, the tracer provider and the sampler are those that the
program has set up in OpenTelemetry. Names and attributes follow its conventions for RPC.

Ref: https://opentelemetry.io/docs/specs/semconv/rpc/rpc-spans/
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import Any

from natsrpc import sync
from natsrpc.core import Headers
from natsrpc.errors import ConfigError, RpcError
from natsrpc.rpc import (
    Call,
    Client,
    Context,
    EndpointContract,
    Service,
    error_id_of,
    relayed,
)

try:
    from opentelemetry import context as otel_context
    from opentelemetry import propagate, trace
    from opentelemetry.propagators.textmap import Getter
    from opentelemetry.trace import Span, SpanKind, StatusCode, TracerProvider
except ModuleNotFoundError as _error:
    raise ImportError(
        "natsrpc.observe.otel needs OpenTelemetry: pip install 'natsrpc[otel]'", name=_error.name
    ) from _error

__all__ = ["instrument"]


class _Reader(Getter[Headers]):
    """Reads a request's headers for OpenTelemetry's propagator."""

    def get(self, carrier: Headers, key: str) -> list[str] | None:
        return carrier.get_all(key) or None

    def keys(self, carrier: Headers) -> list[str]:
        return list(carrier)


_READER = _Reader()


def instrument(
    *targets: Service | Client | sync.Client, tracer_provider: TracerProvider | None = None
) -> None:
    """Trace the requests that services serve and the calls that clients make.

    Call it before a service is served: middleware that is added later has no effect on it.

    Args:
        targets: services and clients; those that block, too.
        tracer_provider: the provider of the tracer; OpenTelemetry's global one if not given.

    Raises:
        ConfigError: a target is neither a service nor a client.
    """
    tracer = trace.get_tracer("natsrpc", tracer_provider=tracer_provider)
    for target in targets:
        if isinstance(target, Service):
            target.middleware(_serving(tracer))
        elif isinstance(target, Client | sync.Client):
            target.middleware(_calling(tracer))
        else:
            raise ConfigError(f"instrument takes services and clients, not {target!r}")


def _serving(tracer: trace.Tracer) -> Callable[[Context, Any], Awaitable[Any]]:
    async def serve(context: Context, call_next: Callable[[Context], Awaitable[Any]]) -> Any:
        name = f"{context.service.name}/{context.endpoint.name}"
        attributes = {
            "rpc.system": "natsrpc",
            "rpc.service": context.service.name,
            "rpc.method": context.endpoint.name,
            "messaging.destination.name": context.subject,
        }
        parent = propagate.extract(context.headers, getter=_READER)
        kind = SpanKind.CONSUMER if context.endpoint.kind == "event" else SpanKind.SERVER
        span = tracer.start_span(name, parent, kind, attributes)
        # It stays current to the end of the request's task, which has a context of its own: the log
        # line of a handler that failed is written after the last middleware, and belongs to it.
        otel_context.attach(trace.set_span_in_context(span, parent))
        try:
            with _noting(span):
                return await call_next(context)
        except Exception as error:
            if not (isinstance(error, RpcError) or relayed(error)):
                span.set_attribute("natsrpc.error_id", error_id_of(error))
            raise
        finally:
            span.end()

    return serve


def _calling(tracer: trace.Tracer) -> Callable[[Call, Any], Awaitable[Any]]:
    async def call(made: Call, call_next: Callable[[Call], Awaitable[Any]]) -> Any:
        name = _subject(made.target)
        attributes = {"rpc.system": "natsrpc", "messaging.destination.name": name}
        span = tracer.start_span(name, kind=SpanKind.CLIENT, attributes=attributes)
        propagate.inject(made.headers, context=trace.set_span_in_context(span))
        if made.kind == "stream":
            with trace.use_span(span, record_exception=False, set_status_on_exception=False):
                items = await call_next(made)
            return _items(items, span)
        with (
            trace.use_span(
                span, end_on_exit=True, record_exception=False, set_status_on_exception=False
            ),
            _noting(span),
        ):
            return await call_next(made)

    return call


async def _items(items: AsyncGenerator[Any, None], span: Span) -> AsyncGenerator[Any, None]:
    """Pass on the items of a stream, and end its span when the stream ends or its reader leaves."""
    try:
        with _noting(span):
            async for item in items:
                yield item
    finally:
        await items.aclose()
        span.end()


@contextmanager
def _noting(span: Span) -> Iterator[None]:
    """Record an error on the span, with its code if a service has answered it."""
    try:
        yield
    except GeneratorExit:  # the reader of a stream left it, which is no error
        raise
    except BaseException as error:
        if isinstance(error, RpcError):
            span.set_attribute("rpc.natsrpc.code", error.code)
        span.set_attribute("error.type", type(error).__qualname__)
        span.record_exception(error)
        span.set_status(StatusCode.ERROR, str(error))
        raise


def _subject(target: Any) -> str:
    """The name of a call's target: a subject, an endpoint's subject, or a handler's name."""
    if isinstance(target, str):
        return target
    if isinstance(target, EndpointContract):
        return target.template or target.subject
    return str(getattr(target, "__qualname__", target))
