"""Discovery among many instances: how long PING, INFO and STATS take, and what they cost the asker.

The instances are real ones: services that run, some thousand of them on a few connections.
"""

from __future__ import annotations

import asyncio
import resource
import sys
import time

import natsrpc
from natsrpc import discovery

from .servers import one_server, resident, subscriptions, until

PER_CONNECTION = 500


def instance(endpoints: int) -> natsrpc.Service:
    service = natsrpc.Service("fleet", version="1.0.0", description="one of many")

    async def answer(data: bytes) -> bytes:
        return data

    for number in range(endpoints):
        service.handler(f"fleet.endpoint{number}", name=f"endpoint{number}")(answer)
    return service


async def serve(url: str, count: int, endpoints: int) -> None:
    """So many instances, until stdin ends."""
    clients = []
    for start in range(0, count, PER_CONNECTION):
        client = await natsrpc.connect(url)
        clients.append(client)
        for _ in range(min(PER_CONNECTION, count - start)):
            await client.serve(instance(endpoints))
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for client in clients:
        await client.close()


async def ask(url: str, timeout: float) -> None:
    """Ask each verb once, and print what it took; in a process of its own, so that memory tells."""
    async with natsrpc.connect(url) as client:
        for question in (discovery.ping, discovery.info, discovery.stats):
            began, cpu = time.perf_counter(), time.process_time()
            try:
                found = len(await question(client.connection, timeout=timeout, stall=1.0))
                said = f"{found:6d} answers"
            except natsrpc.NatsError as error:
                said = f"{type(error).__name__}: {error}"
            took, busy = time.perf_counter() - began - 1.0, time.process_time() - cpu
            peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
            name = question.__name__
            print(f"  {name:5} {said} in {took:.2f} s, CPU {busy:.2f} s, peak {peak:.0f} MiB")


async def main(total: int = 10_000, endpoints: int = 1, processes: int = 4) -> None:
    """Start the instances in processes, then ask in another one."""
    with one_server() as server:
        children = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", __spec__.name, "serve", server.url,
                str(total // processes), str(endpoints),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE,
            )
            for _ in range(processes)
        ]  # fmt: skip
        try:
            for child in children:
                assert child.stdout is not None
                assert await child.stdout.readline() == b"ready\n", "an instance did not start"
            expected = total // processes * processes * (3 * endpoints + 3)
            until(lambda: subscriptions(server) >= expected, "subscriptions")
            size = resident(server.pid) / 2**20
            print(f"{total} instances of {endpoints} endpoints: {subscriptions(server)} interests, "
                  f"resident size of the server {size:.0f} MiB")  # fmt: skip
            asking = (sys.executable, "-m", __spec__.name, "ask", server.url, "20")
            await (await asyncio.create_subprocess_exec(*asking)).wait()
        finally:
            for child in children:
                if child.returncode is None:
                    child.terminate()
                await child.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["serve", url, count, endpoints]:
            asyncio.run(serve(url, int(count), int(endpoints)))
        case ["ask", url, timeout]:
            asyncio.run(ask(url, float(timeout)))
        case numbers:
            asyncio.run(main(*map(int, numbers)))
