"""Runs many programs, each as a process of its own that has imported natsrpc already.

    python -W error -m tests.docs.forking

It reads one program a line, as a JSON string, and writes a line of JSON for each: its exit code,
what it printed and what it wrote to stderr. A program runs as `python -` runs it, in a fork:
starting Python and importing pydantic a hundred times takes longer than all the programs.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import tempfile
import traceback
from types import ModuleType

TIMEOUT = 60  # seconds for one program


def serve() -> int | None:
    """Run what is asked for; in a fork, give the exit code that it is to end with."""
    for line in sys.stdin:
        with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
            child = os.fork()
            if not child:
                os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
                os.dup2(out.fileno(), 1)
                os.dup2(err.fileno(), 2)
                signal.alarm(TIMEOUT)
                return run(json.loads(line))
            code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            for file in (out, err):
                file.seek(0)
            print(json.dumps([code, out.read(), err.read()]), flush=True)
    return None


def run(program: str) -> int:
    main = sys.modules["__main__"] = ModuleType("__main__")
    try:
        exec(compile(program, "<stdin>", "exec"), vars(main))
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    import natsrpc.cli.app
    import natsrpc.describe
    import natsrpc.discovery
    import natsrpc.jetstream
    import natsrpc.sync
    import natsrpc.testing  # noqa: F401  # what a fork has then

    sys.exit(serve())
