"""Whether a codec can carry the types of a handler, and if not, which of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from natsrpc import codecs
from natsrpc.errors import ConfigError

from .places import located
from .plan import CallPlan


def check_codec(call_plan: CallPlan, codec: codecs.Codec) -> None:
    """Refuse a handler with a type that the codec of its service cannot carry.

    Raises:
        ConfigError: it has one; the parameter is named.
    """
    with located(call_plan.function):
        for where, type_ in _types(call_plan):
            _check(where, type_, codec)


def _types(call_plan: CallPlan) -> Iterator[tuple[str, Any]]:
    """The types of a handler's messages, each with its place in words."""
    name = call_plan.name
    for parameter in (call_plan.body[0] if call_plan.whole else None, call_plan.stream):
        if parameter is not None:
            is_stream = parameter is call_plan.stream
            type_ = call_plan.stream_type if is_stream else call_plan.request_type
            yield f"parameter {parameter.name!r} of handler {name!r}", type_
    if not call_plan.whole:
        yield f"the body of handler {name!r}", call_plan.request_type
    yield f"the result of handler {name!r}", call_plan.response_type


def _check(where: str, type_: Any, codec: codecs.Codec) -> None:
    try:
        codec.bind(type_)
        check = getattr(codec, "check", None)
        if check is not None:
            check(type_)
    except Exception as error:  # a codec of a user's may raise anything
        if isinstance(type_, type) and issubclass(type_, codecs.Fields):
            for name, (inner, _) in type_.parameters.items():
                _check(f"parameter {name!r}{where.removeprefix('the body')}", inner, codec)
        raise ConfigError(
            f"{where} has a type that codec {codec.name!r} cannot carry: {error}"
        ) from error
