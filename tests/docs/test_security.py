"""SECURITY.md: the tests that it names exist, and what it says is not there is not."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

from .blocks import ROOT

PAGE = (ROOT / "SECURITY.md").read_text(encoding="utf-8")
FILES = sorted((ROOT / "natsrpc").rglob("*.py"))


def test_each_test_that_the_page_names_exists() -> None:
    named = re.findall(r"\[(test_\w+)\]\((tests/[\w/]+\.py)\)", PAGE)
    assert len(named) == PAGE.count("[test_") > 15
    for name, file in named:
        assert re.search(rf"def {name}\(", (ROOT / file).read_text(encoding="utf-8")), name


def test_each_attempt_has_its_test() -> None:
    table = PAGE.partition("| attempt |")[2].partition("\n\n")[0]
    rows = table.splitlines()[2:]
    assert len(rows) > 8
    assert [row for row in rows if "[test_" not in row] == []


def called(file: Path) -> set[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    calls = {ast.unparse(node.func) for node in ast.walk(tree) if isinstance(node, ast.Call)}
    imported = {
        alias.name
        for node in ast.walk(tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in node.names
    }
    return calls | imported


@pytest.mark.once
def test_there_is_no_pickle_and_no_eval() -> None:
    for file in FILES:
        assert not called(file) & {"pickle", "marshal", "shelve", "eval", "exec"}, file


def test_the_oldest_server_is_the_one_that_is_tested() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    (oldest,) = re.findall(r"^OLDEST := (\S+)$", makefile, re.M)
    for page in (PAGE, (ROOT / "docs/permissions.md").read_text(encoding="utf-8")):
        assert f"nats-server {oldest} and later" in page.replace("\n", " ")
