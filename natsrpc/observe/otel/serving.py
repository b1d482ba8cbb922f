"""Spans of what a service runs: SERVER for requests, CONSUMER for events.

A span stands around the run of a request, from the moment that it has its slots, so that it is
current for all that belongs to the request: dependencies, middleware, the log line of a handler
that failed, and what is done after the answer. It stays current to the end of the request's task,
which has a context of its own.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from time import perf_counter_ns, time_ns
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.metrics import Histogram
from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer

from natsrpc.core import Msg, Throttle
from natsrpc.errors import InternalError, RpcError, UnavailableError
from natsrpc.rpc import (
    Context,
    EndpointContract,
    Middleware,
    Next,
    OnFailed,
    Run,
    RunEvent,
    ended,
    error_id_of,
    relayed,
    take_failure,
)

from . import conventions as names
from .conventions import Attributes
from .propagation import Propagation, with_span

_log = Throttle(logging.getLogger("natsrpc.observe"))


def broken(what: str, error: Exception) -> None:
    """Tell that what makes or takes spans raised: it must keep nothing from being served."""
    _log.warning(what, "a span was not %s: %r", what, error)


class ServiceSpans:
    """Makes the spans of any number of services; an `Observer` of `natsrpc.rpc`.

    Args:
        tracer: makes the spans.
        request_duration, event_duration: where their times are recorded, if anywhere.
        trace_client: has the client traced that handlers are given, when a service starts.
        items: whether items of streams are events of their span.
    """

    def __init__(
        self,
        tracer: Tracer,
        *,
        request_duration: Histogram | None,
        event_duration: Histogram | None,
        trace_client: Callable[[Any], None],
        items: bool,
    ) -> None:
        self._tracer = tracer
        self._request_duration = request_duration
        self._event_duration = event_duration
        self._joined = names.Codes().joined
        self._propagation = Propagation()
        self._items = items
        self.trace_client = trace_client

    def request(self, service: str, endpoint: EndpointContract, run: Run) -> Run:
        """The same run of a request, in a span."""
        name = names.method_of(service, endpoint.name)
        attributes: Attributes = {names.RPC_SYSTEM_NAME: "natsrpc", names.RPC_METHOD: name}
        start, extract = self._tracer.start_span, self._propagation.extract
        attach = otel_context.attach
        duration, declared, kind = self._request_duration, endpoint.errors, SpanKind.SERVER
        joined = self._joined
        has_tokens = endpoint.subject != endpoint.template

        async def run_traced(admitted: Any, msg: Msg, terms: Any, deadline: float) -> None:
            if admitted.msg is None:  # it was answered before its task began
                await run(admitted, msg, terms, deadline)
                return
            began = perf_counter_ns()
            try:
                parent = extract(msg.raw_headers)
                span = start(name, parent, kind, attributes)
                if has_tokens and span.is_recording():
                    span.set_attribute(names.SUBJECT, msg.subject)
            except Exception as error:  # of a sampler, a processor: the request is served anyway
                broken("made", error)
                await run(admitted, msg, terms, deadline)
                return
            attach(with_span(parent, span))
            try:
                await run(admitted, msg, terms, deadline)
            finally:
                try:
                    over, failure, noted = None, None, None
                    if admitted.msg is None:
                        over, failure = ended(admitted), take_failure(admitted)
                    if failure is not None:
                        noted = note_answer(span, failure, declared)
                        failure = None  # whose traceback leads to this frame, from Python 3.12 on
                    if over is None:
                        span.end()
                    else:  # its work after the answer is no part of its time
                        span.end(time_ns() - (perf_counter_ns() - over))
                    if duration is not None:
                        took = ((over or perf_counter_ns()) - began) / 1e9
                        duration.record(took, joined(attributes, noted) if noted else attributes)
                except Exception as error:
                    broken("taken", error)

        return run_traced

    def event(
        self, service: str, subscriber: EndpointContract, run: RunEvent, on_failed: list[OnFailed]
    ) -> RunEvent:
        """The same run of an event, or of a message that a worker handles, in a span, which is a
        child of its publisher's. A batch is one span, a child of that of its first message."""
        template = subscriber.template or subscriber.subject
        name = f"{names.PROCESS} {template}"
        attributes = destination(template, names.PROCESS, names.PROCESS)
        attributes[names.RPC_METHOD] = names.method_of(service, subscriber.name)
        group, work = subscriber.queue_group, subscriber.work
        if group or work is not None:
            attributes[names.MESSAGING_CONSUMER_GROUP_NAME] = work.durable if work else group
        start, extract = self._tracer.start_span, self._propagation.extract
        attach = otel_context.attach
        duration, kind, joined = self._event_duration, SpanKind.CONSUMER, self._joined
        has_tokens = subscriber.subject != template
        running: dict[Msg, BaseException | None] = {}

        def note_failure(contract: EndpointContract, msg: Msg, error: BaseException) -> None:
            if contract is subscriber and msg in running:
                running[msg] = error

        on_failed.append(note_failure)

        async def run_traced(msg: Msg, deadline: float) -> None:
            began = perf_counter_ns()
            try:
                parent = extract(msg.raw_headers)
                span = start(name, parent, kind, attributes)
                if span.is_recording():
                    if has_tokens:
                        span.set_attribute(names.SUBJECT, msg.subject)
                    if work is not None:
                        span.set_attribute(names.ATTEMPT, attempt_of(msg))
            except Exception as error:
                broken("made", error)
                await run(msg, deadline)
                return
            attach(with_span(parent, span))
            running[msg] = None
            try:
                await run(msg, deadline)
            finally:
                failure = running.pop(msg)
                try:
                    noted = None if failure is None else note_answer(span, failure, ())
                    failure = None  # as for requests
                    span.end()
                    if duration is not None:
                        took = (perf_counter_ns() - began) / 1e9
                        duration.record(took, joined(attributes, noted) if noted else attributes)
                except Exception as error:
                    broken("taken", error)

        return run_traced

    def items(self, endpoint: EndpointContract) -> Middleware[Context] | None:
        """A middleware that makes events of a stream's items, if that was asked for."""
        if not self._items or endpoint.kind in ("unary", "event", "worker"):
            return None
        return _note_items


def attempt_of(msg: Any) -> int:
    """How often a message of a stream was delivered, this time included."""
    return int(msg.metadata.num_delivered)


async def _note_items(context: Context, call_next: Next[Context]) -> Any:
    span = trace.get_current_span()
    if span.is_recording():
        context.encode = _counting(context.encode, span, "sent")
        context.decode_item = _counting(context.decode_item, span, "received")
    return await call_next(context)


def _counting(function: Callable[[Any], Any], span: Span, direction: str) -> Callable[[Any], Any]:
    number = 0

    def count(item: Any) -> Any:
        nonlocal number
        number += 1
        span.add_event(names.ITEM, {"direction": direction, "number": number})
        return function(item)

    return count


def destination(template: str, name: str, kind: str) -> Attributes:
    """The attributes of a span for events: their subject, or its template where it has tokens."""
    has_tokens = any(sign in template for sign in "{*>")
    where = names.MESSAGING_DESTINATION_TEMPLATE if has_tokens else names.MESSAGING_DESTINATION_NAME
    return {
        names.MESSAGING_SYSTEM: "nats",
        names.MESSAGING_OPERATION_NAME: name,
        names.MESSAGING_OPERATION_TYPE: kind,
        where: template,
    }


def note_answer(
    span: Span, error: BaseException, declared: tuple[type[RpcError], ...]
) -> Attributes | None:
    """Note on a span the error that its request ends with, as its caller is told it; what of that
    is an attribute of its duration, too."""
    answer = relayed(error) or error
    if not isinstance(answer, Exception):  # cancelled from within
        answer = UnavailableError("the handler was cancelled")
    code = answer.code if isinstance(answer, RpcError) else InternalError.default_code
    noted: Attributes = {names.RPC_RESPONSE_STATUS_CODE: str(code)}
    if names.is_failure(answer, declared, at_caller=False):
        noted[names.ERROR_TYPE] = names.type_of(answer)
        span.set_status(StatusCode.ERROR, str(answer))
        if not isinstance(answer, RpcError):
            span.set_attribute(names.ERROR_ID, error_id_of(error))
        if answer is error:
            span.record_exception(error)
    span.set_attributes(noted)
    return noted
