"""The classes of a generated module, as Python source: models and enums, and the imports they need.

`annotations` adds a class for each definition that it meets; `stub` writes all of them into the
module. The rule kept here: equal definitions are one class, and no two classes share a name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from .budget import Budget
from .names import Names, docstring, identifier, literal

INDENT = "    "
WIDTH = 88
"""Lines up to this length are not broken: the default of formatters."""

_WORDS = (
    "bool bytes dict dt float int list self set str tuple "
    "construct copy from_orm json parse_file parse_obj parse_raw schema schema_json "
    "update_forward_refs validate model_config model_fields model_computed_fields model_extra "
    "model_fields_set model_construct model_copy model_json_schema model_parametrized_name "
    "model_post_init model_rebuild Annotated Any BaseModel ConfigDict Decimal Enum Field Literal "
    "TypeAdapter UUID natsrpc"
)
_RESERVED = frozenset(_WORDS.split())
"""Names that a field must not have: of types in annotations, and of pydantic's own methods."""

# Names of the module that a generated class must not take.
RESERVED_CLASSES = frozenset(name for name in _RESERVED if name[0].isupper()) | {
    "AsyncGenerator",
    "AsyncIterable",
    "Mapping",
}


class FieldSource(NamedTuple):
    """One field of a model, or parameter of a method, as source text."""

    name: str
    alias: str
    """The name in JSON, where that is no identifier or is taken; else empty."""
    annotation: str
    default: str
    """The expression for a default that all objects may share; "" if there is none."""
    options: tuple[str, ...] = ()
    """The arguments of pydantic's `Field`."""


class Classes:
    """The imports and classes of one module, collected as annotations are asked for.

    Equal definitions become one class, whichever endpoint they come from.

    Args:
        names: the names of the module's top level; classes take theirs from it.
        titles: names that classes may get. No field gets one, because it would hide the class.

    `imports` are lines. `classes` are the sources; a class may come before those that it needs,
    because annotations are resolved at the end of the module. `enums` and `models` are names of
    classes; `hidden` are the names that no field may have. `budget` is the work that is left.
    """

    def __init__(self, names: Names, titles: Iterable[str] = ()) -> None:
        self.imports: set[str] = set()
        self.classes: list[str] = []
        self.enums: set[str] = set()
        self.models: set[str] = set()
        self.hidden: frozenset[str] = _RESERVED.union(titles)
        self._names = names
        self._known: dict[str, str] = {}
        self.budget: Budget = Budget()

    def need(self, *lines: str) -> None:
        """Add import lines; empty ones are ignored."""
        self.imports.update(line for line in lines if line)

    def take(self, name: str) -> str:
        """Choose a free name for a class, and return it."""
        return self._names.take(name)

    def found(self, key: str) -> str | None:
        """Return the class of the definition with this key; None if it has none yet."""
        return self._known.get(key)

    def keep(self, key: str, name: str) -> str:
        """Choose a free name for the class of a definition, remember it, and return it."""
        chosen = self._known[key] = self._names.take(name, f"{name}Reply")
        return chosen

    def model(self, name: str, doc: str, fields: list[FieldSource], *, extra: bool) -> str:
        """Return the source of a model. `extra` is whether it keeps unknown fields."""
        self.need("from pydantic import BaseModel")
        self.models.add(name)
        config = ['extra="allow"'] if extra else []
        if any(field.alias for field in fields):
            config += ["validate_by_name=True", "validate_by_alias=True"]
        lines = docstring(doc, INDENT)
        if config:
            self.need("from pydantic import ConfigDict")
            lines += [
                *([""] if lines else []),
                f"{INDENT}model_config = ConfigDict({', '.join(config)})",
            ]
        if lines and fields:
            lines.append("")
        for field in fields:
            lines += _field_lines(field)
        return "\n".join([f"class {name}(BaseModel):", *(lines or [f"{INDENT}pass"])])

    def enum(self, name: str, doc: str, values: list[Any]) -> str:
        """Return the source of an enum."""
        self.need("from enum import Enum")
        self.enums.add(name)
        members = Names({"mro", "name", "value"})
        lines = docstring(doc, INDENT)
        if lines:
            lines.append("")
        for value in values:
            member = members.take(identifier(str(value), "value").upper())
            lines.append(f"{INDENT}{member} = {literal(value)}")
        return "\n".join([f"class {name}(Enum):", *lines])


def _field_lines(field: FieldSource) -> list[str]:
    line = f"{INDENT}{field.name}: {field.annotation}"
    if not field.options:
        return [f"{line} = {field.default}" if field.default else line]
    options = [f"default={field.default}"] if field.default else []
    return called(f"{line} = Field", [*options, *field.options], INDENT)


def called(what: str, given: Sequence[str], indent: str = "") -> list[str]:
    """Return the lines of a call, broken as a formatter would.

    Args:
        what: the source before the parenthesis, on a line that starts with `indent`.
        given: the source of each argument.
        indent: the indentation of the line.
    """
    inner = ", ".join(given)
    if len(what) + len(inner) + 2 <= WIDTH:
        return [f"{what}({inner})"]
    if len(indent) + len(INDENT) + len(inner) <= WIDTH:
        return [f"{what}(", f"{indent}{INDENT}{inner}", f"{indent})"]
    return [f"{what}(", *(f"{indent}{INDENT}{each}," for each in given), f"{indent})"]
