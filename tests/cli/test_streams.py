"""`natsrpc streams`: what is declared beside what is there, and the way from one to the other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path

import pytest

import natsrpc
from natsrpc.jetstream import JetStream, StreamConfig, StreamInfo
from natsrpc.testing import NatsServer

from .processes import run_command

pytestmark = pytest.mark.live

MODULE = """
import natsrpc
from natsrpc.jetstream import StreamConfig

orders = StreamConfig(name="ORDERS", subjects=["orders.>"], max_age={age}, storage="{storage}")
jobs = StreamConfig(name="JOBS", subjects=["jobs.>"], storage="memory")
service = natsrpc.Service("shop", version="1.0.0", streams=[orders, jobs])
other = natsrpc.Service("other", version="1.0.0", streams=[orders])
plain = natsrpc.Service("plain", version="1.0.0")

def make():
    return [service, other]
"""

Shell = Callable[..., tuple[int, str, str]]


@pytest.fixture
def shell(fresh_jetstream: NatsServer, tmp_path: Path) -> Shell:
    """The command, beside two versions of a module: `shop.py` and `next.py`."""
    (tmp_path / "shop.py").write_text(MODULE.format(age=60.0, storage="memory"), "utf-8")
    (tmp_path / "next.py").write_text(MODULE.format(age=90.5, storage="file"), "utf-8")

    def run(*arguments: str) -> tuple[int, str, str]:
        return run_command("streams", *arguments, cwd=tmp_path, NATS_URL=fresh_jetstream.url)

    return run


@pytest.fixture
def orders(fresh_jetstream: NatsServer) -> Callable[[], StreamInfo]:
    async def look() -> StreamInfo:
        async with natsrpc.core.connect(fresh_jetstream.url) as connection:
            return (await JetStream(connection).stream("ORDERS")).cached_info

    return lambda: asyncio.run(look())


def rows(out: str) -> list[list[str]]:
    return [line.split() for line in out.splitlines()]


def test_apply_makes_and_changes_and_tells_what_it_cannot(
    shell: Shell, orders: Callable[[], StreamInfo]
) -> None:
    code, out, err = shell("diff", "shop.py", "--exit-code")
    assert (code, err) == (1, "")
    assert rows(out)[1:] == [["ORDERS", "missing"], ["JOBS", "missing"]]

    code, out, err = shell("apply", "shop.py")
    assert (code, err) == (0, "")
    assert rows(out)[1:] == [["ORDERS", "created"], ["JOBS", "created"]]
    assert orders().config.max_age == 60.0
    code, out, _ = shell("diff", "shop.py", "shop.py:other", "--exit-code")
    assert (code, rows(out)[1:]) == (0, [["ORDERS", "same"], ["JOBS", "same"]])

    code, out, _ = shell("diff", "next.py", "--exit-code")
    assert code == 1
    assert rows(out)[1][:5] == ["ORDERS", "differs", "max_age", "90.5", "60.0"]
    assert rows(out)[2][:5] == ["ORDERS", "differs", "storage", "file", "memory"]
    assert "cannot be changed: it stays as it was made" in out

    code, out, _ = shell("apply", "next.py")
    assert code == 1
    assert rows(out)[1] == ["ORDERS", "changed", "max_age", "90.5", "60.0"]
    assert rows(out)[2][:5] == ["ORDERS", "refused", "storage", "file", "memory"]
    assert (orders().config.max_age, orders().config.storage) == (90.5, "memory")


def test_json_is_for_programs(shell: Shell) -> None:
    code, out, _ = shell("diff", "shop.py:make", "--factory", "--json")
    assert (code, json.loads(out)[0]) == (
        0, {"stream": "ORDERS", "state": "missing", "differences": []}
    )  # fmt: skip
    code, out, _ = shell("apply", "shop.py:make", "--factory", "--json")
    assert (code, [each["action"] for each in json.loads(out)]) == (0, ["created", "created"])
    code, out, _ = shell("diff", "next.py", "--json")
    first = json.loads(out)[0]["differences"][0]
    assert first == {"field": "max_age", "declared": 90.5, "found": 60.0, "note": ""}
    code, out, _ = shell("apply", "next.py", "--json")
    applied, same = json.loads(out)
    assert (code, applied["action"], same["action"]) == (1, "changed", "unchanged")
    assert applied["refused"][0]["field"] == "storage"


def test_what_the_server_refuses_is_told(
    shell: Shell, orders: Callable[[], StreamInfo], fresh_jetstream: NatsServer
) -> None:
    async def occupy() -> None:
        async with natsrpc.core.connect(fresh_jetstream.url) as connection:
            config = StreamConfig(name="OTHER", subjects=["orders.x"], storage="memory")
            await JetStream(connection).create_stream(config)

    asyncio.run(occupy())
    code, out, _ = shell("apply", "shop.py")
    assert code == 1
    assert rows(out)[1][:2] == ["ORDERS", "refused"]
    assert "subjects overlap" in out
    assert rows(out)[2] == ["JOBS", "created"]


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("diff", "shop.py:plain"), "no stream is declared by plain"),
        (("diff", "shop.py", "next.py:other"), "declared by service 'shop' and, differently"),
        (("apply", "missing.py"), "there is no file"),
    ],
)
def test_a_wrong_target_is_code_2(shell: Shell, arguments: tuple[str, ...], told: str) -> None:
    code, out, err = shell(*arguments)
    assert (code, out) == (2, "")
    assert told in err
