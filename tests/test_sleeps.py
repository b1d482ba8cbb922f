"""Tests wait for the thing itself. A pause that must be says on its own line why.

What waits for a thing is in `tests/core/harness`: `eventually`, `steady`, `until_done`,
`until_raised`, `soon`. Of timers, `elapse` there and `natsrpc.testing.Clock` make short work.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent
PAUSE = re.compile(r"(?<!def )\bsleep\((?!0\))(?=[^)])")
"""A call with anything but 0, in code or in a program that a test writes."""
REASON = re.compile(r"# why: \w+")


def pauses(text: str) -> Iterator[tuple[int, str]]:
    """The lines that pause without saying why."""
    for number, line in enumerate(text.splitlines(), 1):
        if PAUSE.search(line) and not REASON.search(line):
            yield number, line.strip()


def test_a_pause_in_a_test_has_its_reason() -> None:
    found = [
        f"{path.relative_to(TESTS.parent)}:{number}: {line}"
        for path in sorted(TESTS.rglob("*.py"))
        if "node_modules" not in path.parts and path != Path(__file__)
        for number, line in pauses(path.read_text(encoding="utf-8"))
    ]
    assert found == [], "wait for the thing itself (tests/core/harness), or say `# why: ...`"


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("await asyncio.sleep(0.1)", True),
        ("await asyncio.sleep(DELAY)", True),
        ("time.sleep(1)  # a while", True),
        ("task = asyncio.ensure_future(asyncio.sleep(60))", True),
        ('program = "import time; time.sleep(60)"', True),
        ("await asyncio.sleep(0.1)  # why: a slow handler", False),
        ("time.sleep(1)  # noqa: ASYNC251  # why: it blocks", False),
        ("await asyncio.sleep(0)", False),
        ("async def sleep(seconds: float) -> None:", False),
        ('client.call("stuck.sleep", 60.0)', False),
    ],
)
def test_what_is_a_pause(line: str, told: bool) -> None:
    assert [*pauses(line)] == ([(1, line)] if told else [])
