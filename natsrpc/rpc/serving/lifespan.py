"""What a service's lifespan takes: the service, or the service and a client. Read once, when the
service is made, so that a wrong one is refused where it is written."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from natsrpc.errors import ConfigError, ConfigTypeError

from ..signature import UNANNOTATED, describe, parameters

EXPECTED = "expected (service) or (service, client), as in `async def lifespan(service, client):`"

Manager = AbstractAsyncContextManager[Any]


def lifespan_of(
    service: Any, client_class: type, lifespan: Callable[..., Manager]
) -> Callable[[Any], Manager]:
    """A lifespan as a function of the client alone.

    Raises:
        ConfigError: it takes neither one parameter nor two, or gives no async context manager.
    """
    if not callable(lifespan):
        raise ConfigTypeError(f"lifespan is {lifespan!r}: expected a function")
    name = describe(lifespan)
    inner = inspect.unwrap(lifespan)
    if inspect.isgeneratorfunction(inner):
        raise ConfigError(
            f"lifespan {name!r} is a plain generator: write `async def` and decorate it with "
            "@contextlib.asynccontextmanager"
        )
    if inspect.isasyncgenfunction(lifespan) or inspect.iscoroutinefunction(lifespan):
        raise ConfigError(
            f"lifespan {name!r} gives no context manager: decorate it with "
            "@contextlib.asynccontextmanager, and let it yield once"
        )
    if _takes_client(name, lifespan, type(service), client_class):
        return lambda client: lifespan(service, client)
    return lambda client: lifespan(service)


def _takes_client(
    name: str, lifespan: Callable[..., Any], service_class: type, client_class: type
) -> bool:
    types = _types(lifespan)
    expected = (service_class, client_class)
    given: list[inspect.Parameter] = []
    for parameter in inspect.signature(lifespan).parameters.values():
        type_ = types.get(parameter.name, UNANNOTATED)
        if parameter.default is not parameter.empty:
            if type_ is client_class or parameter.name == "client":
                text = "has a default, so it would never be filled: leave that out"
                raise ConfigError(f"parameter {parameter.name!r} of lifespan {name!r} {text}")
            continue
        place = len(given)
        is_placed = parameter.kind in (parameter.POSITIONAL_ONLY, parameter.POSITIONAL_OR_KEYWORD)
        if place == len(expected) or not is_placed:
            text = f"is one that nobody fills: {EXPECTED}"
            raise ConfigError(f"parameter {parameter.name!r} of lifespan {name!r} {text}")
        if inspect.isclass(type_) and not issubclass(expected[place], type_):
            text = f"is a {type_.__name__}, and gets a {expected[place].__name__}: {EXPECTED}"
            raise ConfigError(f"parameter {parameter.name!r} of lifespan {name!r} {text}")
        given.append(parameter)
    if not given:
        raise ConfigError(f"lifespan {name!r} takes no parameter: {EXPECTED}")
    return len(given) == len(expected)


def _types(lifespan: Callable[..., Any]) -> dict[str, Any]:
    """The types of its parameters; none where they cannot be read, as names that are imported for
    type checkers alone: they are looked at only to find a mistake."""
    try:
        return {each.name: each.type for each in parameters(lifespan)[0]}
    except ConfigError:
        return {}
