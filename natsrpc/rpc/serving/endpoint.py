"""The server half of one endpoint, bound: from a message to its one terminal answer.

A request is in exactly one of these states, and only this file moves it:

```
          accept ──► refused                    answered, never ran
            │
            ├──────► waiting (in its lane) ──► expired or aborted: answered, never runs
            │           │
            ▼           ▼
          running (`live`) ──► ended            answered by `_run`
            │
            └──► overdue                        answered already (deadline, cancel, stop); its task
                                                was cancelled and holds its slots until it ends
```

Whoever takes a message out of `live` or out of the lane answers it, so there is one answer. What
is on the fast path (`accept`, `_run`) does no lookup by name, and reads a header block only the
first time it sees it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
import math
from collections.abc import Awaitable, Callable, Coroutine
from functools import partial
from time import perf_counter_ns
from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection, Due, Msg, clock, encode_headers
from natsrpc.errors import (
    CallCancelledError,
    DeadlineExceededError,
    DecodeError,
    MaxPayloadError,
    NatsError,
    OverloadedError,
    RpcError,
    UnavailableError,
)

from ..contract import (
    Context,
    EndpointContract,
    Limits,
    Next,
    ServiceContract,
    internal,
    refused_request,
)
from ..headers import inherited
from ..signature import CallPlan
from ..streams import Allowance, open_body, read_head, real_subject, receive_body, send_reply
from .answers import Answering
from .eager import task_starter
from .slots import Gate, Lane
from .streams import serve_stream
from .terms import Terms, TermsBook

logger = logging.getLogger("natsrpc.rpc")

Run = Callable[[Msg, Terms, float | None], Coroutine[Any, Any, None]]
"""How a request is run that was admitted."""

STUBBORN_AFTER = 1.0
"""Seconds after its cancellation at which a handler that runs on is logged by name."""


class Endpoint(Answering):
    """One endpoint of a running service."""

    def __init__(
        self,
        connection: Connection,
        service: ServiceContract,
        contract: EndpointContract,
        plan: CallPlan,
        limits: Limits,
        *,
        codec: codecs.Codec,
        gates: Callable[[int], Gate],
        allowance: Allowance,
    ) -> None:
        super().__init__(connection, contract, plan.name)
        self.plan = plan
        self.service = service
        self.state: Any = None
        self.live: Due[Msg, tuple[asyncio.Task[None], float]] = Due(
            connection.link.loop, self._expired
        )
        self.overdue: dict[Msg, asyncio.Task[None]] = {}
        self._connection = connection
        self._allowance = allowance
        self._book = TermsBook(contract, limits, codec, gates)
        self._terms = self._book.known
        self._lanes = self._book.lanes
        self._waits: Due[Msg, tuple[Lane, float]] = Due(connection.link.loop, self._expired_waiting)
        self._direct = _direct(plan)
        self._general: Next[Context] | None = None
        self._start_task = task_starter(connection.link.loop, f"natsrpc handler {plan.name}")
        self._time = clock(connection.link.loop)

    def use(self, general: Next[Context]) -> None:
        """Call the handler the general way: it needs more than its body, or has middleware."""
        self._general = general

    # the fast path

    def accept(self, msg: Msg) -> None:
        """Take a request: run it, let it wait, or refuse it. The sink of the subscription."""
        terms = self._terms.get(msg.raw_headers)
        if terms is None:
            terms = self._read_terms(msg)
            if terms is None:
                return
        timeout = terms.timeout
        deadline = None if timeout is None else self._connection.link.read_at + timeout
        lane = terms.lane
        gate = lane.gate
        if lane.free > 0 and gate.free > 0 and not self._connection.link.outbound.congested:
            lane.free -= 1
            gate.free -= 1
            task = self._start_task(self._run(msg, terms, deadline))
            if not task.done():  # as `_note_live` does
                live, due = self.live, math.inf if deadline is None else deadline
                if due < live.next:
                    live.watch(due)
                live[msg] = (task, due)
        else:
            self._wait(msg, terms, deadline, self._run)

    async def _run(self, msg: Msg, terms: Terms, deadline: float | None) -> None:
        began = perf_counter_ns()
        headers = terms.reply_headers
        try:
            if deadline is not None and self._time() >= deadline:
                raise self._too_late()
            if self.overdue and msg in self.overdue:
                self._ended(msg, terms, began)
                return
            inherited.set((deadline, terms.depth))
            if self._general is None:
                try:
                    value = terms.decode(msg.data)
                except DecodeError as error:
                    raise refused_request(error, self.service) from None
                data = terms.encode(await self._direct(value))
            else:
                data, headers = await self._run_general(msg, terms, deadline)
        except BaseException as error:
            self._failed(msg, terms, error, began)
            if isinstance(error, (Exception, SystemExit)):
                return  # nobody's input ends the process with all that it is doing
            raise
        if self.overdue and msg in self.overdue:
            self._ended(msg, terms, began)
            return
        self.live.pop(msg, None)
        if msg.raw_reply:
            try:
                self._send(msg.raw_reply, data, b"", headers)
            except MaxPayloadError as error:
                reply = data, headers
                await self._send_large(msg, terms, deadline, reply=reply, error=error, began=began)
                return
            except Exception as error:
                self.unsendable(msg, error)
        self.processing_time_ns += perf_counter_ns() - began
        self.num_requests += 1
        lane = terms.lane
        lane.free += 1
        gate = lane.gate
        gate.free += 1
        if gate.attention:
            gate.attend()

    async def _run_general(
        self, msg: Msg, terms: Terms, deadline: float | None
    ) -> tuple[bytes, bytes]:
        context = Context(msg, self.contract, self.service, deadline, self.state, terms)
        assert self._general is not None  # `_run` asked
        if self.contract.kind != "unary":
            stop = partial(self.cancel, msg.raw_reply)
            limit = self._allowance.largest
            return await serve_stream(self._connection, context, self._general, terms, stop, limit)
        data = terms.encode(await self._general(context))
        if not context.has_reply_headers:
            return data, terms.reply_headers
        headers = dict(context.reply_headers)
        if terms.reply_headers:
            headers.setdefault("Content-Type", terms.codec.content_type)
        return data, encode_headers(headers)

    # what does not fit one message

    def accept_large(self, msg: Msg) -> None:
        """Take the head of a request whose body comes in frames: the sink of its own subject."""
        msg.raw_subject = real_subject(msg.raw_subject)
        terms = self._terms.get(msg.raw_headers) or self._read_terms(msg)
        if terms is None:
            return
        timeout = terms.timeout
        deadline = None if timeout is None else self._connection.link.read_at + timeout
        lane = terms.lane
        if lane.free > 0 and lane.gate.free > 0 and not self._connection.link.outbound.congested:
            lane.free -= 1
            lane.gate.free -= 1
            self._begin(msg, terms, deadline, self._run_large)
        else:
            self._wait(msg, terms, deadline, self._run_large)

    async def _run_large(self, msg: Msg, terms: Terms, deadline: float | None) -> None:
        """Receive the body, then run."""
        began = perf_counter_ns()
        channel = None
        received = False
        try:
            if msg in self.overdue:
                raise self._too_late()
            size = read_head(msg)
            with self._allowance.hold(size):
                channel = open_body(self._connection, msg, size, lambda: self.cancel(msg.raw_reply))
                msg.data = await receive_body(channel)
                received = True
                await self._run(msg, terms, deadline)
        except BaseException as error:
            if not received:  # else `_run` has accounted for it
                self._failed(msg, terms, error, began)
            if not isinstance(error, Exception):
                raise
        finally:
            if channel is not None:
                channel.close()

    async def _send_large(
        self,
        msg: Msg,
        terms: Terms,
        deadline: float | None,
        *,
        reply: tuple[bytes, bytes],
        error: MaxPayloadError,
        began: int,
    ) -> None:
        """Send a reply in frames if its caller takes it so; the request is live until that ends."""
        task = asyncio.current_task()
        assert task is not None  # the request's own
        self._note_live(msg, task, deadline)
        try:
            if len(reply[0]) > terms.max_reply:
                self.unsendable(msg, error)
            else:
                await send_reply(
                    self._connection,
                    msg,
                    reply,
                    deadline=deadline,
                    stop=lambda: self.cancel(msg.raw_reply),
                )
        except (NatsError, RpcError) as failure:
            self.note_error(str(failure))
        finally:
            self._ended(msg, terms, began)

    # admission

    def _note_live(self, msg: Msg, task: asyncio.Task[None], deadline: float | None) -> None:
        """Keep the task of a handler that did not end where it started."""
        live, due = self.live, math.inf if deadline is None else deadline
        if due < live.next:
            live.watch(due)
        live[msg] = (task, due)

    def _wait(self, msg: Msg, terms: Terms, deadline: float | None, run: Run) -> None:
        if self._connection.link.outbound.congested:
            self.refuse(msg, OverloadedError("the service's connection is congested"))
        elif not terms.lane.put(msg, partial(self._start_waiting, msg, terms, deadline, run)):
            self.refuse(msg, OverloadedError(f"endpoint {self.contract.name!r} is overloaded"))
        else:
            due = math.inf if deadline is None else deadline
            if due < self._waits.next:
                self._waits.watch(due)
            self._waits[msg] = (terms.lane, due)

    def _start_waiting(self, msg: Msg, terms: Terms, deadline: float | None, run: Run) -> None:
        self._waits.pop(msg, None)
        self._begin(msg, terms, deadline, run)

    def _begin(self, msg: Msg, terms: Terms, deadline: float | None, run: Run) -> None:
        """Run a request whose slots are taken."""
        task = self._start_task(run(msg, terms, deadline))
        if not task.done():
            self._note_live(msg, task, deadline)

    def _expired_waiting(self, msg: Msg, entry: tuple[Lane, float]) -> None:
        entry[0].remove(msg)
        self.refuse(msg, self._too_late())

    def _read_terms(self, msg: Msg) -> Terms | None:
        """Read a header block not seen before; None if the request had to be refused."""
        try:
            return self._book.read(msg.raw_headers, msg.headers)
        except RpcError as error:
            self.refuse(msg, error)
        except Exception as error:  # never leave a request without an answer
            self.refuse(msg, internal(error, self.plan.name))
        return None

    # failures

    def _too_late(self) -> DeadlineExceededError:
        return DeadlineExceededError(f"deadline of endpoint {self.contract.name!r} passed")

    def _failed(self, msg: Msg, terms: Terms, error: BaseException, began: int) -> None:
        """Answer a request whose handler raised."""
        if msg not in self.overdue:
            if isinstance(error, asyncio.CancelledError):
                rpc_error: RpcError = UnavailableError("the handler was cancelled")
            elif isinstance(error, RpcError):
                rpc_error = error
            else:
                rpc_error = internal(error, self.plan.name)
            self.answer_error(msg, rpc_error)
        self._ended(msg, terms, began)

    def _ended(self, msg: Msg, terms: Terms, began: int) -> None:
        """Account for a handler that ended and give its slots back."""
        self.live.pop(msg, None)
        self.overdue.pop(msg, None)
        self.processing_time_ns += perf_counter_ns() - began
        self.num_requests += 1
        lane = terms.lane
        lane.free += 1
        lane.gate.free += 1
        if lane.gate.attention:
            lane.gate.attend()

    # the end of a request that is not its own

    def _expired(self, msg: Msg, entry: tuple[asyncio.Task[None], float]) -> None:
        self._stop_task(msg, entry[0], self._too_late())

    def _stop_task(self, msg: Msg, task: asyncio.Task[None], error: RpcError) -> None:
        """Answer for a running handler, and cancel it."""
        self.overdue[msg] = task
        self.answer_error(msg, error)
        if _unstarted(task):
            return  # cancelled now it would never enter `_run`; `_run` sees that it is overdue
        task.cancel()
        self._connection.link.loop.call_later(STUBBORN_AFTER, self._report_stubborn, msg)

    def _report_stubborn(self, msg: Msg) -> None:
        if msg in self.overdue:
            logger.warning(
                "handler %r still runs %s s after it was cancelled", self.plan.name, STUBBORN_AFTER
            )

    def accept_cancel(self, msg: Msg) -> None:
        """Take a caller's word that it cancelled a call. The sink of the cancel subject."""
        self.cancel(msg.data)

    def cancel(self, reply: bytes) -> bool:
        """Stop the request with this reply subject, for its caller; false if it is not here."""
        if not reply:
            return False
        error = CallCancelledError("the caller cancelled the call")
        for msg, (task, _) in self.live.items():
            if msg.raw_reply == reply:
                self.live.pop(msg)
                self._stop_task(msg, task, error)
                return True
        for lane in self._lanes.values():
            for msg in lane.waiting:
                if msg.raw_reply == reply:
                    self._waits.pop(msg, None)
                    lane.remove(msg)
                    self.refuse(msg, error)
                    return True
        return False

    def abort(self) -> None:
        """Answer everything here with 503 and cancel what runs: the end of a drain's patience."""
        error = UnavailableError("the service is stopping")
        for lane in self._lanes.values():
            for msg in list(lane.waiting):
                self._waits.pop(msg, None)
                lane.remove(msg)
                self.refuse(msg, error)
        for msg, (task, _) in list(self.live.items()):
            self.live.pop(msg, None)
            self._stop_task(msg, task, error)

    @property
    def inflight(self) -> int:
        """Requests that run or wait."""
        running = sum(lane.limit - lane.free for lane in self._lanes.values())
        return running + sum(len(lane.waiting) for lane in self._lanes.values())


def _unstarted(task: asyncio.Task[None]) -> bool:
    coro = task.get_coro()
    return inspect.iscoroutine(coro) and inspect.getcoroutinestate(coro) == inspect.CORO_CREATED


def _direct(plan: CallPlan) -> Callable[[Any], Awaitable[Any]]:
    """The handler as a function of the decoded body."""
    function = plan.function
    if plan.shape == "body":
        return function
    if plan.shape == "fields":
        return lambda fields: function(**fields)
    return lambda _: function()
