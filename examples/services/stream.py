"""Streams from the service, to the service, and both ways at once.

python examples/services/stream.py        # needs no nats-server: it is served in memory
natsrpc run examples/services/stream.py
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import AsyncIterator

from pydantic import BaseModel

import natsrpc
import natsrpc.testing


class Reading(BaseModel):
    """One measurement of a sensor."""

    number: int
    celsius: float


service = natsrpc.Service("weather", version="1.0.0", description="streams, both ways")
weather = service.group("weather")


@weather.handler("watch")
async def watch(count: int, pause: float = 0.0) -> AsyncIterator[Reading]:
    """Send readings one by one. If the caller's loop ends early, the generator is closed."""
    for number in range(count):
        yield Reading(number=number, celsius=round(15 + 10 * math.sin(number / 10), 1))
        await asyncio.sleep(pause)


@weather.handler("mean")
async def mean(readings: AsyncIterator[Reading]) -> float:
    """Read a whole stream and answer once. The caller sends only as fast as it is read here."""
    total, count = 0.0, 0
    async for reading in readings:
        total, count = total + reading.celsius, count + 1
    return round(total / count, 1) if count else 0.0


@weather.handler("alarms")
async def alarms(readings: AsyncIterator[Reading], above: float) -> AsyncIterator[str]:
    """Answer some of the readings while more arrive."""
    async for reading in readings:
        if reading.celsius > above:
            yield f"reading {reading.number}: {reading.celsius} degrees"


async def main() -> None:
    """Call the three handlers."""
    async with service.test() as client:
        async for reading in client.stream(watch, {"count": 1000}):
            print(reading.number, reading.celsius)
            if reading.number == 2:
                break
        average = await client.upload(mean, watch(100))
        print("on average", average)
        async for alarm in client.stream(alarms, 24.9, items=watch(100)):
            print(alarm)


if __name__ == "__main__":
    asyncio.run(main())
