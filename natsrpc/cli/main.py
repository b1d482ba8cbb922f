"""The entry point of the command `natsrpc`. Without the extra "cli" it says what to install."""

from __future__ import annotations

import codecs
import io
import json
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
    _let_any_text_be_printed()
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


def _let_any_text_be_printed() -> None:
    """Have what the encoding of stdout lacks printed as an escape. It is one of JSON, so that JSON
    stays JSON in any encoding."""

    def escape(error: UnicodeError) -> tuple[str, int]:
        assert isinstance(error, UnicodeEncodeError)  # nothing else is written
        return json.dumps(error.object[error.start : error.end])[1:-1], error.end

    codecs.register_error("natsrpc.escape", escape)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="natsrpc.escape")


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
