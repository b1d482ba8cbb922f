"""The rooms of the package and who may import whom.

All imports are read with `ast`, those under `TYPE_CHECKING` and inside functions included. To
change the table, change it here, in the commit that needs it.
"""

from __future__ import annotations

import ast
import functools
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeGuard

import pytest

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "natsrpc"


@dataclass(frozen=True, slots=True)
class Room:
    """What one room may import: other rooms, rooms for type checkers alone, packages of others, and
    what of Python it must not."""

    rooms: frozenset[str] = frozenset()
    types: frozenset[str] = frozenset()
    packages: frozenset[str] = frozenset()
    optional: frozenset[str] = frozenset()
    banned: frozenset[str] = frozenset()


def names(text: str) -> frozenset[str]:
    return frozenset(text.split())


# The wire is pure: no input or output, no event loop, no clock, no chance, no log.
IMPURE = names(
    "asyncio concurrent logging os random secrets select selectors signal socket ssl subprocess "
    "threading time urllib"
)
# What all sub-rooms of core stand on: files beside them, each a room of its own.
GROUND = names(
    "errors core.options core.stats core.timers core.throttle core.events core.opening "
    "core.withheld"
)
CONTRACT = names("errors core codecs rpc.contract")
JETSTREAM = names(
    "errors core jetstream.api jetstream.publishing jetstream.consuming jetstream.streams"
)
EVERY_ROOM = names(
    "errors version core codecs rpc sync jetstream durable discovery describe observe server "
    "testing web console cli"
)
ROOMS = {
    "errors": Room(),
    "version": Room(),
    "core.wire": Room(names("errors"), banned=IMPURE),
    "core.opening": Room(),
    "core.stats": Room(),
    "core.timers": Room(names("errors")),
    "core.withheld": Room(names("errors")),
    "core.options": Room(names("errors core.wire core.withheld")),
    "core.throttle": Room(),
    "core.events": Room(names("errors core.throttle")),
    "core.servers": Room(GROUND | names("core.wire")),
    "core.session": Room(
        GROUND | names("core.wire core.servers"),
        optional=names("nkeys cryptography wsproto websockets"),
    ),
    "core.subscriptions": Room(GROUND | names("core.wire")),
    "core.requests": Room(GROUND | names("core.wire core.subscriptions")),
    "core.link": Room(
        GROUND
        | names("version core.wire core.servers core.session core.subscriptions core.requests")
    ),
    "core": Room(
        GROUND
        | names("core.wire core.servers core.session core.subscriptions core.requests core.link")
    ),
    "codecs": Room(
        names("errors"),
        packages=names("pydantic pydantic_core msgpack annotated_types typing_extensions"),
        optional=names("google msgspec"),
    ),
    "rpc.contract": Room(names("errors core codecs")),
    "rpc.signature": Room(CONTRACT, packages=names("typing_extensions")),
    "rpc.headers": Room(CONTRACT),
    "rpc.streams": Room(CONTRACT | names("rpc.headers")),
    "rpc.calling": Room(
        CONTRACT | names("rpc.signature rpc.headers rpc.streams"),
        types=names("jetstream"),
        packages=names("typing_extensions"),
    ),
    "rpc.serving": Room(
        CONTRACT | names("rpc.signature rpc.headers rpc.streams"), types=names("jetstream")
    ),
    "rpc": Room(
        CONTRACT | names("rpc.signature rpc.headers rpc.streams rpc.calling rpc.serving"),
        types=names("jetstream"),
        packages=names("typing_extensions"),
    ),
    "sync": Room(
        names("errors core codecs rpc"),
        types=names("jetstream"),
        packages=names("typing_extensions"),
    ),
    "jetstream.api": Room(names("errors core")),
    "jetstream.publishing": Room(names("errors core jetstream.api")),
    "jetstream.consuming": Room(names("errors core jetstream.api")),
    "jetstream.streams": Room(names("errors core jetstream.api jetstream.consuming")),
    "jetstream.kv": Room(JETSTREAM),
    "jetstream.objects": Room(JETSTREAM),
    "jetstream": Room(JETSTREAM | names("jetstream.kv jetstream.objects")),
    "durable": Room(names("errors core codecs rpc jetstream")),
    "discovery": Room(names("errors core rpc")),
    "describe": Room(names("errors codecs rpc")),
    "observe": Room(
        names("errors version core rpc sync"),
        optional=names("opentelemetry prometheus_client"),
    ),
    "server": Room(names("errors")),
    "testing.jetstream": Room(names("errors core")),
    "testing": Room(names("errors core rpc server testing.jetstream"), packages=names("pytest")),
    "web": Room(
        names("errors core codecs rpc discovery describe observe"),
        packages=names("uvicorn starlette"),
    ),
    "console": Room(names("errors core rpc discovery describe observe")),
    "cli": Room(
        EVERY_ROOM | {"", "rpc.calling"},
        packages=names("typer rich click pydantic uvloop"),
        optional=names("prometheus_client"),
    ),
    "__main__": Room(names("cli")),
    "": Room(
        names(
            "errors version core codecs rpc jetstream durable discovery describe observe sync "
            "testing"
        )
    ),
}

LAZY = {
    "errors": names("core"),  # the class of the headers that an error came with
    "": names("core codecs rpc sync jetstream durable discovery describe observe testing"),
    "codecs": names("codecs"),
    "rpc": names("durable testing"),
    "rpc.calling": names("durable"),
    "rpc.serving": names("discovery durable"),
    "discovery": names("describe"),
}
"""Rooms that are named by a string and loaded when they are first used. Whoever needs another room
so asks for it by its name: nothing is switched on by how an import is spelled."""


@dataclass(frozen=True, slots=True)
class Import:
    """One name that one file imports. `target` is the module that it is taken from."""

    file: Path
    line: int
    target: str
    name: str
    relative: bool
    in_function: bool
    for_types: bool

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT)}:{self.line} imports {self.name or self.target}"


@functools.cache  # asked for each pair of a module and an import
def module_of(file: Path) -> str:
    parts = file.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = sorted(PACKAGE.rglob("*.py"))
MODULES = {module_of(file): file for file in FILES}


def room_of(module: str) -> str:
    """The innermost room that a module of ours is in."""
    inner = module.removeprefix("natsrpc").removeprefix(".")
    while inner and inner not in ROOMS:
        inner = inner.rpartition(".")[0]
    return inner


@functools.cache
def exported_by(module: str) -> frozenset[str]:
    """The names that a module takes from files of its own with `from .x import name`."""
    file = MODULES.get(module)
    if file is None or file.name != "__init__.py" or module == "natsrpc":
        return frozenset()
    tree = ast.parse(file.read_text(encoding="utf-8"))
    listed: list[str] = next(
        (ast.literal_eval(node.value) for node in tree.body if is_list_of_names(node)), []
    )
    return frozenset(
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.ImportFrom) and node.level
        for alias in node.names
        if node.module or alias.name in listed
    )


def is_list_of_names(node: ast.stmt) -> TypeGuard[ast.Assign]:
    return isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__"


def floor_of(room: str) -> str:
    """The room that a room is a part of: itself, where it is none."""
    return room.partition(".")[0]


def imports_of(file: Path) -> Iterator[Import]:
    module = module_of(file)
    package = module if file.name == "__init__.py" else module.rpartition(".")[0]
    tree = ast.parse(file.read_text(encoding="utf-8"))
    inside = {
        id(node)
        for function in ast.walk(tree)
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for node in ast.walk(function)
    }
    for_types = {
        id(node)
        for block in tree.body
        if isinstance(block, ast.If) and ast.unparse(block.test) == "TYPE_CHECKING"
        for statement in block.body
        for node in ast.walk(statement)
    }
    for node in ast.walk(tree):
        how = (id(node) in inside, id(node) in for_types)
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(file, node.lineno, alias.name, "", False, *how)
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parts = package.split(".")
                above = ".".join(parts[: len(parts) - node.level + 1])
                base = f"{above}.{base}" if base else above
            for alias in node.names:
                whole = f"{base}.{alias.name}"
                # a name that a face exports may be that of one of its files, too
                exported = module != base and alias.name in exported_by(base)
                is_module = whole in MODULES and not exported
                target = whole if is_module else base
                yield Import(file, node.lineno, target, alias.name, node.level > 0, *how)


def modules_named_in(file: Path) -> Iterator[tuple[int, str]]:
    """The lines of a file that name a module of ours in a string, other than a logger's."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    loggers = {
        id(argument)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("getLogger")
        for argument in node.args
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Constant) or id(node) in loggers or node.value == "natsrpc":
            continue
        if node.value in MODULES:
            yield node.lineno, str(node.value)


IMPORTS = [found for file in FILES for found in imports_of(file)]
OURS = [found for found in IMPORTS if found.target.split(".")[0] == "natsrpc"]


def wrong(found: Iterator[Import]) -> list[str]:
    return [str(one) for one in found]


def test_every_file_is_in_a_room() -> None:
    homeless = [
        str(file.relative_to(ROOT))
        for file in FILES
        if room_of(module_of(file)) == "" and file != PACKAGE / "__init__.py"
    ]
    assert homeless == []


def test_rooms_import_only_what_the_table_allows() -> None:
    def bad() -> Iterator[Import]:
        for found in OURS:
            here, there = room_of(module_of(found.file)), room_of(found.target)
            room = ROOMS[here]
            allowed = room.rooms | room.types if found.for_types else room.rooms
            if here != there and there not in allowed:
                yield found

    assert wrong(bad()) == []


def test_other_rooms_are_entered_by_their_face() -> None:
    def bad() -> Iterator[Import]:
        for found in OURS:
            here, there = room_of(module_of(found.file)), room_of(found.target)
            if here in (there, "cli", "__main__"):  # the command line may look anywhere
                continue
            if found.target != f"natsrpc.{there}":
                yield found

    assert wrong(bad()) == []


def test_own_room_is_imported_relatively_and_others_absolutely() -> None:
    def bad() -> Iterator[Import]:
        for found in OURS:
            here, there = room_of(module_of(found.file)), room_of(found.target)
            same = floor_of(here) == floor_of(there)
            if found.relative != same and here != "":
                yield found

    assert wrong(bad()) == []


def test_rooms_named_by_a_string_are_in_the_table() -> None:
    bad = []
    for file in FILES:
        here = room_of(module_of(file))
        for line, module in modules_named_in(file):
            there = room_of(module)
            if here != there and floor_of(there) not in LAZY.get(here, frozenset()):
                bad.append(f"{file.relative_to(ROOT)}:{line} names {module}")
    assert bad == []


def test_describe_reads_only_the_contract_of_rpc() -> None:
    for found in OURS:
        if room_of(module_of(found.file)) == "describe" and room_of(found.target) == "rpc":
            assert "Contract" in found.name, str(found)


def test_packages_of_others_stay_in_their_rooms() -> None:
    def bad() -> Iterator[Import]:
        for found in IMPORTS:
            package = found.target.split(".")[0]
            room = ROOMS[room_of(module_of(found.file))]
            if package in sys.stdlib_module_names:
                if package in room.banned:
                    yield found
            elif package != "natsrpc" and package not in room.packages | room.optional:
                yield found

    assert wrong(bad()) == []


def test_imports_inside_functions_are_for_optional_packages() -> None:
    def bad() -> Iterator[Import]:
        for found in IMPORTS:
            here = room_of(module_of(found.file))
            package = found.target.split(".")[0]
            if found.in_function and here != "cli" and package not in ROOMS[here].optional:
                yield found

    assert wrong(bad()) == []


def test_underscored_names_do_not_cross_files() -> None:
    def bad() -> Iterator[Import]:
        for found in IMPORTS:
            if any(
                part.startswith("_") and not part.startswith("__")
                for part in (*found.target.split("."), found.name)
            ):
                yield found

    assert wrong(bad()) == []


def test_no_import_cycles() -> None:
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for found in OURS:
        if found.target in MODULES:
            graph[module_of(found.file)].add(found.target)
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        if module in trail:
            pytest.fail("import cycle: " + " -> ".join((*trail[trail.index(module) :], module)))
        if module not in done:
            for target in sorted(graph[module]):
                visit(target, (*trail, module))
            done.add(module)

    for module in MODULES:
        visit(module, ())


@pytest.mark.parametrize("package", ["pydantic", "msgpack", "typer", "rich"])
def test_core_is_imported_without(package: str) -> None:
    # reached by any path, not only by an import of core's own: read from the graph, so that the
    # test does not depend on what else is loaded in this process
    reached, todo = set(), ["natsrpc.core"]
    while todo:
        module = todo.pop()
        if module in reached:
            continue
        reached.add(module)
        for found in IMPORTS:
            if module_of(found.file) == module:
                assert found.target.split(".")[0] != package, str(found)
                if found.target in MODULES:
                    todo.append(found.target)
