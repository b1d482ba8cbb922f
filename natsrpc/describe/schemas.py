"""A contract's types as JSON Schema. Pure: a contract in, plain data out.

What is not there (an endpoint that reads or answers nothing) is null. Raw bytes are a string whose
`contentMediaType` says so; any other type without a JSON Schema (a protobuf message) is `{}`.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Literal

from natsrpc import codecs
from natsrpc.errors import ConfigError, RpcError, UnknownCodecError
from natsrpc.rpc import EndpointContract, ServiceContract

_JSON = codecs.get("json")

RAW: Mapping[str, Any] = MappingProxyType(
    {"type": "string", "contentMediaType": "application/octet-stream"}
)
"""The schema of raw bytes."""


def schema(contract: ServiceContract) -> list[dict[str, Any]]:
    """Return one description for each endpoint of a service, in their order."""
    return [endpoint_schema(endpoint) for endpoint in contract.endpoints]


def endpoint_schema(endpoint: EndpointContract) -> dict[str, Any]:
    """Describe one endpoint.

    `request` is the schema of what it takes, `items` of one item of the stream that it reads beside
    that, `response` of what it answers, or of one item of it where `kind` says that it is a stream;
    `errors` are those it declares, with their fields.
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
    }


def error_schema(error: type[RpcError]) -> dict[str, Any]:
    """Describe an error class: its name on the wire, its code, and the schema of its fields."""
    fields = codecs.fields({key: (type_, codecs.REQUIRED) for key, type_ in error.fields().items()})
    return {
        "name": error.wire_name,
        "code": error.default_code,
        "description": (error.__doc__ or "").strip(),
        "fields": _type_schema(_JSON, fields, "validation") if error.fields() else None,
    }


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
