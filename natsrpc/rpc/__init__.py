"""Typed calls: services, clients, and what travels between them."""

from natsrpc.errors import RpcError

from .calling import Call, Policy, Reply
from .client import Client
from .connecting import ClientOptions, OfClient, connect, opening
from .contract import (
    Context,
    EndpointContract,
    EventContract,
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
    Subscriber,
)
from .serving import method_endpoint as endpoint
from .signature import Depends, Embed, Event, HandlerOptions, Header, Token
from .trial import TestClient

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
    "Event",
    "EventContract",
    "Group",
    "HandlerOptions",
    "Header",
    "Kind",
    "Lifespan",
    "Limits",
    "Middleware",
    "Next",
    "OfClient",
    "Policy",
    "Reply",
    "Router",
    "RpcError",
    "RunningService",
    "Server",
    "Service",
    "ServiceContract",
    "Stopping",
    "Subscriber",
    "TestClient",
    "Token",
    "compose",
    "connect",
    "endpoint",
    "from_wire",
    "is_error",
    "no_deadline",
    "opening",
    "relayed",
    "run",
    "serve_until",
]
