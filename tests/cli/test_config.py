"""`[run]` of natsrpc.toml and `[tool.natsrpc.run]` of pyproject.toml."""

from __future__ import annotations

import asyncio
import signal
from pathlib import Path

import pytest

import natsrpc
from natsrpc.cli.config import KEYS, read_settings, with_connection
from natsrpc.cli.context import Flags
from natsrpc.errors import ConfigError
from natsrpc.testing import NatsServer

from .processes import Command, run_command

SERVICE = """
import natsrpc
def make() -> list[natsrpc.Service]:
    service = natsrpc.Service("shop", version="1.0.0")
    @service.handler("shop.ping", name="ping")
    async def ping() -> int:
        return 1
    return [service]
"""


def test_without_a_file_or_a_table_there_are_no_settings(tmp_path: Path) -> None:
    assert read_settings(tmp_path) == {}
    (tmp_path / "pyproject.toml").write_text('[project]\nname = "x"\n')
    assert read_settings(tmp_path) == {}


def test_either_file_is_read_and_natsrpc_toml_first(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("[tool.natsrpc.run]\nmax_requests = 3\n")
    assert read_settings(tmp_path) == {"max-requests": 3}
    (tmp_path / "natsrpc.toml").write_text('[run]\ntargets = ["a:b"]\n')
    assert read_settings(tmp_path) == {"targets": ["a:b"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "wrkers = 2",
            "[run] of natsrpc.toml has the unknown key 'wrkers': did you mean 'workers'?",
        ),
        ("colour = 2", "has the unknown key 'colour': known are targets, "),
        ("password = 'x'", "unknown key 'password'"),
        ("workers = '2'", "workers is '2', expected a number"),
        ("workers = true", "workers is True, expected a number"),
        ("reload = 1", "reload is 1, expected true or false"),
        ("targets = [1]", "targets is [1], expected a list of texts"),
        ("options = 3", "options is 3, expected a table"),
        ("workers = ", "natsrpc.toml cannot be read: "),
    ],
)
def test_what_is_wrong_in_it_is_one_sentence(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "natsrpc.toml").write_text(f"[run]\n{text}\n")
    with pytest.raises(ConfigError) as caught:
        read_settings(tmp_path)
    assert message in str(caught.value)
    code, out, err = run_command("run", "nothing", cwd=tmp_path)
    assert (code, out, err.count("\n")) == (2, "", 1)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "natsrpc.toml",
            "workers = 3",
            "natsrpc.toml has the key 'workers': did you mean it in [run]?",
        ),
        ("natsrpc.toml", "[Run]\nworkers = 3", "has the unknown key 'Run': did you mean [run]?"),
        (
            "pyproject.toml",
            "[tool.natsrpc]\nlog_level = 'debug'",
            "[tool.natsrpc] of pyproject.toml has the key 'log_level': "
            "did you mean it in [tool.natsrpc.run]?",
        ),
        ("pyproject.toml", "[tool.natsrpc.runs]", "did you mean [tool.natsrpc.run]?"),
    ],
)
def test_a_setting_outside_of_the_table_is_refused(
    tmp_path: Path, name: str, text: str, message: str
) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(ConfigError) as caught:
        read_settings(tmp_path)
    assert str(caught.value).endswith(message)


def test_a_table_that_is_none(tmp_path: Path) -> None:
    (tmp_path / "natsrpc.toml").write_text("run = 3\n")
    with pytest.raises(ConfigError, match="is no table"):
        read_settings(tmp_path)


def test_every_key_is_a_flag() -> None:
    code, out, _ = run_command("run", "--help", COLUMNS="200")
    assert code == 0
    told = out.replace("targets", "--targets").replace("--option ", "--options ")
    assert [key for key in KEYS if f"--{key}" not in told] == []


def test_flags_and_the_environment_override_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "natsrpc.toml").write_text(
        '[run]\nserver = ["nats://a:1", "nats://b:2"]\ncreds = "x.creds"\ntlsca = "ca.pem"\n'
    )
    found = with_connection(Flags(), {})
    assert (found.server, found.creds, found.ca) == ("nats://a:1,nats://b:2", "x.creds", "ca.pem")
    assert with_connection(Flags(server="nats://c:3"), {}).server == "nats://c:3"
    assert with_connection(Flags(), {"NATS_URL": "nats://d:4"}).server == ""
    assert with_connection(Flags(), {"NATS_CONTEXT": "prod"}).server == ""
    assert with_connection(Flags(user="me"), {}).creds == ""
    assert with_connection(Flags(), {"NATS_CREDS": "y.creds"}).creds == ""


@pytest.mark.live
async def test_a_pool_is_run_by_a_file_alone(tmp_path: Path, fresh_server: NatsServer) -> None:
    (tmp_path / "shop.py").write_text(SERVICE)
    (tmp_path / "pyproject.toml").write_text(
        f"""
[tool.natsrpc.run]
targets = ["shop:make"]
factory = true
workers = 3
drain-timeout = "5s"
server = "{fresh_server.url}"
log-format = "json"

[tool.natsrpc.run.options]
ping_interval = 10
name = "named by the file"
"""
    )
    with Command("run", "--workers", "2", "--log-format", "text", cwd=tmp_path) as command:
        await asyncio.to_thread(command.wait_for, "shop:make is served by 2 workers")
        async with natsrpc.connect(fresh_server.url) as client:
            assert await client.call("shop.ping", returns=int) == 1
        command.signal(signal.SIGTERM)
        assert await asyncio.to_thread(command.wait) == 0
