"""The client half: typed calls, streams and gathers, bound to a target once and made many times."""

from typing import TYPE_CHECKING

from .binding import Errors, endpoint_of
from .bound import NOTHING
from .call import Call
from .enqueuing import Enqueuer
from .gather import Failure
from .observing import CallObserver, GivenHeaders, Publication
from .pipeline import Pipeline
from .policy import Attempt, Policy, scoped
from .proxy import Proxy, make_proxy, remote_methods
from .publishing import Publisher
from .reply import Reply
from .requests import Requests

if TYPE_CHECKING:
    from .arguments import Anything as Anything
    from .arguments import CallOptions as CallOptions
    from .arguments import CommonOptions as CommonOptions
    from .arguments import First as First
    from .arguments import GatherOptions as GatherOptions
    from .arguments import Handler as Handler
    from .arguments import OpeningOptions as OpeningOptions
    from .arguments import RequestDoesNotFit as RequestDoesNotFit
    from .arguments import Second as Second
    from .arguments import StreamOptions as StreamOptions
    from .arguments import Third as Third
    from .arguments import UseStream as UseStream
    from .arguments import UseUpload as UseUpload

__all__ = [
    "NOTHING",
    "Attempt",
    "Call",
    "CallObserver",
    "Enqueuer",
    "Errors",
    "Failure",
    "GivenHeaders",
    "Pipeline",
    "Policy",
    "Proxy",
    "Publication",
    "Publisher",
    "Reply",
    "Requests",
    "endpoint_of",
    "make_proxy",
    "remote_methods",
    "scoped",
]
