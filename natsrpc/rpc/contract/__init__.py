"""The contract of a service, and the context of one request: data that both halves read."""

from .context import Context
from .error_headers import description, from_wire, internal, is_error, refused_request, to_wire
from .middleware import Middleware, Next, compose
from .tables import (
    EndpointContract,
    Kind,
    Limits,
    ServiceContract,
    check_errors,
    gives_stream,
    takes_stream,
)

__all__ = [
    "Context",
    "EndpointContract",
    "Kind",
    "Limits",
    "Middleware",
    "Next",
    "ServiceContract",
    "check_errors",
    "compose",
    "description",
    "from_wire",
    "gives_stream",
    "internal",
    "is_error",
    "refused_request",
    "takes_stream",
    "to_wire",
]
