"""docs/compatibility.md lists the public names, no more and no less."""

from __future__ import annotations

import ast
import importlib
import inspect
import re
import textwrap
from pathlib import Path

import pytest

from natsrpc import Client, Connection, Msg, Service, Subscription, sync
from natsrpc.core.link import Link

PAGE = (Path(__file__).parent.parent / "docs" / "compatibility.md").read_text(encoding="utf-8")
NAME = re.compile(r"`(\w+)`")
BETWEEN_ROOMS = {"decoded", "responder", "sid"}
"""Slots of a `Msg` that the rooms above core write; they are not for users."""


def section(title: str) -> str:
    found = re.search(rf"^##+ {re.escape(title)}\n(.*?)(?=^##|\Z)", PAGE, re.M | re.S)
    assert found is not None
    return found[1]


def listed(title: str) -> list[str]:
    """The names in the first column of the section's table."""
    rows = re.findall(r"^\| (.*?) \|", section(title), re.M)
    return [name for row in rows for name in NAME.findall(row)]


def public(class_: type) -> set[str]:
    """The names without an underscore that an object of the class has."""
    names = set(dir(class_))
    for base in class_.__mro__[:-1]:
        tree = ast.parse(textwrap.dedent(inspect.getsource(base)))
        names |= {
            node.attr
            for node in ast.walk(tree)
            if isinstance(node, ast.Attribute)
            and isinstance(node.ctx, ast.Store)
            and ast.unparse(node.value) == "self"
        }
    return {name for name in names if not name.startswith("_")}


@pytest.mark.parametrize("class_", [Connection, Subscription, Msg, Client, sync.Client, Service])
def test_every_public_name_is_listed_once(class_: type) -> None:
    names = listed("`sync.Client`" if class_ is sync.Client else f"`{class_.__name__}`")
    internal = BETWEEN_ROOMS if class_ is Msg else set()
    assert sorted(names) == sorted(public(class_) - internal)


def test_what_is_listed_of_the_link_is_there() -> None:
    names = listed("For those who build on the core")
    assert set(names) - public(Link) == set()
    docs = inspect.getdoc(Link) or ""
    assert set(NAME.findall(docs.partition("All other names")[0])) - {"Connection"} <= set(names)


def test_the_modules_that_are_public_say_what_is() -> None:
    modules = re.findall(r"`(natsrpc[\w.]*)`", section("What is public").partition("Other")[0])
    assert len(modules) == len(set(modules)) == 16
    for name in modules:
        assert importlib.import_module(name).__all__


def test_the_versions_are_those_that_are_tested() -> None:
    root = Path(__file__).parent.parent
    project = (root / "pyproject.toml").read_text(encoding="utf-8")
    table = section("What works together")
    python = re.search(r'requires-python = ">=([\d.]+)"', project)
    pydantic = re.search(r'"pydantic>=([\d.]+)"', project)
    server = re.search(r"OLDEST := ([\d.]+)", (root / "Makefile").read_text(encoding="utf-8"))
    assert python and pydantic and server
    assert f"| Python | CPython {python[1]} to 3." in table
    assert f"| pydantic | {pydantic[1]} and later |" in table
    assert f"| nats-server | {server[1]} and later" in table
