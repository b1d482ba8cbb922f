"""Typed calls: services, clients, and what travels between them."""

from natsrpc.errors import RpcError

from .caller import Caller
from .calls import Call
from .client import Client, connect
from .context import Context
from .contract import EndpointContract, Kind, Limits, ServiceContract
from .encoded import Encoded
from .endpoint import Endpoint
from .inherited import no_deadline
from .invoke import Dependencies
from .markers import Depends, Embed, Header, Token
from .middleware import Middleware, Next, compose
from .policy import Policy
from .process import Stopping, run, serve_until
from .server import Attachment, RunningService, Server, attachments, before_start
from .service import Group, Service, kits
from .status import from_wire, is_error

ServedService = RunningService

__all__ = [
    "Attachment",
    "Call",
    "Caller",
    "Client",
    "Context",
    "Dependencies",
    "Depends",
    "Embed",
    "Encoded",
    "Endpoint",
    "EndpointContract",
    "Group",
    "Header",
    "Kind",
    "Limits",
    "Middleware",
    "Next",
    "Policy",
    "RpcError",
    "RunningService",
    "ServedService",
    "Server",
    "Service",
    "ServiceContract",
    "Stopping",
    "Token",
    "attachments",
    "before_start",
    "compose",
    "connect",
    "from_wire",
    "is_error",
    "kits",
    "no_deadline",
    "run",
    "serve_until",
]
