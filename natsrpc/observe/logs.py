"""Log lines that can be joined: each says which service, endpoint and request it is about.

`natsrpc run` uses these where a service has not set up logging itself; a program of its own, or a
file for `logging.config`, names them: `"()": "natsrpc.observe.logs.JsonFormatter"`.

| field | from |
|---|---|
| `service`, `endpoint` | the handler that writes the line, in its task or thread |
| `request_id` | the request's `X-Request-Id` header, which travels with nested calls |
| `caller` | the name, or else the user, of who calls through an import with `share: true` |
| `trace_id`, `span_id` | OpenTelemetry's current span; else the request's `traceparent` |
| `error_id` | of a handler that failed: the id that its caller was told |

Who calls is told by nats-server, in the header `Nats-Request-Info`, and known only between
accounts; within one, anybody who may call may write that header.

A handler that writes lines in another thread than theirs (a `QueueHandler`) needs the filter
`RequestFields` before it: it notes the fields on the record.
"""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

from natsrpc.rpc import REQUEST_ID, current_request

__all__ = ["JsonFormatter", "RequestFields", "TextFormatter", "fields_of"]

FIELDS = ("service", "endpoint", "request_id", "caller", "trace_id", "span_id", "error_id")
"""The names of the fields, which are attributes of a record, too."""

_LONGEST = 256  # characters of what a stranger names
_NOTED = "natsrpc_fields"
_KNOWN = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName", _NOTED}
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")
_BASE = "%(asctime)s %(levelname)s %(process)d %(name)s: %(message)s"


class RequestFields(logging.Filter):
    """Notes on each record the fields of the request that it is written in. It refuses none."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Note the fields; always true."""
        vars(record)[_NOTED] = fields_of(record)
        return True


class TextFormatter(logging.Formatter):
    """One line for people: time, level, process, logger, message, then the fields; a traceback
    follows on lines of its own."""

    def __init__(self) -> None:
        super().__init__(_BASE)

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  # its name
        """The line without a traceback."""
        fields = fields_of(record)
        told = " ".join(f"{name}={_word(value)}" for name, value in fields.items())
        line = super().formatMessage(record)
        return f"{line} [{told}]" if told else line


class JsonFormatter(logging.Formatter):
    """One JSON object on one line, for programs: `time` (RFC 3339, UTC), `level`, `logger`,
    `message`, `pid`, the fields, what was given as `extra`, and `exception` with the traceback."""

    def format(self, record: logging.LogRecord) -> str:
        """The whole record as a line."""
        line: dict[str, Any] = {
            "time": rfc3339(record.created),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            "pid": record.process,
            **fields_of(record),
        }
        for name, value in vars(record).items():
            if name not in _KNOWN and name not in line:
                line[name] = value
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        elif record.exc_text:
            line["exception"] = record.exc_text
        if record.stack_info:
            line["stack"] = self.formatStack(record.stack_info)
        return _dumped(line)


def _dumped(line: dict[str, Any]) -> str:
    """The line as JSON. Where it has what JSON has not (NaN, keys that are no text, an object in
    itself), all but its plain values are written as text: a line is not lost."""
    try:
        return json.dumps(line, ensure_ascii=False, default=str, allow_nan=False)
    except (TypeError, ValueError, RecursionError):
        plain = {
            name: value if isinstance(value, str | int | None) else str(value)
            for name, value in line.items()
        }
        return json.dumps(plain, ensure_ascii=False)


def fields_of(record: logging.LogRecord) -> dict[str, str]:
    """The fields of a record that are known, by name."""
    noted = vars(record).get(_NOTED)
    if noted is not None:
        return dict(noted)
    found: dict[str, str] = {}
    request = current_request()
    if request is not None:
        found["service"], found["endpoint"] = request.service, request.endpoint
        if request_id := request.headers.get(REQUEST_ID):
            found["request_id"] = request_id.strip()[:_LONGEST]
        if told := request.headers.get("Nats-Request-Info"):
            found |= _caller(told)
    found |= _trace(None if request is None else request.headers.get("traceparent"))
    return found | {name: str(vars(record)[name]) for name in FIELDS if name in vars(record)}


def _caller(told: str) -> dict[str, str]:
    """Who calls, by what the server tells of a client of another account."""
    try:
        client = json.loads(told)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(client, dict):
        return {}
    name = client.get("name") or client.get("user")
    return {"caller": name[:_LONGEST]} if isinstance(name, str) and name else {}


def _trace(traceparent: str | None) -> dict[str, str]:
    """The ids of the current span, or those that the request came with."""
    trace = sys.modules.get("opentelemetry.trace")  # where it is not loaded there is no span
    if trace is not None:
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            return {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
    told = _TRACEPARENT.fullmatch(traceparent.strip()) if traceparent else None
    return {} if told is None else {"trace_id": told[1]}


def rfc3339(seconds: float) -> str:
    """A moment, in seconds since 1970, as people and programs read it."""
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _word(value: str) -> str:
    """A field's value, quoted where it is not one plain word."""
    plain = value.isascii() and value.isprintable() and value and not set(value) & set(' "[]=')
    return value if plain else json.dumps(value)
