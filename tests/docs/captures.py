"""Captures of the command line in a terminal, as `docs/command-line.md` prints them.

A capture stands behind a comment with its width, and begins with its command. The services are
those of the page's own block `# shop_services.py`; `python -m tests.docs.captures` runs all
commands anew and writes the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import re
import shlex
import signal
import struct
import subprocess
import sys
import termios
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import natsrpc
from natsrpc.cli.target import load_services
from natsrpc.testing import NatsServer
from tests.cli.processes import PROGRAM, environment

from .blocks import BLOCKS, ROOT

PAGE = ROOT / "docs" / "command-line.md"
SERVICES = "shop_services.py"
ROWS = 40
IDS = ("7K8uW1kXrESTp6s2kbXqx6", "ax0hrFN0t2jkXNQe5cceZN")
"""What the page prints for the ids of the two instances, in the order of their names."""

_CAPTURE = re.compile(
    r"<!-- (?P<columns>\d+) columns -->\n"
    r"```terminal\n\$ (?P<command>natsrpc [^\n]*)\n(?P<text>.*?)^```$",
    re.M | re.S,
)
_CLEAR = "\x1b[H\x1b[2J"


@dataclass(frozen=True)
class Capture:
    """One command at one width, and what it prints."""

    columns: int
    command: str
    text: str

    def __str__(self) -> str:
        return f"{self.columns}: {self.command}"


def captures() -> list[Capture]:
    """Those of the page."""
    text = PAGE.read_text(encoding="utf-8")
    return [
        Capture(int(found["columns"]), found["command"], found["text"])
        for found in _CAPTURE.finditer(text)
    ]


class Shop:
    """The page's services, served, after a few calls; commands run beside them."""

    def __init__(self, url: str, client: natsrpc.Client, ids: dict[str, str]) -> None:
        self._url = url
        self._client = client
        self._ids = ids

    @classmethod
    @contextlib.asynccontextmanager
    async def open(cls, folder: Path, url: str) -> AsyncIterator[Shop]:
        """Serve them, and have them called as often as the page shows."""
        (block,) = (block for block in BLOCKS if block.is_program and block.file == SERVICES)
        (folder / SERVICES).write_text(block.text, encoding="utf-8")
        services = load_services(str(folder / f"{SERVICES}:services"))
        async with natsrpc.connect(url) as client, client.serve(*services):
            infos = await natsrpc.discovery.info(client.connection)
            found = sorted((one.name, one.id) for one in infos)
            ids = {theirs: ours for (_, theirs), ours in zip(found, IDS, strict=True)}
            for count in range(12):
                sku = "sold-out" if count == 5 else "tea"
                with contextlib.suppress(natsrpc.ConflictError):
                    await client.call("shop.orders.place", {"sku": sku, "count": 2})
            while await handled(client, "billing") < 11:
                pass
            yield cls(url, client, ids)

    async def run(self, capture: Capture) -> str:
        """What a command prints on a terminal of that width."""
        calls: asyncio.Task[None] | None = None

        def on_text(text: str) -> bool:
            """Whether all that is to be seen was seen."""
            nonlocal calls
            if "listening on" in text and calls is None:
                calls = asyncio.ensure_future(self._call())
            return text.count(_CLEAR) > 2

        try:
            text = await in_terminal(capture, self._url, on_text)
        finally:
            if calls is not None:
                calls.cancel()
        if "--watch" in capture.command:
            text = text.split(_CLEAR)[2]
        return self._with_ids_of_the_page(text)

    async def _call(self) -> None:
        while True:
            await self._client.call("shop.orders.place", {"sku": "tea", "count": 2})
            await asyncio.sleep(0.05)  # why: the command ends when it has seen enough

    def _with_ids_of_the_page(self, text: str) -> str:
        for theirs, ours in self._ids.items():
            for length in range(len(theirs), 5, -1):
                text = text.replace(theirs[:length], ours[:length])
        return text


async def handled(client: natsrpc.Client, name: str) -> int:
    """The requests and events that a service has handled."""
    (one,) = await natsrpc.discovery.stats(client.connection, name, stall=0.05)
    return one.num_requests


async def in_terminal(capture: Capture, url: str, on_text: Callable[[str], bool]) -> str:
    """Run a command in a terminal; it is interrupted once `on_text` says that it is enough."""
    process, ours = _start(capture, url)
    text, loop = "", asyncio.get_running_loop()
    try:
        while True:
            data = await loop.run_in_executor(None, _read, ours)
            text += data.decode(errors="replace").replace("\r\n", "\n")
            if not data:
                return text
            if on_text(text):
                process.send_signal(signal.SIGINT)
    finally:
        os.close(ours)
        process.kill()
        process.wait()


def _start(capture: Capture, url: str) -> tuple[subprocess.Popen[bytes], int]:
    """The process of a command, and our end of its terminal."""
    ours, theirs = os.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, capture.columns, 0, 0))
    kept = {k: v for k, v in environment().items() if k not in ("COLUMNS", "LINES", "NO_COLOR")}
    process = subprocess.Popen(
        [sys.executable, *PROGRAM, *shlex.split(capture.command)[1:]],
        env={**kept, "PYTHONPATH": str(ROOT), "NATS_URL": url, "TERM": "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    return process, ours


def _read(terminal: int) -> bytes:
    try:
        return os.read(terminal, 65536)
    except OSError:  # nobody holds its other end any more
        return b""


async def _write() -> None:
    import tempfile  # noqa: PLC0415  # of the program alone

    with tempfile.TemporaryDirectory() as folder, NatsServer() as server:
        async with Shop.open(Path(folder), server.url) as shop:
            found: dict[tuple[int, str], str] = {}
            for each in captures():
                found[each.columns, each.command] = await shop.run(each)
    print("".join(f"== {key}\n{text}" for key, text in found.items()))

    def renewed(match: Any) -> str:
        text = found[int(match["columns"]), match["command"]]
        head = f"<!-- {match['columns']} columns -->\n```terminal\n$ {match['command']}\n"
        return f"{head}{text.rstrip()}\n```"

    PAGE.write_text(_CAPTURE.sub(renewed, PAGE.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    asyncio.run(_write())
