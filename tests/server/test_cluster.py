"""A cluster of nats-server processes."""

from __future__ import annotations

import pytest

from natsrpc.server import Cluster

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
