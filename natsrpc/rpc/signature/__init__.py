"""Signatures of handlers, read once at registration: a function becomes its call plan."""

from . import names, registry
from .aliases import peel, plain
from .annotations import UNANNOTATED, Parameter, hints, parameters
from .callables import Style, style
from .callers import caller, depth_of_caller, place_of
from .carrying import check_codec
from .event import Event, event_contracts
from .keys import key_reader
from .layers import describe, identity, is_async
from .markers import MISSING, Depends, DependsMarker, Embed, Header, Token
from .marks import HandlerOptions, Mark, mark_of, marked_methods, public_methods, set_mark
from .places import located, place
from .plan import CallPlan, Dependency, all_dependencies, plan, substitute
from .rehearsal import check_guards, guarded, rehearse
from .sources import token_of, token_text
from .work import OfWork, check_batch, check_work

__all__ = [
    "MISSING",
    "UNANNOTATED",
    "CallPlan",
    "Dependency",
    "Depends",
    "DependsMarker",
    "Embed",
    "Event",
    "HandlerOptions",
    "Header",
    "Mark",
    "OfWork",
    "Parameter",
    "Style",
    "Token",
    "all_dependencies",
    "caller",
    "check_batch",
    "check_codec",
    "check_guards",
    "check_work",
    "depth_of_caller",
    "describe",
    "event_contracts",
    "guarded",
    "hints",
    "identity",
    "is_async",
    "key_reader",
    "located",
    "mark_of",
    "marked_methods",
    "names",
    "parameters",
    "peel",
    "place",
    "place_of",
    "plain",
    "plan",
    "public_methods",
    "registry",
    "rehearse",
    "set_mark",
    "style",
    "substitute",
    "token_of",
    "token_text",
]
