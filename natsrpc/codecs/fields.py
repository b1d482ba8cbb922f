"""Several values in one body: a type made of named fields.

The body for a handler with several body parameters is an object with a field for each. The rooms
above call `fields` to make the type of that object. Any codec can bind it; it decodes to a plain
dict of arguments, with the defaults filled in.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Final, cast

if TYPE_CHECKING:
    from pydantic import GetCoreSchemaHandler
    from pydantic_core import CoreSchema


class _Required(enum.Enum):
    REQUIRED = enum.auto()

    def __repr__(self) -> str:
        return "REQUIRED"


REQUIRED: Final = _Required.REQUIRED
"""In the place of a default: the field has none and must be sent."""


@dataclass(frozen=True, slots=True)
class Factory:
    """In the place of a default: the function that makes it anew each time it is needed.

    With `takes_data` it is called with the fields before it, a dict.
    """

    make: Callable[..., Any]
    takes_data: bool = False


class Fields(dict[str, Any]):
    """The base class of the types that `fields` makes. Their values are plain dicts.

    `parameters` maps each field's name to its type and its default: a value, a `Factory`, or
    REQUIRED. `names` maps those fields that have another name in the body to the names they are
    read by; the first of them is written. A codec that does not work through pydantic reads the
    fields there.
    """

    parameters: ClassVar[Mapping[str, tuple[Any, Any]]] = {}
    names: ClassVar[Mapping[str, tuple[str, ...]]] = {}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Describe the fields to pydantic as a typed dict with defaults.

        pydantic's schemas are plain dicts, so this file need not import pydantic, which takes as
        long to load as all the rest of a client.
        """
        parts: dict[str, Any] = {}
        for name, (type_, default) in cls.parameters.items():
            inner = _with_default(handler.generate_schema(type_), default)
            part = {
                "type": "typed-dict-field",
                "schema": inner,
                "required": default is REQUIRED,
            }
            if names := cls.names.get(name):
                part["validation_alias"] = [[each] for each in names]
                part["serialization_alias"] = names[0]
            parts[name] = part
        return {"type": "typed-dict", "fields": parts, "cls_name": cls.__name__}


def _with_default(schema: Any, default: Any) -> Any:
    if default is REQUIRED:
        return schema
    found = {"type": "default", "schema": schema}
    if not isinstance(default, Factory):
        return found | {"default": default}
    found["default_factory"] = default.make
    if default.takes_data:
        found["default_factory_takes_data"] = True
    return found


def fields(
    parameters: Mapping[str, tuple[Any, Any]],
    *,
    names: Mapping[str, tuple[str, ...]] | None = None,
    name: str = "Arguments",
) -> type[Fields]:
    """Return a type with the fields `{"name": (type, default)}`.

    Bound by a codec, `decode` returns a dict with every field; an empty payload means the defaults,
    if each field has one. `encode` takes a dict, from which fields with a default may be missing.

    Args:
        parameters: the fields; a default of REQUIRED means that there is none.
        names: the fields' names in the body, where these are others.
        name: the type's name in error messages.
    """
    namespace = {"parameters": dict(parameters), "names": dict(names or {})}
    return cast(type[Fields], type(name, (Fields,), namespace))
