"""A real browser for the tests of pages: Chromium, driven by Playwright."""

from __future__ import annotations

import contextlib
import functools
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

_SCRIPT = Path(__file__).parent.parent / "scripts" / "browser"


@functools.cache
def _find() -> tuple[str, str]:
    """The path of a browser, and what is said where there is none."""
    done = subprocess.run(
        ["sh", str(_SCRIPT)], capture_output=True, text=True, timeout=600, check=False
    )
    return done.stdout.strip(), done.stderr.strip()


def executable() -> str:
    """The path of the browser; without one the test is skipped with the reason, and fails in CI."""
    path, said = _find()
    if path:
        return path
    if os.environ.get("CI"):
        pytest.fail(said, pytrace=False)
    pytest.skip(said)


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A browser without a window, for as long as the block runs.

    It is started without a sandbox of its own where this is root, as in containers: there Chromium
    refuses to start with one. It reaches only what a test serves.
    """
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=executable(),
            args=["--disable-gpu"],
            chromium_sandbox=os.name != "posix" or os.geteuid() != 0,
        )
        with contextlib.closing(browser):
            yield browser
