"""The files that `natsrpc run --reload` looks at, again and again.

Folders in which nobody writes services are not entered: hidden ones, virtual environments, caches
and packages of others. However many files there are, looking takes at most two hundredths of a
core: the pauses grow with the time that a look takes.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Sequence
from pathlib import Path

from .target import split

__all__ = ["Watch", "folder_of"]

_PAUSE = 0.3  # seconds between two looks, at least
_SHARE = 50  # a pause is at least so many times what the look before it took
_SKIPPED = frozenset({"__pycache__", "node_modules", "site-packages", "dist-packages"})


class Watch:
    """The `.py` files below some folders, as they were when it was made or last looked."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders
        self._seen = self._look()

    async def changes(self) -> AsyncIterator[str]:
        """After each look that finds new, changed or deleted files, one of them."""
        pause = _PAUSE
        while True:
            await asyncio.sleep(pause)
            began = time.thread_time()
            now = self._look()
            pause = max(_PAUSE, _SHARE * (time.thread_time() - began))
            both = {**now, **self._seen}
            changed = [path for path in both if now.get(path) != self._seen.get(path)]
            self._seen = now
            if changed:
                yield changed[0]

    def _look(self) -> dict[str, int]:
        found: dict[str, int] = {}
        todo = [str(folder) for folder in self._folders]
        while todo:
            try:
                entries = list(os.scandir(todo.pop()))
            except OSError:  # gone, or not ours to read
                continue
            if any(entry.name == "pyvenv.cfg" for entry in entries):
                continue
            for entry in entries:
                name = entry.name
                try:
                    if entry.is_dir(follow_symlinks=False):
                        if not (name.startswith(".") or name in _SKIPPED):
                            todo.append(entry.path)
                    elif name.endswith(".py") and not name.startswith("."):
                        found[entry.path] = entry.stat().st_mtime_ns
                except OSError:  # gone between two looks
                    continue
        return found


def folder_of(target: str) -> Path:
    """The folder to watch for a target: where its file is, else the current one."""
    where, _ = split(target)
    return Path(where).resolve().parent if where.endswith(".py") else Path.cwd()
