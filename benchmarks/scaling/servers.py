"""nats-servers with monitoring, alone and joined by routes and gateways, and what they count."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from natsrpc.server import Cluster, NatsServer

MONITORED = "http: 127.0.0.1:-1\n"


def look(server: NatsServer, path: str) -> dict[str, Any]:
    """What a server's monitoring page says."""
    url = f"http://127.0.0.1:{server.monitor_port}{path}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        found: dict[str, Any] = json.load(answer)
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    with open(f"/proc/{pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def resident(pid: int | str = "self") -> int:
    """Resident bytes of a process."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def until(ready: Callable[[], bool], what: str, seconds: float = 60) -> None:
    """Wait until something of the servers is so."""
    end = time.monotonic() + seconds
    while not ready():
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {seconds} s")
        time.sleep(0.05)


def free_ports(count: int) -> list[int]:
    """Ports that are free now."""
    with contextlib.ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(count)]
        return [probe.getsockname()[1] for probe in probes]


@contextlib.contextmanager
def one_server() -> Iterator[NatsServer]:
    with NatsServer(MONITORED) as server:
        yield server


@contextlib.contextmanager
def cluster(count: int = 3) -> Iterator[list[NatsServer]]:
    with Cluster(count, MONITORED) as found:
        yield found.servers


@contextlib.contextmanager
def supercluster(each: int = 2) -> Iterator[list[list[NatsServer]]]:
    """Two clusters of so many servers, joined by gateways."""
    names, ports = ("EAST", "WEST"), free_ports(4 * each)
    gates = dict(zip(names, (ports[:each], ports[each : 2 * each]), strict=True))
    routes = dict(zip(names, (ports[2 * each : 3 * each], ports[3 * each :]), strict=True))
    remotes = ", ".join(f"{{ name: {name}, urls: [{_urls(gates[name])}] }}" for name in names)
    with contextlib.ExitStack() as stack:
        found = []
        for name in names:
            seeds = _urls(routes[name])
            servers = [
                NatsServer(
                    f"{MONITORED}server_name: {name}-{place}\n"
                    f'cluster {{ name: {name}, listen: "127.0.0.1:{routes[name][place]}", '
                    f"routes: [{seeds}] }}\n"
                    f'gateway {{ name: {name}, listen: "127.0.0.1:{gates[name][place]}", '
                    f"gateways: [{remotes}] }}\n"
                )
                for place in range(each)
            ]
            found.append([stack.enter_context(server) for server in servers])
        for server in (server for servers in found for server in servers):
            until(lambda server=server: _is_joined(server), "gateways")  # type: ignore[misc]
        yield found


def _urls(ports: list[int]) -> str:
    return ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports)


def _is_joined(server: NatsServer) -> bool:
    gates, routes = look(server, "/gatewayz"), look(server, "/routez")
    return bool(gates.get("outbound_gateways")) and bool(routes["num_routes"])


@dataclass(frozen=True, slots=True)
class Counts:
    """What went through a server so far: clients, routes and gateways told apart."""

    clients: tuple[int, int]
    routes: tuple[int, int]
    gateways: tuple[int, int]

    def __sub__(self, other: Counts) -> Counts:
        def less(mine: tuple[int, int], its: tuple[int, int]) -> tuple[int, int]:
            return mine[0] - its[0], mine[1] - its[1]

        return Counts(
            less(self.clients, other.clients),
            less(self.routes, other.routes),
            less(self.gateways, other.gateways),
        )


def counts(server: NatsServer) -> Counts:
    """Messages and bytes that a server took from its clients, and sent over routes and gateways."""
    clients = look(server, "/connz?limit=4096").get("connections") or []
    routes = look(server, "/routez").get("routes") or []
    gates = (look(server, "/gatewayz").get("outbound_gateways") or {}).values()
    outgoing = [gate["connection"] for gate in gates]
    return Counts(
        (sum(c["in_msgs"] for c in clients), sum(c["in_bytes"] for c in clients)),
        (sum(r["out_msgs"] for r in routes), sum(r["out_bytes"] for r in routes)),
        (sum(g["out_msgs"] for g in outgoing), sum(g["out_bytes"] for g in outgoing)),
    )


def subscriptions(server: NatsServer) -> int:
    """Subscriptions that a server keeps, those of its routes included."""
    found: int = look(server, "/subsz")["num_subscriptions"]
    return found


def gateway_interest(server: NatsServer) -> int:
    """What a server knows of the interest of the clusters that its gateways lead to."""
    gates = (look(server, "/gatewayz?accs=1&subs=1").get("outbound_gateways") or {}).values()
    accounts = [each for gate in gates for each in gate.get("accounts") or []]
    return sum(each.get("num_subs", 0) for each in accounts if each["name"] == "$G")
