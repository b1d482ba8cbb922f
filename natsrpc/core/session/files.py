"""The files that options name: all that is read from them is checked here first."""

from __future__ import annotations

import errno
import os
import stat


def check_regular(path: str) -> None:
    """Refuse what is no regular file, links followed: a FIFO would keep the loop until somebody
    writes to it, and a device may have no end.

    Raises:
        OSError: it is none, or is not there.
    """
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
