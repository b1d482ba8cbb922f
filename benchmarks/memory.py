"""The memory that a process holds, as the system tells it."""

from __future__ import annotations

import os
import sys

try:
    import resource
except ImportError:  # Windows
    resource = None  # type: ignore[assignment]


def peak_kib() -> int:
    """Return the largest resident size of this process so far, in KiB; 0 if it is not known.

    `ru_maxrss` is the second choice: on Linux a child process starts with its parent's.
    """
    try:
        with open("/proc/self/status") as file:
            return next(int(line.split()[1]) for line in file if line.startswith("VmHWM:"))
    except OSError:
        pass
    if resource is None:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak


def resident_bytes(pid: int | None = None) -> int:
    """Return the resident size of a process, in bytes; of this one if none is named.

    Where the system does not tell it, this process's peak is returned.
    """
    try:
        with open(f"/proc/{pid or 'self'}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:
        return peak_kib() * 1024
