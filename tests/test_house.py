"""How the package is built, read from its syntax trees: parts instead of inheritance.

A class that is subclassed once is one class in two places: whoever reads it reads both. What it
does belongs into the one class, or into a part that the one class has.
"""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "natsrpc"

Place = tuple[str, str]
"""A module, and the name of a class in it."""

SHAPES = {"Protocol", "TypedDict", "NamedTuple", "Enum", "IntEnum", "StrEnum", "Flag", "IntFlag"}
"""Bases that say what a class is, and share no code."""

ERRORS = {"BaseException", "Exception", "ExceptionGroup", "BaseExceptionGroup"}


@dataclass
class Module:
    """What the names of one module stand for: its own classes, and where the others come from."""

    name: str
    classes: dict[str, list[ast.expr]] = field(default_factory=dict)
    imported: dict[str, Place] = field(default_factory=dict)


def module_of(name: str, package: str, text: str) -> Module:
    module = Module(name)
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef):
            module.classes[node.name] = node.bases
        elif isinstance(node, ast.ImportFrom):
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            source = ".".join([*(above if node.level else []), *filter(None, [node.module])])
            for alias in node.names:
                module.imported[alias.asname or alias.name] = (source, alias.name)
        elif isinstance(node, ast.Import):
            for alias in node.names:
                if alias.asname:
                    module.imported[alias.asname] = (alias.name, "")
    return module


def modules() -> dict[str, Module]:
    found = {}
    for file in sorted(PACKAGE.rglob("*.py")):
        parts = list(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        package = ".".join(parts[:-1])
        name = package if parts[-1] == "__init__" else ".".join(parts)
        found[name] = module_of(name, package, file.read_text(encoding="utf-8"))
    return found


class Family:
    """Which class is derived from which."""

    def __init__(self, known: dict[str, Module]) -> None:
        self._known = known
        self.bases: dict[Place, set[Place]] = {
            (module.name, name): {self._place(module.name, base) for base in bases}
            for module in known.values()
            for name, bases in module.classes.items()
        }

    def _place(self, module: str, base: ast.expr) -> Place:
        """The class that an expression in a list of bases stands for."""
        match base:
            case ast.Subscript(value=value):
                return self._place(module, value)
            case ast.Attribute(value=ast.Name(id=owner), attr=name):
                source, part = self._source(module, owner)
                return self._source(f"{source}.{part}" if part else source, name)
            case ast.Name(id=name):
                return self._source(module, name)
            case _:
                return "", ast.unparse(base)

    def _source(self, module: str, name: str) -> Place:
        """Where a name comes from: followed through the faces of rooms."""
        here = self._known.get(module)
        while here is not None and name not in here.classes and name in here.imported:
            module, name = here.imported[name]
            here = self._known.get(module)
        return module, name

    def ancestors(self, place: Place) -> Iterator[Place]:
        for base in self.bases.get(place, ()):
            yield base
            yield from self.ancestors(base)

    def singles(self) -> Iterator[tuple[Place, Place]]:
        """Each class of ours that a single class of ours is derived from, and that class."""
        for place in self.bases:
            derived = [other for other, bases in self.bases.items() if place in bases]
            names = {name for _, name in self.ancestors(place)}
            if len(derived) == 1 and not names & SHAPES and not names & ERRORS:
                yield place, derived[0]


def floor_of(place: Place) -> str:
    """The part of the package that a class is in: `core`, `rpc`, and so on."""
    return ".".join(place[0].split(".")[:2])


def test_no_class_is_subclassed_once() -> None:
    """A base that another floor derives from is an interface between the two."""
    found = [
        f"{'.'.join(base)} is a base of {'.'.join(derived)} alone"
        for base, derived in Family(modules()).singles()
        if floor_of(base) == floor_of(derived)
    ]
    assert not found, "\n".join(found)


def family(**texts: str) -> list[tuple[str, str]]:
    known = {
        name.replace("_", "."): module_of(
            name.replace("_", "."), name.replace("_", ".").rpartition(".")[0], textwrap.dedent(text)
        )
        for name, text in texts.items()
    }
    return [(base[1], derived[1]) for base, derived in Family(known).singles()]


def test_what_is_a_single_subclass() -> None:
    assert family(p_a="class A: ...", p_b="from .a import A\nclass B(A): ...") == [("A", "B")]
    assert family(p_a="class A: ...", p_b="from p import a\nclass B(a.A): ...") == [("A", "B")]
    assert family(
        p_a="class A(Generic[T]): ...",
        p="from p.a import A",
        q="from p import A\nclass B(A[int]): ...",
    ) == [("A", "B")]
    assert family(p="class A: ...\nclass B(A): ...\nclass C(A): ...") == []
    assert family(p="class A(Protocol): ...\nclass B(A): ...") == []
    assert family(p="class A(ValueError, Exception): ...\nclass B(A): ...") == []
    assert family(p="class A: ...", q="class A: ...\nclass B(A): ...") == [("A", "B")]
