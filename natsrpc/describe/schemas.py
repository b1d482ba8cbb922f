"""The types of a contract as JSON Schema. Documents, AsyncAPI and the answer to SCHEMA use it.

The schema of a body that is not there (an endpoint reads or answers nothing) is null. Raw bytes are
a string whose `contentMediaType` says so. Any other type without a JSON Schema (a protobuf message)
is `{}`, which allows everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal, TypeAlias

from natsrpc import codecs
from natsrpc.errors import ConfigError, RpcError, UnknownCodecError
from natsrpc.rpc import EndpointContract, EventContract, ServiceContract, WorkerContract

_JSON = codecs.get("json")

RAW: Mapping[str, Any] = MappingProxyType(
    {"type": "string", "contentMediaType": "application/octet-stream"}
)
"""The schema of raw bytes."""

Node: TypeAlias = Mapping[str, Any]
"""A JSON Schema, or a schema within one."""


def schema(contract: ServiceContract) -> list[dict[str, Any]]:
    """Return the description of each endpoint of a service, in their order: the `endpoints` of its
    document. `discovery` answers SCHEMA with it. Subscribers and workers are among them: their
    `kind` is "event" or "worker", and their `request` is what they read of one message."""
    return [endpoint_schema(endpoint) for endpoint in contract.endpoints]


def published(contract: ServiceContract) -> list[dict[str, Any]]:
    """Return the description of each event that a service says it publishes: the `publishes` of its
    document. `discovery` answers SCHEMA with it."""
    return [event_schema(event) for event in contract.publishes]


def event_schema(event: EventContract) -> dict[str, Any]:
    """Return the description of an event as plain data. `payload` is the schema of its body, `key`
    the field that tells one from another ("" for none)."""
    codec = _codec(event.codec)
    return {
        "subject": event.template,
        "description": event.doc,
        "content_type": "" if codec is None else codec.content_type,
        "payload": _type_schema(codec, event.type, "serialization"),
        "key": event.key,
    }


def endpoint_schema(endpoint: EndpointContract) -> dict[str, Any]:
    """Return the description of one endpoint as plain data.

    `request` is the schema of the body, `items` that of one item of the stream that the endpoint
    reads beside it, and `response` that of the answer, or of one item where `kind` says that the
    answer is a stream. `errors` are the declared errors, each as in `error_schema`. `content_type`
    is empty for a codec object that is not registered. `work` is, of a worker, as in
    `work_schema`; else null.
    """
    codec = _codec(endpoint.codec)
    return {
        "name": endpoint.name,
        "subject": endpoint.subject,
        "template": endpoint.template or endpoint.subject,
        "queue_group": endpoint.queue_group,
        "kind": endpoint.kind,
        "idempotent": endpoint.idempotent,
        "description": endpoint.doc,
        "content_type": "" if codec is None else codec.content_type,
        "request": _type_schema(codec, endpoint.request_type, "validation"),
        "items": _type_schema(codec, endpoint.stream_type, "validation"),
        "response": _type_schema(codec, endpoint.response_type, "serialization"),
        "errors": [error_schema(error) for error in endpoint.errors],
        "work": None if endpoint.work is None else work_schema(endpoint.work),
    }


def work_schema(work: WorkerContract) -> dict[str, str]:
    """Return where the messages of a worker are: its stream, its consumer there, and where those
    go that are given up ("" for nowhere)."""
    return {"stream": work.stream, "durable": work.durable, "dead_letter": work.dead_letter}


def error_schema(error: type[RpcError]) -> dict[str, Any]:
    """Return the description of an error class: its name on the wire, its code, its docstring, and
    the schema of its fields (null if it has none)."""
    fields = codecs.fields({key: (type_, codecs.REQUIRED) for key, type_ in error.fields().items()})
    return {
        "name": error.wire_name,
        "code": error.default_code,
        "description": (error.__doc__ or "").strip(),
        "fields": _type_schema(_JSON, fields, "validation") if error.fields() else None,
    }


def allowed_values(node: Node) -> list[Any] | None:
    """Return the values that an enumeration or constant allows; None for any other schema."""
    if "const" in node:
        return [node["const"]]
    values = node.get("enum")
    return list(values) if isinstance(values, list) and values else None


def _codec(name: str) -> codecs.Codec | None:
    try:
        return codecs.get(name)
    except UnknownCodecError:  # a codec object that is not registered: its content type is unknown
        return None


def _type_schema(
    codec: codecs.Codec | None, type_: Any, mode: Literal["validation", "serialization"]
) -> dict[str, Any] | None:
    if type_ is None:
        return None
    if type_ in (bytes, bytearray, memoryview):
        return dict(RAW)
    try:
        return (codec.schema(type_, mode=mode) if codec is not None else None) or {}
    except ConfigError:
        return {}
