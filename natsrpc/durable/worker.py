"""`Worker`: one worker of a running service. It takes messages as it has slots for them.

```
take ──► known                  this process handles it, or has just done so: the word goes by the
  │                             newer delivery
  ├────► held                   the process was stopped, and does not know yet what it missed; what
  │        │                    is stale by then is left to the server
  ├────► given up               it was delivered too often: its handlers died with their processes
  ▼        ▼
 started (see `Runs`)
```

A message that there is no slot for stays at the server, for other processes. What was taken and not
started when the service stops is given back at once.
"""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections import deque
from collections.abc import Sequence
from typing import Any

from natsrpc import codecs
from natsrpc.core import Connection, clock
from natsrpc.errors import JetStreamError, OverloadedError, RpcError
from natsrpc.jetstream import Consumer, Intake, JetStream, JsMsg
from natsrpc.rpc import (
    AfterReply,
    CallPlan,
    Context,
    EndpointContract,
    Gate,
    Limits,
    Meter,
    Next,
    Observer,
    OnFailed,
    ServiceContract,
)

from .batches import Batches
from .consumers import ready
from .dead import DeadLetters, Origin
from .job import Job, Key, read_reply
from .mates import PAUSE, Mates
from .outcomes import WorkOutcomes
from .runs import Runs

logger: logging.Logger = logging.getLogger("natsrpc.durable")


class Worker:
    """One worker of a running service, which makes it by `RunningService`.

    `prepare` finds its consumer, `begin` takes messages, `withdraw` takes no more.
    """

    def __init__(
        self,
        connection: Connection,
        service: ServiceContract,
        contract: EndpointContract,
        plan: CallPlan,
        limits: Limits,
        *,
        codec: codecs.Codec,
        spoken: frozenset[str] | None,
        gate: Gate,
        on_failed: Sequence[OnFailed],
    ) -> None:
        assert contract.work is not None  # it is a worker
        self.contract: EndpointContract = contract
        self.service: ServiceContract = service
        self.plan: CallPlan = plan
        self.hungry: bool = False
        self._work = contract.work
        self._link = connection.link
        self._js = JetStream(connection)
        self._gate = gate
        self._room = limits.max_concurrency
        self._runs: Runs = Runs(
            connection,
            self,
            plan,
            limits,
            codec=codec,
            spoken=spoken,
            gate=gate,
            on_failed=on_failed,
            on_free=self._freed,
        )
        self._held: deque[Job] = deque()
        self._wanted: asyncio.Future[None] | None = None
        self._consumer: Consumer | None = None
        self._mates: Mates | None = None
        self._intake: Intake | Batches | None = None
        self._variables: contextvars.Context | None = None

    # as all that is served

    @property
    def answers(self) -> WorkOutcomes:
        """Its counters."""
        return self._runs.answers

    @property
    def state(self) -> Any:
        """What the service's lifespan yielded."""
        return self._runs.state

    @state.setter
    def state(self, state: Any) -> None:
        self._runs.state = state

    @property
    def client(self) -> Any:
        """The client that its handlers are given."""
        return self._runs.client

    @client.setter
    def client(self, client: Any) -> None:
        self._runs.client = client

    def use(
        self, general: Next[Context], after: AfterReply, *, has_middleware: bool = False
    ) -> None:
        """Call the handler the general way."""
        self._runs.use(general, after)

    def measure(self, meter: Meter) -> None:
        """Count its messages by `meter`, too."""
        self._runs.measure(meter)

    def observe(self, observer: Observer, on_failed: list[OnFailed]) -> None:
        """Have an observer see its runs."""
        self._runs.observe(observer, on_failed)

    @property
    def inflight(self) -> int:
        """Messages that are here: that run, wait, or are being settled."""
        return len(self._runs.known)

    # its life

    async def prepare(self) -> None:
        """Find its consumer at the server, or make it, as it is declared.

        Raises:
            StreamNotFoundError, ConfigError, JetStreamNotEnabledError, JetStreamError,
                NatsTimeoutError, PermissionsError, ConnectionClosedError: as `ready`.
        """
        work, service = self._work, self.service.name
        found = await ready(self._js, service, self.contract)
        self._consumer = found.consumer
        if found.is_lasting:
            self._runs.done.lasts()
        if found.is_lasting and found.is_alone:
            subject = f"_NATSRPC.work.{work.stream}.{work.durable}"
            now = clock(self._link.loop)
            self._mates = Mates(self._link, now, subject, self._keys, self._given)
        if work.dead_letter:
            origin = Origin(service, self.contract.name, work.stream, work.durable)
            self._runs.dead = DeadLetters(self._js, work.dead_letter, origin)

    def begin(self) -> None:
        """Take messages from now on."""
        assert self._consumer is not None  # `prepare` found it
        self._variables = contextvars.copy_context()
        if self._mates is not None:
            self._mates.begin()
        if self._work.batch:
            self._intake = Batches(self._consumer, self, self._work, self._link)
        else:
            self._intake = self._consumer.intake(self, self._room)
        self._intake.begin()

    async def withdraw(self) -> None:
        """Take no more messages, and give back those that were not started."""
        intake, self._intake = self._intake, None
        if intake is not None:
            await intake.leave()
        if self._mates is not None:
            self._mates.end()
        held, self._held = list(self._held), deque()
        await self._runs.return_unstarted(held)
        self._gate.attend()

    def released(self) -> None:
        """Ask for messages again: while the gate was held, there was room for none, and a pull that
        ended meanwhile was followed by none."""
        self._freed()

    def abort(self) -> None:
        """Cancel what runs, and give it back: the end of a drain's patience."""
        self._runs.abort()

    def _freed(self, acked: bytes = b"") -> None:
        if self._intake is not None:
            self._intake.freed(acked)

    # taking messages

    def taken(self) -> int:
        """How many slots are taken; all of them while the gate is held."""
        return min(self._room, self._room - self._gate.free + len(self._held))

    def take(self, msg: JsMsg) -> None:
        """Take one message: run it, unless it is known here, or was delivered too often."""
        job = self.admit(msg)
        if job is None:
            self._freed()
        elif self._gate.free > 0 and not self._held:
            self._runs.start([job])
        else:
            self._hold(job)

    def admit(self, msg: JsMsg) -> Job | None:
        """A message as a job that is to be run; None for one that is not."""
        runs = self._runs
        try:
            attempt, key = read_reply(msg)
        except (JetStreamError, ValueError):
            logger.error("worker %r was sent %r, which has no ack subject", self.contract.name, msg)
            return None
        if key in runs.known or key in runs.done:
            self._know(msg, attempt, key)
            return None
        if self._mates is not None and self._mates.claims(key):
            self.answers.redelivered += 1
            return None  # it is another's, who will end it
        job = Job(msg, attempt, key, self._link.read_at)
        runs.hold(job)
        attempts = self._work.retry.attempts
        if attempts is not None and attempt > attempts:
            runs.give_up(job, _too_often(attempt, attempts))
            return None
        return job

    def _know(self, msg: JsMsg, attempt: int, key: Key) -> None:
        """A message came again that this process has, or has just handled."""
        self.answers.redelivered += 1
        job = self._runs.known.get(key)
        if job is None:
            self._runs.done.ack(key, msg.raw_reply)
        else:
            job.latest, job.attempt = msg, attempt
            self._runs.keeping.renewed(job, self._link.read_at)

    def _hold(self, job: Job) -> None:
        self._held.append(job)
        self._wait_at_gate()

    def _wait_at_gate(self) -> None:
        if not self.hungry:
            self.hungry = True
            self._gate.hungry.append(self)
            self._gate.attention = True

    # what waits at the gate

    @property
    def waiting(self) -> int:
        """How many are held, or batches wait."""
        return len(self._held) + (self._wanted is not None)

    @property
    def may_start(self) -> bool:
        """Whether the next one that is held has its slot."""
        return self._gate.free > 0 and self.waiting > 0

    def start_next(self) -> None:
        """Start the one that was held longest; one that is stale by now is left to the server."""
        if self._wanted is not None:
            self._wanted.set_result(None)
            self._wanted = None
            return
        job = self._held.popleft()
        runs = self._runs
        if runs.keeping.is_stale(job):
            runs.forget(job)
            self._freed()
            return
        variables = self._variables
        assert variables is not None  # `begin` set it
        variables.copy().run(runs.start, [job])

    # what the intake tells

    def start_batch(self, jobs: list[Job]) -> None:
        """Run a batch."""
        self._runs.start(jobs)

    async def give_back(self, jobs: list[Job]) -> None:
        """Give back what was not started."""
        await self._runs.return_unstarted(jobs)

    async def slot(self) -> None:
        """Wait until a slot is free: for one batch at a time."""
        while self._gate.free <= 0:
            self._wanted = self._link.loop.create_future()
            self._wait_at_gate()
            try:
                await self._wanted
            finally:
                self._wanted = None

    def restored(self) -> float:
        """A new session stands: what was said on the former may be lost. Seconds in which the
        others may tell what they have."""
        runs = self._runs
        runs.done.tell_again()
        runs.keeping.extend_all()
        if self._mates is None:
            return 0.0
        self._mates.back()
        return PAUSE

    def _keys(self) -> list[Key]:
        return [*self._runs.known, *self._runs.done.recent()]

    def _given(self, key: Key) -> None:
        """Another process was given a message that this one has, or has just handled."""
        job = self._runs.known.get(key)
        if job is not None:
            self._runs.keeping.extend(job)
        elif key in self._runs.done:
            self._runs.done.ack(key)

    def troubled(self, error: Exception | None) -> None:
        """Nothing comes for now; or it comes again."""
        name, work = self.contract.name, self._work
        if error is None:
            text = "worker %r is given the messages of consumer %r of stream %r again"
            logger.warning(text, name, work.durable, work.stream)
            return
        text = "worker %r gets no messages of consumer %r of stream %r: %s"
        logger.error(text, name, work.durable, work.stream, error)
        self.answers.note_error(f"{type(error).__name__}: {error}")
        self._link.report(error, None)


def _too_often(attempt: int, attempts: int) -> RpcError:
    return OverloadedError(
        f"it was delivered {attempt} times, and may be tried {attempts} times: its handlers died "
        "with their processes, or gave it back"
    )
