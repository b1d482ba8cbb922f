"""The watchdog: ends the servers of a process that was killed, so that none outlives it.

A process that ends by itself stops its servers. One that is killed cannot: so a shell waits at the
end of a pipe for as long as the process lives, is told which servers run, and ends those that are
left when the pipe closes. (Linux could send the servers a signal by itself, `PR_SET_PDEATHSIG`, but
does so when the *thread* ends that started them.)

There is one for each process that has servers. On Windows there is none.
"""

from __future__ import annotations

import os
import sys
import threading

# Reads lines like "+ 17" and "- 17". At the end of the pipe it ends what is left: politely, then
# (for one that is stopped) not. It keeps no output open, so that whoever reads that sees its end.
_SCRIPT = """
trap '' INT HUP TERM
left=' '
while read -r what pid; do
    case "$what$left" in
        +*) left="$left$pid " ;;
        *" $pid "*) left="${left%% $pid *} ${left#* $pid }" ;;
    esac
done
for pid in $left; do kill -TERM "$pid" && late=1; done
[ -z "$late" ] || sleep 2
for pid in $left; do kill -KILL "$pid"; done
"""
_SHELL = "/bin/sh"


class Watchdog:
    """The watchdog of this process. `NatsServer` tells it of each start and end."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pipe = -1
        self._owner = 0

    def watch(self, pid: int) -> None:
        """End this process should ours be killed."""
        with self._lock:
            if self._owner != os.getpid():  # a forked process has one of its own
                self._pipe, self._owner = _start(), os.getpid()
            self._tell(f"+ {pid}\n")

    def forget(self, pid: int) -> None:
        """It has ended."""
        with self._lock:
            if self._owner == os.getpid():
                self._tell(f"- {pid}\n")

    def _tell(self, line: str) -> None:
        if self._pipe < 0:
            return
        try:
            os.write(self._pipe, line.encode())
        except OSError:  # somebody ended the shell: the next server starts another
            os.close(self._pipe)
            self._pipe, self._owner = -1, 0


def _start() -> int:
    """Start the shell, and return the end of the pipe that it waits at; -1 where there is none."""
    if sys.platform == "win32" or not os.path.exists(_SHELL):
        return -1
    inner, outer = os.pipe()
    nothing = os.open(os.devnull, os.O_WRONLY)
    files = [(os.POSIX_SPAWN_DUP2, inner, 0)]
    files += [(os.POSIX_SPAWN_DUP2, nothing, output) for output in (1, 2)]
    program = [_SHELL, "-c", _SCRIPT]
    try:  # a session of its own, for Ctrl-C is ours to answer
        os.posix_spawn(_SHELL, program, os.environ, file_actions=files, setsid=True)
    except NotImplementedError:
        os.posix_spawn(_SHELL, program, os.environ, file_actions=files, setpgroup=0)
    finally:
        os.close(inner)
        os.close(nothing)
    return outer


watchdog: Watchdog = Watchdog()
"""That of this process."""
