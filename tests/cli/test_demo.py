"""`natsrpc demo`: all of it at work, and what becomes of it when something goes wrong."""

from __future__ import annotations

import os
import re
import signal
import sysconfig
import time
from pathlib import Path

import pytest

from .processes import Command, all_gone

pytestmark = pytest.mark.live

FILES = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Enough work for a second or two, with files that are no Python, or no text."""
    return folder_of(tmp_path_factory.mktemp("demo"), "argparse.py")


@pytest.fixture(scope="module")
def quick_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same with little work in each file."""
    return folder_of(tmp_path_factory.mktemp("quick"), "textwrap.py")


def folder_of(folder: Path, source: str) -> Path:
    text = Path(sysconfig.get_path("stdlib"), source).read_bytes()
    for number in range(FILES - 3):
        (folder / f"file{number:04}.py").write_bytes(text)
    (folder / "bad.py").write_text("def (:\n")
    (folder / "binary.py").write_bytes(b"x = '\xff\xfe'\n")
    (folder / "empty.py").write_text("")
    return folder


def pids_of(line: str) -> list[int]:
    return [int(pid) for pid in re.findall(r"\d+", line.partition("pids")[2])]


def figure(command: Command, name: str) -> str:
    found = re.search(rf"^{name} +(.*)$", command.output, re.MULTILINE)
    assert found is not None, command.output
    return found[1]


def children_of(pid: int) -> list[int]:
    return [int(p) for p in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.mark.parametrize("codec", ["json", "msgpack"])
def test_every_file_is_answered_by_some_worker(quick_folder: Path, codec: str) -> None:
    arguments = ("demo", "--path", str(quick_folder), "--workers", "2", "--codec", codec)
    with Command(*arguments) as command:
        pids = pids_of(command.wait_for("2 workers are ready"))
        assert command.wait() == 0
    assert figure(command, "files") == f"{FILES}, answered {FILES}"
    assert figure(command, "syntax errors") == "2"
    assert figure(command, "errors") == "none"
    assert figure(command, "restarts") == "0"
    counts = re.findall(r"pid (\d+): (\d+)", figure(command, "calls by worker"))
    assert {int(pid) for pid, _ in counts} == set(pids)
    assert sum(int(calls) for _, calls in counts) == FILES
    assert re.search(r"lines  \w+  file\d{4}\.py:\d+", command.output)
    assert all_gone(pids)


def test_killed_worker_costs_no_answer(folder: Path) -> None:
    with Command("demo", "--path", str(folder)) as command:
        pids = pids_of(command.wait_for("3 workers are ready"))
        os.kill(pids[1], signal.SIGKILL)
        assert command.wait() == 0
    assert figure(command, "files") == f"{FILES}, answered {FILES}"
    assert figure(command, "restarts") == "1"
    assert f"(pid {pids[1]}) was killed by SIGKILL" in command.output
    assert "Traceback" not in command.output


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupt_ends_cleanly_in_the_middle(folder: Path, number: int) -> None:
    with Command("demo", "--path", str(folder)) as command:
        pids = pids_of(command.wait_for("3 workers are ready"))
        command.signal(number)
        assert command.wait(10.0) == 130
    assert "interrupted" in command.output
    assert "Traceback" not in command.output
    assert all_gone(pids)


# Python itself has started by then: what it does with an interrupt before is not ours to say.
BEGUN = "from natsrpc.cli.main import main; print('begun', flush=True); main()"


@pytest.mark.parametrize("delay", [0.01, 0.1, 0.2, 0.3, 0.5, 0.7, 0.9])
def test_interrupt_ends_cleanly_at_the_start(folder: Path, delay: float) -> None:
    with Command("demo", "--path", str(folder), program=("-c", BEGUN)) as command:
        command.wait_for("begun")
        time.sleep(delay)  # why: the point is to hit whatever is going on then
        children = children_of(command.process.pid) if os.path.isdir("/proc") else []
        command.signal(signal.SIGINT)
        assert command.wait(20.0) in (130, -signal.SIGINT)
    assert "Traceback" not in command.output
    assert all_gone(children)


# What is raised in a finalizer goes nowhere, and imports run many of them.
INTERRUPTED = """
import signal, sys
from natsrpc.cli import main
class Finalized:
    def __del__(self): signal.raise_signal(signal.SIGINT)
class Interrupting:
    def find_spec(self, name, *_):
        if name == "natsrpc.cli.app": Finalized()
sys.meta_path.insert(0, Interrupting())
"""


def test_interrupt_that_python_would_forget_ends_the_start() -> None:
    with Command("--version", program=("-c", INTERRUPTED + "main.main()")) as command:
        assert command.wait() == -signal.SIGINT
    assert command.output == ""


def test_ignored_interrupt_stays_ignored() -> None:
    code = f"""{INTERRUPTED}
signal.signal(signal.SIGINT, signal.SIG_IGN)
try: main.main()
finally: signal.raise_signal(signal.SIGINT)
"""
    with Command("--version", program=("-c", code)) as command:
        assert command.wait() == 0
    assert "natsrpc" in command.output


def test_interrupt_before_any_command_has_begun_is_quiet() -> None:
    code = (
        "import sys; from natsrpc.cli import main\n"
        "class Interrupting:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name == 'natsrpc.cli.app': raise KeyboardInterrupt\n"
        "sys.meta_path.insert(0, Interrupting()); main.main()"
    )
    with Command(program=("-c", code)) as command:
        assert command.wait() == 130
    assert command.output == ""


def test_file_that_cannot_be_read_is_counted_by_its_error(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("")
    (tmp_path / "locked.py").write_text("")
    # root reads everything: a name that leads nowhere by the time it is read does as well
    code = (
        "import pathlib; from natsrpc.cli.main import main\n"
        "read = pathlib.Path.read_bytes\n"
        "def read_bytes(path):\n"
        "    if path.name == 'locked.py': raise PermissionError(path)\n"
        "    return read(path)\n"
        "pathlib.Path.read_bytes = read_bytes; main()"
    )
    with Command("demo", "--path", str(tmp_path), "-w", "1", program=("-c", code)) as command:
        assert command.wait() == 1
    assert figure(command, "files") == "2, answered 1"
    assert figure(command, "errors") == "PermissionError: 1"


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (("--path", "/nowhere/at/all"), "there is no folder '/nowhere/at/all'"),
        (("--codec", "nonsense"), "unknown codec 'nonsense'"),
    ],
)
def test_mistakes_are_one_line(arguments: tuple[str, ...], text: str) -> None:
    with Command("demo", *arguments) as command:
        assert command.wait() == 2
    assert command.output.startswith(f"error: {text}")
    assert command.output.count("\n") == 0


def test_folder_without_python_is_said(tmp_path: Path) -> None:
    with Command("demo", "--path", str(tmp_path)) as command:
        assert command.wait() == 2
    assert command.output == f"error: there is no .py file in {str(tmp_path)!r}"
