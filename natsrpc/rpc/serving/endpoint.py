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
  was answered for. The `finally` of `_run` gives them back; a large reply changes them for a place
  among those that are being sent.
- A request with work for after its answer is answered first, and its `msg` set to None: from then
  on nobody answers, and neither its deadline nor its caller ends it.

What every request passes (`accept`, `_run`) does no lookup by name, and reads a header block only
the first time that it sees it.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Awaitable, Callable
from functools import partial
from operator import attrgetter
from time import perf_counter_ns
from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection, Due, Msg, Throttle, clock, encode_headers
from natsrpc.errors import (
    BadRequestError,
    CallCancelledError,
    DeadlineExceededError,
    DecodeError,
    MaxPayloadError,
    NatsError,
    OverloadedError,
    PermissionsError,
    RpcError,
    UnavailableError,
)

from ..contract import (
    OVER,
    Context,
    EndpointContract,
    Limits,
    Next,
    ServiceContract,
    internal,
    is_end_of_time,
    real_error,
    refused_request,
)
from ..headers import NO_DEADLINE, TOKEN, inherited, is_reserved, may_answer, with_frame
from ..signature import CallPlan
from ..streams import LARGE, Conversations, Patience, Receiving, send_reply
from .afterwards import AfterReply
from .answers import Answers
from .decoding import LARGE_BODY, decode_large
from .eager import cancel_and_hold, is_unstarted, task_starter
from .meters import Meter, Run, metered
from .observers import Observer
from .outcomes import OnFailed
from .receiving import Bodies
from .slots import Admitted, Gate, Lane, Waiting
from .streams import Incoming
from .terms import Terms, TermsBook
from .threads import thread_clock
from .writing import encode_answer

logger: logging.Logger = logging.getLogger("natsrpc.rpc")


SAMPLE = 16
"""Handlers whose time is averaged, to know what cannot finish in its time."""

Talk = Incoming | Receiving
"""The conversation that a request is a part of: its stream, or what its body came by."""

NO_PLACE = (
    "the handler ran, but too many large replies of this service wait to be taken by their callers"
)

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
        spoken: frozenset[str] | None = None,
        lanes: Callable[[Endpoint, int], Lane],
        all_: Conversations,
        receiving: Gate,
        sending: Gate,
        max_body: int,
        patience: Patience,
        reply_prefixes: tuple[bytes, ...] = (),
    ) -> None:
        self.contract = contract
        self.plan = plan
        self.service = service
        self.state: Any = None
        self.client: Any = None
        self.answers: Answers = Answers(connection, contract, plan.name)
        self._connection = connection
        self._link = link = connection.link
        self._outbound = link.outbound
        self._send = link.outbound.send
        self._all = all_
        self._max_body = max_body
        self._patience = patience
        self._admits = partial(may_answer, prefixes=reply_prefixes)
        self._limits = limits
        self._book = TermsBook(
            contract, limits, codec, partial(lanes, self), link.loop.time, spoken
        )
        self._terms = self._book.known
        self._bodies = Bodies(
            all_,
            self.answers,
            receiving,
            self._admit_whole,
            largest=max_body,
            patience=patience,
            admits=self._admits,
        )
        self._sending = Lane(sending, sending.limit, 0, self)
        self._talks: dict[Admitted, Talk] = {}
        self._took = 0.0
        self._counted = 0, 0
        self.taken: Due[object, Admitted] = Due(
            link.loop, self._expired, deadline_of=attrgetter("deadline")
        )
        self._log = Throttle(logger)
        self._direct = direct(plan)
        self._general: Next[Context] | None = None
        self._after: AfterReply | None = None
        self._has_middleware = False
        self._streams = contract.kind != "unary"
        self._variables: contextvars.Context | None = None
        self._perform: Run = self._run
        self._keeps_failures = False
        self._start_task = task_starter(link.loop, f"natsrpc handler {plan.name}")
        self._time = clock(link.loop)
        self._clock = thread_clock(link.loop, self._time)

    def use(
        self, general: Next[Context], after: AfterReply, *, has_middleware: bool = False
    ) -> None:
        """Call the handler the general way: it needs more than its body, or has middleware."""
        self._general = general
        self._after = after
        self._has_middleware = has_middleware

    def measure(self, meter: Meter) -> None:
        """Count its requests by `meter`, too."""
        self._perform = metered(self._perform, meter)
        self.answers.meters.append(meter)

    def observe(self, observer: Observer, on_failed: list[OnFailed]) -> None:
        """Have an observer see its requests."""
        self._perform = observer.request(self.service.name, self.contract, self._perform)
        self._keeps_failures = True

    # the fast path

    def accept(self, msg: Msg, talk: Talk | None = None) -> None:
        """Take a request: run it, let it wait, or refuse it. The sink of the subscription.

        `talk`: the conversation that it is a part of, if it is.
        """
        reply = msg.raw_reply
        # 36 is "$"; a number in bytes, and `find`, take a tenth of what bytes in bytes take
        if (36 in reply or reply.find(b"_N") >= 0) and self._is_reflection(msg):
            return
        terms = self._terms.get(msg.raw_headers)
        if terms is None:
            terms = self._read_terms(msg)
            if terms is None:
                return
        lane = terms.lane
        gate = lane.gate
        admitted = Admitted()  # which has no constructor: a call (0.2 us)
        admitted.msg = msg
        admitted.lane = lane
        admitted.key = None
        if talk is None:
            deadline = self._link.read_at + terms.timeout
            run = self._perform
        else:
            deadline = talk.deadline
            run = self._begin_talk(admitted, talk)
        if lane.free > 0 and gate.free > 0 and not self._outbound.congested:
            lane.free -= 1
            gate.free -= 1
            task = self._start_task(run(admitted, msg, terms, deadline))
            if task.done():
                return
            admitted.task = task
        else:
            admitted.task = None
            admitted.run = partial(run, msg=msg, terms=terms, deadline=deadline)
            if not self._wait(admitted, msg, lane, deadline):
                return
        taken = self.taken
        if deadline < taken.next:
            taken.watch(deadline)
        admitted.deadline = deadline
        # cancels name it by its reply subject; a second one of that name is not found by it
        admitted.key = key = reply if reply not in taken else object()
        taken[key] = admitted

    async def _run(  # noqa: C901  one function: a coroutine more costs a tenth of a dispatch
        self,
        admitted: Admitted,
        msg: Msg,
        terms: Terms,
        deadline: float,
    ) -> None:
        """Run a request that has its slots, answer it, and give them back."""
        began = perf_counter_ns()
        headers = terms.reply_headers
        context = None
        try:
            if admitted.msg is None:  # answered before its task began
                return
            if self._time() >= deadline:
                raise self._too_late()
            inherited.set((deadline, terms.depth, msg.raw_headers, self))
            general = self._general
            if general is None:
                try:
                    value = terms.decode(msg.data)
                except DecodeError as error:
                    raise refused_request(error, self.service) from None
                data = terms.encode(await self._direct(value))
            else:
                context = self._context(msg, terms, deadline, admitted)
                if self._streams:
                    data, headers = await self._run_stream(admitted, context, terms)
                else:
                    data, headers = self._write(context, await general(context), terms)
                if context.afterwards is None:
                    context.afterwards = OVER
                else:
                    await self._answer_and_go_on(admitted, (data, headers), terms, context)
            # without a `msg` it was answered while the handler ran
            if admitted.msg is not None and msg.raw_reply:
                try:
                    self._send(msg.raw_reply, data, b"", headers)
                except Exception as error:
                    await self._send_otherwise(admitted, terms, deadline, (data, headers), error)
        except BaseException as error:
            self._failed(admitted, error, deadline, context)
            if not isinstance(error, (Exception, SystemExit)):
                raise  # nobody's input ends the process with all that it is doing
        finally:
            key = admitted.key
            if key is not None:  # else it ended in the call that started it
                self.taken.pop(key, None)
            answers = self.answers
            answers.processing_time_ns += perf_counter_ns() - began
            answers.num_requests += 1
            lane: Any = admitted.lane  # None has no slots: they are given back once
            admitted.lane = None
            lane.free += 1
            gate = lane.gate
            gate.free += 1
            if gate.attention:
                gate.attend()

    async def _answer_and_go_on(
        self, admitted: Admitted, reply: tuple[bytes, bytes], terms: Terms, context: Context
    ) -> None:
        """Send the answer, then do what the handler left to be done after it."""
        afterwards, msg = context.afterwards, admitted.msg
        assert afterwards is not None and self._after is not None
        is_out = msg is not None  # else it was answered while its handler ran
        if msg is not None and msg.raw_reply:
            try:
                self._send(msg.raw_reply, reply[0], b"", reply[1])
            except Exception as error:
                deadline = NO_DEADLINE if context.deadline is None else context.deadline
                is_out = await self._send_otherwise(admitted, terms, deadline, reply, error)
        admitted.msg, admitted.ended = None, perf_counter_ns()
        self._end_talk(admitted)
        if is_out:
            for meter in self.answers.meters:
                meter.succeeded()
            context.outlive()
            await self._after.run(afterwards)
        context.afterwards = OVER

    def _context(self, msg: Msg, terms: Terms, deadline: float, admitted: Admitted) -> Context:
        return Context(
            msg,
            self.contract,
            self.service,
            None if deadline == NO_DEADLINE else deadline,
            self.state,
            self.client,
            terms,
            admitted,
            self._clock,
            terms.headers,
        )

    def _write(self, context: Context, value: Any, terms: Terms) -> tuple[bytes, bytes]:
        """The data and the headers of an answer."""
        if context.written is None:
            data = terms.encode(value)
        else:
            data = encode_answer(context, value, has_middleware=self._has_middleware)
        if context.has_reply_headers:
            return data, _with_reply_headers(context, terms)
        return data, terms.reply_headers

    async def _run_stream(
        self, admitted: Admitted, context: Context, terms: Terms
    ) -> tuple[bytes, bytes]:
        """Run a request that is a part of a stream: the data and headers of what ends it."""
        talk = self._talks[admitted]
        assert isinstance(talk, Incoming) and self._general is not None  # as `accept_stream` has it
        encode = partial(encode_answer, has_middleware=self._has_middleware)
        return await talk.run(context, self._general, encode, terms)

    # what one message is not enough for

    def accept_stream(self, msg: Msg) -> None:
        """Take a request of an endpoint that streams: its opening is acknowledged at once, also if
        it must wait. The sink of its subscription."""
        if self._is_reflection(msg):
            return
        if not msg.raw_reply:
            self.answers.refuse(msg, BadRequestError("a stream without a reply subject"))
            return
        terms = self._terms.get(msg.raw_headers) or self._read_terms(msg)
        if terms is not None:
            deadline = self._link.read_at + terms.timeout
            try:
                talk = Incoming(
                    self._all,
                    msg,
                    terms,
                    deadline,
                    self.contract.kind,
                    max_body=self._max_body,
                    patience=self._patience,
                    admits=self._admits,
                )
            except NatsError as error:
                self.answers.refuse(msg, self.answers.unheard(error))
                return
            self.accept(msg, talk)

    def accept_large(self, msg: Msg) -> None:
        """Take the head of a request whose body comes in frames. The sink of its own subject."""
        if self._is_reflection(msg):
            return
        msg.raw_subject = msg.raw_subject.removesuffix(LARGE)
        terms = self._terms.get(msg.raw_headers) or self._read_terms(msg)
        if terms is not None:
            self._bodies.begin(msg, self._link.read_at + terms.timeout)

    def _admit_whole(self, msg: Msg, receiving: Receiving) -> None:
        """Take a request whose body is here."""
        self.accept(msg, receiving)

    def accept_any(self, msg: Msg) -> None:
        """Take a request of an endpoint with wildcards: no subject of ours is a value of it. Heads
        come here where the subject ends with `>`. The sink of its subscription."""
        subject = msg.raw_subject
        if not (TOKEN in subject and is_reserved(subject)):
            (self.accept if self.contract.kind == "unary" else self.accept_stream)(msg)
        elif subject.endswith(LARGE) and self.contract.subject.endswith(">") and self._max_body:
            self.accept_large(msg)
        else:
            self.answers.drop()

    def _is_reflection(self, msg: Msg) -> bool:
        """Whether the answer would go to where nobody waits for answers: to the server's own
        subjects, or to ours. Such a request is dropped, and counted."""
        reply = msg.raw_reply
        if may_answer(reply):
            return False
        self.answers.drop()
        return True

    def _begin_talk(self, admitted: Admitted, talk: Talk) -> Run:
        """Keep a request's conversation as long as it waits or runs; how it is run."""
        self._talks[admitted] = talk
        talk.on_stop = partial(self._cancel, admitted)
        return self._run_talk

    async def _run_talk(self, admitted: Admitted, msg: Msg, terms: Terms, deadline: float) -> None:
        try:
            if len(msg.data) >= LARGE_BODY:
                terms = terms.with_decode(partial(decode_large, terms.decode))
            await self._perform(admitted, msg, terms, deadline)
        finally:
            self._end_talk(admitted)

    async def _send_otherwise(
        self,
        admitted: Admitted,
        terms: Terms,
        deadline: float,
        reply: tuple[bytes, bytes],
        error: Exception,
    ) -> bool:
        """Send a reply that did not fit one message in frames, if its caller takes it so; the
        request is here until that ends. Otherwise answer with an error; the result is then
        false."""
        msg = admitted.msg
        assert msg is not None  # `_run` looked
        if not isinstance(error, MaxPayloadError) or len(reply[0]) > terms.max_reply:
            admitted.msg, admitted.failure = None, error
            self.answers.unsendable(msg, error, terms.max_reply)
            return False
        if not self._move_to_sending(admitted):
            refused = UnavailableError(NO_PLACE)
            admitted.msg, admitted.failure = None, refused
            self.answers.answer(msg, refused)
            return False
        stop = partial(self._cancel, admitted)
        try:
            await send_reply(
                self._all,
                msg,
                reply,
                deadline=deadline,
                on_stop=stop,
                patience=self._patience,
                admits=self._admits,
            )
        except PermissionsError as failure:
            admitted.msg = None
            self.answers.answer(msg, self.answers.unheard(failure))
            return False
        except (NatsError, RpcError) as failure:
            self.answers.note_error(str(failure))
            return False
        return True

    def _move_to_sending(self, admitted: Admitted) -> bool:
        """Give back the slots of a handler that has ended, for a place among the large replies that
        are being sent: what its caller does with the reply, or never does, keeps no handler from
        running. False if there is none."""
        held, sending = admitted.lane, self._sending
        assert held is not None  # its handler ran
        if sending.gate.free <= 0:
            return False
        sending.take()
        admitted.lane = sending
        held.give_back()
        return True

    # admission

    def _wait(self, admitted: Admitted, msg: Msg, lane: Lane, deadline: float) -> bool:
        """Let a request wait for slots; if there is no room it is refused, and the result is
        false. A message without a reply subject, whose sender cannot be told, has more room."""
        size = len(msg.data) + len(msg.raw_headers)
        admitted.since = self._link.read_at
        entry = Waiting(size, admitted.since, deadline)
        if lane.put(admitted, entry, is_event=not msg.raw_reply):
            if self._variables is None:
                self._variables = contextvars.copy_context()
            if lane.may_start and not lane.gate.is_held:  # one that is owed, or the output is full
                self._link.loop.call_soon(lane.gate.attend)
            return True
        self._end_talk(admitted)
        text = f"endpoint {self.contract.name!r} is overloaded"
        self.answers.refuse(msg, OverloadedError(text))
        return False

    def start(self, admitted: Admitted) -> None:
        """Run a request that waited, and whose slots were just taken by its lane.

        It gets the context variables that requests come with: those of now are of the handler whose
        end made room for it, perhaps for another user.
        """
        variables = self._variables
        assert variables is not None  # `_wait` set it
        for meter in self.answers.meters:
            meter.waited(self._time() - admitted.since)
        admitted.task = variables.copy().run(self._start_task, admitted.run(admitted))

    def shed(self, admitted: Admitted) -> None:
        """Refuse a request that waited too long to be finished in its time."""
        self.taken.pop(admitted.key, None)
        msg, admitted.msg = admitted.msg, None
        assert msg is not None  # it waits: nobody has answered it
        text = f"endpoint {self.contract.name!r} is overloaded: no time is left to run this"
        self.answers.refuse(msg, OverloadedError(text))
        self._end_talk(admitted)

    def expected(self) -> float:
        """Seconds that its handler took lately; 0 for one that streams."""
        answers = self.answers
        count, total = answers.num_requests - answers.num_refused, answers.processing_time_ns
        if count < self._counted[0] or total < self._counted[1]:  # they were reset
            self._counted = 0, 0
        if count - self._counted[0] >= SAMPLE:
            self._took = (total - self._counted[1]) / (count - self._counted[0]) / 1e9
            self._counted = count, total
        return self._took if self.contract.kind == "unary" else 0.0

    def now(self) -> float:
        """`loop.time()`."""
        return self._time()

    def _end_talk(self, admitted: Admitted) -> None:
        talk = self._talks.pop(admitted, None)
        if talk is not None:
            talk.close()

    def _read_terms(self, msg: Msg) -> Terms | None:
        """Read a header block that is not in `known`; None if the request had to be refused."""
        try:
            return self._book.read(msg, self._link.read_at)
        except RpcError as error:
            self.answers.refuse(msg, error)
        except Exception as error:  # never leave a request without an answer
            self.answers.refuse(msg, internal(error, self.plan.name))
        return None

    # the end of a request that is not its own

    def _too_late(self) -> DeadlineExceededError:
        return DeadlineExceededError(f"deadline of endpoint {self.contract.name!r} passed")

    def _failed(
        self, admitted: Admitted, error: BaseException, deadline: float, context: Context | None
    ) -> None:
        """Answer a request whose handler raised, unless that was done."""
        if context is not None:
            context.afterwards = OVER
        if admitted.msg is not None:
            found = real_error(error)
            if is_end_of_time(found, deadline - self._time()):
                found = self._too_late()
            added = context.reply_headers if context else None
            msg, admitted.msg = admitted.msg, None
            if self._keeps_failures:  # it holds the frames that it went through
                admitted.failure = found
            self.answers.answer_failure(msg, found, added)

    def _withdraw(self, admitted: Admitted, error: RpcError) -> None:
        """Answer for a request that was taken out of `taken`; run it no further."""
        msg = admitted.msg
        if msg is None:  # answered by its handler, which has more to do
            return
        admitted.why = error
        admitted.msg = None
        lane = admitted.lane
        if lane is not None and admitted.task is None and lane.remove(admitted):
            self.answers.refuse(msg, error)
            self._end_talk(admitted)
            return
        self.answers.answer(msg, error)
        task = admitted.task
        if task is None or is_unstarted(task):
            return  # cancelled now it would never enter `_run`, which sees that it is answered
        cancel_and_hold(task)
        self._link.loop.call_later(STUBBORN_AFTER, self._report_stubborn, admitted)

    def _report_stubborn(self, admitted: Admitted) -> None:
        if admitted.lane is not None:
            text = "handler %r still runs %s s after it was cancelled"
            self._log.warning("stubborn", text, self.plan.name, STUBBORN_AFTER)

    def _expired(self, key: object, admitted: Admitted) -> None:
        """Answer for a request whose deadline passed; `Due` has taken it out."""
        self._withdraw(admitted, self._too_late())

    def accept_cancel(self, msg: Msg) -> None:
        """Take a caller's word that it cancelled a call. The sink of the cancel subject."""
        self.cancel(msg.data)

    def cancel(self, reply: bytes) -> bool:
        """Stop the request with this reply subject, for its caller; false if it is not here."""
        admitted = self.taken.get(reply) if reply else None
        if admitted is None:
            return False
        return self._cancel(admitted, CallCancelledError("the caller cancelled the call"))

    def _cancel(self, admitted: Admitted, error: RpcError) -> bool:
        """Stop a request for its caller, who cancelled it or is gone; false if it is over."""
        if self.taken.pop(admitted.key, None) is None:
            return False
        self._withdraw(admitted, error)
        return True

    def abort(self) -> None:
        """Answer everything here with 503 and cancel what runs: the end of a drain's patience."""
        self._bodies.abort(UnavailableError("the service is stopping"))
        # what waits (has no task) goes first, so that nothing is started only to be stopped
        for admitted in sorted(self.taken.values(), key=lambda each: each.task is not None):
            if self.taken.pop(admitted.key, None) is not None:
                self._withdraw(admitted, UnavailableError("the service is stopping"))
        if self._after is not None:
            self._after.abort()

    @property
    def inflight(self) -> int:
        """Requests that run or wait."""
        lanes = self._book.lanes.values()
        taken = sum(lane.running + lane.waiting for lane in lanes)
        return taken + self._sending.running + len(self._bodies)

    def running(self, depth: int) -> int:
        """Requests of one level of a chain of calls that run."""
        lane = self._book.lanes.get(depth)
        return 0 if lane is None else lane.running

    def lane(self, gate: Gate, is_owed: Callable[[], bool] | None) -> Lane:
        """A row of its own, at a gate."""
        limits = self._limits
        return Lane(gate, limits.max_concurrency, limits.max_waiting, self, is_owed)


def _with_reply_headers(context: Context, terms: Terms) -> bytes:
    """The headers of a reply with those that the handler has set."""
    headers = dict(context.reply_headers)
    if terms.reply_headers:
        headers.setdefault("Content-Type", terms.codec.content_type)
    block = encode_headers(headers)
    return block if terms.credit is None else with_frame(block, "only", 1)


def direct(plan: CallPlan) -> Callable[[Any], Awaitable[Any]]:
    """The handler as a function of the decoded body."""
    function = plan.function
    if plan.shape == "body":
        return function
    if plan.shape == "fields":
        return lambda fields: function(**fields)
    return lambda _: function()
