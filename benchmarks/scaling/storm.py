"""A fleet that reconnects at once: its server is killed and comes back.

Each client is one connection of natsrpc with the default options (jitter included), some hundred of
them in each process. Counted: seconds until all are back, and connections a second at the peak.
"""

from __future__ import annotations

import asyncio
import sys
import time

import natsrpc
from natsrpc.core import Reconnected

from .servers import cpu_seconds, look, one_server, until

PROCESSES = 4


async def connect(url: str, count: int, jitter: float) -> None:
    """So many connections, each with a subscription, until stdin ends; then when each was back."""
    back: list[float] = []

    def hear(event: object) -> None:
        if isinstance(event, Reconnected):
            back.append(time.time())

    async def ignore(_: natsrpc.Msg) -> None: ...

    clients = []
    for _ in range(count):
        client = await natsrpc.core.connect(
            url, reconnect_jitter=jitter, max_reconnect_attempts=-1, connect_timeout=10
        )
        client.link.add_listener(hear)
        await client.subscribe("fleet.orders", queue_group="q", cb=ignore)
        clients.append(client)
    print("ready", flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    cpu = time.process_time()
    print(*(f"{moment:.3f}" for moment in back), f"{cpu:.2f}", flush=True)
    for client in clients:
        await client.close()


async def main(total: int = 1_000, jitter: float = 0.1, down: float = 1.0) -> None:
    """Start the clients, kill the server, start it again after `down` seconds, and count."""
    with one_server() as server:
        children = [
            await asyncio.create_subprocess_exec(
                sys.executable, "-m", __spec__.name, "connect", server.url,
                str(total // PROCESSES), str(jitter),
                stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, limit=2**24,
            )
            for _ in range(PROCESSES)
        ]  # fmt: skip
        try:
            for child in children:
                assert child.stdout is not None
                assert await child.stdout.readline() == b"ready\n", "a client did not connect"
            server.kill()
            await asyncio.sleep(down)
            server.start()
            began = time.time()
            until(lambda: look(server, "/varz")["connections"] >= total, "connections", 120)
            until(lambda: look(server, "/subsz")["num_subscriptions"] >= total, "interest", 120)
            cpu = cpu_seconds(server.pid)
            moments: list[float] = []
            for child in children:
                assert child.stdin is not None
                assert child.stdout is not None
                child.stdin.write(b"\n")
                line = (await child.stdout.readline()).split()
                moments += [float(each) - began for each in line[:-1]]
            moments.sort()
            peak = max(sum(1 for m in moments if t <= m < t + 0.1) for t in moments)
            middle = moments[len(moments) // 2]
            print(
                f"{total} clients, jitter {jitter:g} s, server down {down:g} s: half back after "
                f"{middle:.2f} s, all after {moments[-1]:.2f} s; at most {peak} in 0.1 s; "
                f"server CPU {cpu:.2f} s"
            )
        finally:
            for child in children:
                if child.returncode is None:
                    child.terminate()
                await child.wait()


if __name__ == "__main__":
    match sys.argv[1:]:
        case ["connect", url, count, jitter]:
            asyncio.run(connect(url, int(count), float(jitter)))
        case numbers:
            total, jitter, down = (*numbers, *("1000", "0.1", "1")[len(numbers) :])
            asyncio.run(main(int(total), float(jitter), float(down)))
