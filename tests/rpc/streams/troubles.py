"""What may happen to a network and to a worker process, and conversations that live through it."""

from __future__ import annotations

import asyncio
import random
import signal
from collections import Counter
from dataclasses import dataclass

import natsrpc
from natsrpc.testing import NatsServer
from tests.core.harness import Proxy, eventually

from .adversity import (
    CONFIG,
    ENDS_WITHIN,
    QUICK,
    Ordeal,
    endure,
    nothing_is_left,
    nothing_unhandled,
    process_of,
    works_again,
)


@dataclass
class Network:
    """A server, and a proxy for each side."""

    server: NatsServer
    caller: Proxy
    worker: Proxy
    dice: random.Random

    def _some(self) -> list[Proxy]:
        return self.dice.choice([[self.caller], [self.worker], [self.caller, self.worker]])

    async def cut(self) -> None:
        """Cut one side or both, with FIN or RST."""
        for proxy in self._some():
            proxy.cut(reset=self.dice.random() < 0.5)

    async def stall(self) -> None:
        """Hold everything up for a moment, in one direction or both."""
        chosen = self._some()
        for proxy in chosen:
            proxy.stall(up=self.dice.random() < 0.7)
        await asyncio.sleep(self.dice.random() * 1.5)  # why: the moment
        for proxy in chosen:
            proxy.resume()

    async def lose(self) -> None:
        """Take bytes, and cut without passing them on."""
        chosen = self._some()
        for proxy in chosen:
            proxy.stall(up=self.dice.random() < 0.7)
        await asyncio.sleep(self.dice.random() * 0.3)  # why: what is lost is sent meanwhile
        for proxy in chosen:
            proxy.cut()
            proxy.resume()

    async def slow(self) -> None:
        """Pass on little pieces for a moment, so that a cut falls into frames."""
        chosen = self._some()
        for proxy in chosen:
            proxy.piece = self.dice.choice([700, 5000])
        await asyncio.sleep(self.dice.random() * 0.3)  # why: the moment
        for proxy in chosen:
            proxy.cut()
            proxy.piece = None

    async def restart(self) -> None:
        """Kill the server, and start it again."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, self.server.kill)
        await asyncio.sleep(self.dice.random() * 0.3)  # why: how long it is away
        await loop.run_in_executor(None, self.server.start)


NETWORK = ["cut", "stall", "lose", "slow", "restart"]


async def through_a_network(kinds: list[str], seed: int, count: int) -> Counter[str]:
    """Live through `count` troubles of these kinds."""
    dice = random.Random(f"{kinds} {seed}")
    async with (
        NatsServer(CONFIG) as server,
        nothing_unhandled(),
        Proxy(server.port) as near,
        Proxy(server.port) as far,
        natsrpc.connect(far.url, **QUICK) as worker,
        natsrpc.connect(near.url, **QUICK) as client,
        worker.serve(Ordeal().service) as serving,
    ):
        network = Network(server, near, far, dice)
        troubles = [getattr(network, dice.choice(kinds)) for _ in range(count)]
        ends = await endure(client, dice, troubles)
        await works_again(client, dice)
        await nothing_is_left(client)
        await nothing_is_left(worker, serving)
    return ends


async def through_killings(seed: int, count: int) -> Counter[str]:
    """Live through `count` workers that are killed."""
    dice = random.Random(f"kill {seed}")
    async with (
        NatsServer(CONFIG) as server,
        nothing_unhandled(),
        natsrpc.connect(server.url, **QUICK) as client,
        process_of("worker", server.url) as stays,
    ):
        for _ in range(count):
            async with process_of("worker", server.url) as process:

                async def kill(process: asyncio.subprocess.Process = process) -> None:
                    process.kill()
                    await process.wait()

                ends = await endure(client, dice, [kill])
        await works_again(client, dice)
        await nothing_is_left(client)
        assert stays.returncode is None
        await nothing_is_left_there(client)
    return ends


async def through_a_stop(seed: int, seconds: float) -> Counter[str]:
    """Live through a worker that is stopped for some time, and goes on."""
    dice = random.Random(f"stop {seed}")
    async with (
        NatsServer(CONFIG) as server,
        nothing_unhandled(),
        natsrpc.connect(server.url, **QUICK) as client,
        process_of("worker", server.url) as process,
    ):

        async def stop() -> None:
            process.send_signal(signal.SIGSTOP)
            await asyncio.sleep(seconds)  # why: how long it is stopped
            process.send_signal(signal.SIGCONT)

        ends = await endure(client, dice, [stop])
        await works_again(client, dice)
        await nothing_is_left(client)
        await nothing_is_left_there(client)
    return ends


async def through_callers(seed: int, numbers: list[int], seconds: float) -> None:
    """Serve callers that get these signals; the worker holds nothing of them soon after."""
    dice = random.Random(f"callers {seed}")
    async with (
        NatsServer(CONFIG) as server,
        nothing_unhandled(),
        natsrpc.connect(server.url, **QUICK) as worker,
        worker.serve(Ordeal().service) as serving,
    ):
        for number in numbers:
            async with process_of("caller", server.url) as process:
                await asyncio.sleep(dice.random() * 0.3)  # why: a moment of the seed's choice
                await eventually(lambda: serving.inflight > 0)
                process.send_signal(number)
                if number == signal.SIGSTOP:
                    await asyncio.sleep(seconds)  # why: how long it is stopped
                    await nothing_is_left(worker, serving)
                    process.send_signal(signal.SIGCONT)
                    await eventually(lambda: serving.inflight > 0, ENDS_WITHIN)
                    process.kill()
                await nothing_is_left(worker, serving)


async def nothing_is_left_there(client: natsrpc.Client) -> None:
    """Wait until a worker process holds nothing but the request that asks it."""
    async with asyncio.timeout(10):
        while (found := await client.call("ordeal.left", returns=dict[str, int])) != {}:
            print(found)
            await asyncio.sleep(0.1)  # why: another process cannot be watched
