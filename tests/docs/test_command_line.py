"""docs/command-line.md prints what commands print in terminals of 80 and of 120 columns.

Numbers may differ, and how many blanks are between columns because of them; nothing else may.
"""

from __future__ import annotations

import re
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from natsrpc.testing import NatsServer

if sys.platform == "win32":
    pytest.skip("terminals of POSIX", allow_module_level=True)

from .captures import Capture, Shop, captures

pytestmark = [pytest.mark.live, pytest.mark.once]

PAGES = ("ls", "info", "stats", "stats --watch", "ls --watch", "ping")
"""What is laid out by the width of the terminal."""

OTHERS = ("tap", "bench", "call", "publish")


def lines_of(text: str) -> list[str]:
    """The lines without numbers and extra blanks; of a histogram there is one line."""
    lines = [re.sub(r"\s+", " ", re.sub(r"\d+(\.\d+)?", "N", line)) for line in text.splitlines()]
    bars = [line for line in lines if line.startswith("≤")]
    return [line for line in lines if line not in bars and line.strip()] + ["≤"] * bool(bars)


@pytest.fixture
async def shop(tmp_path: Path, fresh_server: NatsServer) -> AsyncIterator[Shop]:
    async with Shop.open(tmp_path, fresh_server.url) as found:
        yield found


async def test_the_page_prints_what_terminals_show(shop: Shop) -> None:
    for capture in captures():
        shown = await shop.run(capture)
        assert max(map(len, shown.splitlines())) <= capture.columns or "error" in shown, capture
        expected, got = lines_of(capture.text), lines_of(shown)
        assert got[0] == expected[0], capture
        assert Counter(got) == Counter(expected), capture


@pytest.mark.parametrize("name", [*PAGES, *OTHERS])
def test_each_is_captured(name: str) -> None:
    widths = {capture.columns for capture in captures() if is_of(name, capture)}
    assert widths >= ({80, 120} if name in PAGES else {80})


def is_of(name: str, capture: Capture) -> bool:
    words = capture.command.split()
    return words[1] == name.split()[0] and ("--watch" in words) == ("--watch" in name)
