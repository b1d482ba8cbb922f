"""The client half: typed calls, streams and gathers, bound to a target once and made many times."""

from .binding import Errors
from .bound import Call
from .policy import Policy
from .proxy import make_proxy
from .unary import Caller

__all__ = [
    "Call",
    "Caller",
    "Errors",
    "Policy",
    "make_proxy",
]
