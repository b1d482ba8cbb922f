"""Where the command `natsrpc` starts: it needs an extra, and says so where that is missing."""

from __future__ import annotations

import signal
import sys

__all__ = ["main"]


def main() -> None:
    """Run the command line; ends the process."""
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
    except KeyboardInterrupt:
        sys.exit(130)
    try:
        app()
    finally:
        # all is done: an interrupt while Python tidies up is not worth a traceback
        signal.signal(signal.SIGINT, signal.SIG_DFL)


if __name__ == "__main__":
    main()
