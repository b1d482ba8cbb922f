"""The live tests of the core over WebSocket: `pytest tests/core --transport ws` (or `wss`).

Each real server that a test starts gets a WebSocket port as well, and its `url` is that of this
port; a `Proxy` in front of it is in front of that port. So every test of a real server connects as
it always does, and speaks WebSocket. `LEFT_OUT` is the one list of those that cannot.
"""

from __future__ import annotations

import atexit
import os
import shutil
import socket
import tempfile
import zlib
from pathlib import Path
from typing import Any, Literal

import nats
import pytest
import trustme

from natsrpc.server import NatsServer
from natsrpc.server.ports import hold_port

from .proxy import Proxy

Transport = Literal["ws", "wss"]

_MASKED = "reads the wire, which is masked"
_PLAIN = "speaks of plain ports"
LEFT_OUT: dict[str, str] = {
    "session/test_websocket.py": "speaks WebSocket by itself",
    "session/test_tls.py": "TLS that is asked for by INFO, and URLs of plain ports",
    "session/test_auth.py::test_users_and_passwords": _PLAIN,
    "test_connect.py::test_what_the_server_says_of_itself_is_there": _PLAIN,
    "test_connect.py::test_verbose_and_pedantic_work_at_the_first_connect_and_after": _MASKED,
    "test_errors.py::test_what_is_refused_here_is_quoted_and_never_sent": _MASKED,
    "test_errors.py::test_a_fault_that_closes_is_told_and_reconnected_from": (
        "over WebSocket nats-server hangs up without its -ERR"
    ),
}
"""Tests, by the start of their names, that make no sense over WebSocket, and why."""

_BEGIN = "\n# the WebSocket port of tests\n"


def select(config: pytest.Config, items: list[pytest.Item], *, tenth: bool) -> None:
    """Keep the live tests of the core that can run over WebSocket, or each tenth of them."""
    kept = [item for item in items if _is_meant(item)]
    if tenth:
        kept = [item for item in kept if zlib.crc32(item.nodeid.encode()) % 10 == 0]
    chosen = set(kept)
    config.hook.pytest_deselected(items=[item for item in items if item not in chosen])
    items[:] = kept


def _is_meant(item: pytest.Item) -> bool:
    is_live = item.get_closest_marker("live") is not None
    name = item.nodeid.removeprefix("tests/core/")
    return is_live and name != item.nodeid and not any(name.startswith(one) for one in LEFT_OUT)


def use(transport: Transport) -> None:
    """Have all servers of this test run speak WebSocket, and all tests connect by it."""
    servers = _Servers(transport)
    start, reload_, stop = NatsServer.start, NatsServer.reload, NatsServer.stop

    def started(self: NatsServer) -> None:
        if not self.is_running:
            self.config = servers.configured(self, self.config)
        start(self)
        servers.note(self)

    def reloaded(self: NatsServer, config: str | None = None) -> None:
        reload_(self, servers.configured(self, self.config if config is None else config))

    def stopped(self: NatsServer) -> None:
        stop(self)
        servers.forget(self)

    def begun(self: Proxy, target: int, **options: Any) -> None:
        begin(self, servers.ports.get(target, target), **options)

    begin = Proxy.__init__
    here = f"{transport}://127.0.0.1"
    patches: list[tuple[type, str, Any]] = [
        (NatsServer, "start", started),
        (NatsServer, "reload", reloaded),
        (NatsServer, "stop", stopped),
        (NatsServer, "url", property(lambda self: f"{here}:{servers.port(self)}")),
        (Proxy, "__init__", begun),
        (Proxy, "url", property(lambda self: f"{here}:{self.port}")),
    ]
    for owner, name, value in patches:
        setattr(owner, name, value)
    connect = nats.connect

    async def connect_plainly(url: str, **options: Any) -> Any:
        """A client written by others speaks plain NATS, as ever."""
        plain = next((p for p, ws in servers.ports.items() if url == f"{here}:{ws}"), None)
        return await connect(f"nats://127.0.0.1:{plain}" if plain else url, **options)

    setattr(nats, "connect", connect_plainly)  # noqa: B010  its type is another


class _Servers:
    """The WebSocket ports of the servers of one test run."""

    def __init__(self, transport: Transport) -> None:
        self.ports: dict[int, int] = {}
        self._held: dict[NatsServer, tuple[socket.socket | None, int]] = {}
        self._how = "no_tls: true" if transport == "ws" else _tls()

    def port(self, server: NatsServer) -> int:
        return self._held[server][1] if server in self._held else 0

    def configured(self, server: NatsServer, config: str | None) -> str:
        if server not in self._held:
            holder = hold_port("127.0.0.1")
            port = holder.getsockname()[1] if holder is not None else -1
            self._held[server] = holder, port
        own = (config or "").partition(_BEGIN)[0]
        block = f'websocket {{ host: "127.0.0.1", port: {self.port(server)}, {self._how} }}\n'
        return own + _BEGIN + block

    def note(self, server: NatsServer) -> None:
        holder, _ = self._held[server]
        self._held[server] = holder, server.websocket_port
        self.ports[server.port] = server.websocket_port

    def forget(self, server: NatsServer) -> None:
        holder, _ = self._held.pop(server, (None, 0))
        if holder is not None:
            holder.close()


def _tls() -> str:
    """A server's certificate for loopback, which clients trust as they trust the system's."""
    folder = Path(tempfile.mkdtemp(prefix="natsrpc-wss-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    issued.private_key_pem.write_to_path(folder / "key.pem")
    for number, blob in enumerate(issued.cert_chain_pems):
        blob.write_to_path(folder / "cert.pem", append=number > 0)
    os.environ["SSL_CERT_FILE"] = str(folder / "ca.pem")
    return f'tls {{ cert_file: "{folder / "cert.pem"}", key_file: "{folder / "key.pem"}" }}'
