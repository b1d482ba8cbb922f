"""`Subscriber`: from an event to the end of its handler. Nothing is ever answered.

An event is in exactly one of these states, and only this file moves it:

```
accept ──► dropped                          no room to wait: counted, told
  │
  ├──────► waiting (in the backlog) ──────► dropped, when the drain's patience is over
  │           │
  ▼           ▼
running ──────────────► over                its slots are given back
  │                       ▲
  └──► withdrawn ─────────┘                 its time is over, or the drain's patience is: counted
                                            and told; its task is cancelled, and ends when it does
```

- What is *running* and did not end in the call that started it is in `running`, and expires there.
- An event whose handler left work for after it is *handled* meanwhile: neither its time nor the
  drain's patience makes it a failed one.
- An event's reply subject means nothing: consumers that push messages put one there.
- An event holds its slots from `_start` to the end of `_run`, whose `finally` gives them back.

What every event passes (`accept`, `_start`, `_run`) does no lookup by name, and reads a header
block only the first time that it sees it.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Sequence
from time import perf_counter_ns
from typing import Any, NamedTuple

from natsrpc import codecs
from natsrpc.core import Connection, Due, Msg, Sink, Throttle, clock
from natsrpc.errors import (
    DeadlineExceededError,
    DecodeError,
    OverloadedError,
    RpcError,
    UnavailableError,
)

from ..contract import (
    OVER,
    Afterwards,
    Context,
    EndpointContract,
    Limits,
    Next,
    ServiceContract,
    refused_request,
)
from ..headers import NO_DEADLINE, TOKEN, inherited, is_reserved
from ..signature import CallPlan
from .afterwards import AfterReply
from .backlog import Backlog
from .codings import Coding, Codings
from .eager import cancel_and_hold, is_unstarted, task_starter
from .endpoint import STUBBORN_AFTER, direct
from .meters import Meter, RunEvent, metered_event
from .observers import Observer
from .outcomes import OnFailed, Outcomes
from .slots import Gate
from .threads import thread_clock

logger: logging.Logger = logging.getLogger("natsrpc.rpc")


class Running(NamedTuple):
    """An event whose handler waits for something: its task, and when its time is over."""

    task: asyncio.Task[None]
    deadline: float


class Handling:
    """An event whose handler has a context, as that knows it: `msg` is None once the event was
    withdrawn, and `why` says for what."""

    __slots__ = ("msg", "why")

    why: RpcError

    def __init__(self, msg: Msg) -> None:
        self.msg: Msg | None = msg


class Subscriber:
    """One subscriber of a running service. `answers` has its counters, as an endpoint's has."""

    def __init__(
        self,
        connection: Connection,
        service: ServiceContract,
        contract: EndpointContract,
        plan: CallPlan,
        limits: Limits,
        *,
        codec: codecs.Codec,
        spoken: frozenset[str] | None = None,
        gate: Gate,
        on_failed: Sequence[OnFailed] = (),
    ) -> None:
        self.contract = contract
        self.plan = plan
        self.service = service
        self.state: Any = None
        self.client: Any = None
        self.answers: Outcomes = Outcomes(connection.link, contract, on_failed)
        self.backlog: Backlog = Backlog(gate, limits, self._start_waiting)
        self._gate = gate
        self._link = link = connection.link
        self._codings = Codings(contract, codec, spoken)
        self._known = self._codings.known
        self._timeout = limits.timeout
        self._running: Due[Msg, Running] = Due(link.loop, self._expired)
        self._withdrawn: set[Msg] = set()
        self._handling: dict[Msg, Handling] = {}
        self._handled: set[Msg] = set()
        self._log = Throttle(logger)
        self._direct = direct(plan)
        self._general: Next[Context] | None = None
        self._perform: RunEvent = self._run
        self._after: AfterReply | None = None
        self._start_task = task_starter(link.loop, f"natsrpc subscriber {plan.name}")
        self._time = clock(link.loop)
        self._clock = thread_clock(link.loop, self._time)
        self._variables: contextvars.Context | None = None

    def use(
        self, general: Next[Context], after: AfterReply, *, has_middleware: bool = False
    ) -> None:
        """Call the handler the general way: it needs more than its body, or has middleware, which
        finds no answer here that it could change."""
        self._general = general
        self._after = after

    def measure(self, meter: Meter) -> None:
        """Count its events by `meter`, too."""
        self._perform = metered_event(self._perform, meter, self.answers.lost)
        self.answers.meters.append(meter)

    def observe(self, observer: Observer, on_failed: list[OnFailed]) -> None:
        """Have an observer see its events."""
        service = self.service.name
        self._perform = observer.event(service, self.contract, self._perform, on_failed)

    # the path of every event

    def accept(self, msg: Msg) -> None:
        """Take an event: run it, let it wait, or drop it. The sink of the subscription."""
        backlog = self.backlog
        if backlog.free > 0 and self._gate.free > 0 and not backlog.msgs:
            self._start(msg)
            return
        if self._variables is None:
            self._variables = contextvars.copy_context()
        if not backlog.put(msg):
            text = f"{backlog.waiting} events ({backlog.size} bytes) wait already"
            self.answers.drop(msg, OverloadedError(text))
        elif self.answers.meters:
            backlog.times.append(self._time())

    @property
    def sink(self) -> Sink:
        """The sink of its subscription."""
        subject = self.contract.subject
        return self._accept_any if "*" in subject or ">" in subject else self.accept

    def _accept_any(self, msg: Msg) -> None:
        """As `accept`, for a subject with wildcards: no subject of ours is an event."""
        subject = msg.raw_subject
        if not (TOKEN in subject and is_reserved(subject)):
            self.accept(msg)

    def _start(self, msg: Msg) -> None:
        """Take the slots of an event, and run it."""
        self.backlog.free -= 1
        self._gate.free -= 1
        timeout = self._timeout
        deadline = NO_DEADLINE if timeout is None else self._time() + timeout
        task = self._start_task(self._perform(msg, deadline))
        if not task.done() and msg not in self._handled:
            running = self._running
            if deadline < running.next:
                running.watch(deadline)
            running[msg] = Running(task, deadline)

    def _start_waiting(self, msg: Msg) -> None:
        """Start an event that waited, with the context variables that events come with: those of
        now are of the handler whose end made room for it."""
        variables = self._variables
        assert variables is not None  # `accept` set it
        for meter in self.answers.meters:
            meter.waited(self._time() - self.backlog.since)
        variables.copy().run(self._start, msg)

    async def _run(self, msg: Msg, deadline: float) -> None:
        """Run an event that has its slots, and give them back."""
        began = perf_counter_ns()
        is_event = 1
        try:
            coding = self._known.get(msg.raw_headers)
            if coding is None:
                coding = self._codings.read(msg)
            if coding is None or msg in self._withdrawn:  # withdrawn before its task began
                is_event = coding is not None
                return
            # Its calls are of depth 0: events have slots of their own, which no call waits for.
            inherited.set((deadline, 0, msg.raw_headers, self))
            if self._general is None:
                try:
                    value = coding.decode(msg.data)
                except DecodeError as error:
                    raise refused_request(error, self.service) from None
                await self._direct(value)
            else:
                await self._run_general(self._general, self._context(msg, coding, deadline))
        except BaseException as error:
            if msg not in self._withdrawn:
                self.answers.fail(msg, error)
            if not isinstance(error, (Exception, SystemExit)):
                raise  # no event ends the process with all that it is doing
        finally:
            self._running.pop(msg, None)
            if self._withdrawn:
                self._withdrawn.discard(msg)
            answers = self.answers
            answers.processing_time_ns += perf_counter_ns() - began
            answers.num_requests += is_event
            self.backlog.free += 1
            gate = self._gate
            gate.free += 1
            if gate.attention:
                gate.attend()

    async def _run_general(self, general: Next[Context], context: Context) -> None:
        msg = context.msg
        try:
            await general(context)
            if context.afterwards is not None:
                await self._go_on(context, context.afterwards)
        finally:
            context.afterwards = OVER
            del self._handling[msg]

    async def _go_on(self, context: Context, afterwards: Afterwards) -> None:
        """Do what a handler left to be done after it: neither its time nor a drain's patience ends
        the event any more, which is handled."""
        assert self._after is not None  # there is a context
        msg = context.msg
        self._running.pop(msg, None)
        self._handled.add(msg)
        context.outlive()
        try:
            await self._after.run(afterwards)
        finally:
            self._handled.discard(msg)

    def _context(self, msg: Msg, coding: Coding, deadline: float) -> Context:
        self._handling[msg] = handling = Handling(msg)
        return Context(
            msg,
            self.contract,
            self.service,
            None if deadline == NO_DEADLINE else deadline,
            self.state,
            self.client,
            coding,
            handling,
            self._clock,
        )

    # the end of an event that is not its own

    def _expired(self, msg: Msg, running: Running) -> None:
        """Stop a handler whose time is over; `Due` has taken it out."""
        text = f"it did not end within {self._timeout:g} s"
        self._withdraw(msg, running.task, DeadlineExceededError(text))

    def _withdraw(self, msg: Msg, task: asyncio.Task[None], error: RpcError) -> None:
        """Count an event that was taken out of `running` as failed, and cancel its handler."""
        self._withdrawn.add(msg)
        handling = self._handling.get(msg)
        if handling is not None:
            handling.msg, handling.why = None, error
        self.answers.fail(msg, error)
        if is_unstarted(task):
            return  # cancelled now it would never enter `_run`, which sees that it is withdrawn
        cancel_and_hold(task)
        self._link.loop.call_later(STUBBORN_AFTER, self._report_stubborn, msg)

    def _report_stubborn(self, msg: Msg) -> None:
        if msg in self._withdrawn:
            text = "subscriber %r still runs %s s after it was cancelled"
            self._log.warning("stubborn", text, self.plan.name, STUBBORN_AFTER)

    def abort(self) -> None:
        """Drop what waits and cancel what runs: the end of a drain's patience."""
        error = UnavailableError("the service is stopping")
        for msg in self.backlog.take_all():
            self.answers.drop(msg, error)
        for msg, running in list(self._running.items()):
            if self._running.pop(msg, None) is not None:
                self._withdraw(msg, running.task, error)
        if self._after is not None:
            self._after.abort()

    @property
    def inflight(self) -> int:
        """Events that run or wait."""
        return self.backlog.running + self.backlog.waiting
