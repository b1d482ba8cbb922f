"""The contract of a service, and the context of one request: data that both halves read."""

from .afterwards import OVER, Afterwards, Later
from .context import Context, check_text
from .error_headers import (
    description,
    error_id_of,
    from_wire,
    internal,
    is_error,
    is_ours,
    refused_request,
    to_wire,
)
from .middleware import Middleware, Next, compose
from .passing import PASSING, lasting
from .relay import is_end_of_time, real_error, relayed
from .reserved import TOKEN, check_event_subject, check_inbox_prefix, is_reserved
from .tables import (
    KIND_KEY,
    MAX_WAITING_BYTES,
    MAX_WAITING_EVENTS,
    EndpointContract,
    EventContract,
    Kind,
    Limits,
    ServiceContract,
    check_errors,
    gives_stream,
    takes_stream,
)
from .tracebacks import users_part
from .work import Retry, WorkerContract, check_asset

__all__ = [
    "KIND_KEY",
    "MAX_WAITING_BYTES",
    "MAX_WAITING_EVENTS",
    "OVER",
    "PASSING",
    "TOKEN",
    "Afterwards",
    "Context",
    "EndpointContract",
    "EventContract",
    "Kind",
    "Later",
    "Limits",
    "Middleware",
    "Next",
    "Retry",
    "ServiceContract",
    "WorkerContract",
    "check_asset",
    "check_errors",
    "check_event_subject",
    "check_inbox_prefix",
    "check_text",
    "compose",
    "description",
    "error_id_of",
    "from_wire",
    "gives_stream",
    "internal",
    "is_end_of_time",
    "is_error",
    "is_ours",
    "is_reserved",
    "lasting",
    "real_error",
    "refused_request",
    "relayed",
    "takes_stream",
    "to_wire",
    "users_part",
]
