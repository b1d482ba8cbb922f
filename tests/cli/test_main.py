"""The command itself: without its extra, and what it says when something is wrong."""

from __future__ import annotations

import subprocess
import sys

import pytest

import natsrpc
from natsrpc.testing import NatsServer

from .processes import ROOT, environment, run_command


@pytest.mark.parametrize("package", ["typer", "rich"])
def test_missing_extra_is_named_in_one_line(package: str) -> None:
    script = (
        f"import sys; sys.modules[{package!r}] = None; sys.argv = ['natsrpc', 'ls']\n"
        "from natsrpc.cli.main import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=ROOT,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "pip install 'natsrpc[cli]'" in done.stderr


def test_help_lists_the_commands() -> None:
    code, out, _ = run_command("--help")
    assert code == 0
    for name in (
        "run",
        "call",
        "ls",
        "info",
        "stats",
        "ping",
        "contract",
        "stub",
        "streams",
        "kv",
        "server",
        "demo",
    ):
        assert f" {name} " in out


@pytest.mark.parametrize(
    "arguments", [("ls",), ("info", "x"), ("stats",), ("ping",), ("call", "x", "{}")]
)
def test_unreachable_server_is_one_line(arguments: tuple[str, ...]) -> None:
    code, _, err = run_command(*arguments, "--server", "nats://127.0.0.1:1")
    assert code == 1
    assert err.startswith("error: ")
    assert "127.0.0.1:1" in err
    assert "`natsrpc server` starts one, --server or NATS_URL names another" in err
    assert err.count("\n") == 1


def test_version_is_printed() -> None:
    code, out, err = run_command("--version")
    assert (code, out, err) == (0, f"natsrpc {natsrpc.__version__}\n", "")


@pytest.mark.parametrize(
    "arguments",
    [
        ("info", "x"),
        ("info", "x", "--schema"),
        ("stats", "x"),
        ("ping", "x"),
        ("stub", "x"),
        ("contract", "export", "x"),
    ],
)
def test_unknown_service_is_one_line(arguments: tuple[str, ...], nats_server: NatsServer) -> None:
    code, _, err = run_command(*arguments, "-t", "500ms", "--server", nats_server.url)
    assert (code, err) == (3, "error: no service 'x' answered\n")


def test_missing_context_is_one_line() -> None:
    code, _, err = run_command("ls", "--context", "nowhere")
    assert code == 2
    assert err.startswith("error: context 'nowhere' does not exist")


def test_missing_nats_server_names_the_three_ways() -> None:
    for arguments in (("server",), ("demo",)):
        code, _, err = run_command(*arguments, NATS_SERVER_BIN="/nowhere")
        assert code == 1
        assert err.startswith("error: NATS_SERVER_BIN is '/nowhere'")
        assert err.count("\n") == 1
