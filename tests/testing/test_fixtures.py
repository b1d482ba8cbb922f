"""natsrpc.testing.fixtures: a missing server is never passed over in silence."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TEST = """
pytest_plugins = ["natsrpc.testing.fixtures"]

def test_one(nats_server):
    assert nats_server.is_running
"""


def run(folder: Path, **variables: str) -> str:
    (folder / "test_one.py").write_text(TEST)
    kept = {key: value for key, value in os.environ.items() if key != "CI"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-ra", "-p", "no:cacheprovider", "test_one.py"],
        cwd=folder,
        env=kept | {"PYTHONPATH": str(Path(__file__).parents[2])} | variables,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout


@pytest.mark.live
def test_server_is_given(tmp_path: Path) -> None:
    assert "1 passed" in run(tmp_path)


def test_missing_server_skips_with_the_reason(tmp_path: Path) -> None:
    out = run(tmp_path, NATS_SERVER_BIN="/nowhere")
    assert "1 skipped" in out
    assert "NATS_SERVER_BIN is '/nowhere'" in out


def test_missing_server_fails_in_ci(tmp_path: Path) -> None:
    out = run(tmp_path, NATS_SERVER_BIN="/nowhere", CI="true")
    assert "1 error" in out
    assert "NATS_SERVER_BIN is '/nowhere'" in out
