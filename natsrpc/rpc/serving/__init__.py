"""The service half: endpoints registered, admitted, run and answered."""

from .callbacks import ServiceCallbacks
from .definition import MAX_CONCURRENCY, MAX_WAITING, Definition, Servable
from .dependencies import Dependencies
from .endpoint import Endpoint
from .endpoints import Endpoints, Group
from .level import Level
from .lifespan import lifespan_of
from .meters import Meter, Run, RunEvent, ended, take_failure
from .objects import endpoint as method_endpoint
from .observers import Observer
from .outcomes import OnFailed
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
    "Meter",
    "Observer",
    "OnFailed",
    "Router",
    "Run",
    "RunEvent",
    "RunningService",
    "Servable",
    "Server",
    "ServiceCallbacks",
    "Subscriber",
    "check_prefixes",
    "ended",
    "lifespan_of",
    "method_endpoint",
    "take_failure",
]
