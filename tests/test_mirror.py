"""`tests/` mirrors the package by rooms: what tests `rpc/calling/` is in `tests/rpc/calling/`."""

from __future__ import annotations

from pathlib import Path

TESTS = Path(__file__).parent
PACKAGE = TESTS.parent / "natsrpc"

OF_THE_WHOLE = {
    "behavior/matrix": "every operation through every way to reach a service",
    "behavior": "the same suite over a broker in memory and a real server",
    "core/harness": "the scripted server, the proxy and the clocks that tests run against",
    "fuzz": "what nobody would write, fed to all that strangers reach",
    "docs": "the code blocks of README.md and docs/",
    "faults": "each kind of traffic through each fault, as docs/guarantees.md says",
    "examples": "the programs in examples/",
    "interop": "clients written by others",
    "perf": "work and memory, counted",
    "soak": "long proofs under load",
    "typing": "what type checkers infer and refuse",
}
"""Folders of tests that belong to no room."""

ELSEWHERE = {
    "errors": "errors are tested where they are raised",
}
"""Rooms that have no folder of tests."""


def folders(top: Path, pattern: str) -> set[str]:
    """The folders below `top` that have such a file, named from there."""
    return {file.parent.relative_to(top).as_posix() for file in top.rglob(pattern)} - {"."}


def test_each_test_file_is_in_the_folder_of_a_room() -> None:
    rooms = folders(PACKAGE, "*.py")
    found = {
        folder
        for folder in folders(TESTS, "test_*.py")
        if "node_modules" not in folder and folder not in OF_THE_WHOLE
    }
    assert sorted(found - rooms) == []


def test_each_room_has_its_folder_of_tests() -> None:
    rooms = folders(PACKAGE, "__init__.py")
    assert sorted(rooms - folders(TESTS, "test_*.py") - ELSEWHERE.keys()) == []


def test_the_exceptions_are_there() -> None:
    assert OF_THE_WHOLE.keys() <= folders(TESTS, "test_*.py")
    assert ELSEWHERE.keys() <= folders(PACKAGE, "__init__.py")
    assert not OF_THE_WHOLE.keys() & folders(PACKAGE, "*.py")
