"""Several values in one body: a type made of named fields.

The body for a handler with several body parameters is an object with a field for each. The rooms
above call `fields` to make the type of that object. Any codec can bind it; it decodes to a plain
dict of arguments, with the defaults filled in.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
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


class Fields(dict[str, Any]):
    """The base class of the types that `fields` makes. Their values are plain dicts.

    `parameters` maps each field's name to its type and its default, or REQUIRED. A codec that does
    not work through pydantic reads the fields there.
    """

    parameters: ClassVar[Mapping[str, tuple[Any, Any]]] = {}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Describe the fields to pydantic as a typed dict with defaults.

        pydantic's schemas are plain dicts, so this file need not import pydantic, which takes as
        long to load as all the rest of a client.
        """
        parts: dict[str, Any] = {}
        for name, (type_, default) in cls.parameters.items():
            inner: Any = handler.generate_schema(type_)
            if default is not REQUIRED:
                inner = {"type": "default", "schema": inner, "default": default}
            required = default is REQUIRED
            parts[name] = {"type": "typed-dict-field", "schema": inner, "required": required}
        return {"type": "typed-dict", "fields": parts, "cls_name": cls.__name__}


def fields(parameters: Mapping[str, tuple[Any, Any]], *, name: str = "Arguments") -> type[Fields]:
    """Return a type with the fields `{"name": (type, default)}`.

    Bound by a codec, `decode` returns a dict with every field; an empty payload means the defaults,
    if each field has one. `encode` takes a dict, from which fields with a default may be missing.

    Args:
        parameters: the fields; a default of REQUIRED means that there is none.
        name: the type's name in error messages.
    """
    return cast(type[Fields], type(name, (Fields,), {"parameters": dict(parameters)}))
