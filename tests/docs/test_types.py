"""What the pages print passes mypy --strict and pyright's strict mode, every line of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from tests.typing.checkers import pyright_command

from .blocks import BLOCKS, ROOT

pytest.importorskip("mypy", reason="type checkers are in the extra dev")

MODULES = {block.file: block for block in BLOCKS if block.kind == "python"}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """All blocks as the files that they are, and the client module that the pages write."""
    for name, block in MODULES.items():
        (tmp_path / name).write_text(block.module, encoding="utf-8")
    command = "stub helpdesk.py -o helpdesk_client.py"
    assert command.replace("helpdesk.py", "helpdesk") in (ROOT / "docs/contracts.md").read_text()
    done = subprocess.run(
        [sys.executable, "-m", "natsrpc.cli.main", *command.split()],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tmp_path


def output(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command,
        cwd=ROOT,
        env=os.environ | environment,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr or done.stdout
    return done.stdout


def in_pages(errors: Iterable[tuple[str, int, str]]) -> list[str]:
    found = []
    for file, line, text in errors:
        block = MODULES.get(Path(file).name)
        where = f"{block.page.name}:{block.line_in_page(line)}" if block else f"{file}:{line}"
        found.append(f"{where}: {text}")
    return found


def test_each_block_is_a_file_of_its_own() -> None:
    assert len(MODULES) == sum(block.kind == "python" for block in BLOCKS)
    assert {block.kind for block in BLOCKS} <= {
        "python",
        "text",
        "console",
        "sh",
        "toml",
        "ini",
        "conf",
        "js",
        "json",
        "terminal",
        "typescript",
    }


@pytest.mark.once
def test_mypy_accepts_all_blocks(folder: Path) -> None:
    files = map(str, folder.glob("*.py"))
    command = (sys.executable, "-m", "mypy", "--output=json", *files)
    lines = output(*command, MYPYPATH=str(folder)).split("\n")
    errors = [json.loads(line) for line in lines if line]
    found = in_pages((e["file"], e["line"], e["message"]) for e in errors)
    assert not found, "\n".join(found)


@pytest.mark.once
def test_pyright_accepts_all_blocks(folder: Path) -> None:
    project = folder / "pyrightconfig.json"
    settings = {"extraPaths": [str(ROOT)], "pythonVersion": "3.11", "typeCheckingMode": "strict"}
    project.write_text(json.dumps(settings), encoding="utf-8")
    result = json.loads(output(*pyright_command(), "--project", str(project)))
    assert result["summary"]["filesAnalyzed"] == len(MODULES) + 1  # the client module
    errors = result["generalDiagnostics"]
    found = in_pages((e["file"], e["range"]["start"]["line"] + 1, e["message"]) for e in errors)
    assert not found, "\n".join(found)
