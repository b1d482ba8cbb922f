"""The service half: endpoints registered, admitted, run and answered."""

from .endpoint import Endpoint
from .invoke import Dependencies
from .server import Attachment, RunningService, Server, attachments, before_start
from .service import Group, Lifespan, Service, kits

__all__ = [
    "Attachment",
    "Dependencies",
    "Endpoint",
    "Group",
    "Lifespan",
    "RunningService",
    "Server",
    "Service",
    "attachments",
    "before_start",
    "kits",
]
