"""A fetch: up to so many messages, whatever came when the time is over.

It is one pull. It is a further one, for the rest, where the first is void: after a reconnect, when
the consumer moved, or was out of reach. Our own clock runs a second longer than the server's, so
that nothing is on its way when the inbox ends.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from natsrpc.core import Msg, decode
from natsrpc.errors import ConnectionClosedError, NoHeartbeatError, PermissionsError

from .gone import why_gone
from .pull import Asked, Pull, Target
from .silence import Silence
from .statuses import Verdict, error_of_status, limit_in, verdict_of

GRACE = 1.0
_PAUSE = 0.1
_LONGEST_PAUSE = 2.0
_GO_ON = (Verdict.MOVED, Verdict.NOBODY, Verdict.UNPINNED)


class Fetch:
    """One fetch. `run` gives its messages; a fetch that is cancelled gives back what it has."""

    def __init__(self, target: Target, asked: Asked, timeout: float) -> None:
        self.target = target
        self._asked = asked
        self._link = link = target.api.link
        self._timeout = timeout
        self._deadline = link.loop.time() + timeout
        self._msgs: list[Msg] = []
        self.keep: Callable[[Msg], object] = self._msgs.append
        self.waiters: tuple[object, ...] = ()
        self._pull: Pull | None = None
        self._over: asyncio.Future[Verdict] = link.loop.create_future()
        self._error: Exception | None = None
        self._silence: Silence | None = None
        if asked.heartbeat:
            self._silence = Silence(link, asked.heartbeat, self._pulls, self._found_silent)

    async def run(self) -> list[Msg]:
        """Fetch.

        Raises:
            ConsumerDeletedError, NoHeartbeatError, JetStreamError, PermissionsError: nothing came,
                and nothing will.
            ConnectionClosedError: the connection is closed.
        """
        if self._link.is_closed:
            raise ConnectionClosedError
        hub, due = self.target.api.hub, self.target.due
        hub.add(self)
        if self._silence is not None:
            self._silence.start()
        due[self] = end = self._deadline + GRACE
        if end < due.next:
            due.watch(end)
        try:
            await self._run()
        except BaseException:
            self._give_back()
            raise
        finally:
            due.pop(self, None)
            hub.remove(self)
            if self._silence is not None:
                self._silence.stop()
            self._end_pull()
        if self._error is not None and not self._msgs:
            raise self._error
        return self._msgs

    async def _run(self) -> None:
        loop, left, pause = self._link.loop, self._timeout, _PAUSE
        while True:
            if self._link.is_connected:
                self._send(left)
            verdict = await self._over
            if verdict is Verdict.OVER:
                return
            self._end_pull()
            if verdict is Verdict.NOBODY and (gone := await why_gone(self.target)) is not None:
                self._error = gone
            if self._error is not None or verdict not in _GO_ON:
                return
            if verdict is not Verdict.MOVED:
                await asyncio.sleep(min(pause, max(self._deadline - loop.time(), 0)))
                pause = min(2 * pause, _LONGEST_PAUSE)
            left = self._deadline - loop.time()
            if left <= 0 or len(self._msgs) >= self._asked.batch:
                return
            self._over = loop.create_future()

    def _send(self, left: float) -> None:
        batch, _, heartbeat, max_bytes, no_wait = self._asked
        if heartbeat > left / 2:
            heartbeat = 0.0
        expires = 0.0 if no_wait else left
        batch -= len(self._msgs)
        asked = Asked(batch, expires, heartbeat, max_bytes, no_wait)
        self._pull = self.target.begin(self, asked)

    def _end_pull(self) -> None:
        pull, self._pull = self._pull, None
        if pull is not None:
            is_clean = self._over.done() and not self._over.cancelled()
            self.target.over(pull, is_clean=is_clean and self._over.result() is Verdict.OVER)

    def _end(self, verdict: Verdict, error: Exception | None = None) -> None:
        if not self._over.done():
            self._error = error
            self._over.set_result(verdict)

    def expired(self) -> None:
        """The time is over, and the server's end of it is not here: see `Target.due`."""
        # Its end was never told: a server without the consumer may be silent.
        no_word = self._link.is_connected and not self._msgs
        self._end(Verdict.NOBODY if no_word else Verdict.OVER)

    def _pulls(self) -> tuple[Pull, ...]:
        return () if self._pull is None else (self._pull,)

    def _found_silent(self, silent: list[Pull]) -> None:
        text = (
            f"consumer {self.target.name} was silent for more than {2 * self._asked.heartbeat:g} s"
        )
        self._end(Verdict.NOBODY, None if self._msgs else NoHeartbeatError(text))

    def _give_back(self) -> None:
        """What nobody will get is delivered again at once: to others, so the pull ends before."""
        pull, self._pull = self._pull, None
        if pull is not None:
            self.target.leave(pull)
        self._link.loop.call_soon(self._nak)

    def _nak(self) -> None:
        for msg in self._msgs:
            self.target.give_back(msg)

    # what pulls bring

    def arrived(self, pull: Pull) -> None:
        """The last message came."""
        self._end(Verdict.OVER)

    def told(self, pull: Pull, msg: Msg) -> None:
        """A status came."""
        code, text = msg.status, msg.status_text
        verdict = verdict_of(code, text)
        if verdict is Verdict.ALIVE:
            return
        error = None
        if verdict is Verdict.UNPINNED:
            self.target.pin = ""
        elif verdict is Verdict.TOO_LARGE:
            if pull.is_untouched:
                error = error_of_status(code, text, self.target.name)
        elif verdict is Verdict.LIMITED and limit_in(text) is None:
            verdict = Verdict.UNPINNED  # too many pulls wait: so does this one
        elif verdict in (Verdict.DELETED, Verdict.REFUSED, Verdict.LIMITED, Verdict.UNKNOWN):
            error = error_of_status(code, text, self.target.name)
        self._end(verdict, error)

    def denied(self, error: PermissionsError) -> None:
        """The server denied the pull, or its inbox."""
        if error.operation == "publish" and error.subject != decode(self.target.subject):
            return
        self._end(Verdict.REFUSED, error)

    # what happens to the connection

    def interrupted(self) -> None:
        """The pull is void. Without waiting, what came is all."""
        if self._pull is not None:
            self.target.over(self._pull, is_clean=False)
            self._pull = None
        if self._asked.no_wait and self._msgs:
            self._end(Verdict.OVER)

    def restored(self) -> None:
        """Ask anew for the rest."""
        self._end(Verdict.MOVED)

    def closed(self, error: Exception) -> None:
        """Nothing more comes."""
        self._end(Verdict.OVER, error)
