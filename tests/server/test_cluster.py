"""A cluster of nats-server processes."""

from __future__ import annotations

import asyncio
import socket
import threading

import pytest

from natsrpc.core import connect
from natsrpc.errors import ServerStartError
from natsrpc.jetstream import JetStream, StreamConfig
from natsrpc.server import Cluster, NatsServer
from natsrpc.server.placement import what_is_missing

pytestmark = pytest.mark.live


def test_cluster_members_know_each_other_after_a_restart() -> None:
    with Cluster(3) as cluster:
        ports = {server.port for server in cluster.servers}
        for server in cluster.servers:
            urls = server.info()["connect_urls"]
            assert {int(url.rpartition(":")[2]) for url in urls} == ports
        cluster.servers[0].kill()
        cluster.servers[0].start()
        cluster.await_mesh()


async def test_jetstream_is_ready_when_a_stream_can_be_on_every_server(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not when a leader is known: two servers elect it while the third is still away."""
    cluster = Cluster(3, jetstream=True)
    late = cluster.servers[2]
    with monkeypatch.context() as patch:
        patch.setattr(late, "start", lambda: None)
        await asyncio.to_thread(cluster.start)
    async with cluster, connect(cluster.servers[0].url) as nc:  # the third starts here
        config = StreamConfig(name="S", subjects=["s"], storage="memory", num_replicas=3)
        await JetStream(nc).create_stream(config)
        assert late.is_running


def test_a_cluster_without_a_quorum_says_that_jetstream_is_not_ready() -> None:
    with Cluster(3, jetstream=True) as cluster:
        for server in cluster.servers[1:]:
            server.kill()
        cluster.servers[0].restart()  # one alone elects nobody
        with pytest.raises(ServerStartError, match=r"not ready within 0\.2 s: nats://"):
            cluster.await_jetstream(0.2)
        cluster.servers[0].kill()
        with pytest.raises(ServerStartError, match=r"not ready within 0\.2 s: no server runs"):
            cluster.await_jetstream(0.2)


@pytest.mark.parametrize("said", [b"", b"INFO {", b'INFO {}\r\nMSG x 1 40\r\n{"error": {'])
def test_a_server_that_ends_amid_its_answer_is_asked_again(said: bytes) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        server = NatsServer(port=listening.getsockname()[1])

        def answer() -> None:
            with listening.accept()[0] as peer:
                peer.sendall(said)
                peer.shutdown(socket.SHUT_WR)
                while peer.recv(4096):
                    pass  # what it asks, until it leaves

        answering = threading.Thread(target=answer)
        answering.start()
        assert what_is_missing([server]).startswith(server.url)
        answering.join()
