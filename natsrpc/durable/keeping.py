"""Keeping deliveries: the server is told to wait on while their handlers run.

There is one timer for all of them, and a word for each a third of the server's `ack_wait` apart. A
delivery whose time passed without a word (the loop was blocked, the connection was lost) is
*stale*: the server has given its message to another by now. Its ack is still right when the work is
done; a nak would be taken for one of the other's delivery, so it is not sent, nor is it kept any
longer.
"""

from __future__ import annotations

import contextlib
from operator import attrgetter

from natsrpc.core import Due, Link, clock
from natsrpc.errors import NatsError

from .job import Job

_PARTS = 3
_AGAIN = 0.25


class Keeping:
    """Keeps the deliveries of one worker. `add` each when it comes, `remove` it at its end."""

    def __init__(self, link: Link, ack_wait: float) -> None:
        self._link = link
        self._ack_wait = ack_wait
        self._every = ack_wait / _PARTS
        self._time = clock(link.loop)
        self._due: Due[Job, Job] = Due(link.loop, self._extend, attrgetter("extend_at"))

    def add(self, job: Job) -> None:
        """Keep a delivery from now on."""
        due = self._due
        job.extend_at = at = job.extended_at + self._every
        if at < due.next:
            due.watch(at)
        due[job] = job

    def remove(self, job: Job) -> None:
        """Keep it no more; nothing happens if it is not kept."""
        self._due.pop(job, None)

    def is_stale(self, job: Job) -> bool:
        """Whether the server has given its message to another, as far as is known here."""
        return self._time() - job.extended_at >= self._ack_wait

    def renewed(self, job: Job, at: float) -> None:
        """The server waits anew since that moment: it was told to, or has delivered it again."""
        job.extended_at = at
        self.add(job)

    def extend(self, job: Job) -> None:
        """Tell the server to wait on for one that is kept."""
        if self._due.pop(job, None) is not None:
            self._extend(job, job)

    def extend_all(self) -> None:
        """Tell the server to wait on for all of them: a new session stands."""
        for job in list(self._due):
            self._extend(self._due.pop(job), job)

    def _extend(self, job: Job, _: Job) -> None:
        """Tell the server to wait on, if it can be told and is not too late; `Due` has taken it
        out."""
        if self.is_stale(job):
            return
        now = self._time()
        if self._link.is_connected:
            with contextlib.suppress(NatsError):
                self._link.send(job.latest.raw_reply, b"+WPI")
                self.renewed(job, now)
                return
        job.extend_at = now + _AGAIN
        due = self._due
        if job.extend_at < due.next:
            due.watch(job.extend_at)
        due[job] = job

    def stop(self) -> None:
        """Keep nothing any more."""
        self._due.clear()
        self._due.stop()
