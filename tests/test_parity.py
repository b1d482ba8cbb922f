"""docs/parity.md: every feature of the seed client has a test, and the page says which."""

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
