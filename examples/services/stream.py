"""Streams, both ways: readings as they come, a log to sum up, and a filter between the two.

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
    """What a sensor saw."""

    number: int
    celsius: float


service = natsrpc.Service("weather", version="1.0.0", description="streams, both ways")
weather = service.group("weather")


@weather.handler("watch")
async def watch(count: int, pause: float = 0.0) -> AsyncIterator[Reading]:
    """Readings as they come. The caller's loop may end early: the generator is closed then."""
    for number in range(count):
        yield Reading(number=number, celsius=round(15 + 10 * math.sin(number / 10), 1))
        await asyncio.sleep(pause)


@weather.handler("mean")
async def mean(readings: AsyncIterator[Reading]) -> float:
    """One answer to a whole stream, which is sent only as fast as it is read here."""
    total, count = 0.0, 0
    async for reading in readings:
        total, count = total + reading.celsius, count + 1
    return round(total / count, 1) if count else 0.0


@weather.handler("alarms")
async def alarms(readings: AsyncIterator[Reading], above: float) -> AsyncIterator[str]:
    """An answer for some of the readings, while they still come."""
    async for reading in readings:
        if reading.celsius > above:
            yield f"reading {reading.number}: {reading.celsius} degrees"


async def main() -> None:
    """Call all of it."""
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
