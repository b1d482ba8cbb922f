"""The contract: a service and its endpoints as frozen data. No asyncio, no functions that run.

`discovery`, `describe`, clients and servers read these tables; nobody changes them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from natsrpc.errors import ConfigError, ConfigTypeError, RpcError

from .work import WorkerContract

Kind = Literal["unary", "response_stream", "request_stream", "both_stream", "event", "worker"]
"""How an endpoint is used: called, in four ways; published to ("event": a subscriber); or given the
messages of a stream ("worker")."""

KIND_KEY = "natsrpc.kind"
"""The metadata key by which INFO tells what is no endpoint to call: "event" for a subscriber,
"worker" for a worker."""

MAX_WAITING_EVENTS = 65_536
"""Events that wait for a subscriber, unless told otherwise."""

MAX_WAITING_BYTES = 64 * 1024 * 1024
"""Bytes that wait for a subscriber, unless told otherwise."""


def takes_stream(kind: Kind) -> bool:
    """Whether an endpoint of this kind reads a stream of requests."""
    return kind in ("request_stream", "both_stream")


def gives_stream(kind: Kind) -> bool:
    """Whether an endpoint of this kind answers with a stream."""
    return kind in ("response_stream", "both_stream")


def _no_metadata() -> Mapping[str, str]:
    return MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Limits:
    """The limits of an endpoint: requests that run and that wait, and seconds that one may take.

    `max_waiting_bytes` is for subscribers.
    """

    max_concurrency: int
    max_waiting: int
    timeout: float | None = None
    max_waiting_bytes: int = MAX_WAITING_BYTES


@dataclass(frozen=True, slots=True, eq=False)
class EndpointContract:
    """One endpoint: its place on the wire and its types.

    `subject` is what is subscribed to (group prefix included, wildcards for tokens); `template` is
    the same as it was written, with `{token}`s. `queue_group` is "" where queueing is off.
    `request_type` and `response_type` are None where nothing is read or answered. Where the answer
    is a stream, `response_type` is the type of its items; `stream_type` that of a request stream's.
    Of a subscriber (`kind` is "event") `request_type` is what it reads of an event. A worker
    (`kind` is "worker") has `work` besides, and no queue group: its instances share a consumer.
    `service` is the name of the service that it is an endpoint of; "" where that is not known.
    """

    name: str
    subject: str
    queue_group: str
    metadata: Mapping[str, str] = field(default_factory=_no_metadata)
    doc: str = ""
    request_type: Any = None
    response_type: Any = None
    kind: Kind = "unary"
    stream_type: Any = None
    errors: tuple[type[RpcError], ...] = ()
    template: str = ""
    codec: str = "json"
    idempotent: bool = False
    service: str = ""
    work: WorkerContract | None = None


@dataclass(frozen=True, slots=True, eq=False)
class EventContract:
    """One event that a service publishes: `template` is its subject with `{token}`s, as written;
    `key` is the field that tells one from another, "" for none."""

    template: str
    type: Any
    doc: str = ""
    codec: str = "json"
    key: str = ""


@dataclass(frozen=True, slots=True)
class ServiceContract:
    """One service: its name and version, its endpoints in the order they were added (subscribers
    and workers are among them, by their `kind`), the events that it says it publishes, and
    the names of the streams that it declares."""

    name: str
    version: str
    description: str = ""
    metadata: Mapping[str, str] = field(default_factory=_no_metadata)
    queue_group: str = "q"
    endpoints: tuple[EndpointContract, ...] = field(default=())
    publishes: tuple[EventContract, ...] = field(default=())
    streams: tuple[str, ...] = field(default=())

    @property
    def subscribers(self) -> tuple[EndpointContract, ...]:
        """Those endpoints that events are published to."""
        return tuple(each for each in self.endpoints if each.kind == "event")

    @property
    def workers(self) -> tuple[EndpointContract, ...]:
        """Those endpoints that are given the messages of streams."""
        return tuple(each for each in self.endpoints if each.kind == "worker")


def check_errors(where: str, errors: tuple[type[RpcError], ...]) -> tuple[type[RpcError], ...]:
    """Refuse anything but a tuple of error classes; `where` says, in the error, whose they are.

    Raises:
        ConfigError: it is none.
    """
    if not isinstance(errors, tuple | list):
        raise ConfigTypeError(f"{where}: expected a tuple of RpcError classes, not {errors!r}")
    for error in errors:
        if not (isinstance(error, type) and issubclass(error, RpcError)):
            raise ConfigError(f"{where}: {error!r} is not an RpcError class")
    return tuple(errors)
