"""The tests' own browser: found or installed by one script, and never missed in silence."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from . import browser

ROOT = Path(__file__).parent.parent


def script(**variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["sh", "scripts/browser"],
        cwd=ROOT,
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_a_browser_that_is_named_is_taken(tmp_path: Path) -> None:
    program = tmp_path / "my browser"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert script(CHROMIUM=str(program)).stdout == f"{program}\n"


def test_a_name_of_nothing_is_an_error_that_says_so() -> None:
    done = script(CHROMIUM="/nowhere/chromium")
    assert (done.returncode, done.stdout) == (1, "")
    assert "CHROMIUM names /nowhere/chromium" in done.stderr


def test_a_missing_browser_skips_with_the_reason_and_fails_in_ci(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(browser, "_find", lambda: ("", "no Chromium"))
    monkeypatch.delenv("CI", raising=False)
    with pytest.raises(pytest.skip.Exception, match="no Chromium"):
        browser.executable()
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="no Chromium"):
        browser.executable()


def test_a_page_is_shown_and_its_script_runs() -> None:
    with browser.chromium() as chromium:
        page = chromium.new_page()
        page.set_content("<p id=x></p><script>x.textContent = 6 * 7</script>")
        assert page.inner_text("#x") == "42"
