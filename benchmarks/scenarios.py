"""The kinds of work that are measured, as data. `driver.py` runs each kind in its own way."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Scenario:
    """One kind of work.

    `name` is for the command line, `title` for the tables. `unit` is the word for one operation,
    `quick` whether the quick run has the scenario.
    """

    name: str
    title: str
    unit: str
    quick: bool = False


@dataclass(frozen=True, slots=True)
class Calls(Scenario):
    """A caller and a service: for some time, `inflight` calls of `size` bytes at once.

    `serve` and `call` are methods of the adapter; a `size` of None means typed calls.
    """

    serve: str = "serve_echo"
    call: str = "echo"
    size: int | None = 128
    inflight: int = 64

    @property
    def needs(self) -> tuple[str, ...]:
        """The methods of an adapter that the scenario needs."""
        return self.serve, self.call


@dataclass(frozen=True, slots=True)
class Publish(Scenario):
    """One process publishes to nobody, then flushes."""

    size: int = 128
    count: int = 20_000
    needs: tuple[str, ...] = ("publish", "flush")


@dataclass(frozen=True, slots=True)
class Deliver(Scenario):
    """The driver writes ready-made frames; a process receives them.

    `is_typed`: the frames hold an `Order`, not `size` bytes.
    """

    method: str = "subscribe_callback"
    size: int = 128
    is_typed: bool = False
    count: int = 20_000
    subscriptions: int = 1

    @property
    def needs(self) -> tuple[str, ...]:
        """The methods of an adapter that the scenario needs."""
        return (self.method,)


@dataclass(frozen=True, slots=True)
class Idle(Scenario):
    """Many subscriptions that get nothing: the memory and CPU of each."""

    count: int = 10_000
    needs: tuple[str, ...] = ("subscribe_callback", "flush")


@dataclass(frozen=True, slots=True)
class Waiting(Scenario):
    """Many requests in flight that nobody answers: the memory and CPU of each."""

    count: int = 10_000
    needs: tuple[str, ...] = ("echo", "serve_silence", "flush")


@dataclass(frozen=True, slots=True)
class Import(Scenario):
    """A fresh interpreter imports the library."""

    needs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Stored(Scenario):
    """One process does a job with JetStream, by `tasks` at once.

    `count`: how many times in a window of half a second; one of another length has its share of
    them. `parts`: how many units one of them is.
    """

    job: str = "publish_acked"
    count: int = 1_000
    size: int = 128
    tasks: int = 1
    parts: int = 1

    @property
    def needs(self) -> tuple[str, ...]:
        """The methods of an adapter that the scenario needs."""
        return (self.job,)


def _typed(inflight: int, how: str, *, quick: bool = False) -> Calls:
    return Calls(
        f"typed-{inflight}",
        f"typed call, pydantic on both sides, {how}",
        "call",
        quick=quick,
        serve="serve_typed",
        call="typed",
        size=None,
        inflight=inflight,
    )


def _object(verb: str) -> Stored:
    return Stored(
        f"js-object-{verb}",
        f"{verb} an object of 16 MiB",
        "chunk of 128 KiB",
        job=f"object_{verb}",
        count=1,
        size=1 << 24,
        parts=128,
    )


SCENARIOS: tuple[Scenario, ...] = (
    Calls("raw-64", "raw request and reply, 128 B, 64 in flight", "request", quick=True),
    _typed(64, "64 in flight", quick=True),
    Calls("raw-1", "raw request and reply, 128 B, one at a time", "request", inflight=1),
    _typed(1, "one at a time"),
    Calls("raw-1024", "raw request and reply, 128 B, 1024 in flight", "request", inflight=1024),
    _typed(1024, "1024 in flight"),
    Calls("raw-64KiB", "echo of 64 KiB, 16 in flight", "request", size=65_536, inflight=16),
    Calls("raw-1MiB", "echo of 1 MiB, 8 in flight", "request", size=1_048_576, inflight=8),
    Calls(
        "stream-1000",
        "a stream of 1 000 typed items, pydantic on both sides, one stream at a time",
        "stream",
        serve="serve_stream",
        call="stream",
        size=None,
        inflight=1,
    ),
    Publish("publish", "publish 128 B", "message"),
    Deliver("deliver-callback", "deliver 128 B to a callback", "message"),
    Deliver(
        "deliver-async-callback",
        "deliver 128 B to an async callback",
        "message",
        method="subscribe_async_callback",
    ),
    Deliver(
        "deliver-iterator",
        "deliver 128 B to `async for`",
        "message",
        method="subscribe_iterator",
    ),
    Deliver(
        "deliver-typed",
        "deliver a typed event, pydantic at the subscriber",
        "event",
        method="subscribe_typed",
        is_typed=True,
    ),
    Deliver(
        "fan-out-100",
        "deliver 128 B to 100 subscriptions of one connection",
        "delivery",
        count=300,
        subscriptions=100,
    ),
    Idle("idle-10000", "10 000 idle subscriptions", "subscription"),
    Waiting("waiting-10000", "10 000 requests in flight", "request"),
    Import("import", "import", "import"),
    Stored("js-publish", "publish with ack, one by one", "message"),
    Stored("js-publish-64", "publish with ack, 64 in flight", "message", count=6_400, tasks=64),
    Stored(
        "js-pipelined",
        "publish with ack, pipelined",
        "message",
        job="publish_pipelined",
        count=10_000,
    ),
    Stored("js-fetch", "fetch 100, ack each", "message", job="fetch_acked", count=10_000),
    Stored("js-consume", "consume, ack each", "message", job="consume_acked", count=10_000),
    Stored("js-key-put", "put a key", "put", job="key_put"),
    Stored("js-key-get", "get a key", "get", job="key_get"),
    _object("put"),
    _object("get"),
)


def by_name(name: str) -> Scenario:
    """Return the scenario of that name.

    Raises:
        KeyError: there is none.
    """
    return {scenario.name: scenario for scenario in SCENARIOS}[name]
