"""What the gateway tells of the services, as plain data: `/services.json` and `/stats.json`.

The page at `/docs` is made from these two. Their shape is stable: names stay, more may come. All
texts in them were written by others, who may be anybody on the NATS account: a page must show them
as text.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from natsrpc.describe import http_operation, openapi, version_numbers
from natsrpc.discovery import EndpointStats, ServiceIdentity, ServiceStats

from .catalog import Entry, Snapshot

__all__ = ["describe_paths", "describe_services", "describe_stats"]

MAX_INSTANCES = 1_000
"""Instances listed of one version; `instance_count` counts all."""

MAX_TEXT = 4_096

_ABOUT = """The services on NATS that are there now, as JSON over HTTP.

The header `Request-Timeout` of a request says how many seconds it may take, as in `2.5` or `800ms`.
What is wrong with a request, or went wrong, is told by a problem document (RFC 9457).
"""


def describe_paths(snapshot: Snapshot, root: str) -> dict[str, Any]:
    """The value of `/openapi.json`, for a gateway that is mounted at the path `root`. Of two
    versions of a service the newest is told."""
    newest = sorted(snapshot.entries, key=lambda e: version_numbers(e.version), reverse=True)
    return openapi(
        [entry.document for entry in newest if entry.document is not None],
        version=str(snapshot.number),
        description=_ABOUT,
        server=root or "/",
    )


def describe_services(snapshot: Snapshot, root: str = "") -> dict[str, Any]:
    """The value of `/services.json`, which is the same wherever the gateway is mounted.

    - `number` goes up when anything below changed; `seen` is the moment of the look that found it
      so; `is_complete` tells that nothing was left out; `problem` says why a look failed since.
    - `services`: by name, each with its `versions`, the newest first. A version has `version`,
      `description`, `metadata`, `instances` (`id`, `metadata`), `instance_count`, `problem` (why
      its contract is not known, or ""), and from the contract `endpoints`, `subscribers`,
      `workers` and `publishes`.
    - an endpoint, a subscriber and a worker is as in a contract's document (`name`, `subject`,
      `template`, `queue_group`, `kind`, `idempotent`, `description`, `content_type`, and the JSON
      Schemas `request`, `items`, `response`, and `errors`). A worker has `work`, too: `stream`,
      `durable` and `dead_letter`. An endpoint has `http`: `path`, `methods`, `tokens` (the path's
      parameters) and `query` (the schema of each field that a query may carry, null if the request
      cannot be written so); or null where it has no path.
    """
    services: dict[str, list[dict[str, Any]]] = {}
    newest = sorted(snapshot.entries, key=lambda entry: version_numbers(entry.version))
    for entry in reversed(newest):
        services.setdefault(entry.name, []).append(_version(entry))
    return {
        "number": snapshot.number,
        "seen": None if snapshot.seen is None else snapshot.seen.isoformat(timespec="milliseconds"),
        "is_complete": snapshot.is_complete,
        "problem": snapshot.problem,
        "services": [{"name": name, "versions": services[name]} for name in sorted(services)],
    }


def _version(entry: Entry) -> dict[str, Any]:
    document = entry.document or {}
    endpoints = [_endpoint(each) for each in document.get("endpoints", [])]
    callable_ = [each for each in endpoints if each["kind"] not in ("event", "worker")]
    return {
        "version": entry.version,
        "description": document.get("description", ""),
        "metadata": _metadata(entry.metadata),
        "instance_count": 0 if entry.missed else len(entry.instances),
        "instances": []
        if entry.missed
        else [_instance(i) for i in entry.instances[:MAX_INSTANCES]],
        "problem": entry.problem,
        "endpoints": callable_,
        "subscribers": [each for each in endpoints if each["kind"] == "event"],
        "workers": [each for each in endpoints if each["kind"] == "worker"],
        "publishes": document.get("publishes", []),
    }


def _endpoint(endpoint: dict[str, Any]) -> dict[str, Any]:
    operation = http_operation(endpoint)
    http = operation and {
        "path": operation.path,
        "methods": list(operation.methods),
        "tokens": list(operation.tokens),
        "query": None if operation.query is None else dict(operation.query),
    }
    return {**endpoint, "http": http}


def _instance(identity: ServiceIdentity) -> dict[str, Any]:
    return {"id": identity.id, "metadata": _metadata(identity.metadata)}


def _metadata(metadata: Mapping[str, str]) -> dict[str, str]:
    pairs = list(metadata.items())[:100]
    return {key[:MAX_TEXT]: value[:MAX_TEXT] for key, value in pairs}


def describe_stats(instances: Iterable[ServiceStats]) -> dict[str, Any]:
    """The value of `/stats.json`: the counters of each instance, as it answers STATS.

    `instances`: `name`, `version`, `id`, `started`, and `endpoints` with `name`, `subject`,
    `num_requests`, `num_errors`, `last_error`, `processing_time` and `average_processing_time`
    (nanoseconds). Services of natsrpc tell more, which is 0 and "" of others: `inflight`,
    `refused`, `dropped`, and `health` ("ok" or "unwell").
    """
    return {"instances": [_counted(each) for each in instances]}


def _counted(stats: ServiceStats) -> dict[str, Any]:
    return {
        "name": stats.name[:MAX_TEXT],
        "version": stats.version[:MAX_TEXT],
        "id": stats.id[:MAX_TEXT],
        "started": None if stats.started is None else stats.started.isoformat(),
        "endpoints": [_counters(endpoint) for endpoint in stats.endpoints[:MAX_INSTANCES]],
    }


def _counters(endpoint: EndpointStats) -> dict[str, Any]:
    ours = endpoint.natsrpc
    health = ours.get("health")
    status = health.get("status") if isinstance(health, dict) else ""
    return {
        "name": endpoint.name[:MAX_TEXT],
        "subject": endpoint.subject[:MAX_TEXT],
        "num_requests": endpoint.num_requests,
        "num_errors": endpoint.num_errors,
        "last_error": endpoint.last_error[:MAX_TEXT],
        "processing_time": endpoint.processing_time_ns,
        "average_processing_time": endpoint.average_processing_time_ns,
        **{key: _number(ours.get(key)) for key in ("inflight", "refused", "dropped")},
        "health": status[:MAX_TEXT] if isinstance(status, str) else "",
    }


def _number(value: Any) -> int:
    return value if isinstance(value, int) else 0
