"""docs/parity.md: every feature of the seed client has a test, and the page says which."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def test_every_row_of_the_parity_page_names_the_tests_that_prove_it() -> None:
    checked = subprocess.run(
        [sys.executable, str(ROOT / "scripts" / "parity"), "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_the_page_on_jetstream_names_tests_that_are_there() -> None:
    page = ROOT / "docs" / "parity-jetstream.md"
    text = page.read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| ") and "| proof |" not in line]
    assert [row for row in rows if "[test_" not in row] == []
    named = re.findall(r"\[(test_\w+)\]\(([^)]+)\)", text)
    assert len(named) > 110
    missing = [
        f"{path}: {name}"
        for name, path in named
        if f"def {name}(" not in (page.parent / path).read_text(encoding="utf-8")
    ]
    assert missing == []
