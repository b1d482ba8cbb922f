"""A value that may also come as an object with one field of its name. For the reader of signatures.

Pydantic is not imported here: it asks the metadata of a type for its schema.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, get_args, get_origin


@dataclass(frozen=True, slots=True)
class AlsoNamed:
    """Metadata of a type whose values are read from `{"<name>": value}`, too."""

    name: str

    def __get_pydantic_core_schema__(
        self, source: Any, handler: Callable[[Any], Any]
    ) -> dict[str, Any]:
        unwrap = {"type": "no-info", "function": self._unwrap}
        return {"type": "function-before", "function": unwrap, "schema": handler(source)}

    def _unwrap(self, value: Any) -> Any:
        return value[self.name] if isinstance(value, dict) and self.name in value else value


def also_named(type_: Any, name: str) -> Any:
    """The type, whose values are read from `{"<name>": value}`, too. It is written as it is.

    Args:
        type_: a type that no object is a value of: else the two could not be told apart.
        name: the field's name.
    """
    return Annotated[type_, AlsoNamed(name)]


def nameless(type_: Any) -> Any:
    """The type that `also_named` was given; any other as it is. For a body that is no object."""
    if get_origin(type_) is not Annotated:
        return type_
    inner, *metadata = get_args(type_)
    kept = [each for each in metadata if not isinstance(each, AlsoNamed)]
    return Annotated[(inner, *kept)] if kept else inner
