"""What commands share: the connection's flags, running a coroutine, saying what went wrong.

An error of ours is one line on stderr and exit code 1; a traceback means a bug.
"""

from __future__ import annotations

import asyncio
import functools
import inspect
import json
import os
import signal
import sys
from collections.abc import Callable, Coroutine
from typing import Annotated, Any, NoReturn, get_type_hints

import typer

from natsrpc.errors import DecodeError, NatsRpcError, NoServersError, RpcError

from .context import Flags, find_place

__all__ = ["connecting", "fail", "one_line", "run_command", "say"]

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


def connecting(command: Callable[..., Coroutine[Any, Any, int | None]]) -> Callable[..., None]:
    """Make an async command with a `place: Place` into one that typer can read.

    In the place of `place` it gets the connection's flags.
    """
    hints = get_type_hints(command, include_extras=True)
    own = [p for p in inspect.signature(command).parameters.values() if p.name != "place"]

    @functools.wraps(command)
    def wrapper(**arguments: Any) -> None:
        flags = Flags(**{name: arguments.pop(name) for name in _FLAGS})

        def start() -> Coroutine[Any, Any, int | None]:
            return command(find_place(flags, os.environ, warn=_warn), **arguments)

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
    """Run a coroutine to its end, and end the command with its exit code.

    From here on an interrupt is asyncio's: it cancels the coroutine, so that it tidies up.
    """
    try:
        coroutine = start()
        if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        code = asyncio.run(coroutine)
    except NatsRpcError as error:
        fail(one_line(error))
    except KeyboardInterrupt:
        code = 130
    raise typer.Exit(code or 0)


def fail(text: str) -> NoReturn:
    """Say what went wrong, and end the command with exit code 1."""
    say(f"error: {text}")
    raise typer.Exit(1)


def say(text: str) -> None:
    """One line for people, beside the output proper."""
    print(text, file=sys.stderr, flush=True)


def one_line(error: NatsRpcError) -> str:
    """An error in one line: what it is, its text, and the fields that are to blame."""
    text = " ".join(str(error).split())
    if isinstance(error, RpcError):
        details = "" if error.details is None else f" {_compact(error.details)}"
        return f"{error.code} {error.name}: {text}{details}"
    if isinstance(error, DecodeError) and error.errors:
        return f"{text} {_compact(error.errors)}"
    if isinstance(error, NoServersError):
        text += "; `natsrpc server` starts one, --server or NATS_URL names another"
    return text or type(error).__name__


def _compact(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)


def _warn(text: str) -> None:
    say(f"warning: {text}")
