"""Several values in one body: a type made of named fields.

A handler with more than one body parameter takes an object whose fields they are. `fields` makes a
type of them that any codec can bind: it decodes to a plain dict of arguments, defaults filled in.
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


class Fields(dict[str, Any]):
    """What `fields` makes a subclass of; values are plain dicts.

    `parameters` maps each field's name to its type and its default, or REQUIRED. A codec that does
    not work through pydantic reads that.
    """

    parameters: ClassVar[Mapping[str, tuple[Any, Any]]] = {}

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        """Describe the fields to pydantic as a typed dict with defaults.

        Its schemas are plain dicts, so that this file does without it.
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
    """Make a type of `{"name": (type, default)}`; the default is REQUIRED where there is none.

    A bound `decode` gives a dict with every field, and an empty payload stands for no fields at all
    when each has a default. `encode` takes a dict, from which fields with a default may be missing.
    `name` is the title in the JSON Schema.
    """
    return cast(type[Fields], type(name, (Fields,), {"parameters": dict(parameters)}))
