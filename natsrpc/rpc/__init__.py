"""Typed calls: services, clients, and what travels between them."""

from typing import TYPE_CHECKING

from natsrpc.errors import RpcError

from .calling import NOTHING as NOTHING
from .calling import (
    Attempt,
    Call,
    CallObserver,
    GivenHeaders,
    Policy,
    Publication,
    Reply,
    endpoint_of,
)
from .calling import Failure as Failure
from .calling import Proxy as Proxy
from .calling import remote_methods as remote_methods
from .client import Client
from .client import unstarted as unstarted
from .connecting import ClientOptions, OfClient, check_of_client, connect, opening
from .contract import OVER as OVER
from .contract import (
    Context,
    EndpointContract,
    EventContract,
    Kind,
    Limits,
    Middleware,
    Next,
    Retry,
    ServiceContract,
    WorkerContract,
    compose,
    error_id_of,
    from_wire,
    is_error,
    relayed,
    users_part,
)
from .contract import description as description
from .contract import gives_stream as gives_stream
from .contract import refused_request as refused_request
from .created import on_created
from .encoded import Encoded
from .headers import REQUEST_ID, CurrentRequest, current_request, no_deadline
from .headers import DeadlineClock as DeadlineClock
from .headers import inherited as inherited
from .process import (
    GRACE,
    Stopping,
    end_process,
    on_signals,
    run,
    serve_until,
    until_stopped,
    watch_over_end,
)
from .service import Lifespan, Service
from .serving import STUBBORN_AFTER as STUBBORN_AFTER
from .serving import AfterReply as AfterReply
from .serving import (
    Attachment,
    Dependencies,
    Endpoint,
    Group,
    Meter,
    Observer,
    OnFailed,
    Router,
    Run,
    RunEvent,
    RunningService,
    Server,
    Subscriber,
    ended,
    take_failure,
)
from .serving import Coding as Coding
from .serving import Codings as Codings
from .serving import Gate as Gate
from .serving import Losses as Losses
from .serving import cancel_and_hold as cancel_and_hold
from .serving import direct as direct
from .serving import is_unstarted as is_unstarted
from .serving import metered_event as metered_event
from .serving import method_endpoint as endpoint
from .serving import task_starter as task_starter
from .serving import thread_clock as thread_clock
from .settling import Settling as Settling
from .signature import CallPlan as CallPlan
from .signature import Depends, Embed, Event, HandlerOptions, Header, Token
from .signature import OfWork as OfWork
from .signature import hints as hints
from .streams import MAX_BODY as MAX_BODY
from .streams import PATIENCE as PATIENCE

if TYPE_CHECKING:
    from .calling import Anything as Anything
    from .calling import CallOptions as CallOptions
    from .calling import CommonOptions as CommonOptions
    from .calling import First as First
    from .calling import GatherOptions as GatherOptions
    from .calling import Handler as Handler
    from .calling import OpeningOptions as OpeningOptions
    from .calling import RequestDoesNotFit as RequestDoesNotFit
    from .calling import Second as Second
    from .calling import Third as Third
    from .calling import UseStream as UseStream
    from .calling import UseUpload as UseUpload

Caller = Client
"""Another name of `Client`."""

__all__ = [
    "GRACE",
    "REQUEST_ID",
    "Attachment",
    "Attempt",
    "Call",
    "CallObserver",
    "Caller",
    "Client",
    "ClientOptions",
    "Context",
    "CurrentRequest",
    "Dependencies",
    "Depends",
    "Embed",
    "Encoded",
    "Endpoint",
    "EndpointContract",
    "Event",
    "EventContract",
    "GivenHeaders",
    "Group",
    "HandlerOptions",
    "Header",
    "Kind",
    "Lifespan",
    "Limits",
    "Meter",
    "Middleware",
    "Next",
    "Observer",
    "OfClient",
    "OnFailed",
    "Policy",
    "Publication",
    "Reply",
    "Retry",
    "Router",
    "RpcError",
    "Run",
    "RunEvent",
    "RunningService",
    "Server",
    "Service",
    "ServiceContract",
    "Stopping",
    "Subscriber",
    "Token",
    "WorkerContract",
    "check_of_client",
    "compose",
    "connect",
    "current_request",
    "end_process",
    "ended",
    "endpoint",
    "endpoint_of",
    "error_id_of",
    "from_wire",
    "is_error",
    "no_deadline",
    "on_created",
    "on_signals",
    "opening",
    "relayed",
    "run",
    "serve_until",
    "take_failure",
    "until_stopped",
    "users_part",
    "watch_over_end",
]
