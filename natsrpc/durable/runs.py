"""`Runs`: the handler of a worker, run for one message or a batch, and the word about each.

```
start ──► running ──► acked                 its handler has returned
             │   ├──► tried again           it failed: given back with a delay
             │   ├──► given up              rejected, unreadable, or failed too often: published to
             │   │                          the dead letters, then terminated
             │   └──► left                  stale, or its dead letter is not stored: the server
             │                              delivers it again
             └──► withdrawn ─┬─► given back     the drain's patience is over
                             └─► tried again    its time is over
```

- A message holds its slot from `start` to the word about it.
- A handler that was cancelled holds its slot until it has really ended, and so does its message.
- What is `known` is held here; the worker looks there before it starts a message.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Callable, Sequence
from operator import attrgetter
from time import perf_counter_ns, time
from typing import Any, Protocol

from natsrpc import codecs
from natsrpc.core import Connection, Due, Msg, Throttle, clock
from natsrpc.errors import (
    BadRequestError,
    DeadlineExceededError,
    DecodeError,
    HeadersTooLargeError,
    InvalidRequestError,
    MsgAlreadyAckedError,
    NatsError,
    Reject,
    RetryLater,
    RpcError,
    UnavailableError,
    UnsupportedCodecError,
)
from natsrpc.rpc import (
    OVER,
    STUBBORN_AFTER,
    AfterReply,
    CallPlan,
    Coding,
    Codings,
    Context,
    EndpointContract,
    Gate,
    Limits,
    Meter,
    Next,
    Observer,
    OnFailed,
    RunEvent,
    ServiceContract,
    cancel_and_hold,
    direct,
    inherited,
    is_unstarted,
    metered_event,
    refused_request,
    task_starter,
    thread_clock,
)

from .dead import DeadLetters
from .delivery import Delivery
from .done import Done
from .job import UNSAID, Job, Key, Work
from .keeping import Keeping
from .outcomes import WorkOutcomes

logger: logging.Logger = logging.getLogger("natsrpc.durable")

NO_DEADLINE = float("inf")
_MOST_REASON = 512

_UNREADABLE = (
    BadRequestError,
    InvalidRequestError,
    UnsupportedCodecError,
    HeadersTooLargeError,
)


class Reads(Protocol):
    """What a body is read by, and a `Context` made with."""

    decode: Callable[[bytes], Any]
    decode_item: Callable[[bytes], Any]
    encode: Callable[[Any], bytes]


class Serving(Protocol):
    """The worker, as calls and log lines of its handler know it."""

    contract: EndpointContract
    service: ServiceContract


class Runs:
    """Runs one worker's handler, and says what became of each message. Made by `Worker`.

    `on_free` is called when a slot is free again, with the subject of the last ack, if there was
    one.
    """

    def __init__(
        self,
        connection: Connection,
        serving: Serving,
        plan: CallPlan,
        limits: Limits,
        *,
        codec: codecs.Codec,
        spoken: frozenset[str] | None,
        gate: Gate,
        on_failed: Sequence[OnFailed],
        on_free: Callable[[bytes], object],
    ) -> None:
        contract = serving.contract
        assert contract.work is not None  # it is a worker
        self._serving = serving
        self._contract = contract
        self._service = serving.service
        self._link = link = connection.link
        self._time = clock(link.loop)
        self._plan = plan
        self._retry = contract.work.retry
        self._takes_batch = contract.work.batch > 0
        self._timeout = limits.timeout
        self._gate = gate
        self._on_free = on_free
        self._codings = Codings(contract, codec, spoken)
        self.answers: WorkOutcomes = WorkOutcomes(link, contract, on_failed)
        self.keeping: Keeping = Keeping(link, contract.work.ack_wait)
        self.done: Done = Done(link, self._time)
        self.known: dict[Key, Job] = {}
        self.dead: DeadLetters | None = None
        self.state: Any = None
        self.client: Any = None
        self._works: dict[Msg, Work] = {}
        self._running: Due[Work, Work] = Due(link.loop, self._expired, attrgetter("deadline"))
        self._direct = direct(plan)
        self._general: Next[Context] | None = None
        self._after: AfterReply | None = None
        self._perform: RunEvent = self._run
        self._start_task = task_starter(link.loop, f"natsrpc worker {plan.name}")
        self._clock = thread_clock(link.loop, self._time)
        self._stopping = UnavailableError("the service is stopping")
        self._log = Throttle(logger)
        self._acked = b""

    def use(self, general: Next[Context], after: AfterReply) -> None:
        """Call the handler the general way."""
        self._general, self._after = general, after

    def measure(self, meter: Meter) -> None:
        """Count its messages by `meter`, too."""
        self._perform = metered_event(self._perform, meter, self.answers.lost)
        self.answers.meters.append(meter)

    def observe(self, observer: Observer, on_failed: list[OnFailed]) -> None:
        """Have an observer see its runs."""
        service = self._service.name
        self._perform = observer.event(service, self._contract, self._perform, on_failed)

    # starting

    def hold(self, job: Job) -> None:
        """A message is here: the server is told to wait on for it."""
        self.known[job.key] = job
        self.keeping.add(job)
        answers = self.answers
        if job.attempt > 1:
            answers.redelivered += 1
            for meter in answers.meters:
                meter.redelivered()
        elif answers.meters:
            waited = max(0.0, time() - int(job.key[1]) / 1e9)
            for meter in answers.meters:
                meter.waited(waited)

    def start(self, jobs: list[Job]) -> None:
        """Take a slot, and run the handler for messages that are held."""
        self._gate.free -= 1
        timeout = self._timeout
        deadline = NO_DEADLINE if timeout is None else self._time() + timeout
        work = Work(jobs, deadline)
        msg = jobs[0].msg
        self._works[msg] = work
        running = self._running
        if deadline < running.next:
            running.watch(deadline)
        running[work] = work
        work.task = self._start_task(self._perform(msg, deadline))

    def give_up(self, job: Job, error: RpcError) -> None:
        """Take a slot, and give up a message that is held, without running it."""
        self._gate.free -= 1
        self._start_task(self._give_up_unrun(job, error))

    async def _give_up_unrun(self, job: Job, error: RpcError) -> None:
        self.answers.num_requests += 1
        try:
            await self._give_up(job, error, ran=False)
        finally:
            self._release([job])

    def forget(self, job: Job) -> None:
        """A message that is held is left to the server."""
        self.keeping.remove(job)
        self.known.pop(job.key, None)

    def _release(self, jobs: list[Job]) -> None:
        """Forget messages, and give their slot back."""
        for job in jobs:
            self.forget(job)
        gate = self._gate
        gate.free += 1
        if gate.attention:
            gate.attend()
        acked, self._acked = self._acked, b""
        self._on_free(acked)

    # running

    async def _run(self, msg: Msg, deadline: float) -> None:
        """Run the handler, say what became of its messages, and give the slot back."""
        work = self._works.pop(msg)
        answers, jobs = self.answers, work.jobs
        began = perf_counter_ns()
        try:
            context = await self._handle(work, deadline)
            self._running.pop(work, None)
            await self._say_all(work, None)
            if context is not None and context.afterwards is not None:
                await self._go_on(context)
        except GeneratorExit:
            raise  # the loop is gone: nothing can be said
        except BaseException as error:
            self._running.pop(work, None)
            await self._say_all(work, error)
            if not isinstance(error, (Exception, SystemExit)):
                raise  # no message ends the process with all that it is doing
        finally:
            answers.processing_time_ns += perf_counter_ns() - began
            answers.num_requests += len(jobs)
            self._release(jobs)

    async def _handle(self, work: Work, deadline: float) -> Context | None:
        """Run the handler; the context that it had, if it had one."""
        if work.msg is None:
            raise work.why  # before its task began
        msg = work.jobs[0].msg
        inherited.set((deadline, 0, msg.raw_headers, self._serving))
        if self._takes_batch:
            coding: Reads = _Read(await self._read_all(work))
            if all(job.mark is not UNSAID for job in work.jobs):
                return None
        else:
            coding = self._coding(msg)
        if self._general is None:
            await self._direct(self._decode(coding, msg))
            return None
        context = self._context(work, coding, deadline)
        try:
            await self._general(context)
        except BaseException:
            context.afterwards = OVER
            raise
        return context

    def _coding(self, msg: Msg) -> Coding:
        coding = self._codings.known.get(msg.raw_headers) or self._codings.read(msg)
        if coding is None:
            raise BadRequestError("it has the form of a status of the server's, and no body")
        return coding

    def _decode(self, coding: Reads, msg: Msg) -> Any:
        try:
            return coding.decode(msg.data)
        except DecodeError as error:
            raise refused_request(error, self._service) from None

    async def _read_all(self, work: Work) -> list[Any]:
        """The bodies of a batch; what cannot be read is given up by itself, and is none of it."""
        values: list[Any] = []
        good: list[Job] = []
        for job in work.jobs:
            try:
                values.append(self._decode(self._coding(job.msg), job.msg))
                good.append(job)
            except RpcError as error:
                job.mark = error
        work.readable = good
        return values

    def _context(self, work: Work, coding: Reads, deadline: float) -> Context:
        jobs = work.readable or work.jobs
        context = Context(
            jobs[0].msg,
            self._contract,
            self._service,
            None if deadline == NO_DEADLINE else deadline,
            self.state,
            self.client,
            coding,
            work,
            self._clock,
        )
        context.delivery = [Delivery(job, self.extend, self.client) for job in jobs]
        return context

    async def extend(self, job: Job) -> None:
        """Tell the server to wait on for a message, as its handler asks."""
        await job.latest.in_progress()
        self.keeping.renewed(job, self._time())

    async def _go_on(self, context: Context) -> None:
        """Do what a handler left to be done after it."""
        assert self._after is not None and context.afterwards is not None  # there is a context
        context.outlive()
        try:
            await self._after.run(context.afterwards)
        finally:
            context.afterwards = OVER

    # the word about each message

    async def _say_all(self, work: Work, error: BaseException | None) -> None:
        if work.msg is None:
            error = work.why
        elif isinstance(error, asyncio.CancelledError):
            error = UnavailableError("the handler was cancelled")
        for job in work.jobs:
            try:
                await self._say(job, error if job.mark is UNSAID else job.mark)
            except MsgAlreadyAckedError:
                pass  # its handler said it
            except NatsError as failure:
                text = "worker %r cannot say what became of a message on %r (seq %d): %r"
                given = (self._contract.name, job.msg.subject, job.seq, failure)
                self._log.warning("unsaid", text, *given)

    async def _say(self, job: Job, error: BaseException | None) -> None:
        """Say what becomes of a message whose handler ended with `error`, or well."""
        if error is None:
            if job.msg.is_done:
                return  # its handler said it: who gave it back is to be given it again
            self.done.note(job.key, job.latest.raw_reply)
            await job.latest.ack()
            self._acked = job.latest.raw_reply
        elif self.keeping.is_stale(job):
            self.answers.leave(job, error)
        elif error is self._stopping:
            self.answers.give_back(job, error)
            await job.latest.nak(0)
        elif isinstance(error, Reject) or _is_unreadable(error):
            await self._give_up(job, error, quiet=True)
        elif self._retry.is_last(job.attempt):
            await self._give_up(job, error)
        else:
            delay = self._retry.delay(job.attempt)
            if isinstance(error, RetryLater):
                delay = error.delay
            self.answers.retry(job, error, delay)
            await job.latest.nak(delay)

    async def _give_up(
        self, job: Job, error: BaseException, *, ran: bool = True, quiet: bool = False
    ) -> None:
        """Publish a message to the dead letters, and have it delivered no more. While it cannot be
        stored there, it stays unacked, and is delivered again."""
        reason, error_id = self.answers.give_up(job, error, ran=ran, quiet=quiet)
        if self.dead is None:
            self.answers.drop(error)
        else:
            try:
                await self.dead.publish(job, reason, error_id)
            except NatsError as failure:
                text = (
                    "worker %r cannot publish the dead letter of a message on %r (seq %d) to %r: "
                    "%s; it stays in the stream, and is tried again"
                )
                given = (self._contract.name, job.msg.subject, job.seq, self.dead.subject, failure)
                logger.error(text, *given)
                return
            self.answers.dead_lettered += 1
        await job.latest.term(f"dead letter: {reason}"[:_MOST_REASON])

    # the end of a run that is not its own

    def _expired(self, work: Work, _: Work) -> None:
        """Stop a handler whose time is over; `Due` has taken it out."""
        text = f"it did not end within {self._timeout:g} s"
        self._withdraw(work, DeadlineExceededError(text))

    def _withdraw(self, work: Work, error: RpcError) -> None:
        """Cancel the handler of a run that was taken out of `running`."""
        work.msg, work.why = None, error
        if is_unstarted(work.task):
            return  # cancelled now it would never enter `_run`, which sees that it is withdrawn
        cancel_and_hold(work.task)
        self._link.loop.call_later(STUBBORN_AFTER, self._report_stubborn, work)

    def _report_stubborn(self, work: Work) -> None:
        if not work.task.done():
            text = "worker %r still runs %s s after it was cancelled"
            self._log.warning("stubborn", text, self._plan.name, STUBBORN_AFTER)

    def abort(self) -> None:
        """Cancel what runs: the end of a drain's patience."""
        for work in list(self._running):
            if self._running.pop(work, None) is not None:
                self._withdraw(work, self._stopping)
        if self._after is not None:
            self._after.abort()

    async def return_unstarted(self, jobs: list[Job]) -> None:
        """Give back at once what was not started."""
        for job in jobs:
            self.forget(job)
            self.answers.given_back += 1
            with contextlib.suppress(NatsError):
                await job.latest.nak(0)


class _Read:
    """The coding of a batch, whose messages are read already."""

    __slots__ = ("decode", "decode_item", "encode")

    def __init__(self, values: list[Any]) -> None:
        self.decode: Callable[[bytes], Any] = lambda _: values
        self.decode_item: Callable[[bytes], Any] = _nothing
        self.encode: Callable[[Any], bytes] = _nothing


def _nothing(_: Any) -> Any:
    return b""


def _is_unreadable(error: BaseException) -> bool:
    """Whether a message cannot be read, or is refused as wrong: not what another service said of a
    call to it."""
    return isinstance(error, _UNREADABLE) and not (error.came_from or error.relayed)
