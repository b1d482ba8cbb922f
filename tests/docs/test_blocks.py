"""Every program that the pages print is run, and prints what is said that it prints."""

from __future__ import annotations

import doctest
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from natsrpc.testing import NatsServer
from tests.cli.processes import Command, environment

from .blocks import BLOCKS, PAGES, ROOT, Block

pytestmark = pytest.mark.live

README = (ROOT / "README.md").read_text(encoding="utf-8")
URL = "nats://127.0.0.1:4222"
PROGRAMS = [block for block in BLOCKS if block.is_program]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory, nats_server: NatsServer) -> Path:
    """The files that a page names in the first line of a block."""
    folder = tmp_path_factory.mktemp("readme")
    for block in PROGRAMS:
        text = block.text.replace(URL, nats_server.url)
        (folder / block.file).write_text(text, encoding="utf-8")
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


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_program_runs(block: Block, folder: Path, pool: Command, nats_server: NatsServer) -> None:
    script = block.text.replace(URL, nats_server.url)
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
    following = [*BLOCKS[BLOCKS.index(block) + 1 :], None][0]
    says = following is not None and following.kind == "text" and following.page == block.page
    expected = following.text if following is not None and says else ""
    assert matches(expected, done.stdout), done.stdout


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "console"], ids=str)
@pytest.mark.once
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
        if b.kind == "sh" and b.page.name == "README.md"
        for target in re.findall(r"^make (\w+)", b.text, re.M)
    ]
    assert targets == ["demo", "test"]
    for target in targets:
        assert f"\n{target}:" in makefile


def test_code_that_runs_stands_in_the_first_lines() -> None:
    assert "asyncio.run(main())" in "".join(README.splitlines(keepends=True)[:32])


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    links = set(re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8")))
    assert [link for link in sorted(links) if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_of_the_repository_that_are_named_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    folders = "natsrpc|tests|scripts|benchmarks|examples|docs"
    named = set(re.findall(rf"\b(?:{folders})/[\w./-]*\w", text))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []
