"""Draining: the way of a connection to its end without losing what was received or published.

Steps, each within `drain_timeout`: the hooks run (services end themselves there), subscriptions end
and what they received is handled, requests in flight are answered. Then publishing ends, all is
flushed, and the connection closes. The steps run in one task, so a cancelled `drain` goes on.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable
from typing import Protocol

from natsrpc.errors import (
    ConnectionClosedError,
    ConnectionReconnectingError,
    DrainTimeoutError,
    NatsError,
    NatsTimeoutError,
)

from ..events import Callbacks
from ..requests import InboxRequests, RequestMux
from ..subscriptions import Subscriptions

_FINAL_FLUSH_TIMEOUT = 5.0


class DrainHost(Protocol):
    """The link, as a drain needs it."""

    @property
    def is_closed(self) -> bool:
        """Whether the connection is closed for good."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether a session stands."""
        ...

    def end_subscribing(self) -> None:
        """Move to DRAINING_SUBS."""

    def end_publishing(self) -> None:
        """Move to DRAINING_PUBS."""

    def shut(self, error: Exception | None) -> None:
        """Move to CLOSED."""

    def report(self, error: Exception, sub: None) -> None:
        """Tell an error that no call can raise."""

    async def flush(self, timeout: float | None = 10.0) -> None:
        """Wait until the server has processed all that was sent."""

    async def close(self) -> None:
        """Close, and wait until the callbacks have run."""


class Draining:
    """The one drain of a connection. Made by the link, called by `Connection.drain`."""

    def __init__(
        self,
        host: DrainHost,
        *,
        subscriptions: Subscriptions,
        requests: RequestMux,
        inbox_requests: InboxRequests,
        callbacks: Callbacks,
        timeout: float,
    ) -> None:
        self._host = host
        self._subscriptions = subscriptions
        self._requests = requests
        self._inflight = inbox_requests.inflight
        self._callbacks = callbacks
        self._timeout = timeout
        self._hooks: list[Callable[[], Awaitable[None]]] = []
        self._task: asyncio.Task[None] | None = None
        self._waiting: set[asyncio.Task[object]] = set()

    def add_hook(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Have an async function awaited at the start of the drain."""
        self._hooks.append(hook)

    def remove_hook(self, hook: Callable[[], Awaitable[None]]) -> None:
        """Undo `add_hook`; nothing happens if it was not added."""
        if hook in self._hooks:
            self._hooks.remove(hook)

    async def drain(self) -> None:
        """Drain the connection: as `Connection.drain`, which describes it."""
        if self._task is None:
            if self._host.is_closed:
                raise ConnectionClosedError
            if not self._host.is_connected:
                await self._host.close()
                raise _reconnecting()
            self._task = asyncio.create_task(self._drain(), name="natsrpc drain")
            self._task.add_done_callback(_retrieve)
        task = asyncio.current_task()
        self._inflight.excuse(task)
        runs_callback = self._subscriptions.excuse(task) or self._callbacks.runs_in(task)
        if runs_callback or task is self._task:
            return
        if task is not None:
            self._waiting.add(task)
        try:
            await asyncio.wait({self._task})
        finally:
            if task is not None:
                self._waiting.discard(task)
        self._task.result()

    def is_awaited_by(self, task: asyncio.Task[object] | None) -> bool:
        """Whether a task waits for the drain, so that a hook must not wait for the task."""
        return task in self._waiting

    async def wait(self) -> None:
        """Wait until a drain that was begun is over; return at once if none was."""
        if self._task is not None:
            await asyncio.wait({self._task})

    async def _drain(self) -> None:
        try:
            async with asyncio.timeout(self._timeout):
                await self._run_hooks()
                self._end_subscribing()
                await self._drain_subscriptions()
                await self._inflight.idle()
                await self._requests.idle()
        except TimeoutError:
            if not self._host.is_closed:
                error = DrainTimeoutError(f"draining took over {self._timeout:g} s")
                self._host.report(error, None)
                with contextlib.suppress(NatsError):
                    await self._finish()
                raise error from None
        if self._host.is_closed:
            raise ConnectionClosedError("connection was closed before its drain was over")
        await self._finish()

    async def _run_hooks(self) -> None:
        for hook in list(self._hooks):
            try:
                await hook()
            except Exception as error:
                self._host.report(error, None)

    def _end_subscribing(self) -> None:
        if self._host.is_closed:
            return
        if not self._host.is_connected:
            self._host.shut(None)
            raise _reconnecting()
        self._host.end_subscribing()

    async def _drain_subscriptions(self) -> None:
        for result in await self._subscriptions.drain():
            if isinstance(result, Exception) and not isinstance(result, NatsError):
                self._host.report(result, None)

    async def _finish(self) -> None:
        self._host.end_publishing()
        try:
            await self._host.flush(_FINAL_FLUSH_TIMEOUT)
        except NatsTimeoutError as timeout:
            error = DrainTimeoutError(f"at the end of a drain: {timeout}")
            self._host.report(error, None)
            raise error from None
        finally:
            await self._host.close()


def _reconnecting() -> ConnectionReconnectingError:
    return ConnectionReconnectingError("cannot drain while reconnecting: closed instead")


def _retrieve(task: asyncio.Task[None]) -> None:
    """Take note of a drain's failure, though nobody may wait for it: it was told to `on_error`."""
    if not task.cancelled():
        task.exception()
