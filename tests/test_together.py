"""scripts/together: what runs the tests on several Pythons side by side."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.core.harness import soon

PROGRAM = Path(__file__).parent.parent / "scripts" / "together"

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="needs a POSIX shell")


def together(folder: Path, at_a_time: int, *arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(PROGRAM), str(folder / "logs"), str(at_a_time), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def test_one_that_fails_is_shown_whole_and_fails_all(tmp_path: Path) -> None:
    with together(
        tmp_path, 2, "good", "echo much; echo last", "bad", "echo why; echo so; exit 3", "--"
    ) as done:
        told, _ = done.communicate(timeout=60)
    assert done.returncode == 3
    assert "passed  good, 0 s: last\n" in told
    assert "much" not in told
    assert "FAILED  bad, 0 s, exit code 3:\n\nwhy\nso\n" in told
    assert (tmp_path / "logs" / "good.log").read_text() == "much\nlast\n"
    assert told.endswith("FAILED  bad, of 2 runs with 0 tests, in 0 s\n")


def test_how_far_each_is_and_how_many_failed_is_told_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PROGRESS_EVERY", "0.1")
    wait = "i=0; until [ -e over ]; do i=$((i + 1)); [ $i -lt 1000 ] || exit 4; sleep 0.02; done"
    jobs = (
        *("tests", f'printf "7 20\\na::b\\n" >"$PROGRESS"; {wait}; echo 20 20 >"$PROGRESS"'),
        *("fine", f'echo 3 4 >"$PROGRESS"; {wait}; echo 4 4 >"$PROGRESS"'),
        *("types", wait),
    )
    with together(tmp_path, 3, *jobs, "--") as running:
        assert running.stdout is not None
        told = []
        for line in running.stdout:
            told.append(line)
            if line.endswith(" s  tests 7 of 20, 1 FAILED; fine 3 of 4; types at work\n"):
                (tmp_path / "over").touch()
                break
        last = running.stdout.read().splitlines()[-1]
    assert told.count("FAILED  tests, a::b\n") == 1
    assert last.startswith("passed  all of 3 runs with 24 tests, in ")


def test_pytest_tells_how_far_it_is(tmp_path: Path) -> None:
    told = tmp_path / "progress"
    this = f"{Path(__file__)}::test_every_command_gets_the_arguments_as_they_are"
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider"]
    subprocess.run([*command, "--progress", str(told), this], check=True, capture_output=True)
    assert told.read_text() == "1 1\n"


def test_every_command_gets_the_arguments_as_they_are(tmp_path: Path) -> None:
    show = """printf '<%s>' "$@"; echo"""
    with together(tmp_path, 2, "a", show, "b", show, "--", "-k", "one or 'two'", "") as done:
        told, _ = done.communicate(timeout=60)
    assert done.returncode == 0
    assert told.count(": <-k><one or 'two'><>\n") == 2


@pytest.mark.parametrize("at_a_time", [1, 2])
def test_no_more_run_at_a_time_than_said(tmp_path: Path, at_a_time: int) -> None:
    # each waits for the other to begin, which it does only where both may run
    meet = """touch here-$$; i=0
        while [ "$(ls here-* | wc -l)" -lt 2 ]; do
            i=$((i + 1)); [ $i -lt "$1" ] || { rm here-$$; exit 4; }; sleep 0.02
        done"""
    patience = "10" if at_a_time == 1 else "2000"
    with together(tmp_path, at_a_time, "a", meet, "b", meet, "--", patience) as done:
        done.communicate(timeout=60)
    assert done.returncode == (4 if at_a_time == 1 else 0)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_that_was_started(tmp_path: Path, number: int) -> None:
    # a child of the command has to go too; what is still to come does not begin
    wait = "sleep 600 & echo $! >>pids; wait"
    jobs = ("a", wait, "b", wait, "c", "echo begun >c", "--")
    with together(tmp_path, 2, *jobs) as ended:
        pids = tmp_path / "pids"
        soon(lambda: pids.exists() and len(pids.read_text().split()) == 2, 60)
        ended.send_signal(number)
        ended.communicate(timeout=60)
    assert ended.returncode == 128 + number
    assert not (tmp_path / "c").exists()
    assert_gone(pids)


def test_a_signal_ends_even_what_is_just_being_started(tmp_path: Path) -> None:
    for _ in range(5):  # the command is quicker than the one who starts it, but not always
        with together(
            tmp_path, 1, "a", "echo $$ >>pids; kill $PPID; exec sleep 600", "--"
        ) as ended:
            ended.communicate(timeout=60)
        assert ended.returncode == 128 + signal.SIGTERM
    assert_gone(tmp_path / "pids")


def assert_gone(pids: Path) -> None:
    """All processes in the file end, soon."""
    left = [int(pid) for pid in pids.read_text().split()]
    soon(lambda: not any(is_there(pid) for pid in left), 20, what=f"the end of {left}")


def is_there(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return not (status.exists() and status.read_text().rpartition(")")[2].split()[0] == "Z")
