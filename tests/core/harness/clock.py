"""An event loop whose clock is moved by idle time alone, and jumps over it.

The theory: with every peer in this process and on loopback, "no ready socket" means that nothing
will happen before the next timer, so the clock may as well be there already. A short real wait
comes before each jump, for worker threads (name resolution) and for the kernel.

What the machine takes to run the test does not count: on a busy one the clock shows the same.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import selectors
from collections.abc import Callable, Coroutine
from typing import Any, ParamSpec

P = ParamSpec("P")

GRACE = 0.002
"""Real seconds to wait for a socket or a thread before the clock jumps."""

TURN = 1e-5
"""Seconds by which a turn of the loop moves the clock: who turns until a deadline gets there."""


class _JumpingSelector(selectors.DefaultSelector):
    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        self.now += TURN
        if timeout is None or timeout <= 0:
            return super().select(timeout)
        ready = super().select(GRACE)
        if not ready:
            self.now += timeout
        return ready


class WarpLoop(asyncio.SelectorEventLoop):
    """A selector loop whose `time()` is all idle time skipped, and a little for each turn."""

    def __init__(self) -> None:
        self._jumping = _JumpingSelector()
        super().__init__(self._jumping)

    def time(self) -> float:
        return self._jumping.now


async def elapse(seconds: float) -> None:
    """Let so much time pass on the clock of a `warped` test, which takes none."""
    assert isinstance(asyncio.get_running_loop(), WarpLoop), "only a warped clock jumps"
    await asyncio.sleep(seconds)  # why: this is how the warped clock is moved


def warped(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run an async test on a `WarpLoop`. Fixtures work, async fixtures don't."""

    @functools.wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        with asyncio.Runner(loop_factory=WarpLoop) as runner:
            runner.run(test(*args, **kwargs))

    # pytest-asyncio looks through __wrapped__ for a coroutine function: pytest needs only the
    # signature.
    run.__signature__ = inspect.signature(test)  # type: ignore[attr-defined]  # read by inspect.signature
    del run.__wrapped__
    return run
