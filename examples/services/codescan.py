"""A service with real work: it parses Python source text and reports on it. `natsrpc demo` runs it.

natsrpc run examples/services/codescan.py --workers 3
natsrpc call codescan.scan '{"path": "hello.py", "text": "def hello():\\n    pass\\n"}'
"""

from __future__ import annotations

import ast
import io
import os
import tokenize
import warnings
from collections import Counter
from pathlib import Path

from pydantic import BaseModel

import natsrpc


class Source(BaseModel):
    """One file's text."""

    path: str
    text: str
    undecodable: str = ""
    """The reason why the bytes are no Python text; `text` is then a guess at them."""


class Function(BaseModel):
    """One function and its place."""

    name: str
    lines: int
    location: str


class Report(BaseModel):
    """The report on one file."""

    path: str
    lines: int
    functions: int = 0
    classes: int = 0
    longest: Function | None = None
    imports: list[str] = []
    names: list[tuple[str, int]] = []
    """The five names used most, and how often."""
    syntax_error: str | None = None
    worker: int
    """The process that made this report."""


def read_source(path: Path, shown_as: str) -> Source:
    """Read a file as Python would: a coding comment decides how its bytes become text."""
    data = path.read_bytes()
    try:
        encoding, _ = tokenize.detect_encoding(io.BytesIO(data).readline)
        text = data.decode(encoding)
    except (SyntaxError, UnicodeDecodeError) as error:
        return Source(path=shown_as, text=data.decode("latin-1"), undecodable=str(error))
    return Source(path=shown_as, text=text)


service = natsrpc.Service(
    "codescan", version="1.0.0", description="reports what is in Python source text"
)


@service.handler("codescan.scan", name="scan")
async def scan(source: Source) -> Report:
    """Parse one file and report its functions, classes, imports and names."""
    report = Report(path=source.path, lines=len(source.text.splitlines()), worker=os.getpid())
    if source.undecodable:
        report.syntax_error = source.undecodable
        return report
    try:
        with warnings.catch_warnings():
            # a warning about an odd escape is for the author of the file, not for this service
            warnings.simplefilter("ignore")
            tree = ast.parse(source.text)
    except SyntaxError as error:
        report.syntax_error = f"{error.msg} (line {error.lineno})"
        return report
    except (ValueError, RecursionError, MemoryError) as error:  # null bytes, or nested too deep
        report.syntax_error = str(error) or type(error).__name__
        return report
    _fill(report, tree)
    return report


def _fill(report: Report, tree: ast.Module) -> None:
    imports: set[str] = set()
    names: Counter[str] = Counter()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef():
                report.functions += 1
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                if report.longest is None or lines > report.longest.lines:
                    location = f"{report.path}:{node.lineno}"
                    report.longest = Function(name=node.name, lines=lines, location=location)
            case ast.ClassDef():
                report.classes += 1
            case ast.Import():
                imports.update(alias.name for alias in node.names)
            case ast.ImportFrom():
                imports.add("." * node.level + (node.module or ""))
            case ast.Name():
                names[node.id] += 1
    report.imports = sorted(imports)
    report.names = sorted(names.items(), key=lambda item: (-item[1], item[0]))[:5]


if __name__ == "__main__":
    natsrpc.run(service)
