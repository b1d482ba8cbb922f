"""`natsrpc new`: what it makes is formatted, typed, tested and runs; nothing is overwritten."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from typer.testing import CliRunner

from natsrpc.cli.app import app
from natsrpc.cli.new import files, requirement
from natsrpc.testing import NatsServer
from natsrpc.version import __version__

from .processes import ROOT, Command, environment, run_command

NAMES = ["shop", "a", "x" * 40]
"""An ordinary one, the shortest and the longest: lines must be formatted with each."""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("new")


@pytest.fixture(scope="module")
def project(folder: Path) -> Path:
    """The project `shop`, made once and left as it is by the tests."""
    code, out, err = run_command("new", "shop", cwd=folder)
    assert (code, err) == (0, "")
    assert "natsrpc run" in out
    return folder / "shop"


def invoked(name: str) -> tuple[int, str, str]:
    """Run the command in the current folder: exit code, stdout, stderr."""
    result = CliRunner().invoke(app, ["new", "--", name])
    return result.exit_code, result.stdout, result.stderr


def ran(folder: Path, *arguments: str) -> str:
    """Run a module of Python in a project, as its README says to."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT), MYPY_CACHE_DIR=str(ROOT / ".mypy_cache" / "new")),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.live
def test_the_tests_of_a_project_pass(project: Path) -> None:
    assert re.search(r"^5 passed in", ran(project, "pytest", "-q", "-p", "no:cacheprovider"), re.M)


@pytest.mark.parametrize("name", NAMES)
def test_a_project_is_formatted_and_typed(name: str, tmp_path: Path) -> None:
    pytest.importorskip("mypy", reason="mypy and ruff are in the extra dev")
    for path, text in files(name):
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text, encoding="utf-8")
    ran(tmp_path, "ruff", "format", "--check", ".")
    ran(tmp_path, "ruff", "check", ".")
    if name == "shop":
        ran(tmp_path, "mypy", name, "tests")


@pytest.mark.live
def test_a_project_runs_with_two_workers_and_is_called(
    project: Path, fresh_server: NatsServer, tmp_path: Path
) -> None:
    settings = {"NATS_URL": fresh_server.url, "SHOP_DATABASE": str(tmp_path / "kept.sqlite3")}
    with Command("run", cwd=project, env=settings) as pool:
        pool.wait_for("served by 2 workers")
        call = ("call", "-s", fresh_server.url)
        for number in (1, 2):
            code, out, _ = run_command(*call, "shop.add", json.dumps({"text": f"note {number}"}))
            assert (code, json.loads(out)) == (0, {"id": number, "text": f"note {number}"})
        assert run_command(*call, "--stream", "shop.all")[1].count("note") == 2
        code, _, err = run_command(*call, "shop.get", "7")
        assert (code, err) == (4, 'error: 404 NoSuchNote: there is no note 7 {"id": 7}\n')
        pool.signal(signal.SIGTERM)
        assert pool.wait() == 0
    assert sum("was added" in line for line in pool.lines) == 2


@pytest.mark.live
def test_a_setting_that_does_not_fit_is_named_before_anything_serves(
    project: Path, nats_server: NatsServer
) -> None:
    settings = {"NATS_URL": nats_server.url, "SHOP_PAGE_SIZE": "none"}
    with Command("run", "--workers", "1", cwd=project, env=settings) as pool:
        assert pool.wait() == 1
    assert "page_size" in pool.output


def test_the_settings_of_the_project_are_those_of_the_command(project: Path) -> None:
    told = tomllib.loads((project / "pyproject.toml").read_text(encoding="utf-8"))
    assert told["tool"]["natsrpc"]["run"] == {"targets": ["shop.service:service"], "workers": 2}
    text = (project / "Dockerfile").read_text(encoding="utf-8")
    command = json.loads(text.rpartition("CMD ")[2])
    assert command[:2] == ["natsrpc", "run"]
    drain = int(command[command.index("--drain-timeout") + 1].removesuffix("s"))
    grace = re.search(r"stop_grace_period: (\d+)s", (project / "compose.yaml").read_text("utf-8"))
    assert grace is not None
    assert int(grace[1]) > drain + 5


def test_the_commands_of_its_readme_are_there() -> None:
    told = re.findall(r"^natsrpc (\w+)", dict(files("shop"))["README.md"], re.M)
    assert {"run", "call", "info", "gateway"} <= set(told)
    assert sorted(set(told) - {each.name for each in app.registered_commands}) == []


@pytest.mark.parametrize("name", NAMES)
def test_every_mark_of_a_template_is_filled(name: str) -> None:
    found = dict(files(name))
    assert {"pyproject.toml", f"{name}/service.py", ".gitignore", "Dockerfile"} <= found.keys()
    for path, text in found.items():
        assert "NAME" not in path
        assert "{{" not in text.replace("${{", "")
        assert not text or text.endswith("\n")


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "is no name of a package"),
        ("my-shop", "'my_shop' would do"),
        ("My Shop", "'my_shop' would do"),
        ("9lives", "a letter first"),
        ("shop_", "'shop' would do"),
        ("shöp", "'sh_p' would do"),
        ("x" * 41, "up to 40"),
        ("../shop", "'shop' would do"),
        ("a/b", "'a_b' would do"),
        ("shop\n", "'shop' would do"),
        ("\x1b[2J", "'2j'"),
        ("class", "is a word of Python"),
        ("match", "is a word of Python"),
        ("json", "standard library"),
        ("natsrpc", "is taken"),
        ("tests", "is taken"),
        ("pydantic", "is taken"),
        ("nul", "is taken"),
    ],
)
def test_a_bad_name_is_one_sentence(
    name: str, why: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = invoked(name)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert "\x1b" not in err
    assert why in err or why == "'2j'"
    assert list(tmp_path.iterdir()) == []


def kinds(folder: Path) -> Iterator[Path]:
    """Everything that a name may already stand for."""
    (folder / "file").write_text("mine")
    (folder / "empty").mkdir()
    (folder / "full").mkdir()
    (folder / "full" / "pyproject.toml").write_text("mine")
    (folder / "link").symlink_to(folder / "nowhere")
    yield from folder.iterdir()


def test_what_exists_stays_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for path in list(kinds(tmp_path)):
        code, out, err = invoked(path.name)
        assert (code, out) == (2, "")
        assert err == f"error: {path.name!r} exists here already: nothing was written\n"
    assert (tmp_path / "file").read_text() == "mine"
    assert list((tmp_path / "empty").iterdir()) == []
    assert [each.read_text() for each in (tmp_path / "full").iterdir()] == ["mine"]
    assert (tmp_path / "link").is_symlink()
    assert not (tmp_path / "nowhere").exists()


def test_a_project_that_cannot_be_written_whole_is_not_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Path.write_text

    def full(self: Path, *arguments: str, **more: str) -> int:
        if self.name == "service.py":
            raise OSError(28, os.strerror(28))
        return written(self, *arguments, **more)

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Path, "write_text", full)
    assert invoked("shop") == (2, "", f"error: cannot write 'shop': {os.strerror(28)}\n")
    assert list(tmp_path.iterdir()) == []


class Installed(metadata.Distribution):
    """A distribution that says where it came from."""

    def __init__(self, told: str | None) -> None:
        self._told = told

    def read_text(self, filename: str) -> str | None:
        return self._told if filename == "direct_url.json" else None

    def locate_file(self, path: object) -> Path:
        raise NotImplementedError


@pytest.mark.parametrize(
    ("told", "expected"),
    [
        (None, f"natsrpc[cli,web]>={__version__}"),
        (
            '{"url": "file:///x", "dir_info": {"editable": true}}',
            f"natsrpc[cli,web]>={__version__}",
        ),
        ("no JSON", f"natsrpc[cli,web]>={__version__}"),
        (
            '{"url": "https://x.example/n.git", "vcs_info": {"vcs": "git", "commit_id": "abc"}}',
            "natsrpc[cli,web] @ git+https://x.example/n.git@abc",
        ),
    ],
)
def test_a_project_requires_the_natsrpc_that_made_it(
    told: str | None, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(told))
    assert requirement() == expected


@pytest.mark.parametrize(
    ("told", "place"),
    [
        ('{"url": "file:///a%20b/n", "dir_info": {"editable": true}}', "'/a b/n[cli,web,server]'"),
        ('{"url": "file:///n.whl", "archive_info": {}}', "'/n.whl[cli,web,server]'"),
        ('{"url": "https://x.example/n", "vcs_info": {"vcs": "git", "commit_id": "a"}}', ""),
        ("[]", ""),
        (None, ""),
    ],
)
def test_a_natsrpc_that_no_index_has_is_installed_first(
    told: str | None, place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metadata, "distribution", lambda name: Installed(told))
    monkeypatch.chdir(tmp_path)
    code, out, _ = invoked("shop")
    assert code == 0
    for text in (out, (tmp_path / "shop" / "README.md").read_text(encoding="utf-8")):
        first, _, dev = text.partition('pip install -e ".[dev]"')
        assert dev
        assert (f"pip install {place}" in first) == bool(place)
        assert first.count("pip install") == bool(place)
    for name in ("Dockerfile", ".github/workflows/ci.yml"):
        text = (tmp_path / "shop" / name).read_text(encoding="utf-8")
        assert text.startswith("# It fails as long as") == bool(place)


def test_what_is_installed_already_is_no_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("typer", "pytest_asyncio", "hatchling"):
        assert invoked(name)[0] == 2
    (tmp_path / "mine.py").write_text("")  # a module here is the user's own affair
    monkeypatch.syspath_prepend(tmp_path)
    assert invoked("mine")[0] == 0
