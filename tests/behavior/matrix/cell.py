"""One cell of the matrix: a service and its caller, connected as a topology says."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

import natsrpc
from natsrpc.core import Msg
from natsrpc.rpc import Server
from natsrpc.rpc.streams import conversations_of
from tests.core.harness import eventually

from .calculator import Calculator
from .topologies import Topology


@dataclass
class Cell:
    """What an operation works with."""

    topology: Topology
    caller: natsrpc.Client
    worker: natsrpc.Client
    calculator: Calculator
    server: Server

    def subject(self, name: str) -> str:
        """An endpoint, as its caller names it."""
        return f"{self.topology.prefix}.{name}"


@contextlib.asynccontextmanager
async def opened(topology: Topology) -> AsyncIterator[Cell]:
    """Connect both, serve, and see that nothing is left at the end."""
    async with (
        natsrpc.connect(topology.worker, **topology.worker_options) as worker,
        natsrpc.connect(topology.caller, **topology.caller_options) as caller,
    ):
        calculator = Calculator(worker)
        async with worker.serve(calculator.service) as server:
            cell = Cell(topology, caller, worker, calculator, server)
            await known(cell)
            yield cell
            await nothing_is_left(cell)


async def known(cell: Cell, worker: natsrpc.Client | None = None) -> None:
    """Wait until the caller's server knows what a worker has subscribed to.

    Servers tell each other of subscriptions one by one: the last one tells of those before it.
    """
    connection = (worker or cell.worker).connection
    token = natsrpc.core.new_inbox("ready").replace(".", "-")

    async def answer(msg: Msg) -> None:
        await msg.respond(b"")

    await connection.subscribe(f"calc.{token}", queue_group="q", cb=answer)
    async with asyncio.timeout(10):
        while True:
            try:
                await cell.caller.connection.request(cell.subject(token), timeout=0.5)
            except (natsrpc.NoRespondersError, natsrpc.NatsTimeoutError):
                await asyncio.sleep(0.01)  # why: servers that have not met yet
            else:
                return


async def nothing_is_left(cell: Cell) -> None:
    """Wait until no conversation, request, task, slot or byte of a window is held."""
    await eventually(lambda: leftovers(cell) == {}, 3, what=f"left: {leftovers(cell)}")


def leftovers(cell: Cell) -> dict[str, int]:
    """What may be left behind, where it is not zero."""
    found = {"inflight": cell.server.inflight}
    for side, client in (("caller", cell.caller), ("worker", cell.worker)):
        link = client.connection.link
        all_ = conversations_of(link)
        found |= {
            f"{side}'s conversations": len(all_),
            f"{side}'s sinks": len(link.requests.streams),
            f"{side}'s requests": len(link.requests.pending),
            f"{side}'s shares": all_.window.shares,
            f"{side}'s window": all_.window.size - all_.window.free,
            f"{side}'s account": all_.account.size - all_.account.free,
        }
    return {name: number for name, number in found.items() if number}
