"""What systemd is told of a pool."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from natsrpc.cli.notify import Notifier
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

from .processes import Command

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="systemd is of Linux")


class Systemd:
    """A socket that hears what `sd_notify` says."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(str(path))
        self.socket.settimeout(30)

    def hear(self) -> dict[str, str]:
        lines = self.socket.recv(4096).decode().splitlines()
        return dict(line.partition("=")[::2] for line in lines)

    def hear_of(self, key: str) -> dict[str, str]:
        while key not in (said := self.hear()):
            pass
        return said


@pytest.fixture
def systemd(tmp_path: Path) -> Iterator[Systemd]:
    found = Systemd(tmp_path / "notify")
    yield found
    found.socket.close()


@pytest.mark.live
async def test_a_pool_tells_its_states(
    tmp_path: Path, systemd: Systemd, fresh_server: NatsServer
) -> None:
    (tmp_path / "shop.py").write_text(
        "import natsrpc, os\nassert 'NOTIFY_SOCKET' not in os.environ\n"
        "service = natsrpc.Service('shop', version='1.0.0')\n"
    )
    env = {"NOTIFY_SOCKET": str(systemd.path), "WATCHDOG_USEC": "20000"}
    with Command("run", "shop", "-s", fresh_server.url, cwd=tmp_path, env=env) as command:
        assert await asyncio.to_thread(systemd.hear) == {"READY": "1", "STATUS": "serving shop"}
        assert await asyncio.to_thread(systemd.hear_of, "WATCHDOG") == {"WATCHDOG": "1"}
        command.signal(signal.SIGHUP)
        said = await asyncio.to_thread(systemd.hear_of, "RELOADING")
        assert said["MONOTONIC_USEC"].isdigit()
        assert (await asyncio.to_thread(systemd.hear_of, "READY"))["READY"] == "1"
        command.signal(signal.SIGTERM)
        assert (await asyncio.to_thread(systemd.hear_of, "STOPPING"))["STOPPING"] == "1"
        assert await asyncio.to_thread(command.wait) == 0


@pytest.mark.live
async def test_ready_is_told_once_all_that_was_asked_for_is_over(
    tmp_path: Path, systemd: Systemd, fresh_server: NatsServer
) -> None:
    (tmp_path / "shop.py").write_text(
        "import natsrpc, pathlib, time\n"
        "pathlib.Path('began').touch()\n"
        "while not pathlib.Path('gate').exists():\n"
        "    time.sleep(0.01)  # why: a file is looked for\n"
        "service = natsrpc.Service('shop', version='1.0.0')\n"
    )
    began, gate = tmp_path / "began", tmp_path / "gate"

    async def heard(*keys: str) -> None:
        for key in keys:
            assert key in await asyncio.to_thread(systemd.hear)

    env = {"NOTIFY_SOCKET": str(systemd.path)}
    with Command("run", "shop", "-s", fresh_server.url, cwd=tmp_path, env=env) as command:
        await eventually(began.exists, timeout=30)
        command.signal(signal.SIGHUP)
        await asyncio.to_thread(command.wait_for, "still starting: nothing to replace yet")
        gate.touch()
        await asyncio.to_thread(command.wait_for, "is served by 1 worker")
        assert await asyncio.to_thread(systemd.hear) == {"READY": "1", "STATUS": "serving shop"}
        gate.unlink()
        began.unlink()
        command.signal(signal.SIGHUP)
        await eventually(began.exists, timeout=30)
        command.signal(signal.SIGHUP)
        await heard("RELOADING", "RELOADING")
        gate.touch()
        for _ in range(2):
            await asyncio.to_thread(command.wait_for, "all workers are replaced")
        command.signal(signal.SIGTERM)
        await heard("READY", "STOPPING")
        assert await asyncio.to_thread(command.wait) == 0


def test_nothing_is_told_where_nobody_asks() -> None:
    Notifier({}).ready("x")
    Notifier({"NOTIFY_SOCKET": "/nowhere/at/all"}).ready("x")


def test_the_watchdog_of_another_process_is_not_ours() -> None:
    mine = {"NOTIFY_SOCKET": "/x", "WATCHDOG_USEC": "3000000"}
    assert Notifier(mine).watchdog == 1.5
    assert Notifier({**mine, "WATCHDOG_PID": str(os.getpid())}).watchdog == 1.5
    assert Notifier({**mine, "WATCHDOG_PID": "1"}).watchdog == 0.0
    assert Notifier({"WATCHDOG_USEC": "3000000"}).watchdog == 0.0
