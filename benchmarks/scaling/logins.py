"""What a login costs a server, by what it is made with: CPU of nats-server and of the client.

Connections are opened and closed one after the other by one process. `none` is what a connection
costs without any login, and TLS alone what comes on top of it before a certificate is asked for.
"""

from __future__ import annotations

import asyncio
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

import trustme

from natsrpc.core import connect
from natsrpc.server import NatsServer
from tests.core.identities import Key, Operator, creds, private

from .servers import cpu_seconds
from .storm import HASHED

USER = {"user": "fleet", "password": "fleet"}
LONG = "x7Qp0vR2nKf84LsTzWm1YbHc6JdEaGu9"


def kinds(folder: Path) -> dict[str, tuple[str, dict[str, Any]]]:
    """The configuration of a server, and the options of its clients, of each kind."""
    key, operator = Key(), Operator()
    file = private(folder / "user.creds", creds(operator.user(key), key.seed))
    authority = trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    for name, whose in (
        ("server", authority.issue_cert("127.0.0.1")),
        ("client", authority.issue_cert("fleet@example.com")),
    ):
        whose.private_key_and_cert_chain_pem.write_to_path(folder / f"{name}.pem")
    tls = f'cert_file: "{folder}/server.pem", key_file: "{folder}/server.pem"'
    by_name = f'tls {{ {tls}, ca_file: "{folder}/ca.pem", verify_and_map: true }}\n'
    trusting = {"tls_ca": folder / "ca.pem"}
    own = {"tls_cert": (folder / "client.pem", folder / "client.pem")}
    return {
        "none": ("", {}),
        "token": (f"authorization {{ token: {LONG} }}", {"token": LONG}),
        "password": (f"authorization {{ user: fleet, password: {LONG} }}",
                     {"user": "fleet", "password": LONG}),
        "password, bcrypt": (HASHED, USER),
        "nkey": (f"authorization {{ users: [{{ nkey: {key.public} }}] }}",
                 {"nkey": (key.public, key.sign)}),
        "JWT": (operator.config, {"credentials": file}),
        "none, TLS": (f"tls {{ {tls} }}", trusting),
        "certificate, TLS": (by_name + 'authorization { users: [{ user: "fleet@example.com" }] }',
                             {**trusting, **own}),
    }  # fmt: skip


async def login(count: int, config: str, options: dict[str, Any]) -> tuple[float, float]:
    """Milliseconds of CPU a login: of the server, and of the client."""
    async with NatsServer(config) as server:
        url = f"nats://127.0.0.1:{server.port}"
        async with connect(url, **options):
            pass
        before, own = cpu_seconds(server.pid), time.process_time()
        for _ in range(count):
            async with connect(url, **options):
                pass
        own = time.process_time() - own
        return (cpu_seconds(server.pid) - before) / count * 1e3, own / count * 1e3


async def main(count: int, rounds: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, (config, options) in kinds(Path(folder)).items():
            some = max(10, count // 50) if "bcrypt" in name else count
            found = [await login(some, config, options) for _ in range(rounds)]
            server, client = (median(each) for each in zip(*found, strict=True))
            print(f"{name:18} server {server:7.2f} ms, client {client:6.2f} ms of CPU a login")


if __name__ == "__main__":
    given = (*sys.argv[1:], *("500", "3")[len(sys.argv) - 1 :])
    asyncio.run(main(int(given[0]), int(given[1])))
