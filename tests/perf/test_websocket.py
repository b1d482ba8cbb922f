"""What a WebSocket takes beside TCP: CPU a request, 64 in flight, both ends in this process."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from statistics import median

import pytest
import trustme

from natsrpc.core import Connection, ConnectOptions, Msg, connect
from natsrpc.testing import NatsServer

IN_FLIGHT = 64
ROUNDS = 5

pytestmark = [pytest.mark.live, pytest.mark.alone]


@asynccontextmanager
async def both(tls: bool, folder: Path) -> AsyncIterator[tuple[Connection, Connection]]:
    """A connection by TCP, and one by WebSocket, to one server; both with TLS, or without."""
    lines, options = "no_tls: true", ConnectOptions()
    if tls:
        authority = trustme.CA()
        issued = authority.issue_cert("127.0.0.1")
        authority.cert_pem.write_to_path(folder / "ca.pem")
        issued.private_key_and_cert_chain_pem.write_to_path(folder / "own.pem")
        lines = f'tls {{ cert_file: "{folder}/own.pem", key_file: "{folder}/own.pem" }}'
        options = ConnectOptions(tls_ca=folder / "ca.pem")
    config = f'websocket {{ host: "127.0.0.1", port: -1, {lines} }}\n{lines if tls else ""}'
    async with NatsServer(config) as server:
        ws = f"{'wss' if tls else 'ws'}://127.0.0.1:{server.websocket_port}"
        async with connect(server.url, **options) as plain, connect(ws, **options) as wrapped:
            for nc in (plain, wrapped):
                await answering(nc)
            yield plain, wrapped


async def answering(nc: Connection) -> None:
    def answer(msg: Msg) -> None:
        nc.link.send(msg.raw_reply, msg.data)

    await nc.subscribe(subject(nc), cb=answer)
    await nc.flush()


def subject(nc: Connection) -> str:
    return f"perf.by.{id(nc)}"


async def ask(nc: Connection, data: bytes, count: int) -> float:
    """Seconds of CPU for `count` requests and their answers, by one connection."""
    left = count

    async def one() -> None:
        nonlocal left
        while left > 0:
            left -= 1
            await nc.request(subject(nc), data, timeout=20)

    began = time.process_time()
    await asyncio.gather(*(one() for _ in range(IN_FLIGHT)))
    return time.process_time() - began


@pytest.mark.parametrize("tls", [False, True], ids=["plain", "tls"])
async def test_a_request_takes_at_most_twice_the_time(tls: bool, tmp_path: Path) -> None:
    async with both(tls, tmp_path) as (plain, wrapped):
        for size, count in [(16, 1000), (1024, 1000), (16 * 1024, 400), (64 * 1024, 200)]:
            data = bytes(range(256)) * (size // 256) or b"x" * size
            ratios = []
            for _ in range(ROUNDS):
                by_tcp = await ask(plain, data, count)
                ratios.append(await ask(wrapped, data, count) / by_tcp)
            print(f"{size} bytes: {median(ratios):.2f} of TCP's")
            assert median(ratios) <= 2.0, ratios
