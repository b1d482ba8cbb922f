"""Whether a type or a value is msgspec's. The JSON and MessagePack codecs ask when a type is bound.

Nothing here imports msgspec: where it is not loaded, nobody can have made a `Struct`.
"""

from __future__ import annotations

import importlib
import sys
from typing import TYPE_CHECKING, Any, Literal, Protocol

from .codec import Bound, Mode

if TYPE_CHECKING:
    from types import ModuleType

Format = Literal["json", "msgpack"]


class Binds(Protocol):
    """The codec that asks: it binds what is not msgspec's."""

    def bind_nested(self, type_: Any) -> Bound:
        """Bind a type as it is within another value."""
        ...

    def schema(self, type_: Any, *, mode: Mode = "validation") -> dict[str, Any] | None:
        """Return a type's JSON Schema."""
        ...


def bind_struct(codec: Binds, type_: Any, format_: Format) -> Bound | None:
    """Bind a type with a Struct in it; return None for any other type.

    Raises:
        ConfigTypeError: a part of it is not msgspec's to read.
    """
    structs = _structs()
    if structs is None:
        return None
    bound: Bound | None = structs.bind(codec, type_, format_)
    return bound


def struct_schema(codec: Binds, type_: Any, mode: Mode) -> tuple[bool, dict[str, Any] | None]:
    """Return whether a type has a Struct in it, and its JSON Schema.

    Raises:
        ConfigTypeError: a part of it is not msgspec's to read.
    """
    structs = _structs()
    if structs is None or not structs.has_struct(type_):
        return False, None
    return True, structs.schema(codec, type_, mode)


def is_struct(value: Any) -> bool:
    """Whether a value is a Struct."""
    msgspec = sys.modules.get("msgspec")
    return msgspec is not None and isinstance(value, msgspec.Struct)


def plain_struct(value: Any) -> Any:
    """Return a Struct as plain data, for a serializer that met it where any value may be.

    Raises:
        TypeError: it is none.
    """
    if not is_struct(value):
        raise TypeError(f"a {type(value).__name__} cannot be written")
    return sys.modules["msgspec"].to_builtins(value)


def _structs() -> ModuleType | None:
    if "msgspec" not in sys.modules:
        return None
    return importlib.import_module(".structs", __package__)
