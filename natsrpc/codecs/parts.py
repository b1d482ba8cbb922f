"""What a type is made of: msgspec's Structs, pydantic's models, and constraints of either.

`structs` looks through each type once, when it is bound. A type is read by one library alone, so
what belongs to the other is found here and refused by its place.
"""

from __future__ import annotations

import dataclasses
import typing
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_origin

import msgspec
import typing_extensions
from pydantic import BaseModel

from .fields import Fields


class Parts:
    """The parts of one type, each with its place: the names of the fields that lead to it.

    `structs` and `models` are classes; `constraints` are metadata that pydantic reads and msgspec
    passes over.
    """

    def __init__(self, type_: Any) -> None:
        self.structs: list[tuple[str, type]] = []
        self.models: list[tuple[str, type]] = []
        self.constraints: list[tuple[str, Any]] = []
        self._seen: set[Any] = set()
        self._walk(type_, "")

    def _walk(self, type_: Any, place: str) -> None:
        if hasattr(type_, "__value__"):  # what a `type` statement names, perhaps inside itself
            if type_ in self._seen:
                return
            self._seen.add(type_)
            type_ = type_.__value__
        origin = get_origin(type_)
        if origin is Annotated:
            inner, *metadata = get_args(type_)
            self.constraints += [(place, each) for each in metadata if _is_pydantic_s(each)]
            self._walk(inner, place)
            return
        for each in get_args(type_):
            self._walk(each, place)
        cls = type_ if origin is None else origin
        if not isinstance(cls, type) or cls in self._seen:
            return
        self._seen.add(cls)
        if issubclass(cls, msgspec.Struct):
            self.structs.append((place, cls))
        elif issubclass(cls, BaseModel):
            self.models.append((place, cls))
        for name, field in _fields_of(cls):
            self._walk(field, f"{place}.{name}" if place else name)


def _is_pydantic_s(metadata: Any) -> bool:
    module = type(metadata).__module__.partition(".")[0]
    return module in ("pydantic", "pydantic_core", "annotated_types")


def _fields_of(cls: type) -> Iterator[tuple[str, Any]]:
    """The fields of a class whose fields have types, by their names."""
    if issubclass(cls, Fields):
        for name, (type_, *_) in cls.parameters.items():
            yield name, type_
    elif issubclass(cls, BaseModel):
        for name, info in cls.model_fields.items():
            yield name, info.annotation
    elif (
        issubclass(cls, msgspec.Struct)
        or dataclasses.is_dataclass(cls)
        or typing_extensions.is_typeddict(cls)
        or hasattr(cls, "_fields")
    ):
        try:
            yield from typing.get_type_hints(cls, include_extras=True).items()
        except Exception:  # who reads the type tells what is wrong with it
            return
