"""What type checkers infer of the public interface, and what they refuse.

The files in `cases` are never run. A line that ends in `# E: code, ...` must give exactly these
errors, those of pyright spelled as pyright does (`report...`), the others mypy's; every other line
must give none.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from .checkers import pyright_command

pytest.importorskip("mypy", reason="type checkers are in the extra dev")

ROOT = Path(__file__).parent.parent.parent
CASES = Path(__file__).parent / "cases"

Errors = dict[tuple[str, int], list[str]]
"""Codes by file and line, sorted, without repetition."""

_mark = re.compile(r"# E: (.+)$").search


def expected(pyright: bool) -> Errors:
    found: Errors = {}
    for file in sorted(CASES.glob("*.py")):
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1):
            mark = _mark(line)
            codes = [] if mark is None else mark[1].split(", ")
            mine = sorted(code for code in codes if code.startswith("report") == pyright)
            assert mine or not codes, f"{file.name}:{number} expects nothing of one of the two"
            if mine:
                found[file.name, number] = mine
    return found


def gathered(errors: Iterator[tuple[str, int, str]]) -> Errors:
    found: dict[tuple[str, int], set[str]] = {}
    for file, line, code in errors:
        found.setdefault((Path(file).name, line), set()).add(code)
    for codes in found.values():
        if "reportCallIssue" in codes:  # no overload fits; the other tells why the last one did not
            codes.discard("reportArgumentType")
    return {place: sorted(codes) for place, codes in found.items()}


def output(*command: str) -> str:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=110, check=False
    )
    assert done.returncode in (0, 1), done.stderr or done.stdout
    return done.stdout


def test_mypy_infers_and_refuses() -> None:
    lines = output(sys.executable, "-m", "mypy", "--output=json", *map(str, CASES.glob("*.py")))
    errors = map(json.loads, lines.splitlines())
    assert (
        gathered((e["file"], e["line"], e["code"]) for e in errors if e["severity"] == "error")
    ) == expected(pyright=False)


def test_pyright_infers_and_refuses() -> None:
    found = json.loads(output(*pyright_command(), "--project", str(CASES / "pyrightconfig.json")))
    assert found["summary"]["filesAnalyzed"] == len(list(CASES.glob("*.py")))
    assert gathered(
        (e["file"], e["range"]["start"]["line"] + 1, e["rule"])
        for e in found["generalDiagnostics"]
        if e["severity"] == "error"
    ) == expected(pyright=True)
