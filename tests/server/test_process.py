"""A nats-server process that is ready, reloaded, restarted and ended."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest

from natsrpc.errors import ServerStartError
from natsrpc.server import NatsServer

pytestmark = pytest.mark.live


def test_ready_server_answers_with_info(nats_server: NatsServer) -> None:
    info = nats_server.info()
    assert info["port"] == nats_server.port
    assert nats_server.url == f"nats://127.0.0.1:{nats_server.port}"
    assert "Server is ready" in nats_server.log


def test_server_that_nobody_holds_is_ended_with_the_interpreter() -> None:
    script = (
        "from natsrpc.server import NatsServer\n"
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
