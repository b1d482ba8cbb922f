"""A callable's parameters with their annotations resolved, whatever kind of callable it is.

Functions, bound methods, partials, decorated functions and objects with `__call__` all come out as
one list of `Parameter`s. A decorator's `__signature__` counts as what it says. Markers are found
behind every name of a type, and a marker in a place where it would be passed over is refused.
"""

from __future__ import annotations

import importlib
import inspect
import sys
from collections.abc import Callable, Iterable
from types import BuiltinFunctionType, ModuleType
from typing import Annotated, Any, NamedTuple, get_origin

from natsrpc import codecs
from natsrpc.errors import ConfigError

from .aliases import model_fields, parts, peel
from .layers import describe, fixed_keywords
from .markers import FACTORIES, MARKERS, MISSING, DependsMarker, Marker, spell
from .resolving import resolve

UNANNOTATED: Any = object()
"""The parameter, or the result, has no annotation."""

_FOREIGN = (
    "blacksheep dependency_injector dishka fast_depends fastapi faststream flask lagom litestar "
    "ninja robyn sanic starlette svcs taskiq taskiq_dependencies that_depends typer"
)
FOREIGN = frozenset(_FOREIGN.split())
"""Packages whose markers look like ours, and would be passed over: a way round authentication."""


_NO_TYPES = (int, float, bytes, list, tuple, dict, set, ModuleType, BuiltinFunctionType)
"""What people write where a type belongs: `any`, `[int]`, `(int, str)`, the module `datetime`."""


class Parameter(NamedTuple):
    """One parameter: its type without markers of ours, its default, its marker.

    `default` may be a `codecs.Factory`; `fresh` makes the value. `names` are those in a body, where
    they are not the parameter's own.
    """

    name: str
    type: Any
    default: Any
    marker: Marker | None
    positional_only: bool
    keyword_only: bool = False
    names: tuple[str, ...] = ()

    def fresh(self) -> Any:
        """The default, for one request alone."""
        default = self.default
        return default.make() if isinstance(default, codecs.Factory) else default


def parameters(function: Callable[..., Any]) -> tuple[list[Parameter], Any]:
    """The parameters a caller fills in, and the return annotation.

    Raises:
        ConfigError: there is no signature to read, it takes `*args` or `**kwargs`, or a parameter
            carries two markers, or one that would be passed over.
    """
    signature = _signature(function)
    _check_bound(function, signature)
    resolved = _resolved(function, signature)
    fixed = fixed_keywords(function)
    found = []
    for name, parameter in signature.parameters.items():
        if name in fixed:
            continue  # a partial's keyword: already decided
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            raise ConfigError(
                f"parameter {name!r} of {describe(function)!r} takes any number of arguments: name "
                "each of them; a decorator keeps the names with functools.wraps"
            )
        found.append(_parameter(function, parameter, resolved.get(name, UNANNOTATED)))
    return found, _result(function, resolved.get("return", UNANNOTATED))


def hints(function: Callable[..., Any]) -> dict[str, Any]:
    """The resolved annotations of a callable by parameter, that of its result as "return".

    Raises:
        ConfigError: there is no signature to read, or an annotation that cannot be resolved.
    """
    return _resolved(function, _signature(function))


def _resolved(function: Callable[..., Any], signature: inspect.Signature) -> dict[str, Any]:
    empty = inspect.Parameter.empty
    annotations = {
        each.name: each.annotation
        for each in signature.parameters.values()
        if each.annotation is not empty
    }
    if signature.return_annotation is not empty:
        annotations["return"] = signature.return_annotation
    return resolve(function, annotations)


def _signature(function: Callable[..., Any]) -> inspect.Signature:
    try:
        return inspect.signature(get_origin(function) or function, **_AS_WRITTEN)
    except (TypeError, ValueError) as error:
        raise ConfigError(
            f"{describe(function)!r} has no signature that can be read: wrap it in a function of "
            "your own, with annotations"
        ) from error


def _check_bound(function: Callable[..., Any], signature: inspect.Signature) -> None:
    """Refuse a method that was taken from its class, and so has no instance."""
    name, first = describe(function), next(iter(signature.parameters), "")
    if first in ("self", "cls") and "." in name:
        raise ConfigError(
            f"parameter {first!r} of {name!r} is the instance of a method, which was taken from "
            f"its class: {of_instance(name)}"
        )


def of_instance(name: str) -> str:
    """How a method is named, for messages."""
    owner, _, method = name.rpartition(".")
    return (
        f"name a method of an instance, {owner}().{method}; service.register({owner}()) serves all "
        "of its methods"
    )


def _as_written() -> dict[str, Any]:
    """From Python 3.14 on annotations are evaluated when they are asked for: not then, but in
    `resolve`, which knows more names."""
    if sys.version_info < (3, 14):
        return {}
    return {"annotation_format": importlib.import_module("annotationlib").Format.FORWARDREF}


_AS_WRITTEN: dict[str, Any] = _as_written()


def _result(function: Callable[..., Any], annotation: Any) -> Any:
    """The result's type, without outer names."""
    if annotation is UNANNOTATED:
        return UNANNOTATED
    where = f"the result of {describe(function)!r}"
    type_, metadata = _peel(where, annotation)
    markers = [each for each in metadata if _is_marker(each)]
    if markers:
        raise ConfigError(
            f"{where} is marked {spell(markers[0])}, which only parameters can be: remove it"
        )
    _check_inside(where, type_, fields=True)
    return _annotated(type_, metadata)


def _parameter(
    function: Callable[..., Any], parameter: inspect.Parameter, annotation: Any
) -> Parameter:
    where = f"parameter {parameter.name!r} of {describe(function)!r}"
    type_: Any = annotation
    metadata: tuple[Any, ...] = ()
    if annotation is not UNANNOTATED:
        type_, metadata = _peel(where, annotation)
    default = MISSING if parameter.default is parameter.empty else parameter.default
    markers = [each for each in metadata if isinstance(each, MARKERS)]
    if isinstance(default, MARKERS):
        markers.append(default)
        default = MISSING
    # a class that depends on others may name them in its fields
    _check_inside(where, type_, fields=not any(isinstance(m, DependsMarker) for m in markers))
    if len(markers) > 1:
        names = " and ".join(map(spell, markers))
        raise ConfigError(f"{where} is marked {names}: expected one marker")
    _check_called(where, (default, *metadata))
    _check_foreign(where, (default, *metadata))
    rest = tuple(each for each in metadata if not isinstance(each, MARKERS))
    return Parameter(
        name=parameter.name,
        type=_annotated(type_, rest),
        default=default,
        marker=markers[0] if markers else None,
        positional_only=parameter.kind is parameter.POSITIONAL_ONLY,
        keyword_only=parameter.kind is parameter.KEYWORD_ONLY,
    )


def _peel(where: str, annotation: Any) -> tuple[Any, tuple[Any, ...]]:
    try:
        found = peel(annotation)
    except ConfigError as error:
        raise ConfigError(f"{where} has an annotation that cannot be read: {error}") from error
    if isinstance(found.type, _NO_TYPES):
        raise ConfigError(
            f"{where} is annotated with {found.type!r}, which is no type: write one, as in int, "
            "list[int], tuple[int, str], Any or datetime.date"
        )
    return found


def _annotated(type_: Any, metadata: tuple[Any, ...]) -> Any:
    return Annotated[(type_, *metadata)] if metadata else type_


def _is_marker(each: Any) -> bool:
    return isinstance(each, MARKERS) or any(each is factory for factory in FACTORIES)


def _check_inside(where: str, type_: Any, *, fields: bool) -> None:
    """Refuse markers in an inner type, where nobody would look for them."""
    try:
        for inner, metadata in parts(type_, fields=fields):
            for each in metadata:
                if _is_marker(each):
                    raise ConfigError(
                        f"{where} has {spell(each)} inside its type, where it would mean nothing: "
                        f"write it outermost, Annotated[{_spell_type(type_)}, {spell(each)}]"
                    )
            _check_foreign(where, (*metadata, inner))
            if fields:
                _check_fields(where, inner)
    except RecursionError:
        raise ConfigError(f"{where} has an annotation that is nested too deeply") from None


def _check_fields(where: str, type_: Any) -> None:
    """Refuse a model with a marker as the default of a field: it would be given as a value."""
    for name, _, default in model_fields(type_):
        if _is_marker(default):
            raise ConfigError(
                f"{where}: field {name!r} of {type_.__name__} has the default {spell(default)}, "
                "which only parameters of handlers can have: move it there"
            )


def _spell_type(type_: Any) -> str:
    name = getattr(type_, "__name__", "...")
    return name if isinstance(type_, type) else "..."


def _check_called(where: str, found: Iterable[Any]) -> None:
    for each in found:
        for factory in FACTORIES:
            if each is factory:
                raise ConfigError(
                    f"{where} names {factory.__name__}: call it, {factory.__name__}(...)"
                )


def _check_foreign(where: str, found: Iterable[Any]) -> None:
    for each in found:
        cls = each if isinstance(each, type) else type(each)
        package = cls.__module__.partition(".")[0]
        if package in FOREIGN:
            raise ConfigError(
                f"{where} has {package}'s {cls.__name__}, which means nothing to natsrpc: "
                f"{_CURES.get(cls.__name__, _CURE)}"
            )


_CURE = "use Depends, Header, Token, Embed or Context of natsrpc"
_CURES = {
    "Depends": "import Depends from natsrpc",
    "Security": "import Depends from natsrpc, and read a Header in the function",
    "Header": "import Header from natsrpc, and write the header's name: Header('X-Tenant')",
    "Path": "a parameter with the name of a {token} of the subject reads that token",
    "Query": "there is no query: what callers send is the body, so a plain parameter is a field",
    "Body": "a plain parameter is the body; Annotated[T, Embed] makes a single one a field",
    "Form": "a plain parameter is the body, or a field of it",
    "File": "take the bytes as `data: bytes`, or a stream as AsyncIterator[bytes]",
    "UploadFile": "take the bytes as `data: bytes`, or a stream as AsyncIterator[bytes]",
    "Cookie": "there are no cookies: read Header('Name')",
    "Request": "annotate it as natsrpc.Context, which has the request's headers and subject",
    "Response": "annotate it as natsrpc.Context and fill context.reply_headers",
    "BackgroundTasks": "annotate it as natsrpc.Context, whose after_reply(...) runs work later",
    "WebSocket": "take AsyncIterator[T] and return AsyncIterator[T]",
    "Context": "import Context from natsrpc",
}
