"""examples/tour: each file runs as it stands, on a real server, and prints what it says."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import pytest
import trustme

from natsrpc.testing import NatsServer

TOUR = Path(__file__).resolve().parents[2] / "examples" / "tour"

PRINTED = {
    "basics": [
        "received: hello world",
        "received: pulled",
        "next: pulled",
        "received: queued",
        "from the queue: queued",
        "answer: I can help!",
    ],
    "encoded": [
        "text: hello world",
        "person: Ada, 36, 12 St James's Square, London",
        "response: I can help with 'nats' on help",
    ],
    "queues": ["received: Grace, 85"],
    "wildcards": [
        "foo.*.baz matched foo.bar.baz: one publish, three matches",
        "foo.bar.* matched foo.bar.baz: one publish, three matches",
        "foo.> matched foo.bar.baz: one publish, three matches",
        "jobs done: 10",
    ],
    "advanced": [
        "all clear",
        "all clear within a second",
        "limited: ['0', '1', '2']",
        "from the other connection",
    ],
    "deadlines": [
        "request: in time",
        "next message: good",
        "typed request: typed",
        "nothing came in time",
    ],
}


async def run(name: str, *arguments: str) -> list[str]:
    """The lines a file of the tour prints."""
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        str(TOUR / f"{name}.py"),
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    out, err = await asyncio.wait_for(process.communicate(), 30)
    assert process.returncode == 0, err.decode()
    assert err == b""
    return out.decode().splitlines()


@pytest.mark.parametrize("name", sorted(PRINTED))
async def test_tour_prints_what_it_says(name: str, nats_server: NatsServer) -> None:
    assert sorted(await run(name, nats_server.url)) == sorted(PRINTED[name])


async def test_cluster_tour_tells_of_the_loss_and_the_return(nats_server: NatsServer) -> None:
    where = f"nats://127.0.0.1:{nats_server.port}"
    assert await run("cluster", nats_server.url) == [
        f"connected to {where}, known: 1",
        "disconnected: we closed it",
        f"reconnected to {where}",
        "disconnected: we closed it",
        "closed: as asked",
    ]


@pytest.mark.live
async def test_signing_in_tour_knows_each_way() -> None:
    config = 'authorization { users: [{user: "derek", password: "s3cr3t"}] }'
    async with NatsServer(config) as server:
        lines = await run("signing_in", f"nats://127.0.0.1:{server.port}")
    assert lines == [
        "by options",
        "by URL",
        "by user, beside a token",
        "by URL, before the options",
        "refused: the server refused the credentials: 'Authorization Violation'",
    ]


@pytest.mark.live
async def test_tls_tour_verifies_both_sides(tmp_path: Path) -> None:
    ca = trustme.CA()
    ca.cert_pem.write_to_path(tmp_path / "ca.pem")
    for name, cert in (
        ("server", ca.issue_cert("localhost")),
        ("client", ca.issue_cert("client@example.com")),
    ):
        cert.private_key_pem.write_to_path(tmp_path / f"{name}-key.pem")
        for part in cert.cert_chain_pems:
            part.write_to_path(tmp_path / f"{name}.pem", append=True)
    config = f"""tls {{
        cert_file: "{tmp_path}/server.pem", key_file: "{tmp_path}/server-key.pem",
        ca_file: "{tmp_path}/ca.pem", verify: true
    }}"""
    async with NatsServer(config) as server:
        files = [str(tmp_path / name) for name in ("ca.pem", "client.pem", "client-key.pem")]
        lines = await run("tls", f"tls://localhost:{server.port}", *files)
    assert lines == [
        "by scheme alone: TLSError",
        "without a client certificate: TLSError",
        "with a client certificate: CONNECTED",
        "with a context: CONNECTED",
    ]
