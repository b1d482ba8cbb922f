"""Markers: handlers write them in their signatures, to get something else than the request's body.

Each works as a default (`db: Db = Depends(open_db)`) and inside `Annotated[Db, Depends(open_db)]`.
The factories are typed `Any` so that they fit as a default of any parameter.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

MISSING: Any = object()
"""The parameter has no default."""


@dataclass(frozen=True, slots=True)
class HeaderMarker:
    """Read a header of the request."""

    name: str
    default: Any = MISSING


@dataclass(frozen=True, slots=True)
class TokenMarker:
    """Read a token of the request's subject."""

    name: str


@dataclass(frozen=True, slots=True)
class DependsMarker:
    """Call a function, and clean up after it if it is a generator."""

    function: Callable[..., Any]
    scope: Literal["request", "app"]


@dataclass(frozen=True, slots=True)
class EmbedMarker:
    """Make the only body parameter a field of the body."""


Marker = HeaderMarker | TokenMarker | DependsMarker | EmbedMarker
MARKERS = (HeaderMarker, TokenMarker, DependsMarker, EmbedMarker)

Embed: EmbedMarker = EmbedMarker()
"""`Annotated[T, Embed]`: the body is an object, and this parameter is its field."""


def Header(name: str, default: Any = MISSING) -> Any:  # noqa: N802 — reads as a type in a signature
    """The first value of header `name`, converted to the parameter's type.

    Without `default` a request that lacks the header is refused with 422, unless the parameter's
    type takes None.
    """
    return HeaderMarker(name, default)


def Token(name: str = "") -> Any:  # noqa: N802 — reads as a type in a signature
    """The token `{name}` of the handler's subject, converted to the parameter's type.

    Without `name` the parameter's own name is meant.
    """
    return TokenMarker(name)


def Depends(  # noqa: N802 — reads as a type in a signature
    function: Callable[..., Any], *, scope: Literal["request", "app"] = "request"
) -> Any:
    """The value that `function` returns or yields.

    A generator (plain or async) is resumed for cleaning up when its scope ends: the request, or
    (`scope="app"`) the running service. In one scope a function is called once, however often it
    is named. Its own parameters may be `Depends`, `Context`, `Msg`, `Header` and `Token`; they
    never read the body.
    """
    return DependsMarker(function, scope)


FACTORIES = (Header, Token, Depends)
"""The functions that make markers. One that is written without brackets is a mistake."""
