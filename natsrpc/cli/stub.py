"""`natsrpc stub`: writes a typed client module for a service from its contract."""

from __future__ import annotations

import shutil
import subprocess
import sys
from enum import Enum
from pathlib import Path
from typing import Annotated

import typer

from natsrpc.describe import stub as write_stub
from natsrpc.describe import typescript

from .context import Destination
from .contract import Output, contract_of, write
from .duration import parse_seconds
from .query import Timeout

__all__ = ["Language", "stub"]


class Language(Enum):
    """The languages that a client module is written in."""

    PYTHON = "python"
    TYPESCRIPT = "typescript"


async def stub(
    destination: Destination,
    target: Annotated[
        str,
        typer.Argument(
            help="The name of a live service, a file from `contract export`, or `module:service`."
        ),
    ],
    lang: Annotated[Language, typer.Option(help="The language of the module.")] = Language.PYTHON,
    output: Output = "",
    timeout: Timeout = "2s",
) -> None:
    """Write a module with typed methods and models to call the service TARGET."""
    found = await contract_of(destination, target, parse_seconds(timeout))
    if lang is Language.TYPESCRIPT:
        write(typescript(found), output)
    else:
        write(_formatted(write_stub(found), output or "stub.py"), output)


def _formatted(text: str, name: str) -> str:
    """The text as ruff formats a file of that name; unchanged where ruff is missing or fails."""
    beside = Path(sys.executable).with_name("ruff")
    ruff = str(beside) if beside.is_file() else shutil.which("ruff")
    if ruff is None:
        return text
    done = subprocess.run(
        [ruff, "format", "--quiet", "--stdin-filename", name, "-"],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    return done.stdout if done.returncode == 0 and done.stdout else text
