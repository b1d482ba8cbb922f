"""The service half: endpoints registered, admitted, run and answered."""

from .definition import MAX_CONCURRENCY, MAX_WAITING, Definition, Servable
from .dependencies import Dependencies
from .endpoint import Endpoint
from .endpoints import Endpoints, Group
from .level import Level
from .lifespan import lifespan_of
from .objects import endpoint as method_endpoint
from .replies import check_prefixes
from .router import Router
from .running import Attachment, RunningService
from .server import Server
from .subscriber import Subscriber

__all__ = [
    "MAX_CONCURRENCY",
    "MAX_WAITING",
    "Attachment",
    "Definition",
    "Dependencies",
    "Endpoint",
    "Endpoints",
    "Group",
    "Level",
    "Router",
    "RunningService",
    "Servable",
    "Server",
    "Subscriber",
    "check_prefixes",
    "lifespan_of",
    "method_endpoint",
]
