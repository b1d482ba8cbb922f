"""Reading the discovery responses of services of any implementation.

Lenient where the other side is sloppy (a null list, a float where an integer belongs, a fraction of
nine digits, fields nobody knows), strict in what comes out: frozen data with the types it says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, TypeVar

from natsrpc.core import Msg
from natsrpc.rpc import is_error

_MOMENT = re.compile(
    r"(\d{4}-\d{2}-\d{2})[Tt ](\d{2}:\d{2}:\d{2})(\.\d+)?([Zz]|[+-]\d{2}:?\d{2})?"
).fullmatch


@dataclass(frozen=True, slots=True)
class ServiceIdentity:
    """One instance of a service, which answered. `rtt` is in seconds."""

    name: str
    id: str
    version: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    rtt: float = 0.0


@dataclass(frozen=True, slots=True)
class EndpointInfo:
    """An endpoint and its subject. `queue_group` is "" if queueing is off."""

    name: str
    subject: str
    queue_group: str = ""
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))


@dataclass(frozen=True, slots=True)
class ServiceInfo(ServiceIdentity):
    """An instance and its endpoints."""

    description: str = ""
    endpoints: tuple[EndpointInfo, ...] = ()


@dataclass(frozen=True, slots=True)
class EndpointStats:
    """An endpoint's counters since `started` of its service. Times are in nanoseconds.

    `metadata` is there where it says that this is no endpoint to call ("natsrpc.kind").
    """

    name: str
    subject: str
    queue_group: str = ""
    num_requests: int = 0
    num_errors: int = 0
    last_error: str = ""
    processing_time_ns: int = 0
    average_processing_time_ns: int = 0
    data: Any = None
    metadata: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))

    @property
    def natsrpc(self) -> Mapping[str, Any]:
        """The figures in `data` of a natsrpc service: `health`, `inflight`, `refused` and
        `dropped`; empty for others. What else is in `data` are those of the service's program."""
        found = self.data.get("natsrpc") if isinstance(self.data, dict) else None
        return found if isinstance(found, dict) else {}


@dataclass(frozen=True, slots=True)
class ServiceStats(ServiceIdentity):
    """An instance and its counters. `started` is None if it could not be read."""

    started: datetime | None = None
    endpoints: tuple[EndpointStats, ...] = ()

    @property
    def num_requests(self) -> int:
        """Requests of all endpoints."""
        return sum(endpoint.num_requests for endpoint in self.endpoints)

    @property
    def num_errors(self) -> int:
        """Errors of all endpoints."""
        return sum(endpoint.num_errors for endpoint in self.endpoints)

    @property
    def health(self) -> Mapping[str, Any] | None:
        """The health that a natsrpc service reports; None of others."""
        for endpoint in self.endpoints:
            found = endpoint.natsrpc.get("health")
            if isinstance(found, dict):
                return found
        return None


Identity = TypeVar("Identity", bound=ServiceIdentity)


def read(msg: Msg, kind: type[Identity], rtt: float = 0.0) -> Identity | None:
    """Read one response; None if it is not one (an error, no JSON object, no name or id)."""
    if is_error(msg.raw_headers) or msg.status is not None:
        return None
    value = read_object(msg.data)
    if value is None or not (_text(value, "name") and _text(value, "id")):
        return None
    more: dict[str, Any] = {}
    if kind is ServiceInfo:
        more["description"] = _text(value, "description")
        more["endpoints"] = tuple(map(_endpoint_info, _objects(value, "endpoints")))
    elif kind is ServiceStats:
        more["started"] = moment(_text(value, "started"))
        more["endpoints"] = tuple(map(_endpoint_stats, _objects(value, "endpoints")))
    return kind(
        name=_text(value, "name"),
        id=_text(value, "id"),
        version=_text(value, "version"),
        metadata=_metadata(value),
        rtt=rtt,
        **more,
    )


def read_object(data: bytes) -> dict[str, Any] | None:
    """Read a JSON object; None if it is not one."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None


def moment(text: str) -> datetime | None:
    """Read an RFC 3339 time with any number of fraction digits; None if it is not one."""
    found = _MOMENT(text)
    if found is None:
        return None
    day, time, fraction, zone = found.groups()
    zone = "+00:00" if zone in (None, "Z", "z") else zone
    try:
        return datetime.fromisoformat(f"{day}T{time}{(fraction or '')[:7]}{zone}").astimezone(UTC)
    except (ValueError, OverflowError):
        return None


def _endpoint_info(value: dict[str, Any]) -> EndpointInfo:
    return EndpointInfo(**_place(value), metadata=_metadata(value))


def _endpoint_stats(value: dict[str, Any]) -> EndpointStats:
    return EndpointStats(
        **_place(value),
        num_requests=_integer(value, "num_requests"),
        num_errors=_integer(value, "num_errors"),
        last_error=_text(value, "last_error"),
        processing_time_ns=_integer(value, "processing_time"),
        average_processing_time_ns=_integer(value, "average_processing_time"),
        data=value.get("data"),
        metadata=_metadata(value),
    )


def _place(value: dict[str, Any]) -> dict[str, str]:
    return {key: _text(value, key) for key in ("name", "subject", "queue_group")}


def _text(value: dict[str, Any], key: str) -> str:
    found = value.get(key)
    return found if isinstance(found, str) else ""


def _integer(value: dict[str, Any], key: str) -> int:
    found = value.get(key)
    try:
        return int(found) if isinstance(found, int | float) else 0
    except (ValueError, OverflowError):  # NaN, an infinity
        return 0


def _objects(value: dict[str, Any], key: str) -> list[dict[str, Any]]:
    found = value.get(key)
    return [item for item in found if isinstance(item, dict)] if isinstance(found, list) else []


def _metadata(value: dict[str, Any]) -> Mapping[str, str]:
    found = value.get("metadata")
    pairs = found.items() if isinstance(found, dict) else ()
    return MappingProxyType({str(key): str(item) for key, item in pairs})
