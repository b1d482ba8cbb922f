"""The books of a pool agree with those of its callers, whatever happens to its workers.

A call is in the callers' books once it is over: with the code that answered it, or as unanswered.
The pool's totals must hold each answer under its code, for a worker counts before it answers. What
they hold beyond that is bounded by the unanswered calls: a worker that was killed or stopped may
have counted a call and not have answered it. NATS delivers a request at most once, and nobody sent
one twice, so no call is counted two times.

Workers that are replaced, drained, or killed while nothing is in flight leave no call unanswered:
there totals and answers are equal.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections import Counter
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

import natsrpc
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

from .pool import Pages, pages_of, start, write
from .processes import Command

pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals"),
]

SERVICES = ("shop", "billing")
WHAT = {"add": {"a": 1, "b": 2}, "sold": None, "fail": None}
CALLERS = 12
PATIENCE = 4.0  # seconds that a call of a worker may take, which may be stopped


class Callers:
    """Clients that call both services again and again, and keep books of it."""

    def __init__(self, client: natsrpc.Client) -> None:
        self.client = client
        self.sent: Counter[tuple[str, str]] = Counter()
        self.answered: Counter[tuple[str, str, str]] = Counter()
        self.unanswered: Counter[tuple[str, str]] = Counter()
        self.done = False
        self._go_on = asyncio.Event()
        self._resting = 0

    async def __call__(self, number: int) -> None:
        name, what = SERVICES[number % 2], list(WHAT)[number // 2 % 3]
        self._go_on.set()
        while not self.done:
            if not self._go_on.is_set():
                self._resting += 1
                await self._go_on.wait()
                self._resting -= 1
            await self.call(name, what, WHAT[what])

    async def call(self, name: str, what: str, body: Any = None) -> Any:
        """Make a call, and write down how it ended."""
        self.sent[name, what] += 1
        found = None
        try:
            found = await self.client.call(f"{name}.{what}", body, timeout=PATIENCE)
            code = "200"
        except natsrpc.NatsTimeoutError:
            self.unanswered[name, what] += 1
            return None
        except natsrpc.RpcError as error:
            code = str(error.code)
        self.answered[name, what, code] += 1
        return found

    async def pid_of(self, name: str) -> int:
        """The process that serves a call."""
        return int(await self.call(name, "pid"))

    @contextlib.asynccontextmanager
    async def rest(self) -> AsyncIterator[None]:
        """No call is in flight while the block runs."""
        self._go_on.clear()
        await eventually(lambda: self._resting == CALLERS, timeout=60)
        yield
        self._go_on.set()

    def end(self) -> None:
        """Let the callers come to their end."""
        self.done = True


class Watcher:
    """Reads the pages again and again: what they say must hold at each moment."""

    def __init__(self, pages: Pages, callers: Callers) -> None:
        self.codes: Counter[tuple[str, int]] = Counter()
        self.states: set[str] = set()
        self._pages = pages
        self._callers = callers
        self._last: Counter[tuple[str, str, str]] = Counter()

    async def __call__(self) -> None:
        while not self._callers.done:
            await self.look()

    async def look(self) -> None:
        """Read all pages once."""
        code, told = await self._pages.ready()
        self.codes["/readyz", code] += 1
        self.states |= {worker["status"] for worker in told["workers"]}
        self.codes["/livez", (await self._pages.get("/livez"))[0]] += 1
        seen = await self._pages.requests()
        fell = {key: (value, seen[key]) for key, value in self._last.items() if seen[key] < value}
        assert fell == {}, "a counter never falls"
        assert excess(seen, self._callers.sent) == {}
        self._last = seen


def excess(
    totals: Counter[tuple[str, str, str]], limit: Counter[tuple[str, str]]
) -> dict[tuple[str, str], int]:
    """Of which calls more were counted than there are."""
    counted: Counter[tuple[str, str]] = Counter()
    for (name, what, _), count in totals.items():
        counted[name, what] += count
    return {key: count - limit[key] for key, count in counted.items() if count > limit[key]}


async def said(command: Command, text: str) -> str:
    return await asyncio.to_thread(command.wait_for, text)


async def replaced_in_order(command: Command, callers: Callers) -> None:
    """Reload, end a worker by its signal, and kill one that has nothing to do."""
    command.signal(signal.SIGHUP)
    await said(command, "all workers are replaced")
    drained = await callers.pid_of("billing")
    os.kill(drained, signal.SIGTERM)
    await said(command, f"(pid {drained}) ended with code 0")
    await said(command, "is back")
    async with callers.rest():
        os.kill(await callers.pid_of("shop"), signal.SIGKILL)
        await said(command, "was killed by SIGKILL")
    await said(command, "is back")


async def torn_away(command: Command, callers: Callers) -> None:
    """Kill a worker, and stop one, amid their calls."""
    os.kill(await callers.pid_of("shop"), signal.SIGKILL)
    await said(command, "was killed by SIGKILL")
    await said(command, "is back")
    stopped = await callers.pid_of("shop")
    os.kill(stopped, signal.SIGSTOP)
    await said(command, f"(pid {stopped}) did not answer for")
    await said(command, "is back")


@pytest.mark.alone  # a worker that is kept from its answer for too long is taken for stuck
async def test_totals_are_what_callers_counted_whatever_happens_to_workers(
    tmp_path: Path, fresh_server: NatsServer
) -> None:
    for name in SERVICES:
        write(tmp_path, name)
    settings = ("--workers", "2", "--worker-timeout", "1s")
    with start(tmp_path, fresh_server, *SERVICES, *settings) as command:
        pages = await pages_of(command)
        await said(command, "billing is served by 2 workers")
        async with natsrpc.connect(fresh_server.url) as client:
            callers = Callers(client)
            watcher = Watcher(pages, callers)
            async with asyncio.TaskGroup() as group:
                for number in range(CALLERS):
                    group.create_task(callers(number))
                group.create_task(watcher())
                await replaced_in_order(command, callers)
                async with callers.rest():
                    assert callers.unanswered == {}
                    assert await pages.requests() == callers.answered
                await torn_away(command, callers)
                callers.end()
            await watcher.look()
        totals = await pages.requests()
        # each answer is in the totals; what is there beyond them was counted and not answered
        assert callers.answered - totals == Counter()
        assert excess(totals - callers.answered, callers.unanswered) == {}
        assert {name for name, _ in callers.unanswered} <= {"shop"}, "no worker of billing died"
        # two workers each: one of them is always well
        assert set(watcher.codes) == {("/readyz", 200), ("/livez", 200)}
        assert "ok" in watcher.states and watcher.states & {"silent", "stuck"}
        await no_trace_of_the_dead(pages, totals)
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0


async def no_trace_of_the_dead(pages: Pages, totals: Counter[tuple[str, str, str]]) -> None:
    """The other figures agree with the totals, too."""
    samples = await pages.samples()
    assert samples["natsrpc_pool_restarts_total"] == 4
    assert samples['natsrpc_pool_workers{target="shop",state="ready"}'] == 2
    running = [v for k, v in samples.items() if k.startswith("natsrpc_server_running")]
    assert running and not any(running)
    count = samples['natsrpc_server_seconds_count{service="billing",endpoint="add"}']
    assert count == totals["billing", "add", "200"]
