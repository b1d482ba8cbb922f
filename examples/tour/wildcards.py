"""Wildcards and queue groups.

Run it: `python examples/tour/wildcards.py [server URL]`.
"""

from __future__ import annotations

import asyncio
import sys

from natsrpc.core import DEFAULT_URL, Msg, connect


async def main(servers: str) -> None:
    async with connect(servers) as nc:
        # `*` stands for one token, anywhere; `>` for all that follow, at the end.
        for pattern in ("foo.*.baz", "foo.bar.*", "foo.>"):

            def show(msg: Msg, pattern: str = pattern) -> None:
                print(f"{pattern} matched {msg.subject}: {msg.data.decode()}")

            await nc.subscribe(pattern, cb=show)
        await nc.publish("foo.bar.baz", b"one publish, three matches")
        await nc.flush()

        # Of all members of a queue group, one gets each message.
        counts = {"first": 0, "second": 0}
        for member in counts:

            def count(_: Msg, member: str = member) -> None:
                counts[member] += 1

            await nc.subscribe("jobs", queue_group="workers", cb=count)
        for _ in range(10):
            await nc.publish("jobs", b"work")
        await nc.flush()
        print(f"jobs done: {sum(counts.values())}")


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:] or [DEFAULT_URL]))
