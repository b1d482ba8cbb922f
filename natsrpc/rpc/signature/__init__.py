"""Signatures of handlers, read once at registration: a function becomes its call plan."""

from . import names, registry
from .annotations import UNANNOTATED, Parameter, describe, is_async, parameters
from .markers import MISSING, Depends, Embed, Header, Token
from .methods import public_methods
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
    "describe",
    "is_async",
    "names",
    "parameters",
    "plan",
    "public_methods",
    "registry",
    "substitute",
]
