"""Every snippet of the README and the guide is run, and prints what is said that it prints."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from natsrpc.testing import NatsServer

from .cli.processes import ROOT, Command, environment

pytestmark = pytest.mark.live

README = (ROOT / "README.md").read_text(encoding="utf-8")
GUIDE = (ROOT / "docs" / "guide.md").read_text(encoding="utf-8")
URL = "nats://127.0.0.1:4222"


@dataclass(frozen=True)
class Block:
    """One fenced block and where it begins."""

    kind: str
    text: str
    line: int


def blocks(page: str) -> Iterator[Block]:
    for found in re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL):
        yield Block(found[1], found[2], page.count("\n", 0, found.start()) + 1)


BLOCKS = [*blocks(README), *blocks(GUIDE)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files that a page names in the first line of a block."""
    folder = tmp_path_factory.mktemp("readme")
    for block in BLOCKS:
        name = re.match(r"# (\w+\.py)\n", block.text)
        if name is not None:
            (folder / name[1]).write_text(block.text, encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def pool(folder: Path, nats_server: NatsServer) -> Iterator[Command]:
    """What the README runs: the calculator, in three processes."""
    assert "natsrpc run calc.py --workers 3 " in README
    arguments = ("run", "calc.py", "--workers", "3", "--server", nats_server.url)
    with Command(*arguments, cwd=folder) as command:
        command.wait_for("is served by 3 workers")
        yield command


def matches(expected: str, got: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, got, flags)


@pytest.mark.parametrize("index", [i for i, b in enumerate(BLOCKS) if b.kind == "python"])
def test_python_block_runs(
    index: int, folder: Path, pool: Command, nats_server: NatsServer
) -> None:
    script = BLOCKS[index].text.replace(URL, nats_server.url)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-"],
        cwd=folder,
        env=environment(PYTHONPATH=f"{ROOT}:{folder}"),
        input=script,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    after = BLOCKS[index + 1] if index + 1 < len(BLOCKS) else None
    expected = after.text if after is not None and after.kind == "text" else ""
    assert matches(expected, done.stdout), done.stdout


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "console"])
def test_console_block_prints_what_it_says(
    block: Block, folder: Path, pool: Command, nats_server: NatsServer
) -> None:
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        program, *arguments = shlex.split(command)
        assert program == "natsrpc"
        done = subprocess.run(
            [sys.executable, "-m", "natsrpc.cli.main", *arguments],
            cwd=folder,
            env=environment(PYTHONPATH=str(ROOT), NATS_URL=nats_server.url, COLUMNS="200"),
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert matches(expected, done.stdout + done.stderr), done.stdout + done.stderr


def test_shell_blocks_name_targets_that_exist() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = [
        target
        for b in BLOCKS
        if b.kind == "sh"
        for target in re.findall(r"^make (\w+)", b.text, re.M)
    ]
    assert targets == ["demo", "test"]
    for target in targets:
        assert f"\n{target}:" in makefile


def test_code_that_runs_stands_in_the_first_lines() -> None:
    assert "asyncio.run(main())" in "".join(README.splitlines(keepends=True)[:30])


@pytest.mark.parametrize("link", re.findall(r"\]\(([^)#:]+)\)", README))
def test_links_lead_somewhere(link: str) -> None:
    assert (ROOT / link).exists()
