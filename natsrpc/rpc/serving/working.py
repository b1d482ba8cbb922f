"""A function becomes a worker: what `worker` of services and routers does, at registration.

Everything that can be wrong about a worker by itself is found here. What is wrong between it and
its stream is found when its service starts (`natsrpc.durable`, which runs workers).
"""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypedDict, get_args, get_origin

from natsrpc import codecs
from natsrpc.core import check_literal, overlaps
from natsrpc.errors import BadSubjectError, ConfigError, ConfigTypeError

from ..contract import (
    KIND_KEY,
    EndpointContract,
    Retry,
    WorkerContract,
    check_asset,
    check_event_subject,
)
from ..signature import (
    MISSING,
    CallPlan,
    Event,
    check_batch,
    check_guards,
    check_work,
    describe,
    guarded,
    located,
    peel,
)
from ..signature import names as naming
from .definition import Definition, Handler
from .level import Level, at_least, check_timeout
from .subscribing import event_type, place_of_event, read, unanswered

ACK_WAIT = 30.0
"""Seconds that the server waits for a word about a message, unless told otherwise."""

TIMEOUT = 30.0
"""Seconds that a worker's handler may take, unless told otherwise."""

CONCURRENCY = 16
"""Messages, or batches, that a worker handles at once, unless told otherwise."""

BATCH_WAIT = 0.5
"""Seconds that a batch waits for more messages after its first, unless told otherwise."""

STREAM_KEY = "natsrpc.stream"
DURABLE_KEY = "natsrpc.durable"
"""The metadata keys by which INFO tells where a worker's messages are."""


class WorkerOptions(TypedDict, total=False):
    """The keyword arguments of `Service.worker`, other than `stream` and `batch`."""

    durable: str | None
    """The consumer by which all instances share the messages; `<service>-<name>` if not given.
    Another name is another consumer, which begins at the first message of the stream."""

    name: str | None
    """The worker's name in listings; the function's own if not given."""

    metadata: Mapping[str, str] | None
    """What INFO shows of the worker."""

    max_concurrency: int | None
    """How many messages (batches, where it takes batches) are handled at once in one process (16).
    All others stay at the server, for other processes to take."""

    timeout: float | None
    """Seconds after which a handler is stopped, and its message tried again (30); None for none."""

    ack_wait: float
    """Seconds after which the server gives a message to another process if this one is gone (30).
    While a handler runs, the server is told so by itself."""

    retry: Retry
    """How often a message is tried, and how long it waits in between."""

    dead_letter: str | None
    """The subject that messages are published to which are given up; a stream must store it. None
    drops them: that is logged and counted."""

    batch_wait: float
    """Seconds that a batch waits for more messages after its first (0.5)."""

    dependencies: Sequence[Any]
    """`Depends(...)` that run before each message is read, and whose values nobody reads."""


@dataclasses.dataclass(frozen=True, slots=True)
class Working:
    """A worker as it was written: its event or subject, and all its options, checked.

    Raises:
        ConfigError, BadSubjectError: one is refused.
    """

    target: str | Event[Any]
    stream: str
    batch: int | None
    options: WorkerOptions

    def __post_init__(self) -> None:
        if not isinstance(self.target, str | Event):
            way = "write @service.worker(placed, stream=...), with an Event or a subject"
            raise ConfigTypeError(f"worker takes an Event or a subject, not {self.target!r}: {way}")
        _, subject, _ = place_of_event(self.target)
        known: Iterable[str] = WorkerOptions.__annotations__
        for key in self.options:
            if key not in known:
                listed = ", ".join(("stream", "batch", *known))
                raise ConfigTypeError(f"{self.where} has no option {key!r}; it has: {listed}")
        options = self.options
        check_asset("stream", self.stream)
        if options.get("durable") is not None:
            check_asset("durable", options["durable"])
        if options.get("name"):
            naming.check_name("worker", options["name"] or "")
        naming.check_metadata(options.get("metadata"))
        check_guards(self.where, options.get("dependencies", ()))
        at_least("max_concurrency", self.max_concurrency, 1)
        check_timeout(options.get("timeout"))
        _check_seconds(self.where, "ack_wait", self.ack_wait)
        if not isinstance(options.get("retry", Retry()), Retry):
            way = "expected natsrpc.Retry(attempts=5)"
            raise ConfigTypeError(f"{self.where} has retry={options['retry']!r}: {way}")
        self._check_batch()
        _check_dead_letter(self.where, options.get("dead_letter"), subject)

    def _check_batch(self) -> None:
        wait = self.options.get("batch_wait", BATCH_WAIT)
        if self.batch is None:
            if "batch_wait" in self.options:
                raise ConfigError(f"{self.where} has batch_wait={wait!r}, and takes no batches")
            return
        at_least("batch", self.batch, 1)
        _check_seconds(self.where, "batch_wait", wait)
        if wait > self.ack_wait / 2:
            raise ConfigError(
                f"{self.where} has batch_wait={wait!r} and ack_wait={self.ack_wait!r}: the first "
                "of a batch must not wait for more than half of the time that the server waits"
            )

    @property
    def where(self) -> str:
        """What it is called in errors, before its function is known."""
        target = self.target
        return f"worker of {target if isinstance(target, str) else target.subject!r}"

    @property
    def max_concurrency(self) -> int:
        """How many messages, or batches, are handled at once."""
        given = self.options.get("max_concurrency")
        return CONCURRENCY if given is None else given

    @property
    def ack_wait(self) -> float:
        """Seconds that the server waits for a word."""
        return self.options.get("ack_wait", ACK_WAIT)

    def contract(self, durable: str) -> WorkerContract:
        """What it is held to, as data."""
        options = self.options
        return WorkerContract(
            stream=self.stream,
            durable=options.get("durable") or durable,
            retry=options.get("retry", Retry()),
            ack_wait=float(self.ack_wait),
            dead_letter=options.get("dead_letter") or "",
            batch=self.batch or 0,
            batch_wait=float(options.get("batch_wait", BATCH_WAIT)) if self.batch else 0.0,
        )

    def read(self, function: Callable[..., Any]) -> CallPlan:
        """A function's plan as this worker, which reads each message as the event's own type.

        Raises:
            ConfigError: its signature is refused, or does not fit the event.
        """
        is_batch = self.batch is not None
        found = self._read_batch(function) if is_batch else read(self.target, function, "worker")
        check_work(found, is_worker=True, batch=is_batch)
        return found

    def _read_batch(self, function: Callable[..., Any]) -> CallPlan:
        _, _, tokens = place_of_event(self.target)
        with located(function):
            call_plan = unanswered(function, tokens, "worker")
            item = _item(call_plan)
            check_batch(call_plan, tokens)
            item = event_type(self.target, call_plan, item, "worker")
            return dataclasses.replace(call_plan, request_type=item)


def worker(
    definition: Definition, level: Level, working: Working, function: Callable[..., Any]
) -> Handler:
    """A function as a worker at a level of a service.

    Raises:
        ConfigError: its signature is refused.
    """
    template, subject, tokens = place_of_event(working.target)
    call_plan = working.read(function)
    options = working.options
    name = options.get("name") or naming.name_from("", describe(function).rpartition(".")[2])
    work = working.contract(f"{definition.name}-{name}")
    given = {**level.metadata, **(options.get("metadata") or {})}
    place = {KIND_KEY: "worker", STREAM_KEY: work.stream, DURABLE_KEY: work.durable}
    contract = EndpointContract(
        name=name,
        subject=subject,
        queue_group="",
        metadata=naming.check_metadata({**given, **place}),
        doc=inspect.getdoc(function) or "",
        request_type=call_plan.request_type,
        kind="worker",
        template=template,
        codec=definition.codec.name,
        work=work,
    )
    timeout = options.get("timeout", TIMEOUT)
    limits = definition.limits(working.max_concurrency, 0, timeout)
    where = f"worker {call_plan.name!r}"
    guards = (*level.guards, *check_guards(where, options.get("dependencies", ())))
    full = guarded(call_plan, guards, tokens)
    if working.batch is not None:
        check_batch(full, tokens)
    return Handler(contract, full, limits, middlewares=level.middlewares)


def _item(call_plan: CallPlan) -> Any:
    """The type of one message of a batch."""
    if not call_plan.body:
        raise ConfigError(
            f"worker {call_plan.name!r} takes batches, and reads none: write "
            "'events: list[OrderPlaced]'"
        )
    found = peel(codecs.nameless(call_plan.request_type)).type if call_plan.whole else None
    if get_origin(found) is not list or call_plan.body[0].default is not MISSING:
        raise ConfigError(
            f"worker {call_plan.name!r} takes batches, so its one parameter for them is a list of "
            "the messages' type: write 'events: list[OrderPlaced]'"
        )
    return get_args(found)[0]


def _check_seconds(where: str, name: str, value: Any) -> None:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < 86400 * 365:
        raise ConfigError(f"{where} has {name}={value!r}: expected a positive number of seconds")


def _check_dead_letter(where: str, dead_letter: str | None, subject: str) -> None:
    if dead_letter is None:
        return
    if not isinstance(dead_letter, str):
        raise ConfigTypeError(f"{where} has dead_letter={dead_letter!r}: expected a subject")
    try:
        check_literal(dead_letter)
        check_event_subject(dead_letter)
    except BadSubjectError as error:
        raise ConfigError(f"{where} has dead_letter={dead_letter!r}: {error}") from None
    if overlaps(dead_letter, subject):
        raise ConfigError(
            f"{where} has dead_letter={dead_letter!r}, which it would be given itself: name a "
            "subject of its own for them"
        )
