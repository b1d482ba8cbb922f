"""Ports that stay reserved while their server is down."""

from __future__ import annotations

import socket
import sys

import pytest

from natsrpc.server import NatsServer

pytestmark = pytest.mark.live


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
