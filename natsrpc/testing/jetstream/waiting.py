"""The pulls that wait at a consumer. They are served in turns, a message each."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from .pulls import Asked, Pull


class Waiting:
    """The pulls of one consumer, the one whose turn it is first.

    Args:
        beat: tells a pull that it is alive.
        expired: called when the time of one is over.
    """

    def __init__(self, beat: Callable[[Pull], None], expired: Callable[[], None]) -> None:
        self._pulls: deque[Pull] = deque()
        self._beat = beat
        self._expired = expired

    def __len__(self) -> int:
        return len(self._pulls)

    def refusal(self, asked: Asked, most: int, there: int) -> str | None:
        """The status with which another is refused, where `most` may wait and so many messages are
        there."""
        if len(self._pulls) >= most:
            return "409 Exceeded MaxWaiting"
        if asked.no_wait and not there and not asked.expires:
            return "404 No Messages"
        if asked.no_wait and 0 < there < sum(each.left for each in self._pulls):
            return "408 Requests Pending"
        return None

    def add(self, pull: Pull) -> None:
        """Have a pull wait."""
        self._pulls.append(pull)
        pull.start(self._expire, self._beat)

    def _expire(self, pull: Pull) -> None:
        self._pulls.remove(pull)
        pull.end("408 Request Timeout")
        self._expired()

    def take(self, size: int) -> Pull | None:
        """The next in turn that has room for a message of that size. Those that have not are over;
        so are those that nobody waits for. It is put back by `again`."""
        while self._pulls:
            pull = self._pulls.popleft()
            if not pull.is_live:
                pull.stop()
            elif not pull.fits(size):
                pull.end("409 Message Size Exceeds MaxBytes")
            else:
                return pull
        return None

    def again(self, pull: Pull) -> None:
        """Put a pull behind the others, if it is to get more than one other message."""
        if pull.left > 1:
            self._pulls.append(pull)
        else:
            pull.stop()

    def end_at_once(self) -> None:
        """Nothing more is there: end those that do not wait for what comes."""
        for pull in list(self._pulls):
            if pull.asked.no_wait and (pull.got or not pull.asked.expires):
                self._pulls.remove(pull)
                pull.end("404 No Messages", is_told_rest=False)

    def clear(self) -> None:
        """Forget those that nobody waits for any more."""
        for pull in [each for each in self._pulls if not each.is_live]:
            self._pulls.remove(pull)
            pull.stop()

    def close(self) -> None:
        """The consumer is gone: tell them."""
        self.clear()
        while self._pulls:
            self._pulls.popleft().end("409 Consumer Deleted", is_told_rest=False)
