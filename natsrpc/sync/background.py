"""`Background`: a thread with an event loop, in which other threads run coroutines.

It ends by `end`, from outside, or when `stop` is called in it. Then what still runs is given a
moment and cancelled, the loop is closed, and every thread that waits is told.

The end of the process waits for it, within bounds: it first runs what `at_exit` names. A process
that was forked has no such thread. There it is forgotten: it takes nothing more, and the
descriptors that the loop watched, which are the parent's sockets, are replaced by ones that lead
nowhere.
"""

from __future__ import annotations

import asyncio
import atexit
import contextlib
import logging
import os
import selectors
import sys
import threading
from collections.abc import Awaitable, Callable
from queue import SimpleQueue
from typing import Any

from natsrpc.errors import ConfigError, ConnectionClosedError

from .job import Job

logger: logging.Logger = logging.getLogger("natsrpc.sync")

GRACE = 0.1
"""Seconds that coroutines have to end by themselves, when the loop ends, before each is cancelled;
and ten times as long to end then."""

EXIT = 4.0
"""Seconds that the end of the process waits for one of these at most."""

_running: set[Background] = set()
_forgotten: list[Background] = []
"""Those of the parent. They are kept: what frees a transport would say that nobody closed it."""


class Background:
    """A thread that runs coroutines for other threads.

    Args:
        on_end: called in the thread when it takes no more.

    Raises:
        ConnectionClosedError: no thread can be started, because the interpreter ends.
    """

    def __init__(self, on_end: Callable[[], object]) -> None:
        self._selector = selectors.DefaultSelector()
        self._loop = asyncio.SelectorEventLoop(self._selector)
        self._submit: Callable[..., object] = self._loop.call_soon_threadsafe
        self._jobs: set[Job] = set()
        self._kept: set[asyncio.Task[None]] = set()
        self._on_end = on_end
        self._ended = asyncio.Event()
        self.at_exit: Callable[[], Awaitable[None]] | None = None
        self._thread = threading.Thread(target=self._main, name="natsrpc-sync", daemon=True)
        try:
            if _is_over:
                raise RuntimeError("a thread that starts now would never run")
            self._thread.start()
        except RuntimeError as error:  # since Python 3.12 Python says so itself
            self._loop.close()
            raise over() from error
        self._ident = self._thread.ident
        _running.add(self)
        _care_for_end()

    # in other threads

    @property
    def is_here(self) -> bool:
        """Whether this is the thread itself, which must not wait for itself."""
        return threading.get_ident() == self._ident

    @property
    def is_ended(self) -> bool:
        """Whether it takes no more."""
        return self._ended.is_set()

    def run(self, function: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> Any:
        """Run an async function, with this thread's context variables, and wait for its result.

        Raises:
            ConnectionClosedError: the thread has ended, or ended meanwhile.
            ConfigError: this is the thread itself.
        """
        return self.perform(Job(SimpleQueue(), function, args, kwargs))

    def perform(self, job: Job) -> Any:
        """As `run`. KeyboardInterrupt, and whatever else is raised here meanwhile, cancels it."""
        if threading.get_ident() == self._ident:
            raise ConfigError(
                "a blocking call in a callback of its own client would wait for itself: "
                "make it in another thread"
            )
        jobs = self._jobs
        jobs.add(job)  # before it is submitted, so that the end finds it
        try:
            self._submit(job.start)
            job.wait()
        except BaseException as error:
            self._abandon(job, error)
            raise
        finally:
            jobs.discard(job)
        try:
            return job.result()
        except asyncio.CancelledError:
            if self._ended.is_set():
                raise closed() from None
            raise

    def _abandon(self, job: Job, error: BaseException) -> None:
        """Cancel a job that nobody waits for any more.

        Raises:
            ConnectionClosedError: it was never taken, for the loop is closed.
        """
        try:
            self._submit(job.cancel, self._kept)
        except ConnectionClosedError:
            return
        except RuntimeError:  # what a closed loop raises
            if isinstance(error, RuntimeError):
                raise closed() from None

    def post(self, function: Callable[..., Awaitable[Any]], /, *args: Any, **kwargs: Any) -> None:
        """Run an async function without waiting for it. Its errors are logged.

        Raises:
            ConnectionClosedError: the thread has ended.
        """
        try:
            self._submit(self._start, function, args, kwargs)
        except RuntimeError:
            raise closed() from None

    def end(self) -> None:
        """End the thread, and wait until it has ended."""
        with contextlib.suppress(RuntimeError, ConnectionClosedError):
            self._submit(self.stop)
        if not self.is_here:
            self._thread.join()

    def leave(self, timeout: float | None = None) -> None:
        """Run `at_exit`, then end the thread.

        Args:
            timeout: seconds to wait for that; None does not wait at all.
        """
        job = Job(SimpleQueue(), self._leave)
        with contextlib.suppress(RuntimeError, ConnectionClosedError):
            self._submit(job.start)
            if timeout is not None:
                job.wait(timeout)
                self._thread.join(GRACE * 10)
                self._submit = _refuse_at_end

    def forget(self) -> None:
        """Take nothing more, in a process that was forked off this one's."""
        self._submit = _refuse_in_child
        self._on_end()
        _forgotten.append(self)
        nowhere = os.open(os.devnull, os.O_RDWR)
        try:
            for number in [*self._selector.get_map(), self._selector_number()]:
                if isinstance(number, int) and number >= 0:
                    os.dup2(nowhere, number, inheritable=False)
        finally:
            os.close(nowhere)

    def _selector_number(self) -> int:
        """The descriptor of the selector itself: the kernel shares it with the parent."""
        fileno = getattr(self._selector, "fileno", None)
        return -1 if fileno is None else int(fileno())

    # in the thread

    def stop(self) -> None:
        """Let the thread end soon."""
        self._ended.set()

    def _start(self, function: Callable[..., Awaitable[Any]], args: Any, kwargs: Any) -> None:
        task = self._loop.create_task(_logged(function(*args, **kwargs)))
        self._kept.add(task)
        task.add_done_callback(self._kept.discard)

    async def _leave(self) -> None:
        try:
            if self.at_exit is not None:
                await self.at_exit()
        finally:
            self.stop()

    def _main(self) -> None:
        loop = self._loop
        asyncio.set_event_loop(loop)
        try:
            loop.run_until_complete(self._ended.wait())
        finally:
            self._ended.set()
            self._on_end()
            try:
                loop.run_until_complete(_end_all(asyncio.all_tasks(loop)))
                loop.run_until_complete(loop.shutdown_asyncgens())
            finally:
                loop.close()
                _running.discard(self)
                self._fail_all()

    def _fail_all(self) -> None:
        """Tell all threads that wait for what will never run."""
        while self._jobs:
            with contextlib.suppress(KeyError):
                self._jobs.pop().fail(closed())


def closed() -> ConnectionClosedError:
    """The error of what uses a client that is closed."""
    return ConnectionClosedError("the client is closed")


def over() -> ConnectionClosedError:
    """The error of what uses a client when the interpreter has ended all of them."""
    return ConnectionClosedError("the client is closed: the process ends")


def _refuse_at_end(*_: object) -> None:
    raise over()


def _refuse_in_child(*_: object) -> None:
    raise ConnectionClosedError("it was opened in the process that this one was forked off")


async def _logged(awaited: Awaitable[Any]) -> None:
    try:
        await awaited
    except Exception as error:
        logger.warning("what nobody waited for failed: %s", error, exc_info=error)


async def _end_all(tasks: set[asyncio.Task[Any]]) -> None:
    if tasks:
        _, tasks = await asyncio.wait(tasks, timeout=GRACE)
    for task in tasks:
        task.cancel()
    if tasks:
        await asyncio.wait(tasks, timeout=GRACE * 10)


# the end of the process, and processes that are forked

_is_over = False
_cared_for = 0


def _care_for_end() -> None:
    """Have the end of this process wait for what runs then."""
    global _cared_for  # once a process
    if _cared_for == os.getpid():
        return
    _cared_for = os.getpid()
    atexit.register(_leave_all)
    # A child of multiprocessing leaves without `atexit` (before Python 3.13), but not without this.
    processes = sys.modules.get("multiprocessing")
    if processes is not None and processes.parent_process() is not None:
        processes.util.Finalize(None, _leave_all, exitpriority=0)


def _leave_all() -> None:
    global _is_over  # the process ends once
    for background in list(_running):
        background.leave(EXIT)
    _is_over = True


def _forget_all() -> None:
    for background in list(_running):
        background.forget()
    _running.clear()


# Now, for what is registered later runs before it: it may still use its client.
_care_for_end()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_all)
