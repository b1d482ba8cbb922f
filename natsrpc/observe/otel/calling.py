"""Spans of what a client sends: CLIENT for calls, PRODUCER for what is published.

A call has one span, however often it is sent. Attempts by a policy (retries, hedges) are spans of
their own below it, numbered; the one that an answer makes needless is marked as cancelled, and is
no error. What makes or takes spans may raise: that is told in the log, and the call is made once
all the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from time import perf_counter_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from natsrpc.errors import ConfigError, RpcError
from natsrpc.rpc import (
    Attempt,
    Call,
    EndpointContract,
    Event,
    GivenHeaders,
    Next,
    Publication,
    endpoint_of,
)

from . import conventions as names
from .conventions import Attributes
from .propagation import Propagation, with_span
from .serving import broken, destination

_IN_ATTEMPT = otel_context.create_key("natsrpc attempt")

Method = tuple[str, Attributes, tuple[type[RpcError], ...], bool]
"""The name of a call's span, its attributes, the errors that are declared, and whether the subject
is told besides."""


class ClientSpans:
    """Makes the spans of a client; a `CallObserver` of `natsrpc.rpc`.

    Args:
        tracer: makes the spans.
        call_duration, publish_duration: where their times are recorded, if anywhere.
        items: whether items of streams are events of their span.
    """

    def __init__(
        self,
        tracer: Tracer,
        *,
        call_duration: Histogram | None,
        publish_duration: Histogram | None,
        items: bool,
    ) -> None:
        self._start = tracer.start_span
        self._call_duration = call_duration
        self._publish_duration = publish_duration
        self._items = items
        self._joined = names.Codes().joined
        self._inject = Propagation().inject
        self._names = names.Names()
        self._methods: dict[Any, Method] = {}
        self._destinations: dict[Any, Attributes] = {}

    async def call(self, call: Call, call_next: Next[Call]) -> Any:
        """Make a call in a span."""
        target, span = call.target, None
        try:
            try:
                method = self._methods.get(target)
            except TypeError:  # it cannot be hashed
                method = None
            name, attributes, declared, tells = method or self._method(target)
            current = otel_context.get_current()
            span = self._start(name, current, SpanKind.CLIENT, attributes)
            context = with_span(current, span)
            self._inject(call.headers, span, context)
            if tells:
                span.set_attribute(names.RPC_METHOD_ORIGINAL, str(target))
        except Exception as error:  # of a sampler, a processor, a propagator
            broken("made", error)
            span = None
        if span is None:
            return await call_next(call)
        began = perf_counter_ns()
        token = otel_context.attach(context)
        failure: BaseException | None = None
        ends = call.kind != "stream"
        if call.errors:
            declared += tuple(call.errors)
        try:
            result = await call_next(call)
            return result if ends else self._stream(result, span, attributes, declared, began)
        except BaseException as error:
            failure, ends = error, True
            raise
        finally:
            otel_context.detach(token)
            if ends:
                self._end(span, failure, attributes, declared, began, self._call_duration)

    def _end(
        self,
        span: Span,
        failure: BaseException | None,
        attributes: Attributes,
        declared: tuple[type[RpcError], ...],
        began: int,
        duration: Histogram | None,
    ) -> None:
        try:
            noted = None if failure is None else _note(span, failure, declared)
            span.end()
            if duration is not None:
                took = (perf_counter_ns() - began) / 1e9
                duration.record(took, self._joined(attributes, noted) if noted else attributes)
        except Exception as error:  # of a processor, an exporter
            broken("taken", error)

    async def _stream(
        self,
        items: AsyncGenerator[Any, None],
        span: Span,
        attributes: Attributes,
        declared: tuple[type[RpcError], ...],
        began: int,
    ) -> AsyncGenerator[Any, None]:
        """Pass on the items of a stream, and end its span when it ends or its reader leaves."""
        tells, number = self._items and span.is_recording(), 0
        failure: BaseException | None = None
        try:
            async for item in items:
                if tells:
                    number += 1
                    span.add_event(names.ITEM, {"direction": "received", "number": number})
                yield item
        except BaseException as error:
            failure = error
            raise
        finally:
            await items.aclose()
            self._end(span, failure, attributes, declared, began, self._call_duration)

    def _method(self, target: Any) -> Method:
        """What a call's span says of its target, kept where there are few of them."""
        declared: tuple[type[RpcError], ...] = ()
        tells = False
        if isinstance(target, str):
            name = self._names.name(target)
            tells = name != target
        else:
            try:
                contract: EndpointContract = endpoint_of(target)
                name, declared = names.method_of_contract(contract), contract.errors
            except ConfigError:  # which the call raises, in its span
                return "natsrpc", {names.RPC_SYSTEM_NAME: "natsrpc"}, (), False
        attributes: Attributes = {names.RPC_SYSTEM_NAME: "natsrpc", names.RPC_METHOD: name}
        method = ("natsrpc" if name == names.OTHER else name, attributes, declared, tells)
        if not tells:
            if len(self._methods) >= names.MAX_NAMES:
                self._methods.clear()
            with suppress(TypeError):
                self._methods[target] = method
        return method

    def attempts(self, attempt: Attempt, *, is_once: bool) -> Attempt:
        """Attempts in spans of their own, each with its number; the first one of a call that is
        repeated only where the connection was lost is the call's own span."""
        number = 0

        async def make(seconds: float | None) -> Any:
            nonlocal number
            number += 1
            if is_once and number == 1:
                return await attempt(seconds)
            told: Attributes = {names.RPC_SYSTEM_NAME: "natsrpc", names.ATTEMPT: number}
            current, span = otel_context.get_current(), None
            try:
                span = self._start(f"attempt {number}", current, SpanKind.CLIENT, told)
                context = otel_context.set_value(_IN_ATTEMPT, span, with_span(current, span))
            except Exception as error:
                broken("made", error)
                span = None
            if span is None:
                return await attempt(seconds)
            token = otel_context.attach(context)
            failure: BaseException | None = None
            try:
                return await attempt(seconds)
            except BaseException as error:
                failure = error
                raise
            finally:
                otel_context.detach(token)
                self._end(span, failure, told, (), 0, None)
                failure = None  # whose traceback leads to this frame

        return make

    def headers(self, headers: GivenHeaders) -> GivenHeaders:
        """The headers of an attempt: of its own span, where it has one."""
        current = otel_context.get_current()
        span = current.get(_IN_ATTEMPT)
        if not isinstance(span, Span):
            return headers
        found = dict(headers or {})
        try:
            self._inject(found, span, current)
        except Exception as error:
            broken("made", error)
            return headers
        return found

    async def publish(
        self, publication: Publication, send: Callable[[GivenHeaders], Awaitable[None]]
    ) -> None:
        """Publish in a span, which the events' handlers have as their parent."""
        target = publication.target
        began, span = perf_counter_ns(), None
        try:
            subject = target.subject if isinstance(target, Event) else target
            attributes = self._destinations.get(subject) or self._destination(subject)
            where = attributes.get(names.MESSAGING_DESTINATION_NAME)
            where = where or attributes.get(names.MESSAGING_DESTINATION_TEMPLATE)
            name = f"publish {where}" if where else "publish"
            current = otel_context.get_current()
            span = self._start(name, current, SpanKind.PRODUCER, attributes)
            headers = dict(publication.headers or {})
            self._inject(headers, span, with_span(current, span))
        except Exception as error:
            broken("made", error)
            span = None
        if span is None:
            await send(publication.headers)
            return
        failure: BaseException | None = None
        try:
            await send(headers)
        except BaseException as error:
            failure = error
            raise
        finally:
            self._end(span, failure, attributes, (), began, self._publish_duration)
            failure = None  # whose traceback leads to this frame

    def _destination(self, subject: Any) -> Attributes:
        name = self._names.name(subject) if isinstance(subject, str) and subject else names.OTHER
        if name == names.OTHER:
            found = destination("", "publish", names.SEND)
            found.pop(names.MESSAGING_DESTINATION_NAME)
            return found
        found = destination(name, "publish", names.SEND)
        if name == subject and len(self._destinations) < names.MAX_NAMES:
            self._destinations[subject] = found
        return found


def _note(
    span: Span, error: BaseException, declared: tuple[type[RpcError], ...]
) -> Attributes | None:
    """Note on a span the error that a call ended with; what of it is an attribute of its duration,
    too."""
    if isinstance(error, (asyncio.CancelledError, GeneratorExit)):
        span.set_attribute(names.CANCELLED, True)
        return None
    noted: Attributes = {}
    if isinstance(error, RpcError):
        noted[names.RPC_RESPONSE_STATUS_CODE] = str(error.code)
        details = error.details if isinstance(error.details, dict) else {}
        if isinstance(found := details.get("error_id"), str):
            span.set_attribute(names.ERROR_ID, found)
    if names.is_failure(error, declared, at_caller=True):
        noted[names.ERROR_TYPE] = names.type_of(error)
        span.record_exception(error)
        span.set_status(StatusCode.ERROR, str(error))
    span.set_attributes(noted)
    return noted
