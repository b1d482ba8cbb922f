"""A clock that a test moves, so that deadlines and timeouts take no time.

```python
async def test_deadline() -> None:
    clock = Clock.install()                       # before connecting
    async with service.test() as client:
        call = asyncio.create_task(client.call(slow, 1, timeout=5.0))
        await clock.advance(5.0)
        with pytest.raises(DeadlineExceededError):
            await call
```

The loop's own `time()` is replaced, so timers, `asyncio.timeout` and the deadlines of natsrpc all
agree. That works with the event loops of asyncio itself, not with uvloop, and with peers in the
same process: a real nats-server keeps its own time.
"""

from __future__ import annotations

import asyncio

# Loop turns that are enough for a call, its request through the broker and its answer to settle.
_TURNS = 25


class Clock:
    """The clock of the running event loop, ahead of the real one by a lead that `advance` grows.

    Time also passes by itself, as ever.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._real = loop.time
        self._lead = 0.0

    @classmethod
    def install(cls) -> Clock:
        """Take over the clock of the running loop until the loop is closed.

        Raises:
            RuntimeError: no event loop is running.
        """
        loop = asyncio.get_running_loop()
        clock = cls(loop)
        loop.time = clock.time  # type: ignore[method-assign]  # how a loop is given another clock
        return clock

    def time(self) -> float:
        """Return the loop's time, in seconds. The loop calls it."""
        return self._real() + self._lead

    async def advance(self, seconds: float) -> None:
        """Move the clock ahead by so many seconds, and let everything run that is due then.

        It lets the loop turn 25 times before and 25 times after the move. It may be cancelled at
        any time; the clock has then been moved or not.
        """
        await self._settle()
        self._lead += seconds
        await self._settle()

    async def _settle(self) -> None:
        for _ in range(_TURNS):
            await asyncio.sleep(0)
