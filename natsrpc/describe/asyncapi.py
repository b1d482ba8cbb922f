"""A contract as an AsyncAPI 3.0 document, for the tools that read such documents.

Each endpoint becomes a channel with its subject as the address, an operation that receives the
request, and, if the endpoint answers with a body, a reply to the inbox that the request names. A
subscriber or worker is such a channel without a reply; an event that the service publishes is one
with an operation that sends.

Ref: https://www.asyncapi.com/docs/reference/specification/v3.0.0
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from natsrpc.rpc import ServiceContract

from .budget import bounded
from .document import document, read_document
from .names import words

_DEFINITIONS = "#/$defs/"
_PARAMETER = re.compile(r"\{([^{}]+)\}")


@bounded
def asyncapi(
    contract: ServiceContract | Mapping[str, Any], *, servers: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Return the AsyncAPI document of one service as plain data, ready for JSON.

    Args:
        contract: the service's contract, or its document: made by `document`, exported to a file,
            or answered by a live service.
        servers: addresses of NATS servers, as "host:port", to list in the document.

    Raises:
        ConfigError: it is no contract, or nested too deeply.
    """
    told = document(contract) if isinstance(contract, ServiceContract) else read_document(contract)
    channels: dict[str, Any] = {}
    operations: dict[str, Any] = {}
    shared: dict[str, Any] = {}
    for endpoint in told["endpoints"]:
        key = _free(endpoint["name"], channels)
        for side in ("request", "items", "response"):
            endpoint[side] = _lifted(endpoint[side], f"{key}.{side}.", shared)
        channels[key], replies = _channel(endpoint, key)
        operations[key] = _operation(endpoint, key, channels[key]["messages"])
        if replies:
            channels[f"{key}-reply"] = replies
            operations[key]["reply"] = _reply(key)
    for event in told["publishes"]:
        key = _free(words(event["subject"]), channels)
        event["payload"] = _lifted(event["payload"], f"{key}.event.", shared)
        channels[key] = _event_channel(event, key)
        operations[key] = _operation(event, key, ["event"], action="send")
    found: dict[str, Any] = {
        "asyncapi": "3.0.0",
        "info": {
            "title": told["name"],
            "version": told["version"],
            "description": told["description"],
        },
        "defaultContentType": "application/json",
        "channels": channels,
        "operations": operations,
        "components": {"schemas": shared},
    }
    if servers:
        found["servers"] = {
            f"nats-{number}": {"host": host, "protocol": "nats"}
            for number, host in enumerate(servers, 1)
        }
    return found


def _lifted(payload: Any, prefix: str, shared: dict[str, Any]) -> Any:
    """Move a schema's own definitions to the document's components, and return the rest of it.

    References are relative to the whole document, so that `#/$defs/X` of an inner schema would
    point nowhere. The prefix keeps apart definitions of one name from two endpoints.
    """
    if not isinstance(payload, dict):
        return payload
    definitions = payload.get("$defs", {})
    if not definitions:
        return payload
    rest = {key: value for key, value in payload.items() if key != "$defs"}
    for name, definition in definitions.items():
        shared[prefix + name] = _repointed(definition, prefix)
    return _repointed(rest, prefix)


def _repointed(value: Any, prefix: str) -> Any:
    if isinstance(value, list):
        return [_repointed(item, prefix) for item in value]
    if not isinstance(value, dict):
        return value
    found = {key: _repointed(item, prefix) for key, item in value.items()}
    reference = found.get("$ref")
    if isinstance(reference, str) and reference.startswith(_DEFINITIONS):
        name = reference.removeprefix(_DEFINITIONS)
        found["$ref"] = f"#/components/schemas/{prefix}{name}"
    return found


def _channel(endpoint: dict[str, Any], key: str) -> tuple[dict[str, Any], dict[str, Any]]:
    what = "event" if endpoint["kind"] in ("event", "worker") else "request"
    channel: dict[str, Any] = {
        "address": endpoint["template"],
        "description": endpoint["description"],
        "messages": {what: _message(endpoint, f"{key}-{what}", endpoint["request"])},
    }
    if endpoint["items"] is not None:
        channel["messages"]["item"] = _message(endpoint, f"{key}-item", endpoint["items"])
    names = _PARAMETER.findall(endpoint["template"])
    if names:
        channel["parameters"] = {name: {} for name in names}
    if endpoint["response"] is None:
        return channel, {}
    response = _message(endpoint, f"{key}-response", endpoint["response"])
    return channel, {"address": None, "messages": {"response": response}}


def _event_channel(event: dict[str, Any], key: str) -> dict[str, Any]:
    channel: dict[str, Any] = {
        "address": event["subject"],
        "description": event["description"],
        "messages": {"event": _message(event, f"{key}-event", event["payload"])},
    }
    names = _PARAMETER.findall(event["subject"])
    if names:
        channel["parameters"] = {name: {} for name in names}
    return channel


def _message(endpoint: dict[str, Any], name: str, payload: Any) -> dict[str, Any]:
    message: dict[str, Any] = {"name": name}
    if endpoint["content_type"]:
        message["contentType"] = endpoint["content_type"]
    if payload is not None:
        message["payload"] = payload
    return message


def _operation(
    endpoint: dict[str, Any], key: str, messages: Iterable[str], *, action: str = "receive"
) -> dict[str, Any]:
    return {
        "action": action,
        "channel": {"$ref": f"#/channels/{key}"},
        "messages": [{"$ref": f"#/channels/{key}/messages/{name}"} for name in messages],
        "summary": endpoint["description"].partition("\n")[0],
    }


def _reply(key: str) -> dict[str, Any]:
    return {
        "channel": {"$ref": f"#/channels/{key}-reply"},
        "messages": [{"$ref": f"#/channels/{key}-reply/messages/response"}],
        "address": {
            "description": "the reply subject of the request",
            "location": "$message.header#/reply",
        },
    }


def _free(name: str, taken: dict[str, Any]) -> str:
    """Return a key for an endpoint: its name, with a number where another endpoint has that key."""
    key, number = name, 2
    while key in taken or f"{key}-reply" in taken:
        key, number = f"{name}-{number}", number + 1
    return key
