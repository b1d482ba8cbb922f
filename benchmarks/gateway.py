"""The cost of the HTTP gateway: the CPU of a request over that of a bare Starlette endpoint.

Both take the same JSON over HTTP, validate it with the same pydantic model, and answer with the
JSON of another. The bare endpoint is one process, uvicorn with Starlette. Behind the gateway a
service in a process of its own does the work: its CPU is added to that of the gateway. Windows of
both alternate, over 64 connections that are kept open; the program that asks is not counted.

    python -m benchmarks.gateway [--seconds 1] [--rounds 9] [--http h11|httptools] [--limit 1.5]
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import platform
import statistics
import sys
import time
from multiprocessing.connection import Connection
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

import natsrpc
from benchmarks.models import ORDER, Order
from natsrpc.testing import NatsServer
from natsrpc.web import Gateway, bind

CONNECTIONS = 64
BODY = ORDER.model_dump_json().encode()

service = natsrpc.Service("shop", version="1.0.0")


@service.handler("shop.orders.place")
async def place(order: Order) -> Order:
    """Answer with what was asked."""
    return order


async def bare(request: Request) -> Response:
    """The same, without NATS."""
    order = Order.model_validate_json(await request.body())
    return Response(order.model_dump_json(), media_type="application/json")


class Asking(asyncio.Protocol):
    """One connection, with a request always under way while `goes_on`."""

    goes_on = True
    count = 0

    def __init__(self, request: bytes) -> None:
        self._request = request
        self._got = b""
        self._transport: Any = None
        self.over: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask at once."""
        self._transport = transport
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Ask again when an answer is whole."""
        self._got += data
        head, found, body = self._got.partition(b"\r\n\r\n")
        if not found:
            return
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        if len(body) < int(length):
            return
        assert head.startswith(b"HTTP/1.1 200 "), self._got
        self._got = b""
        Asking.count += 1
        if Asking.goes_on:
            self._transport.write(self._request)
        else:
            self._transport.close()
            self.over.set_result(None)

    def connection_lost(self, error: Exception | None) -> None:
        """An answer that never comes is an error."""
        if not self.over.done():
            self.over.set_exception(error or ConnectionError("closed without an answer"))


def serve(http: str, what: str, url: str, control: Connection) -> None:
    """Be one of the processes: "bare", "gateway" or "service". Tells its port, then its CPU time
    whenever it is asked, until `control` is closed."""

    async def main() -> None:
        async with natsrpc.connect(url) as client:
            if what == "service":
                async with client.serve(service):
                    control.send(0)
                    await asyncio.to_thread(tell)
                return
            app: ASGIApp = Gateway(client)
            if what == "bare":
                app = Starlette(routes=[Route("/shop/orders/place", bare, methods=["POST"])])
            with bind("127.0.0.1:0") as listener:
                config = uvicorn.Config(app, http=http, lifespan="off", log_config=None)
                server = uvicorn.Server(config)
                serving = asyncio.ensure_future(server.serve(sockets=[listener]))
                control.send(listener.getsockname()[1])
                await asyncio.to_thread(tell)
                server.should_exit = True
                await serving

    def tell() -> None:
        while control.recv():
            control.send(time.process_time())

    asyncio.run(main())


class Peer:
    """A process that takes part, seen from the one that asks."""

    def __init__(self, http: str, what: str, url: str) -> None:
        processes = multiprocessing.get_context("spawn")
        self._control, other = processes.Pipe()
        self._process = processes.Process(target=serve, args=(http, what, url, other))
        self._process.start()
        self.port: int = self._control.recv()

    def cpu(self) -> float:
        """Its CPU time, in seconds."""
        self._control.send(True)
        found: float = self._control.recv()
        return found

    def stop(self) -> None:
        """End it."""
        self._control.send(False)
        self._process.join()


async def ask(port: int, seconds: float) -> int:
    """Ask for so long; how many answers came."""
    head = (
        f"POST /shop/orders/place HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept: */*\r\n"
        "User-Agent: bench\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    Asking.goes_on, Asking.count = True, 0
    loop = asyncio.get_running_loop()
    request = head.encode() + BODY
    made = [
        await loop.create_connection(lambda: Asking(request), "127.0.0.1", port)
        for _ in range(CONNECTIONS)
    ]
    await asyncio.sleep(seconds)
    Asking.goes_on = False
    await asyncio.gather(*(protocol.over for _, protocol in made))
    return Asking.count


def window(port: int, peers: list[Peer], seconds: float) -> float:
    """Return the CPU microseconds of one request, of all these processes together."""
    before = sum(peer.cpu() for peer in peers)
    count = asyncio.run(ask(port, seconds))
    return (sum(peer.cpu() for peer in peers) - before) / count * 1e6


def measure(url: str, http: str, seconds: float, rounds: int) -> list[tuple[float, float]]:
    """Return the CPU microseconds of a bare request and of one through the gateway, by window."""
    started: list[Peer] = []
    pairs = []
    try:
        started.append(worker := Peer(http, "service", url))
        started.append(gateway := Peer(http, "gateway", url))
        started.append(plain := Peer(http, "bare", url))
        for number in range(rounds + 1):
            found = {}
            for what in ("bare", "gateway") if number % 2 else ("gateway", "bare"):
                peers = [plain] if what == "bare" else [gateway, worker]
                found[what] = window(peers[0].port, peers, seconds)
            if number:  # the first warms up
                pairs.append((found["bare"], found["gateway"]))
    finally:
        for peer in started:
            peer.stop()
    return pairs


def main() -> None:
    """Measure and print; exit with 1 if the gateway costs more than the limit."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gateway", description=__doc__)
    parser.add_argument("--seconds", type=float, default=1.0, help="a window (default 1)")
    parser.add_argument("--rounds", type=int, default=9, help="windows of each (default 9)")
    parser.add_argument("--http", default="h11", help="uvicorn's parser: h11 or httptools")
    parser.add_argument("--limit", type=float, default=1.5, help="over bare, at most (default 1.5)")
    arguments = parser.parse_args()
    with NatsServer() as server:
        pairs = measure(server.url, arguments.http, arguments.seconds, arguments.rounds)
    ratios = [ours / plain for plain, ours in pairs]
    ratio = statistics.median(ratios)
    print(
        f"Python {platform.python_version()}, uvicorn {uvicorn.__version__} with {arguments.http}, "
        f"{CONNECTIONS} connections, CPU of all processes that answer, medians of "
        f"{arguments.rounds} windows:\n"
        f"bare {statistics.median(plain for plain, _ in pairs):.0f} us, "
        f"gateway and service {statistics.median(ours for _, ours in pairs):.0f} us: "
        f"{ratio:.2f} x (windows {min(ratios):.2f} to {max(ratios):.2f})"
    )
    sys.exit(0 if ratio <= arguments.limit else 1)


if __name__ == "__main__":
    main()
