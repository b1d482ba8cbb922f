"""The entry point of the command `natsrpc`. Without the extra "cli" it says what to install."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable

__all__ = ["main"]


def main() -> None:
    """Run the command line, and end the process with its exit code.

    Until a command runs its coroutine, an interrupt is left to the system, which ends the process.
    Python would raise `KeyboardInterrupt`; raised inside a callback of the import system or of the
    garbage collector, it is written to stderr and forgotten, and the command would go on.
    """
    _leave_interrupts_to_the_system()
    if sys.argv[1:2] == ["run"]:
        _take_signals_for_orders()
    try:
        _find_app()(prog_name="natsrpc")  # however it was started
    except KeyboardInterrupt:  # outside of a command: a command ends with a code of its own
        sys.exit(130)
    finally:
        # the command is over: an interrupt while Python tidies up is not worth a traceback
        _leave_interrupts_to_the_system()


def _leave_interrupts_to_the_system() -> None:
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a shell's background job ignores it
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _take_signals_for_orders() -> None:
    """Until `run` listens to signals, have those that mean its end be its end with code 0, for
    nothing has been started, and SIGHUP mean nothing."""
    for number in (signal.SIGTERM, signal.SIGINT):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda *_: os._exit(0))
    if hasattr(signal, "SIGHUP"):
        signal.signal(signal.SIGHUP, signal.SIG_IGN)


def _find_app() -> Callable[..., None]:
    try:
        from .app import app
    except ModuleNotFoundError as error:
        if error.name is None or error.name.split(".")[0] not in ("typer", "click", "rich"):
            raise
        print(
            f"the natsrpc command needs the package {error.name}, which is not installed: "
            "pip install 'natsrpc[cli]'",
            file=sys.stderr,
        )
        sys.exit(1)
    return app


if __name__ == "__main__":
    main()
