"""What becomes of servers whose process is killed, and of test runs that are told to end."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from natsrpc.server import NatsServer
from natsrpc.server.watchdog import Watchdog
from tests.core.harness import soon

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="needs signals, which Windows has not"),
]

ROOT = Path(__file__).parents[2]
PARENT = """
import os, sys, threading
from natsrpc.server import NatsServer, Cluster

servers = [NatsServer(), *Cluster(2).servers]
first = NatsServer()
first.start()
# the thread that starts servers may end long before the process does
thread = threading.Thread(target=lambda: [server.start() for server in servers])
thread.start()
thread.join()
ended = first.pid
first.stop()
servers[0].restart()
print(*(server.pid for server in servers), flush=True)
sys.stdin.read()
"""
FORGETFUL = """
import os, signal, sys
from natsrpc.server.watchdog import watchdog

other, kept = map(int, sys.argv[1:])
for pid in (other, kept):
    watchdog.watch(pid)
watchdog.forget(kept)
watchdog.forget(kept)
os.kill(os.getpid(), signal.SIGKILL)
"""
RUN = """
import natsrpc.server, sys

def test_that_lasts(nats_server, fresh_server, capfd):
    with natsrpc.server.NatsServer() as server, capfd.disabled():
        print("pids", nats_server.pid, fresh_server.pid, server.pid, flush=True)
        sys.stdin.read()
"""


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def started(*arguments: str, cwd: Path = ROOT) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, *arguments],
        cwd=cwd,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize("stopped", [False, True])
def test_servers_do_not_outlive_a_process_that_is_killed(stopped: bool) -> None:
    with started("-c", PARENT) as parent:
        assert parent.stdout is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        assert len(pids) == 3
        assert all(map(is_alive, pids))
        if stopped:  # one that takes no word is ended, too
            os.kill(pids[0], signal.SIGSTOP)
        parent.kill()
        parent.wait()
        soon(lambda: not any(map(is_alive, pids)))


def test_a_process_that_ends_by_itself_leaves_nothing_to_the_watchdog() -> None:
    with started("-c", PARENT) as parent:
        assert parent.stdout is not None
        assert parent.stdin is not None
        pids = [int(pid) for pid in parent.stdout.readline().split()]
        parent.stdin.close()
        assert parent.wait(timeout=30) == 0
        assert not any(map(is_alive, pids))


def test_what_has_ended_is_not_ended_again() -> None:
    """Its number may be another process's by then."""
    other = subprocess.Popen(["sleep", "60"])
    kept = subprocess.Popen(["sleep", "60"])
    try:
        with started("-c", FORGETFUL, str(other.pid), str(kept.pid)) as parent:
            assert parent.wait(timeout=30) == -signal.SIGKILL
        assert other.wait(timeout=30) == -signal.SIGTERM
        assert kept.poll() is None
    finally:
        kept.kill()
        kept.wait()


def test_a_shell_that_was_ended_is_started_anew_for_the_next_server() -> None:
    watchdog = Watchdog()
    sleeping = subprocess.Popen(["sleep", "60"])
    try:
        watchdog.watch(sleeping.pid)
        broken = os.open(os.devnull, os.O_RDONLY)
        os.dup2(broken, watchdog._pipe)  # noqa: SLF001  as if the shell had gone
        os.close(broken)
        watchdog.forget(sleeping.pid)
        watchdog.watch(sleeping.pid)
        assert os.fstat(watchdog._pipe)  # noqa: SLF001
    finally:
        sleeping.kill()
        sleeping.wait()
        os.close(watchdog._pipe)  # noqa: SLF001


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_a_test_run_that_is_told_to_end_ends_its_servers(number: int, tmp_path: Path) -> None:
    (tmp_path / "test_lasting.py").write_text(RUN)
    options = ("-m", "pytest", "-q", "-s", "-p", "tests.conftest", "--rootdir", str(tmp_path))
    with started(*options, "-c", "/dev/null", str(tmp_path)) as run:
        assert run.stdout is not None
        line = next(line for line in run.stdout if "pids" in line)
        pids = [int(word) for word in line.split() if word.isdigit()]
        assert len(pids) == 3
        assert all(map(is_alive, pids))
        run.send_signal(number)
        code = run.wait(timeout=30)
        if number == signal.SIGTERM:  # its blocks were left, in order
            assert code == 2
            assert not any(map(is_alive, pids))
        soon(lambda: not any(map(is_alive, pids)))


def test_a_server_tells_of_its_start_and_end(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[tuple[str, int]] = []
    for word in ("watch", "forget"):
        monkeypatch.setattr(
            f"natsrpc.server.process.watchdog.{word}",
            lambda pid, word=word: told.append((word, pid)),
        )
    with NatsServer() as server:
        first = server.pid
        server.kill()
        server.start()
        second = server.pid
    assert told == [("watch", first), ("forget", first), ("watch", second), ("forget", second)]
