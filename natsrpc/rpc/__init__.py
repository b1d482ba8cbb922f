"""Typed calls: services, clients, and what travels between them."""

from natsrpc.errors import RpcError

from .calling import Call, Policy, Reply
from .client import Client
from .connecting import ClientOptions, connect
from .contract import (
    Context,
    EndpointContract,
    Kind,
    Limits,
    Middleware,
    Next,
    ServiceContract,
    compose,
    from_wire,
    is_error,
    relayed,
)
from .encoded import Encoded
from .headers import no_deadline
from .process import Stopping, run, serve_until
from .service import Lifespan, Service
from .serving import (
    Attachment,
    Dependencies,
    Endpoint,
    Group,
    Router,
    RunningService,
    Server,
)
from .serving import method_endpoint as endpoint
from .signature import Depends, Embed, HandlerOptions, Header, Token

Caller = Client

__all__ = [
    "Attachment",
    "Call",
    "Caller",
    "Client",
    "ClientOptions",
    "Context",
    "Dependencies",
    "Depends",
    "Embed",
    "Encoded",
    "Endpoint",
    "EndpointContract",
    "Group",
    "HandlerOptions",
    "Header",
    "Kind",
    "Lifespan",
    "Limits",
    "Middleware",
    "Next",
    "Policy",
    "Reply",
    "Router",
    "RpcError",
    "RunningService",
    "Server",
    "Service",
    "ServiceContract",
    "Stopping",
    "Token",
    "compose",
    "connect",
    "endpoint",
    "from_wire",
    "is_error",
    "no_deadline",
    "relayed",
    "run",
    "serve_until",
]
