"""`natsrpc server`: runs a nats-server in the foreground."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Annotated

import typer

from natsrpc.errors import ServerNotFoundError
from natsrpc.server import find_server

from .command import fail

__all__ = ["server"]


def server(
    context: typer.Context,
    port: Annotated[int, typer.Option("--port", "-p", help="Port for clients.")] = 4222,
    host: Annotated[str, typer.Option("--addr", "-a", help="Address to listen on.")] = "127.0.0.1",
) -> None:
    """Start a nats-server. Further arguments are its own, such as `-js` or `-c FILE`."""
    try:
        executable = str(find_server())
    except ServerNotFoundError as error:
        fail(str(error))
    arguments = [executable, "-a", host, "-p", str(port), *context.args]
    if sys.platform == "win32":
        raise typer.Exit(subprocess.call(arguments))
    # nats-server replaces this process, so that signals reach it and its exit code is ours
    os.execv(executable, arguments)  # noqa: S606  a list, no shell
