"""Markers: handlers write them in their signatures, to get something else than the request's body.

Each works as a default (`db: Db = Depends(open_db)`) and inside `Annotated[Db, Depends(open_db)]`.
The factories are typed `Any` so that they fit as a default of any parameter. A marker is refused
where it is written if it could never be read.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, ParamSpec, TypeVar

from natsrpc.errors import ConfigTypeError

P = ParamSpec("P")
R = TypeVar("R")

MISSING: Any = object()
"""The parameter has no default."""


@dataclass(frozen=True, slots=True)
class HeaderMarker:
    """Read a header of the request."""

    name: str
    default: Any = MISSING

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Refuse to be a part of a type."""
        raise _misplaced(self)


@dataclass(frozen=True, slots=True)
class TokenMarker:
    """Read a token of the request's subject."""

    name: str

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Refuse to be a part of a type."""
        raise _misplaced(self)


@dataclass(frozen=True, slots=True)
class DependsMarker:
    """Call a function, and clean up after it if it is a generator."""

    function: Callable[..., Any]
    scope: Literal["request", "app"]
    thread: bool = True

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Refuse to be a part of a type."""
        raise _misplaced(self)


@dataclass(frozen=True, slots=True)
class EmbedMarker:
    """Make the only body parameter a field of the body."""

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        """Refuse to be a part of a type."""
        raise _misplaced(self)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Tell that there is nothing to call.

        Raises:
            ConfigTypeError: always.
        """
        raise ConfigTypeError("Embed takes no brackets: write Annotated[T, Embed]")


Marker = HeaderMarker | TokenMarker | DependsMarker | EmbedMarker
MARKERS = (HeaderMarker, TokenMarker, DependsMarker, EmbedMarker)

Embed: EmbedMarker = EmbedMarker()
"""`Annotated[T, Embed]`: the body is an object, and this parameter is its field."""


def spell(marker: Any) -> str:
    """A marker as it is written, for messages."""
    if isinstance(marker, HeaderMarker):
        return f"Header({marker.name!r})"
    if isinstance(marker, TokenMarker):
        return f"Token({marker.name!r})"
    if isinstance(marker, EmbedMarker):
        return "Embed"
    if isinstance(marker, DependsMarker):
        return f"Depends({getattr(marker.function, '__name__', '...')})"
    name: str = marker.__name__  # a factory without brackets
    return name


def _misplaced(marker: Any) -> ConfigTypeError:
    return ConfigTypeError(
        f"{spell(marker)} marks a parameter of a handler, and means nothing inside another type or "
        "as a field of a model: move it to the handler's own parameter"
    )


def _clear(usage: str) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Have a factory that is called with wrong arguments say how it is called."""

    def decorate(factory: Callable[P, R]) -> Callable[P, R]:
        @functools.wraps(factory)
        def call(*args: P.args, **kwargs: P.kwargs) -> R:
            try:
                return factory(*args, **kwargs)
            except ConfigTypeError:
                raise
            except TypeError as error:
                raise ConfigTypeError(f"{error}: write {usage}") from None

        return call

    return decorate


@_clear('Header("X-Tenant"), or Header("X-Limit", 10) with a default')
def Header(name: str, default: Any = MISSING) -> Any:  # noqa: N802 — reads as a type in a signature
    """The first value of header `name`, converted to the parameter's type.

    `bytes` are the value as it came; a list has all values of that header. Without `default` a
    request that lacks the header is refused with 422, unless the parameter's type takes None.

    Raises:
        ConfigTypeError: `name` is no header's name.
    """
    if not isinstance(name, str) or not name or not name.isascii() or not name.isprintable():
        raise ConfigTypeError(f"bad header {name!r}: expected its name, as in Header('X-Tenant')")
    if set(name) & set(": \t"):
        raise ConfigTypeError(f"bad header {name!r}: a name has no blank and no colon")
    return HeaderMarker(name, default)


@_clear('Token("user"), or Token() for the token with the name of the parameter')
def Token(name: str = "") -> Any:  # noqa: N802 — reads as a type in a signature
    """The token `{name}` of the handler's subject, converted to the parameter's type.

    Without `name` the parameter's own name is meant.

    Raises:
        ConfigTypeError: `name` is no text.
    """
    if not isinstance(name, str):
        raise ConfigTypeError(f"bad token {name!r}: expected its name, as in Token('user')")
    return TokenMarker(name)


@_clear("Depends(function), with the function that makes the value")
def Depends(  # noqa: N802 — reads as a type in a signature
    function: Callable[..., Any],
    *,
    scope: Literal["request", "app"] = "request",
    thread: bool = True,
) -> Any:
    """The value that `function` returns or yields.

    A generator (plain or async, also a decorated one, as by `@contextmanager`) is resumed for
    cleaning up when its scope ends: the request, or (`scope="app"`) the running service. An error
    of the handler is raised at its `yield`, and remains the answer, also if it is caught there. In
    one scope a function is called once, however often it is named. Its own parameters may be
    `Depends`, `Context`, `Msg`, `Header` and `Token`; they never read the body.

    A plain function runs in the threads of plain handlers, both halves of a generator, too. With
    `thread=False` it runs on the event loop: for one that is quick and never waits, as a thread
    costs some 40 microseconds.

    Raises:
        ConfigTypeError: `function` cannot be called, there is no such scope, or `thread` is no
            bool.
    """
    if not callable(function):
        raise ConfigTypeError(
            f"Depends() needs a callable, not {function!r}: name the function without calling it, "
            "Depends(open_db)"
        )
    if scope not in ("request", "app"):
        raise ConfigTypeError(f"scope is {scope!r}: expected 'request' or 'app'")
    if not isinstance(thread, bool):
        raise ConfigTypeError(f"thread is {thread!r}: expected True or False")
    return DependsMarker(function, scope, thread)


FACTORIES: tuple[Callable[..., Any], ...] = (Header, Token, Depends)
"""The functions that make markers. One that is written without brackets is a mistake."""
