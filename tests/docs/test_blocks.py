"""Every program that the pages print is run, and prints what is said that it prints."""

from __future__ import annotations

import doctest
import functools
import json
import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from natsrpc.server import find_server
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


Ended = tuple[int, str, str]
"""A program's exit code, what it printed and what it wrote to stderr."""


@pytest.fixture(scope="module")
def run(folder: Path) -> Iterator[Callable[[str], Ended]]:
    """Runs a program as `python -` does; where processes can fork, all from one."""
    command = [sys.executable, "-W", "error"]
    variables = environment(PYTHONPATH=f"{ROOT}:{folder}")

    def afresh(program: str) -> Ended:
        done = subprocess.run(
            [*command, "-"],
            cwd=folder,
            env=variables,
            input=program,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        return done.returncode, done.stdout, done.stderr

    if not hasattr(os, "fork"):
        yield afresh
        return
    with subprocess.Popen(
        [*command, "-m", "tests.docs.forking"],
        cwd=folder,
        env=variables,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:

        def forked(program: str) -> Ended:
            assert process.stdin and process.stdout
            print(json.dumps(program), file=process.stdin, flush=True)
            code, printed, error = json.loads(process.stdout.readline())
            return code, printed, error

        yield forked


@pytest.fixture(scope="module")
def pool(folder: Path, nats_server: NatsServer) -> Iterator[Command]:
    """What the README runs: the calculator, in three processes."""
    assert "natsrpc run calc.py --workers 3 " in README
    arguments = ("run", "calc.py", "--workers", "3", "--server", nats_server.url)
    with Command(*arguments, cwd=folder) as command:
        command.wait_for("is served by 3 workers")
        yield command


@functools.cache
def version() -> tuple[int, ...]:
    """The version of the nats-server that the tests use."""
    told = subprocess.run(
        [find_server(), "--version"], capture_output=True, text=True, timeout=30, check=True
    ).stdout
    found = re.search(r"v(\d+)\.(\d+)", told)
    assert found, told
    return int(found[1]), int(found[2])


def leave_out_on_old_servers(block: Block) -> None:
    """Skip a program that says itself which nats-server it needs, where there is an older one."""
    needed = re.search(r"^# needs nats-server (\d+)\.(\d+)", block.text, re.MULTILINE)
    if needed and version() < (int(needed[1]), int(needed[2])):
        pytest.skip(f"needs nats-server {needed[1]}.{needed[2]}")


def matches(expected: str, got: str) -> bool:
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    return doctest.OutputChecker().check_output(expected, got, flags)


@pytest.mark.parametrize("block", PROGRAMS, ids=str)
def test_program_runs(
    block: Block, run: Callable[[str], Ended], pool: Command, nats_server: NatsServer
) -> None:
    leave_out_on_old_servers(block)
    code, printed, error = run(block.text.replace(URL, nats_server.url))
    assert (code, error) == (0, "")
    following = [*BLOCKS[BLOCKS.index(block) + 1 :], None][0]
    says = following is not None and following.kind == "text" and following.page == block.page
    expected = following.text if following is not None and says else ""
    assert matches(expected, printed), printed


@pytest.mark.once
def test_tests_on_the_pages_pass(folder: Path) -> None:
    files = [str(folder / b.file) for b in PROGRAMS if b.file.startswith("test_")]
    assert len(files) > 1
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:asyncio", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "-c", os.devnull, "--rootdir", str(folder), *files],
        cwd=folder,
        env=environment(PYTHONPATH=str(ROOT)),
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout


@pytest.fixture(scope="module")
def pizzeria(folder: Path, nats_server: NatsServer) -> Iterator[Command]:
    """What the tutorial runs; one process of each is enough here."""
    page = (ROOT / "docs/tutorial/running.md").read_text(encoding="utf-8")
    command = "run menu.py kitchen.py counter.py couriers.py"
    assert f"natsrpc {command} --workers 2" in page
    with Command(*command.split(), "--server", nats_server.url, cwd=folder) as pizzeria:
        for service in ("menu", "kitchen", "counter", "couriers"):
            pizzeria.wait_for(f"{service}.py is served by 1 worker")
        yield pizzeria


CONSOLE = """
import os, sys
os.environ |= {{"NATS_URL": {url!r}, "COLUMNS": "200"}}
sys.argv = ["natsrpc", *{arguments!r}]
from natsrpc.cli.main import main
main()
"""


@pytest.mark.parametrize("block", [b for b in BLOCKS if b.kind == "console"], ids=str)
@pytest.mark.once
def test_console_block_prints_what_it_says(
    block: Block,
    run: Callable[[str], Ended],
    pool: Command,
    request: pytest.FixtureRequest,
    nats_server: NatsServer,
) -> None:
    if block.page.parent.name == "tutorial":
        request.getfixturevalue("pizzeria")
    for command, expected in re.findall(r"^\$ (.*)\n((?:(?!\$ ).*\n)*)", block.text, re.MULTILINE):
        program, *arguments = shlex.split(command)
        assert program == "natsrpc"
        _, printed, error = run(CONSOLE.format(url=nats_server.url, arguments=arguments))
        assert matches(expected, printed + error), printed + error


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


def test_two_commands_and_code_that_runs_stand_in_the_first_lines() -> None:
    lines = README.splitlines()
    assert [line.split("#")[0].rstrip() for line in lines[5:7]] == ["make demo", "make test"]
    assert "asyncio.run(main())" in lines[:30]


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
