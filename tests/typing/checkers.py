"""The type checkers as commands."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

import pytest

PYRIGHT = Path(__file__).parent / "node_modules" / "pyright" / "index.js"


def pyright_command() -> list[str]:
    """The start of a pyright command that reports as JSON; fails in CI where it is missing."""
    node = shutil.which("node")
    missing = "node is missing" if node is None else ""
    if not missing and not PYRIGHT.is_file():
        missing = "pyright is missing: scripts/js installs it"
    if node is None or missing:
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return [node, str(PYRIGHT), "--pythonpath", sys.executable, "--outputjson"]
