"""A pool under `natsrpc run --http`, and its pages as a scraper reads them."""

from __future__ import annotations

import asyncio
import json
import re
import urllib.error
import urllib.request
from collections import Counter
from pathlib import Path
from typing import Any

from natsrpc.testing import NatsServer

from .processes import Command

SERVICE = """
import asyncio, os, pathlib
import natsrpc

service = natsrpc.Service({name!r}, version="1.0.0")

@service.handler("{name}.add", name="add")
async def add(a: int, b: int) -> int:
    return a + b

@service.handler("{name}.sold", name="sold")
async def sold() -> None:
    raise natsrpc.ConflictError("gone")

@service.handler("{name}.fail", name="fail")
def fail() -> None:
    raise ValueError("secret")

@service.handler("{name}.hold", name="hold")
async def hold() -> None:
    await asyncio.Event().wait()

@service.handler("{name}.pid", name="pid")
async def pid(context: natsrpc.Context) -> int:
    return os.getpid()

@service.probe
def database() -> bool:
    return not pathlib.Path({flag!r}).exists()
"""


class Pages:
    """The pages of a pool, read as a scraper reads them."""

    def __init__(self, line: str) -> None:
        found = re.search(r"(http://\S+)/livez", line)
        assert found is not None, line
        self.url = found[1]

    def _get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(self.url + path, timeout=20) as answer:  # noqa: S310  # ours
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    async def get(self, path: str) -> tuple[int, str]:
        return await asyncio.to_thread(self._get, path)

    async def ready(self) -> tuple[int, dict[str, Any]]:
        code, text = await self.get("/readyz")
        return code, json.loads(text)

    async def status(self) -> str:
        return str((await self.ready())[1]["status"])

    async def samples(self) -> dict[str, float]:
        code, text = await self.get("/metrics")
        assert code == 200
        lines = [line.rpartition(" ") for line in text.splitlines() if line[0] != "#"]
        assert len({name for name, _, _ in lines}) == len(lines)
        types = [line.split()[2] for line in text.splitlines() if line.startswith("# TYPE")]
        assert len(set(types)) == len(types)
        return {name: float(value) for name, _, value in lines}

    async def requests(self) -> Counter[tuple[str, str, str]]:
        found: Counter[tuple[str, str, str]] = Counter()
        for name, value in (await self.samples()).items():
            if name.startswith("natsrpc_server_requests_total") and value:
                labels = dict(re.findall(r'(\w+)="([^"]*)"', name))
                found[labels["service"], labels["endpoint"], labels["code"]] = int(value)
        return found


def write(folder: Path, name: str) -> None:
    text = SERVICE.format(name=name, flag=str(folder / "unwell"))
    (folder / f"{name}.py").write_text(text)


def start(folder: Path, server: NatsServer, *arguments: str) -> Command:
    return Command("run", *arguments, "--http", "127.0.0.1:0", "--server", server.url, cwd=folder)


async def pages_of(command: Command) -> Pages:
    return Pages(await asyncio.to_thread(command.wait_for, "pages are at"))


def until(pages: Pages, wanted: str) -> Any:
    async def poll() -> None:
        while await pages.status() != wanted:  # noqa: ASYNC110  # a page has no event
            await asyncio.sleep(0.05)  # why: a page is asked again

    return asyncio.wait_for(poll(), 30)
