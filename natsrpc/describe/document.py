"""A service's contract as a document. `natsrpc contract export` writes one, others read it.

A document holds what callers rely on, and nothing that changes from one start of the service to the
next, so that it can be kept in a repository. The answer of a live service to SCHEMA is read as a
document, too. The rule kept by `read_document`: after it no reader needs to check a document again,
though it came from a file or from the network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from natsrpc.errors import ConfigError
from natsrpc.rpc import ServiceContract

from .budget import bounded
from .schemas import published, schema

TYPE = "io.natsrpc.v1.contract"
"""The value of `type` in every document."""

MAX_ENDPOINTS = 2_000
MAX_NODES = 100_000
"""Schemas within schemas, of all endpoints together."""

_TEXTS = ("name", "version", "description")
# The fields of an endpoint, with the value of each that a document of an older version lacks. The
# class of that value is the class that the field must have; None stands for a schema or null.
_ENDPOINT: Mapping[str, Any] = {
    "name": "",
    "subject": "",
    "template": "",
    "queue_group": "",
    "kind": "unary",
    "idempotent": False,
    "description": "",
    "content_type": "",
    "request": None,
    "items": None,
    "response": None,
    "errors": [],
    "work": None,
}
_WORK = ("stream", "durable", "dead_letter")
"""The fields of a worker's `work`, all of them texts."""

_EVENT: Mapping[str, Any] = {
    "subject": "",
    "description": "",
    "content_type": "",
    "payload": None,
    "key": "",
}
"""The same of a published event."""

# The keywords of JSON Schema whose value is a schema, a list of schemas, schemas by name.
_INNER = ("items", "additionalProperties")
_LISTS = ("allOf", "anyOf", "oneOf", "prefixItems")
_NAMED = ("$defs", "properties")
_KEYWORDS: Mapping[str, tuple[type, ...]] = {
    **dict.fromkeys(_INNER, (Mapping, bool)),
    **dict.fromkeys((*_LISTS, "enum", "required"), (list,)),
    **dict.fromkeys(_NAMED, (Mapping,)),
    **dict.fromkeys(("$ref", "title", "description", "format", "pattern"), (str,)),
    **dict.fromkeys(("contentEncoding", "contentMediaType"), (str,)),
    **dict.fromkeys(("minLength", "maxLength", "minItems", "maxItems"), (int,)),
    **dict.fromkeys(("minProperties", "maxProperties"), (int,)),
    **dict.fromkeys(("minimum", "maximum", "exclusiveMinimum", "exclusiveMaximum"), (int, float)),
    "multipleOf": (int, float),
    "type": (str, list),
}
"""The classes that the values of keywords must have. Only keywords that are read are listed."""
_ABSENT = object()


def document(contract: ServiceContract) -> dict[str, Any]:
    """Return the document of one service as plain data, ready for JSON.

    Its keys are `type`, `name`, `version`, `description`, `endpoints` (see `endpoint_schema`),
    `publishes` (see `event_schema`) and `streams`, the names of those that it declares.
    """
    return {
        "type": TYPE,
        "name": contract.name,
        "version": contract.version,
        "description": contract.description,
        "endpoints": schema(contract),
        "publishes": published(contract),
        "streams": list(contract.streams),
    }


@bounded
def read_document(value: Any) -> dict[str, Any]:
    """Check a value that was read from JSON, and return it as a document.

    The value is a document that was exported, or a live service's answer to SCHEMA. Fields that
    this version does not know are left out; fields that it lacks are filled in.

    Raises:
        ConfigError: it is no contract; the text says which part is wrong.
    """
    if not isinstance(value, Mapping) or not isinstance(value.get("endpoints"), list):
        raise ConfigError("this is no contract: expected an object with a list of endpoints")
    if len(value["endpoints"]) > MAX_ENDPOINTS:
        raise ConfigError(f"this contract is too large: it has over {MAX_ENDPOINTS} endpoints")
    for key in _TEXTS[:2]:
        if not isinstance(value.get(key), str) or not value[key]:
            raise ConfigError(f"this is no contract: it has no {key}")
    left = [MAX_NODES]
    return {
        "type": TYPE,
        **{key: str(value.get(key) or "") for key in _TEXTS},
        "endpoints": [_endpoint(*each, left) for each in enumerate(value["endpoints"])],
        "publishes": [_event(*each, left) for each in enumerate(_publishes(value))],
        "streams": _streams(value),
    }


def _streams(value: Mapping[str, Any]) -> list[str]:
    """The names of the streams that a document declares; older ones have none."""
    found = value.get("streams", [])
    is_list = isinstance(found, list) and len(found) <= MAX_ENDPOINTS
    if not is_list or not all(isinstance(each, str) and each for each in found):
        raise ConfigError("this is no contract: `streams` is no list of names")
    return list(found)


def _publishes(value: Mapping[str, Any]) -> list[Any]:
    """The events of a document; older ones have none."""
    found = value.get("publishes", [])
    if not isinstance(found, list):
        raise ConfigError("this is no contract: `publishes` is no list of events")
    if len(found) > MAX_ENDPOINTS:
        raise ConfigError(f"this contract is too large: it has over {MAX_ENDPOINTS} events")
    return found


def _event(place: int, value: Any, left: list[int]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value.get("subject"):
        raise ConfigError(f"this is no contract: published event {place} lacks a subject")
    found = {key: value.get(key, missing) for key, missing in _EVENT.items()}
    for key, missing in _EVENT.items():
        kind = Mapping | None if missing is None else type(missing)
        if not isinstance(found[key], kind):
            raise ConfigError(f"this is no contract: bad {key} of event {value['subject']!r}")
    _check_schema(found["payload"], f"payload of event {value['subject']!r}", left)
    return found


def _endpoint(place: int, value: Any, left: list[int]) -> dict[str, Any]:
    if not isinstance(value, Mapping) or not value.get("name") or not value.get("subject"):
        raise ConfigError(f"this is no contract: endpoint {place} lacks a name or a subject")
    found = {key: value.get(key, missing) for key, missing in _ENDPOINT.items()}
    for key, missing in _ENDPOINT.items():
        kind = Mapping | None if missing is None else type(missing)
        if not isinstance(found[key], kind):
            raise ConfigError(f"this is no contract: bad {key} of endpoint {value['name']!r}")
    for side in ("request", "items", "response"):
        _check_schema(found[side], f"{side} of endpoint {value['name']!r}", left)
    if found["kind"] == "worker":
        found["work"] = _work(value["name"], found["work"])
    found["template"] = found["template"] or found["subject"]
    found["errors"] = [_error(each, left) for each in found["errors"]]
    return found


def _work(name: str, value: Any) -> dict[str, str]:
    given = value if isinstance(value, Mapping) else {}
    found = {key: given.get(key, "") for key in _WORK}
    for key, text in found.items():
        if not isinstance(text, str) or not (text or key == "dead_letter"):
            raise ConfigError(f"this is no contract: bad {key} of worker {name!r}")
    return found


def _error(value: Any, left: list[int]) -> dict[str, Any]:
    found = value if isinstance(value, Mapping) else {}
    fields = found.get("fields")
    if not isinstance(found.get("name"), str) or not isinstance(found.get("code"), int):
        raise ConfigError(f"this is no contract: bad error {value!r}")
    if not 100 <= found["code"] <= 9999 or isinstance(found["code"], bool):
        raise ConfigError(
            f"this is no contract: bad code {found['code']!r} of error {found['name']!r}: expected "
            "a number, 100 to 9999"
        )
    if fields is not None and not isinstance(fields, Mapping):
        raise ConfigError(f"this is no contract: bad fields of error {found['name']!r}")
    _check_schema(fields, f"fields of error {found['name']!r}", left)
    return {**found, "description": str(found.get("description") or ""), "fields": fields}


def _check_schema(value: Any, where: str, left: list[int]) -> None:
    """Check the keywords of a schema and of all schemas within it; `left` is how many there may be.

    Raises:
        ConfigError: the value of a keyword has the wrong class, or there are too many.
    """
    todo = [value]  # a loop, not recursion: a schema from the network may be nested deeply
    while todo:
        node = todo.pop()
        left[0] -= 1
        if left[0] < 0:
            raise ConfigError(f"this contract is too large: it has over {MAX_NODES} schemas")
        if not isinstance(node, Mapping):
            if node is None or isinstance(node, bool):
                continue
            raise ConfigError(f"this is no contract: {where} is no schema")
        for key, kinds in _KEYWORDS.items():
            found = node.get(key, _ABSENT)
            odd = isinstance(found, bool) and bool not in kinds
            if found is not _ABSENT and (odd or not isinstance(found, kinds)):
                raise ConfigError(f"this is no contract: bad {key!r} in {where}")
        for key in ("required", "type"):
            if isinstance(node.get(key), list) and not all(isinstance(n, str) for n in node[key]):
                raise ConfigError(f"this is no contract: bad {key!r} in {where}")
        todo += [node[key] for key in _INNER if key in node]
        todo += [each for key in _LISTS if key in node for each in node[key]]
        todo += [each for key in _NAMED if key in node for each in node[key].values()]
