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
from natsrpc.server import NatsServer

from .servers import MONITORED, cpu_seconds, subscriptions, until

PROCESSES = 4
PATIENCE = 45

HASHED = """authorization { user: fleet,
  password: "$2a$11$SJ/Htpyfiyj5sMosL2f9TOLhC1xMqvzFVjc6yxqpu96R/k8BPoLqC" }
"""
"""The password is "fleet", kept as bcrypt keeps it, at the cost that `nats server passwd` takes."""


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
            url,
            user="fleet",
            password="fleet",  # noqa: S106 - of a server on loopback, for a minute
            reconnect_jitter=jitter,
            max_reconnect_attempts=-1,
            connect_timeout=10,
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


async def main(total: int, jitter: float, down: float, passwords: str) -> None:
    """Start the clients, kill the server, start it again after `down` seconds, and count."""
    with NatsServer(MONITORED + (HASHED if passwords == "hashed" else "")) as server:
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
            interest = subscriptions(server)
            server.kill()
            await asyncio.sleep(down)
            server.start()
            began = time.time()
            try:
                until(lambda: subscriptions(server) >= interest, "interest", PATIENCE)
            except TimeoutError:
                print(f"not all are back after {PATIENCE} s")
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
                f"{total} clients, passwords {passwords}, jitter {jitter:g} s, server down "
                f"{down:g} s: {len(moments)} back, half "
                f"after {middle:.2f} s, the last after {moments[-1]:.2f} s; "
                f"at most {peak} in 0.1 s; "
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
            given = (*numbers, *("1000", "0.1", "1", "none")[len(numbers) :])
            total, jitter, down, passwords = given
            asyncio.run(main(int(total), float(jitter), float(down), passwords))
