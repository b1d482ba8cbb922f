"""Where the nats-server executable is looked for."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path

import pytest

from natsrpc.errors import ServerNotFoundError
from natsrpc.server import find_server


def test_find_server_prefers_the_named_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "my-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    monkeypatch.setenv("NATS_SERVER_BIN", str(program))
    assert find_server() == program


def test_named_file_that_is_not_there_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_SERVER_BIN", "/nowhere/nats-server")
    with pytest.raises(ServerNotFoundError, match="NATS_SERVER_BIN is '/nowhere/nats-server'"):
        find_server()


def test_missing_server_names_the_three_ways_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    def none(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.delenv("NATS_SERVER_BIN", raising=False)
    monkeypatch.setenv("PATH", "")
    monkeypatch.setattr(metadata, "files", none)
    with pytest.raises(ServerNotFoundError) as caught:
        find_server()
    text = str(caught.value)
    assert "natsrpc[server]" in text
    assert "PATH" in text
    assert "NATS_SERVER_BIN" in text
    assert "\n" not in text


def test_path_is_the_last_resort(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    program = tmp_path / "nats-server"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)

    def none(name: str) -> None:
        raise metadata.PackageNotFoundError(name)

    monkeypatch.delenv("NATS_SERVER_BIN", raising=False)
    monkeypatch.setattr(metadata, "files", none)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_server() == program
