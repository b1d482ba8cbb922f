"""The examples in deploy/: their commands are ours, their times fit together, and those who read
them take them: by Kubernetes' and compose's own schemas, and by systemd."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from natsrpc.cli.config import KEYS

DEPLOY = Path(__file__).parents[2] / "deploy"
FILES = {"shop.service", "kubernetes.yaml", "compose.yaml"}
GRACE = {
    "shop.service": r"TimeoutStopSec=(\d+)",
    "kubernetes.yaml": r"terminationGracePeriodSeconds: (\d+)",
    "compose.yaml": r"stop_grace_period: (\d+)s",
}


def command_of(name: str) -> list[str]:
    """The arguments of `natsrpc run` in an example."""
    text = (DEPLOY / name).read_text(encoding="utf-8")
    if name.endswith(".service"):
        found = re.search(r"^ExecStart=\S+/natsrpc run (.*)$", text, re.M)
        assert found is not None
        return shlex.split(found[1])
    found = re.search(r"\[natsrpc, run, (.*?)\]", text, re.S)
    assert found is not None
    return [part.strip().strip('"') for part in found[1].split(",")]


def test_every_example_is_here() -> None:
    assert {path.name for path in DEPLOY.iterdir()} >= FILES


@pytest.mark.parametrize("name", sorted(FILES))
def test_flags_are_those_of_the_command(name: str) -> None:
    flags = [part for part in command_of(name) if part.startswith("--")]
    assert flags
    assert [flag for flag in flags if flag.removeprefix("--") not in KEYS] == []


@pytest.mark.parametrize("name", sorted(FILES))
def test_the_grace_is_longer_than_the_drain_and_what_follows_it(name: str) -> None:
    arguments = command_of(name)
    drain = int(arguments[arguments.index("--drain-timeout") + 1].removesuffix("s"))
    found = re.search(GRACE[name], (DEPLOY / name).read_text(encoding="utf-8"))
    assert found is not None
    assert int(found[1]) > drain + 5


@pytest.mark.parametrize("name", sorted(FILES - {"shop.service"}))
def test_probes_ask_pages_that_are_there(name: str) -> None:
    text = (DEPLOY / name).read_text(encoding="utf-8")
    asked = set(re.findall(r"/(?:livez|readyz|metrics|info|health\w*)\b", text)) - {"/healthz"}
    assert "/readyz" in asked
    assert asked <= {"/livez", "/readyz", "/metrics", "/info"}


@pytest.mark.once
@pytest.mark.parametrize(
    ("package", "arguments"),
    [
        ("kubernetes_validate", ["--strict", "kubernetes.yaml"]),
        ("check_jsonschema", ["--builtin-schema", "vendor.compose-spec", "compose.yaml"]),
    ],
)
def test_it_is_valid_by_its_schema(package: str, arguments: list[str]) -> None:
    pytest.importorskip(package, reason=f"{package} comes with the extra dev")
    program = "import runpy, sys; runpy.run_module(sys.argv.pop(1), run_name='__main__')"
    command = [sys.executable, "-c", program, package, *arguments]
    done = subprocess.run(
        command, cwd=DEPLOY, capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not here")
def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    text = (DEPLOY / "shop.service").read_text(encoding="utf-8")
    unit = tmp_path / "shop.service"
    unit.write_text(re.sub(r"ExecStart=\S+", "ExecStart=/bin/true", text))
    command = ["systemd-analyze", "verify", str(unit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    told = [line for line in done.stderr.splitlines() if "shop.service" in line]
    assert (done.returncode, told) == (0, [])
