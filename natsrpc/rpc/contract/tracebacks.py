"""Tracebacks for the people whose program it is: their frames, without those of natsrpc around.

`internal` writes them to the log, and the command line where a module cannot be imported.
"""

from __future__ import annotations

import contextlib
from pathlib import Path
from types import TracebackType

from natsrpc.errors import NatsRpcError

_PACKAGE = str(Path(__file__).parents[2]) + "/"
_LIBRARY = str(Path(contextlib.__file__).parent) + "/"
_MACHINERY = ("<frozen importlib", "<frozen runpy")


def is_ours(file: str) -> bool:
    """Whether a frame's file is one of natsrpc, or of Python's machinery for imports."""
    return file.replace("\\", "/").startswith(_PACKAGE) or file.startswith(_MACHINERY)


def users_part(error: BaseException, *, deep: bool = True) -> TracebackType | None:
    """The error's traceback without the frames of natsrpc that lead to the user's, and, if the
    error is one of natsrpc's own or not `deep`, without those that raised it.

    All of it, if there is no frame of the user's: then it is about natsrpc.
    """
    frames: list[TracebackType] = []
    traceback = error.__traceback__
    while traceback is not None:
        frames.append(traceback)
        traceback = traceback.tb_next
    files = [each.tb_frame.f_code.co_filename for each in frames]
    theirs = [
        place
        for place, file in enumerate(files)
        if not is_ours(file) and not _leads_to(place, files)
    ]
    if not theirs:
        return error.__traceback__
    users = [place for place in theirs if not _is_library(files[place])] or theirs
    is_cut = isinstance(error, NatsRpcError) or not deep
    last = users[-1] + 1 if is_cut else len(frames)
    found: TracebackType | None = None
    for each in reversed(frames[theirs[0] : last]):
        found = TracebackType(found, each.tb_frame, each.tb_lasti, each.tb_lineno)
    return found


def _leads_to(place: int, files: list[str]) -> bool:
    """Whether a frame of Python's library stands between frames of ours: threads, context managers
    and importlib call what natsrpc gives them."""
    return (
        _is_library(files[place])
        and any(is_ours(file) for file in files[:place])
        and all(is_ours(file) or _is_library(file) for file in files[: place + 1])
    )


def _is_library(file: str) -> bool:
    return file.startswith(_LIBRARY) and "-packages" not in file
