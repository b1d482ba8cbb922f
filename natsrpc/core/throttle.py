"""Log lines that other programs can cause: one of a kind in a second, and how many there were.

A message of 78 bytes must not cost a line of a log. Whoever logs what a peer or a server said, and
could say again at once, does it by a `Throttle`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from logging import Logger

INTERVAL = 1.0
"""Seconds between two lines of one kind."""


class Throttle:
    """Writes warnings of a few kinds to a logger, each at most once a second.

    A line says how many of its kind were held back since the last one.
    """

    def __init__(self, logger: Logger, now: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._now = now
        self._kinds: dict[str, tuple[float, int]] = {}

    def warning(self, kind: str, text: str, *args: object) -> None:
        """Log as `Logger.warning` does, unless a line of this kind was logged just now.

        `kind` is one of a few fixed words: one for each that was ever used is kept.
        """
        now = self._now()
        due, held_back = self._kinds.get(kind, (now, 0))
        if now < due:
            self._kinds[kind] = due, held_back + 1
            return
        self._kinds[kind] = now + INTERVAL, 0
        if held_back:
            text, args = f"{text} (and %d more like it before)", (*args, held_back)
        self._logger.warning(text, *args)
