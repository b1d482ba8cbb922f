"""How a command is run: the connection's flags, the event loop, errors and the exit code.

An error of ours is one line on stderr; a traceback of ours means a bug. Scripts can tell errors
apart by the exit code:

| code | |
|---|---|
| 0 | all went well |
| 1 | any other error: no server, no permission, a pool that does not start |
| 2 | the command, a file or a target is wrong; nothing was started or sent |
| 3 | nobody serves the subject, or no service, bucket or key has the name |
| 4 | the service answered with an error |
| 5 | no answer came in time |
| 130 | interrupted |
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import inspect
import os
import signal
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Annotated, Any, NoReturn, get_type_hints

import typer

from natsrpc.errors import (
    BadHeaderError,
    BadSubjectError,
    BadTimeoutError,
    BucketNotFoundError,
    ConfigError,
    DeadlineExceededError,
    DecodeError,
    KeyNotFoundError,
    NatsRpcError,
    NatsTimeoutError,
    NoRespondersError,
    NoServersError,
    RpcError,
    UnknownCodecError,
)

from .context import Flags, find_destination
from .output import json_text, say

__all__ = [
    "USAGE",
    "NotThereError",
    "connecting",
    "exit_code",
    "fail",
    "interruptible",
    "one_line",
    "run_command",
]

_FAILED, USAGE, _NOBODY, _REMOTE, _LATE = 1, 2, 3, 4, 5

_PANEL = "Connection"
_FLAGS = {
    "server": Annotated[
        str,
        typer.Option(
            "--server",
            "-s",
            help="Server URLs, with commas between; else those of NATS_URL or of the context.",
            rich_help_panel=_PANEL,
        ),
    ],
    "context": Annotated[
        str,
        typer.Option(help="Context of the nats command.", rich_help_panel=_PANEL),
    ],
    "user": Annotated[str, typer.Option(help="User, or a token.", rich_help_panel=_PANEL)],
    "password": Annotated[str, typer.Option(help="Password.", rich_help_panel=_PANEL)],
    "creds": Annotated[str, typer.Option(help="Credentials file.", rich_help_panel=_PANEL)],
    "nkey": Annotated[str, typer.Option(help="File with an nkey seed.", rich_help_panel=_PANEL)],
    "cert": Annotated[
        str, typer.Option("--tlscert", help="Client certificate.", rich_help_panel=_PANEL)
    ],
    "key": Annotated[str, typer.Option("--tlskey", help="Its key.", rich_help_panel=_PANEL)],
    "ca": Annotated[
        str, typer.Option("--tlsca", help="Authorities to trust.", rich_help_panel=_PANEL)
    ],
}


class NotThereError(NatsRpcError):
    """No instance of the service that was named has answered."""


def connecting(
    command: Callable[..., Coroutine[Any, Any, int | None]],
    *,
    settle: Callable[[Flags, Mapping[str, str]], Flags] | None = None,
) -> Callable[..., None]:
    """Make a command for typer out of an async function with a `destination: Destination`.

    The command has the connection's flags instead of that parameter. `app` calls it for each
    command that connects. `settle` may add to the flags what a file says.
    """
    hints = get_type_hints(command, include_extras=True)
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "destination"]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        flags = Flags(**{name: arguments.pop(name) for name in _FLAGS})

        def start() -> Coroutine[Any, Any, int | None]:
            settled = flags if settle is None else settle(flags, os.environ)
            return command(find_destination(settled, os.environ, warn=_warn), **arguments)

        run_command(start)

    parameters = [p.replace(annotation=hints[p.name]) for p in own] + [
        inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default="", annotation=kind)
        for name, kind in _FLAGS.items()
    ]
    del wrapper.__wrapped__  # else typer reads the signature of the inner one
    wrapper.__annotations__ = {p.name: p.annotation for p in parameters} | {"return": None}
    vars(wrapper)["__signature__"] = inspect.Signature(parameters)
    return wrapper


def run_command(start: Callable[[], Coroutine[Any, Any, int | None]]) -> None:
    """Run a coroutine to its end, then end the command with its exit code (None means 0).

    From here on asyncio handles an interrupt: it cancels the coroutine, which tidies up, and the
    exit code is 130.

    Raises:
        typer.Exit: always.
    """
    try:
        coroutine = start()
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = asyncio.run(coroutine)
    except NatsRpcError as error:
        text = one_line(error)
        if frames := getattr(error, "frames", ""):
            text += f"\n{frames}"
        fail(text, exit_code(error))
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code or 0)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Leave an interrupt to the system, which ends the process, for a block that does not give way
    to the event loop, as one that reads stdin: asyncio would only note it, for the next wait, and
    Python does not see one that comes between two reads.
    """
    before = signal.getsignal(signal.SIGINT)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def exit_code(error: NatsRpcError) -> int:
    """The code that a command ends with for an error."""
    match error:
        case NatsTimeoutError() | DeadlineExceededError():
            return _LATE
        case NoRespondersError() | NotThereError() | BucketNotFoundError() | KeyNotFoundError():
            return _NOBODY
        case RpcError():
            return _REMOTE
        case ConfigError() | BadSubjectError() | BadTimeoutError() | BadHeaderError():
            return USAGE
        case UnknownCodecError():
            return USAGE
        case _:
            return _FAILED


def fail(text: str, code: int = _FAILED) -> NoReturn:
    """Print an error, and end the command with that exit code.

    Raises:
        typer.Exit: always.
    """
    say(f"error: {text}")
    raise typer.Exit(code)


def one_line(error: NatsRpcError) -> str:
    """Return an error as one line: for an error of a service its code and name, then the text, then
    the fields that are to blame."""
    text = " ".join(str(error).split())
    if isinstance(error, RpcError):
        details = error.details
        if isinstance(details, bytes):  # a stranger's, which are no JSON
            details = details.decode(errors="backslashreplace")
        told = "" if details is None else f" {json_text(details)}"
        return f"{error.code} {error.name}: {text}{told}"
    if isinstance(error, DecodeError) and error.errors:
        return f"{text} {json_text(error.errors)}"
    if isinstance(error, NoServersError):
        text += "; `natsrpc server` starts one, --server or NATS_URL names another"
    return text or type(error).__name__


def _warn(text: str) -> None:
    say(f"warning: {text}")
