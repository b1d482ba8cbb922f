"""The service half: endpoints registered, admitted, run and answered."""

from .afterwards import AfterReply
from .callbacks import ServiceCallbacks
from .codings import Coding, Codings
from .definition import MAX_CONCURRENCY, MAX_WAITING, Definition, Servable
from .dependencies import Dependencies
from .eager import cancel_and_hold, is_unstarted, task_starter
from .endpoint import STUBBORN_AFTER, Endpoint, direct
from .endpoints import Endpoints, Group
from .level import Level
from .lifespan import lifespan_of
from .losses import Losses
from .meters import Meter, Run, RunEvent, ended, metered_event, take_failure
from .objects import endpoint as method_endpoint
from .observers import Observer
from .outcomes import OnFailed
from .replies import check_prefixes
from .router import Router
from .running import Attachment, RunningService
from .server import Server
from .slots import Gate
from .subscriber import Subscriber
from .threads import thread_clock

__all__ = [
    "MAX_CONCURRENCY",
    "MAX_WAITING",
    "STUBBORN_AFTER",
    "AfterReply",
    "Attachment",
    "Coding",
    "Codings",
    "Definition",
    "Dependencies",
    "Endpoint",
    "Endpoints",
    "Gate",
    "Group",
    "Level",
    "Losses",
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
    "cancel_and_hold",
    "check_prefixes",
    "direct",
    "ended",
    "is_unstarted",
    "lifespan_of",
    "metered_event",
    "method_endpoint",
    "take_failure",
    "task_starter",
    "thread_clock",
]
