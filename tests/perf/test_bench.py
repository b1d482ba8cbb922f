"""The benchmarks run, end to end; what they measure is not judged here."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.page import observing

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.live, pytest.mark.slow]


def bench(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "benchmarks", "--rounds", "1", "--seconds", "0.05", *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def test_typed_calls_are_compared_with_nats_py(tmp_path: Path) -> None:
    done = bench("--scenario", "typed-64", "--json", str(tmp_path / "found.json"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("| **natsrpc** |") == 1
    found = json.loads((tmp_path / "found.json").read_text())
    for scenario in found["scenarios"]:
        for peer in ("natsrpc", "nats-py"):
            medians = scenario["peers"][peer]["medians"]
            assert medians["cpu_us"] == pytest.approx(medians["caller_us"] + medians["service_us"])
            assert medians["rate"] > 0


def test_a_peer_that_is_not_there_is_named() -> None:
    done = bench("--scenario", "publish", "--peer", "natsrpc", "--peer", "nats.go")
    assert done.returncode == 0, done.stderr
    assert "| **natsrpc** |" in done.stdout
    assert "nats.go" in done.stdout


def test_a_scenario_that_is_not_known_is_refused_by_name() -> None:
    done = bench("--scenario", "raw-65")
    assert done.returncode != 0
    assert "raw-65" in done.stderr
    assert "raw-64" in done.stderr


def test_what_observing_costs_is_measured(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    options = ("--rounds", "1", "--seconds", "0.02", "--json", str(found))
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.observing", *options],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode in (0, 1), done.stderr  # one window judges nothing
    rows = json.loads(found.read_text())["observing"]
    assert {row["kind"]: row["limit"] for row in rows if row["limit"]} == {
        "prometheus": 5,
        "pool": 10,
        "off": 30,
        "on": 60,
    }
    assert all(cell["cpu_us"] > 0 for row in rows for cell in row["in_flight"].values())


@pytest.mark.once
def test_the_page_has_the_rows_that_were_measured() -> None:
    results = ROOT / "benchmarks" / "results"
    runs = [json.loads((results / f"observing-{v}.json").read_text()) for v in ("3.13", "3.11")]
    page = (ROOT / "docs" / "performance.md").read_text(encoding="utf-8")
    assert "\n".join(observing(runs)) in page
