"""A clock in the test's hands, for deadlines and timeouts that take no time.

```python
async def test_deadline() -> None:
    clock = Clock.install()                       # before connecting
    async with service.test() as client:
        call = asyncio.create_task(client.call(slow, 1, timeout=5.0))
        await clock.advance(5.0)
        with pytest.raises(DeadlineExceededError):
            await call
```

The loop's own `time()` is moved ahead, so whatever asks it (timers, `asyncio.timeout`, ours)
agrees. It works for asyncio's own loops and with peers in the same process: a real server keeps its
own time.
"""

from __future__ import annotations

import asyncio

_TURNS = 25


class Clock:
    """The running event loop's clock, with a lead that only `advance` changes."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._real = loop.time
        self._lead = 0.0

    @classmethod
    def install(cls) -> Clock:
        """Take over the clock of the running loop, until that is closed."""
        loop = asyncio.get_running_loop()
        clock = cls(loop)
        loop.time = clock.time  # type: ignore[method-assign]  # how a loop is given another clock
        return clock

    def time(self) -> float:
        """What the loop takes the time to be."""
        return self._real() + self._lead

    async def advance(self, seconds: float) -> None:
        """Move the clock, and let everything due then happen."""
        await self._settle()
        self._lead += seconds
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
