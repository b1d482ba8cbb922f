"""`natsrpc kv`: keys read, set and watched."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

import natsrpc
from natsrpc.jetstream import JetStream, KeyValueConfig
from natsrpc.testing import NatsServer

from .processes import Command, run_command

pytestmark = pytest.mark.live


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with NatsServer(jetstream=True) as server:

        async def prepare() -> None:
            async with natsrpc.core.connect(server.url) as connection:
                config = KeyValueConfig(bucket="config", history=5, storage="memory")
                await JetStream(connection).create_key_value(config)

        asyncio.run(prepare())
        yield server.url


def kv(url: str, *arguments: str, stdin: str = "") -> tuple[int, str, str]:
    return run_command("kv", *arguments, stdin=stdin, NATS_URL=url)


def test_what_is_put_is_got(url: str, tmp_path: Path) -> None:
    code, out, err = kv(url, "put", "config", "color", "red")
    assert (code, err) == (0, "")
    first = int(out)
    assert kv(url, "get", "config", "color") == (0, "red", "")  # its bytes, and no more
    assert kv(url, "put", "config", "color", "-", stdin="blue\n")[0] == 0
    assert kv(url, "get", "config", "color") == (0, "blue\n", "")
    assert kv(url, "get", "config", "color", "--revision", str(first)) == (0, "red", "")
    (tmp_path / "file").write_bytes(b"\x00\xff")
    assert kv(url, "put", "config", "raw", f"@{tmp_path / 'file'}")[0] == 0
    code, out, _ = kv(url, "get", "config", "raw", "--json")
    entry = json.loads(out)
    assert (entry["key"], entry["base64"], entry["operation"]) == ("raw", "AP8=", "PUT")


def test_a_condition_that_does_not_hold_is_an_error(url: str) -> None:
    code, out, _ = kv(url, "put", "config", "once", "1", "--create", "--json")
    revision = json.loads(out)["revision"]
    assert code == 0
    code, _, err = kv(url, "put", "config", "once", "2", "--create")
    assert (code, "is there" in err) == (1, True)
    code, _, err = kv(url, "put", "config", "once", "2", "--last", "0")
    assert code == 1
    assert kv(url, "put", "config", "once", "2", "--last", str(revision))[0] == 0
    assert kv(url, "put", "config", "x", "2", "--last", "1", "--create")[0] == 2


def test_what_is_not_there_is_code_3(url: str) -> None:
    for arguments in (("get", "config", "missing"), ("get", "nowhere", "a")):
        code, out, err = kv(url, *arguments)
        assert (code, out) == (3, "")
        assert arguments[2] in err or "'nowhere'" in err
    code, _, err = kv(url, "get", "config", "bad key")
    assert (code, "'bad key'" in err) == (2, True)


def test_watching_shows_what_is_there_and_then_changes(url: str) -> None:
    kv(url, "put", "config", "w.a", "\x1b[31mred")
    with Command("kv", "watch", "config", "w.>", "-n", "3", env={"NATS_URL": url}) as command:
        assert "PUT  w.a" in command.wait_for("w.a")
        assert command.lines[-1].endswith("\\x1b[31mred")  # nothing that acts on a terminal
        command.wait_for("watching config")
        kv(url, "put", "config", "w.b", "1")
        kv(url, "put", "config", "other", "1")
        kv(url, "put", "config", "w.c", "2")
        assert command.wait() == 0
    assert [line.split()[2] for line in command.lines if "PUT" in line] == ["w.a", "w.b", "w.c"]


def test_watching_once_ends_with_what_is_there(url: str) -> None:
    for value in ("1", "2"):
        kv(url, "put", "config", "h", value)
    code, out, _ = kv(url, "watch", "config", "h", "--history", "--once", "--json")
    assert code == 0
    assert [json.loads(line)["value"] for line in out.splitlines()] == ["1", "2"]
    assert kv(url, "watch", "config", "--once", "--updates-only")[0] == 2


def test_a_server_that_goes_away_ends_the_watch(tmp_path: Path) -> None:
    with NatsServer(jetstream=True) as server:

        async def prepare() -> None:
            async with natsrpc.core.connect(server.url) as connection:
                await JetStream(connection).create_key_value(KeyValueConfig(bucket="b"))

        asyncio.run(prepare())
        with Command("kv", "watch", "b", env={"NATS_URL": server.url}) as command:
            command.wait_for("watching b")
            server.kill()
            assert command.wait() == 1
            assert "error: " in command.output
