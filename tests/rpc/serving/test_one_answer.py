"""Whatever requests do, and whatever becomes of them: one answer each, and nothing left behind."""

from __future__ import annotations

import asyncio
import random
from collections import Counter

import pytest

from natsrpc.core import Msg, encode_headers
from natsrpc.errors import RpcError
from natsrpc.rpc import Client, Service
from natsrpc.rpc.headers.cancel import cancel_bytes

pytestmark = pytest.mark.live

REQUESTS = 1500


def chaotic_service(prefix: str, chance: random.Random) -> Service:
    """A service of small limits, whose handler does all that handlers should not."""
    service = Service("chaos", version="1.0.0", max_concurrency=10, max_waiting=10)

    @service.handler(prefix)
    async def handle(n: int) -> str:
        way = chance.randrange(8)
        if way == 0:
            raise ValueError("by chance")
        if way == 1:
            raise RpcError("by chance", code=418)
        if way == 2:
            await asyncio.Event().wait()
        if way == 3:
            try:
                await asyncio.sleep(0.05)  # why: as long as a deadline, or longer
            except asyncio.CancelledError:
                await asyncio.sleep(0.01)  # why: a handler that is slow to end
        if way == 4:
            return "x" * 2_000_000
        if way == 5:
            await asyncio.sleep(chance.random() * 0.05)  # why: deadlines pass at any point
        if way == 6:
            raise asyncio.CancelledError
        return str(n)

    return service


@pytest.mark.parametrize("seed", [1, 2])
async def test_each_request_gets_exactly_one_answer(
    client: Client, other: Client, unique: str, seed: int
) -> None:
    chance = random.Random(seed)
    answers: Counter[str] = Counter()
    codes: Counter[str] = Counter()

    def count(msg: Msg) -> None:
        answers[msg.subject] += 1
        codes[msg.headers.get("Nats-Service-Error-Code") or "ok"] += 1

    nc, send = client.connection, client.connection.link.outbound.send
    await nc.subscribe(f"{unique}.inbox.*", cb=count)
    server = await other.serve(chaotic_service(unique, chance))
    subject = unique.encode()
    for number in range(REQUESTS):
        timeout = str(chance.choice([0, 5, 20, 50, 100]))
        headers = {"Natsrpc-Timeout": timeout}
        if chance.random() < 0.05:
            headers["Content-Type"] = "application/x-unheard-of"
        data = b"{nix" if chance.random() < 0.05 else b"%d" % number
        inbox = f"{unique}.inbox.{number}".encode()
        send(subject, data, inbox, encode_headers(headers))
        if chance.random() < 0.2:
            send(cancel_bytes(subject), b"%b.inbox.%d" % (subject, chance.randrange(number + 1)))
        if chance.random() < 0.1:
            await asyncio.sleep(chance.random() * 0.01)  # why: some end while others come
    await nc.flush()
    await server.drain(0.3)
    await other.connection.flush()
    await nc.flush()
    assert len(answers) == REQUESTS
    assert set(answers.values()) == {1}
    assert server.inflight == 0
    (endpoint,) = server.services[0].endpoints
    assert not endpoint.taken
    assert endpoint.inflight == 0
    assert endpoint.answers.num_requests == REQUESTS
    assert endpoint.answers.num_errors == REQUESTS - codes["ok"]
    assert {"ok", "400", "413", "415", "418", "429", "499", "500", "504"} <= codes.keys()
