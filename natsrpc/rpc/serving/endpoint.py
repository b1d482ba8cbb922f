"""The service half of one endpoint: from a message to its one terminal answer.

A request that is taken is an `Admitted`. It is in exactly one of these states, and only this file
moves it:

```
accept ──► refused                       answered, never ran
  │
  ├──────► waiting (in its lane) ──────► expired, cancelled, aborted: answered, never runs
  │           │
  ▼           ▼
running ──────────────► ended            answered by `_run`
  │                       ▲
  └──► answered ──────────┘              answered by `_withdraw` (deadline, cancel, abort); its task
                                         was cancelled, and ends when the handler does
```

- What is *waiting* or *running* is in `taken`, and expires there. A handler that ends in the call
  that starts it was never there.
- Whoever takes a request out of `taken` before its end gives it to `_withdraw`, which answers it
  and sets its `msg` to None; `_run` answers nothing that has no `msg`. So there is one answer.
- A request holds its slots from the start of `_run` to its end, also while a handler runs on that
  was answered for. The `finally` of `_run` is the one place that gives them back.

What every request passes (`accept`, `_run`) does no lookup by name, and reads a header block only
the first time that it sees it.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
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
from ..headers import NO_DEADLINE, inherited
from ..signature import CallPlan
from ..streams import Allowance, LargeBody, real_subject, send_reply
from .answers import Answers
from .eager import task_starter
from .slots import Admitted, Gate, Lane
from .streams import serve_stream
from .terms import Terms, TermsBook

logger: logging.Logger = logging.getLogger("natsrpc.rpc")

STUBBORN_AFTER = 1.0
"""Seconds after its cancellation at which a handler that runs on is logged by name."""


class Endpoint:
    """One endpoint of a running service. `answers` has its counters."""

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
        self.contract = contract
        self.plan = plan
        self.service = service
        self.state: Any = None
        self.answers: Answers = Answers(connection, contract, plan.name)
        self._connection = connection
        self._link = link = connection.link
        self._outbound = link.outbound
        self._send = link.outbound.send
        self._allowance = allowance
        self._book = TermsBook(contract, limits, codec, gates, self._start)
        self._terms = self._book.known
        self.taken: Due[Admitted, float] = Due(link.loop, self._expired, deadline_of=float)
        self._direct = _direct(plan)
        self._general: Next[Context] | None = None
        self._start_task = task_starter(link.loop, f"natsrpc handler {plan.name}")
        self._time = clock(link.loop)

    def use(self, general: Next[Context]) -> None:
        """Call the handler the general way: it needs more than its body, or has middleware."""
        self._general = general

    # the fast path

    def accept(self, msg: Msg, *, large: bool = False) -> None:
        """Take a request: run it, let it wait, or refuse it. The sink of the subscription.

        `large`: the message is only the head of the request; the body follows in frames.
        """
        terms = self._terms.get(msg.raw_headers)
        if terms is None:
            terms = self._read_terms(msg)
            if terms is None:
                return
        deadline = self._link.read_at + terms.timeout
        lane = terms.lane
        gate = lane.gate
        admitted = Admitted()  # which has no constructor: a call (0.2 us)
        admitted.msg = msg
        admitted.lane = lane
        if lane.free > 0 and gate.free > 0 and not self._outbound.congested:
            lane.free -= 1
            gate.free -= 1
            # from Python 3.12 on, a handler that never waits has ended when this returns
            task = self._start_task(
                self._run_large(admitted, msg, terms, deadline)
                if large
                else self._run(admitted, msg, terms, deadline)
            )
            if task.done():
                return
            admitted.task = task
        else:
            run = self._run_large if large else self._run
            admitted.run = partial(run, msg=msg, terms=terms, deadline=deadline)
            if not self._wait(admitted, msg, lane):
                return
        taken = self.taken
        if deadline < taken.next:  # as `Due` wants it
            taken.watch(deadline)
        taken[admitted] = deadline

    async def _run(
        self,
        admitted: Admitted,
        msg: Msg,
        terms: Terms,
        deadline: float,
        body: LargeBody | None = None,
    ) -> None:
        """Run a request that has its slots, answer it, and give them back."""
        began = perf_counter_ns()
        headers = terms.reply_headers
        try:
            if admitted.msg is None:  # answered before its task began
                return
            if body is not None:
                msg.data, began = await body.receive(), perf_counter_ns()  # processing begins
            if self._time() >= deadline:
                raise self._too_late()
            inherited.set((deadline, terms.depth))
            if self._general is None:
                try:
                    value = terms.decode(msg.data)
                except DecodeError as error:
                    raise refused_request(error, self.service) from None
                data = terms.encode(await self._direct(value))
            else:
                data, headers = await self._run_general(admitted, msg, terms, deadline)
            if admitted.msg is not None and msg.raw_reply:  # else it was answered meanwhile
                try:
                    self._send(msg.raw_reply, data, b"", headers)
                except Exception as error:
                    await self._send_otherwise(admitted, terms, deadline, (data, headers), error)
        except BaseException as error:
            self._failed(admitted, error)
            if not isinstance(error, (Exception, SystemExit)):
                raise  # nobody's input ends the process with all that it is doing
        finally:
            self.taken.pop(admitted, None)
            answers = self.answers
            answers.processing_time_ns += perf_counter_ns() - began
            answers.num_requests += 1
            lane = admitted.lane
            assert lane is not None  # slots are given back once
            admitted.lane = None
            lane.free += 1
            gate = lane.gate
            gate.free += 1
            if gate.attention:
                gate.attend()

    async def _run_general(
        self, admitted: Admitted, msg: Msg, terms: Terms, deadline: float
    ) -> tuple[bytes, bytes]:
        limit = None if deadline == NO_DEADLINE else deadline
        context = Context(msg, self.contract, self.service, limit, self.state, terms)
        assert self._general is not None  # `_run` asked
        if self.contract.kind != "unary":
            stop = partial(self._cancel, admitted)
            largest = self._allowance.largest
            return await serve_stream(
                self._connection, context, self._general, terms, stop, largest
            )
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
        self.accept(msg, large=True)

    async def _run_large(self, admitted: Admitted, msg: Msg, terms: Terms, deadline: float) -> None:
        """Run a request whose body is received first. It is held until the answer is sent, so that
        the caller knows that its worker is there."""
        stop = partial(self._cancel, admitted)
        with LargeBody(self._connection, self._allowance, msg, stop) as body:
            await self._run(admitted, msg, terms, deadline, body)

    async def _send_otherwise(
        self,
        admitted: Admitted,
        terms: Terms,
        deadline: float,
        reply: tuple[bytes, bytes],
        error: Exception,
    ) -> None:
        """Send a reply that did not fit one message in frames, if its caller takes it so; the
        request runs until that ends. Otherwise answer with an error."""
        msg = admitted.msg
        assert msg is not None  # `_run` looked
        if not isinstance(error, MaxPayloadError) or len(reply[0]) > terms.max_reply:
            self.answers.unsendable(msg, error)
            return
        stop = partial(self._cancel, admitted)
        try:
            await send_reply(self._connection, msg, reply, deadline=deadline, stop=stop)
        except (NatsError, RpcError) as failure:
            self.answers.note_error(str(failure))

    # admission

    def _wait(self, admitted: Admitted, msg: Msg, lane: Lane) -> bool:
        """Let a request wait for slots; if it must not, it is refused, and the result is false."""
        if self._outbound.congested:
            text = "the service's connection is congested"
        elif lane.put(admitted, len(msg.data) + len(msg.raw_headers)):
            admitted.task = None
            return True
        else:
            text = f"endpoint {self.contract.name!r} is overloaded"
        self.answers.refuse(msg, OverloadedError(text))
        return False

    def _start(self, admitted: Admitted) -> None:
        """Run a request that waited, and whose slots were just taken by its lane."""
        admitted.task = self._start_task(admitted.run(admitted))

    def _read_terms(self, msg: Msg) -> Terms | None:
        """Read a header block not seen before; None if the request had to be refused."""
        try:
            return self._book.read(msg.raw_headers, msg.headers)
        except RpcError as error:
            self.answers.refuse(msg, error)
        except Exception as error:  # never leave a request without an answer
            self.answers.refuse(msg, internal(error, self.plan.name))
        return None

    # the end of a request that is not its own

    def _too_late(self) -> DeadlineExceededError:
        return DeadlineExceededError(f"deadline of endpoint {self.contract.name!r} passed")

    def _failed(self, admitted: Admitted, error: BaseException) -> None:
        """Answer a request whose handler raised, unless that was done."""
        if admitted.msg is None:
            return
        if isinstance(error, asyncio.CancelledError):
            error = UnavailableError("the handler was cancelled")
        elif not isinstance(error, RpcError):
            error = internal(error, self.plan.name)
        self.answers.answer(admitted.msg, error)

    def _withdraw(self, admitted: Admitted, error: RpcError) -> None:
        """Answer for a request that was taken out of `taken`; run it no further."""
        msg = admitted.msg
        assert msg is not None  # it is answered once
        admitted.msg = None
        lane = admitted.lane
        if lane is not None and admitted in lane.waiting:
            lane.remove(admitted)
            self.answers.refuse(msg, error)
            return
        self.answers.answer(msg, error)
        task = admitted.task
        if task is None or _unstarted(task):
            return  # cancelled now it would never enter `_run`, which sees that it is answered
        task.cancel()
        self._link.loop.call_later(STUBBORN_AFTER, self._report_stubborn, admitted)

    def _report_stubborn(self, admitted: Admitted) -> None:
        if admitted.lane is not None:
            logger.warning(
                "handler %r still runs %s s after it was cancelled", self.plan.name, STUBBORN_AFTER
            )

    def _expired(self, admitted: Admitted, deadline: float) -> None:
        """Answer for a request whose deadline passed; `Due` has taken it out."""
        self._withdraw(admitted, self._too_late())

    def accept_cancel(self, msg: Msg) -> None:
        """Take a caller's word that it cancelled a call. The sink of the cancel subject."""
        self.cancel(msg.data)

    def cancel(self, reply: bytes) -> bool:
        """Stop the request with this reply subject, for its caller; false if it is not here."""
        for admitted in self.taken if reply else ():
            if admitted.msg is not None and admitted.msg.raw_reply == reply:
                return self._cancel(admitted)
        return False

    def _cancel(self, admitted: Admitted) -> bool:
        """Stop a request for its caller, who cancelled it or is gone; false if it is over."""
        if self.taken.pop(admitted, None) is None:
            return False
        self._withdraw(admitted, CallCancelledError("the caller cancelled the call"))
        return True

    def abort(self) -> None:
        """Answer everything here with 503 and cancel what runs: the end of a drain's patience."""
        # what waits (has no task) goes first, so that nothing is started only to be stopped
        for admitted in sorted(self.taken, key=lambda each: each.task is not None):
            if self.taken.pop(admitted, None) is not None:
                self._withdraw(admitted, UnavailableError("the service is stopping"))

    @property
    def inflight(self) -> int:
        """Requests that run or wait."""
        lanes = self._book.lanes.values()
        return sum(lane.limit - lane.free + len(lane.waiting) for lane in lanes)


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
