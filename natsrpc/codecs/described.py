"""What pydantic's `Field(...)` says of one parameter, read once: its type, default and names.

`Field` may stand as the parameter's default or among the metadata of its type. pydantic is not
imported here: where it is not loaded yet, nobody can have written a `Field`.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from typing import Annotated, Any, NamedTuple, get_args, get_origin

from natsrpc.errors import ConfigError

from .fields import REQUIRED


class Described(NamedTuple):
    """A parameter's type with its constraints, its default, and its names in a body.

    `default` is a value, a `Factory` or REQUIRED. `names` is empty for a parameter that is read by
    its own name.
    """

    type: Any
    default: Any
    names: tuple[str, ...] = ()


def described(type_: Any, default: Any = REQUIRED) -> Described:
    """Read a parameter's type and default, either of which may hold a pydantic `Field(...)`.

    Raises:
        ConfigError: the field says something that has no meaning for a parameter, or its default
            is not valid and `validate_default` asks for that.
    """
    pydantic = sys.modules.get("pydantic.fields")
    if pydantic is None:
        return Described(type_, default)
    metadata = get_args(type_)[1:] if get_origin(type_) is Annotated else ()
    found = [each for each in (*metadata, default) if isinstance(each, pydantic.FieldInfo)]
    for each in found:
        if type(each) is not pydantic.FieldInfo:
            raise ConfigError(
                f"{type(each).__module__.partition('.')[0]}'s {type(each).__name__}(...) has no "
                "meaning here: write pydantic's Field(...), or a marker of natsrpc"
            )
    if not found:
        return Described(type_, default)
    read: Callable[[Any, Any], tuple[Any, Any, tuple[str, ...]]]
    read = importlib.import_module(".field_info", __package__).read_field
    return Described(*read(type_, default))
