"""natsrpc.server: a nats-server process that is found, ready, restarted and ended."""

from __future__ import annotations

import asyncio
import os
import socket
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from natsrpc.testing import Cluster, NatsServer, ServerNotFoundError, ServerStartError, find_server

pytestmark = pytest.mark.live


def test_find_server_prefers_the_named_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "my-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("NATS_SERVER_BIN", str(program))
    assert find_server() == program


def test_named_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_SERVER_BIN", "/nowhere/nats-server")
    with pytest.raises(ServerNotFoundError, match="NATS_SERVER_BIN is '/nowhere/nats-server'"):
        find_server()


def test_missing_server_names_the_three_ways_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.delenv("NATS_SERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(metadata, "files", none)
    with pytest.raises(ServerNotFoundError) as caught:
        find_server()
    text = str(caught.value)
    assert "natsrpc[server]" in text
    assert "PATH" in text
    assert "NATS_SERVER_BIN" in text
    assert "\n" not in text


def test_path_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    def none(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.delenv("NATS_SERVER_BIN", raising=False)
    monkeypatch.setattr(metadata, "files", none)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == program


def test_ready_server_answers_with_info(nats_server: NatsServer) -> None:
    info = nats_server.info()
    assert info["port"] == nats_server.port
    assert nats_server.url == f"nats://127.0.0.1:{nats_server.port}"
    assert "Server is ready" in nats_server.log


async def test_async_with_starts_and_ends_the_process() -> None:
    async with NatsServer() as server:
        pid = server.pid
        folder = server.folder
        os.kill(pid, 0)
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)
    assert not folder.exists()
    assert not server.is_running


async def test_cancelled_start_leaves_no_process_behind() -> None:
    begun = asyncio.Event()
    loop = asyncio.get_running_loop()

    class Slow(NatsServer):
        def _await_ready(self) -> None:
            loop.call_soon_threadsafe(begun.set)
            super()._await_ready()

    server = Slow()
    task = asyncio.create_task(server.__aenter__())
    await begun.wait()
    process = server.process
    assert process is not None
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert process.poll() is not None


def test_server_that_nobody_holds_is_ended_with_the_interpreter() -> None:
    script = (
        "from natsrpc.testing import NatsServer\n"
        "def start():\n"
        "    server = NatsServer()\n"
        "    server.start()\n"
        "    print(server.pid)\n"
        "start()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=True
    )
    with pytest.raises(ProcessLookupError):
        os.kill(int(done.stdout), 0)


def test_restart_and_kill_keep_the_port(fresh_server: NatsServer) -> None:
    port, pid = fresh_server.port, fresh_server.pid
    fresh_server.restart()
    assert (fresh_server.port, fresh_server.info()["port"]) == (port, port)
    assert fresh_server.pid != pid
    fresh_server.kill()
    with pytest.raises(OSError):
        socket.create_connection((fresh_server.host, port), 1.0)
    fresh_server.start()
    assert fresh_server.port == port
    assert fresh_server.log.count("Server is ready") == 3


def test_reload_is_in_force_when_it_returns() -> None:
    with NatsServer("max_payload: 1000") as server:
        assert server.info()["max_payload"] == 1000
        server.reload("max_payload: 2000")
        assert server.info()["max_payload"] == 2000
        with pytest.raises(ServerStartError, match="refused the configuration"):
            server.reload("max_payload: nonsense }{")
        assert server.info()["max_payload"] == 2000


def test_bad_configuration_raises_with_the_servers_own_words() -> None:
    server = NatsServer("max_payload: }{")
    with pytest.raises(ServerStartError, match=r"server\.conf") as caught:
        server.start()
    assert caught.value.log
    assert not server.is_running
    server.stop()


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a port cannot be held")
def test_nobody_gets_the_port_of_a_server_that_is_down() -> None:
    def taken_by_chance() -> int:
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((server.host, 0))
            port: int = sock.getsockname()[1]
            return port

    with NatsServer() as server:
        port = server.port
        server.kill()
        assert port not in {taken_by_chance() for _ in range(60_000)}
        with pytest.raises(ConnectionRefusedError), socket.create_connection((server.host, port)):
            pass
        server.start()
        assert server.info()["port"] == server.port == port


def test_lame_duck_is_announced() -> None:
    config = 'lame_duck_duration: "30s"\nlame_duck_grace_period: "1s"'
    with NatsServer(config) as server:
        with (
            socket.create_connection((server.host, server.port), 5.0) as sock,
            sock.makefile("rb") as reader,
        ):
            reader.readline()
            sock.sendall(b'CONNECT {"verbose":false,"protocol":1}\r\nPING\r\n')
            assert b"PONG" in reader.readline() + reader.readline()
            server.lame_duck()
            assert any(b'"ldm":true' in reader.readline() for _ in range(3))
        server.kill()


def test_cluster_members_know_each_other_after_a_restart() -> None:
    with Cluster(3) as cluster:
        ports = {server.port for server in cluster.servers}
        for server in cluster.servers:
            urls = server.info()["connect_urls"]
            assert {int(url.rpartition(":")[2]) for url in urls} == ports
        cluster.servers[0].kill()
        cluster.servers[0].start()
        cluster.await_mesh()
