"""The basics: publish, the three ways to subscribe, request and reply.

Run it: `python examples/tour/basics.py [server URL]`.
"""

from __future__ import annotations

import asyncio
import sys

from natsrpc.core import DEFAULT_URL, Msg, connect


async def main(servers: str) -> None:
    nc = await connect(servers)

    # A subscriber with a callback. An async function runs in a task of its own, in order.
    seen = asyncio.Event()

    async def show(msg: Msg) -> None:
        print(f"received: {msg.data.decode()}")
        seen.set()

    callback = await nc.subscribe("foo", cb=show)
    await nc.publish("foo", b"hello world")
    await seen.wait()

    # A subscriber that is read one message at a time.
    pull = await nc.subscribe("foo")
    await nc.publish("foo", b"pulled")
    msg = await pull.next_msg(timeout=1.0)
    print(f"next: {msg.data.decode()}")

    # A subscriber that fills a queue of yours.
    queue: asyncio.Queue[Msg] = asyncio.Queue(64)
    queued = await nc.subscribe("foo", into=queue)
    await nc.publish("foo", b"queued")
    print(f"from the queue: {(await queue.get()).data.decode()}")

    for sub in (callback, pull, queued):
        await sub.unsubscribe()

    # Replies: answer the message.
    async def help_out(msg: Msg) -> None:
        await msg.respond(b"I can help!")

    await nc.subscribe("help", cb=help_out)

    # Requests: the first answer, within a time.
    answer = await nc.request("help", b"help me", timeout=1.0)
    print(f"answer: {answer.data.decode()}")

    await nc.close()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [DEFAULT_URL]))
