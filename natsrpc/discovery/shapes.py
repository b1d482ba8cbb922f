"""The three responses of ADR-32 that a running service gives, as plain data.

Pure: counters and contracts in, dictionaries that go to JSON out. The shapes are strict: one
float or null in them makes a service invisible to the `nats` command line. Numbers are integers,
times are integer nanoseconds, lists and objects are never null, `started` is RFC 3339 in UTC.

Ref: ADR-32.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol, runtime_checkable

from natsrpc.rpc import EndpointContract, ServiceContract

PING_TYPE = "io.nats.micro.v1.ping_response"
INFO_TYPE = "io.nats.micro.v1.info_response"
STATS_TYPE = "io.nats.micro.v1.stats_response"
SCHEMA_TYPE = "io.natsrpc.v1.schema_response"

KIND_KEY = "natsrpc.kind"
"""The metadata key of what is no endpoint to call: "event" for a subscriber, "worker" for a
worker."""

OURS = "natsrpc"
"""The key of the `data` in STATS under which our own figures stand."""

SCHEMA_KEY = "natsrpc.schema"
"""The endpoint's metadata key whose value is the subject that answers with its schema."""


class Counters(Protocol):
    """The counters of one endpoint."""

    num_requests: int
    num_errors: int
    num_refused: int
    num_dropped: int
    last_error: str
    processing_time_ns: int


@runtime_checkable
class WorkCounters(Protocol):
    """The counters that only a worker has."""

    def figures(self) -> Mapping[str, int]:
        """Them, by name."""
        ...


class Counted(Protocol):
    """One endpoint and its counters."""

    @property
    def contract(self) -> EndpointContract:
        """Its name and its subject."""
        ...

    @property
    def inflight(self) -> int:
        """How many run or wait."""
        ...

    @property
    def answers(self) -> Counters:
        """Its counters."""
        ...


class Running(Protocol):
    """A running service, as far as it is read here."""

    id: str
    started: datetime
    contract: ServiceContract

    @property
    def served(self) -> Sequence[Counted]:
        """The endpoints, subscribers among them, in the order in which they were added."""
        ...


def ping(running: Running) -> dict[str, Any]:
    """Return the response to PING."""
    return _identity(PING_TYPE, running)


def info(running: Running, *, schema_subject: str = "") -> dict[str, Any]:
    """Return the response to INFO.

    `schema_subject`, if there is one, is added to each endpoint's metadata.
    """
    pointer = {SCHEMA_KEY: schema_subject} if schema_subject else {}
    return {
        **_identity(INFO_TYPE, running),
        "description": running.contract.description,
        "endpoints": [
            {
                **_place(endpoint.contract),
                "metadata": {**_strings(endpoint.contract.metadata), **pointer},
            }
            for endpoint in running.served
        ],
    }


def stats(
    running: Running,
    health: Mapping[str, Any] | None = None,
    shown: Callable[[str], Mapping[str, Any]] | None = None,
) -> dict[str, Any]:
    """Return the response to STATS, with `data` for each endpoint unless there is no `health`.

    ADR-32 leaves `data` to the service: at its top stand the figures of the program itself, which
    `shown` gives for an endpoint's name; ours stand there under "natsrpc".
    """
    return {
        **_identity(STATS_TYPE, running),
        "started": timestamp(running.started),
        "endpoints": [
            {**_counters(endpoint), **_kind(endpoint.contract), **_data(endpoint, health, shown)}
            for endpoint in running.served
        ],
    }


def _kind(contract: EndpointContract) -> dict[str, Any]:
    """The metadata of what is no endpoint to call, so that readers of STATS can tell, too."""
    kind = contract.metadata.get(KIND_KEY)
    return {} if kind is None else {"metadata": {KIND_KEY: kind}}


def _data(
    endpoint: Counted,
    health: Mapping[str, Any] | None,
    shown: Callable[[str], Mapping[str, Any]] | None,
) -> dict[str, Any]:
    if health is None:
        return {}
    counters = endpoint.answers
    ours: dict[str, Any] = {
        "health": dict(health),
        "inflight": int(endpoint.inflight),
        "refused": int(counters.num_refused),
        "dropped": int(counters.num_dropped),
    }
    if isinstance(counters, WorkCounters):
        ours |= counters.figures()
    theirs = {} if shown is None else shown(endpoint.contract.name)
    return {"data": {**theirs, OURS: ours}}


def schema(
    running: Running, endpoints: list[dict[str, Any]], publishes: list[dict[str, Any]]
) -> dict[str, Any]:
    """Return the response to SCHEMA, which is not of ADR-32 but ours."""
    return {
        **_identity(SCHEMA_TYPE, running),
        "description": running.contract.description,
        "endpoints": endpoints,
        "publishes": publishes,
        "streams": list(running.contract.streams),
    }


def timestamp(moment: datetime) -> str:
    """Write a moment as RFC 3339 in UTC, with microseconds and a Z."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def _identity(type_: str, running: Running) -> dict[str, Any]:
    contract = running.contract
    return {
        "type": type_,
        "name": contract.name,
        "id": running.id,
        "version": contract.version,
        "metadata": _strings(contract.metadata),
    }


def _place(contract: EndpointContract) -> dict[str, Any]:
    return {
        "name": contract.name,
        "subject": contract.subject,
        "queue_group": contract.queue_group,
    }


def _counters(endpoint: Counted) -> dict[str, Any]:
    counters = endpoint.answers
    requests, spent = int(counters.num_requests), int(counters.processing_time_ns)
    return {
        **_place(endpoint.contract),
        "num_requests": requests,
        "num_errors": int(counters.num_errors),
        "last_error": counters.last_error or "",
        "processing_time": spent,
        "average_processing_time": spent // requests if requests else 0,
    }


def _strings(metadata: Mapping[str, str]) -> dict[str, str]:
    return {str(key): str(value) for key, value in metadata.items()}
