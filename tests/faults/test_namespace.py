"""The network itself goes down and comes back, where this machine lets a test have one."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from .forks import ROOT

UNSHARE = ["unshare", "--map-root-user", "--net"]


def has_namespaces() -> bool:
    if not (shutil.which("unshare") and shutil.which("ip")):
        return False
    return subprocess.run([*UNSHARE, "true"], capture_output=True, check=False).returncode == 0


@pytest.mark.live
@pytest.mark.faults
@pytest.mark.skipif(not has_namespaces(), reason="no network namespaces for this user")
def test_a_network_that_goes_down_without_a_word_is_accounted_for(tmp_path: Path) -> None:
    rows = ["call", "stream", "upload", "publish", "subscription"]
    done = subprocess.run(
        [*UNSHARE, sys.executable, "-m", "tests.faults.namespace", str(tmp_path / "rows"), *rows],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
