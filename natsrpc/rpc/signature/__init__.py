"""Signatures of handlers, read once at registration: a function becomes its call plan."""

from . import names, registry
from .annotations import UNANNOTATED, Parameter, parameters
from .carrying import check_codec
from .layers import describe, identity, is_async
from .markers import MISSING, Depends, Embed, Header, Token
from .methods import public_methods
from .places import located, place
from .plan import CallPlan, Dependency, all_dependencies, plan, substitute

__all__ = [
    "MISSING",
    "UNANNOTATED",
    "CallPlan",
    "Dependency",
    "Depends",
    "Embed",
    "Header",
    "Parameter",
    "Token",
    "all_dependencies",
    "check_codec",
    "describe",
    "identity",
    "is_async",
    "located",
    "names",
    "parameters",
    "place",
    "plan",
    "public_methods",
    "registry",
    "substitute",
]
