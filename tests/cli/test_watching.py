"""natsrpc.cli.watching: which files a reload looks at."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from natsrpc.cli.watching import Watch, folder_of


def touch(path: Path, at: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    os.utime(path, (at, at))


async def change(watch: Watch) -> str:
    async with asyncio.timeout(30):
        async for path in watch.changes():
            return path
    raise AssertionError


@pytest.mark.parametrize("name", ["svc.py", "deep/er/mod.py"])
async def test_a_changed_and_a_new_file_are_told(tmp_path: Path, name: str) -> None:
    touch(tmp_path / "svc.py", 1)
    touch(tmp_path / "deep/er/mod.py", 1)
    watch = Watch([tmp_path])
    touch(tmp_path / name, 2)
    assert await change(watch) == str(tmp_path / name)
    touch(tmp_path / "deep/new.py", 2)
    assert await change(watch) == str(tmp_path / "deep/new.py")


async def test_folders_of_others_are_not_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path / "svc.py", 1)
    skipped = [".venv/x.py", "__pycache__/x.py", "node_modules/x.py", "lib/site-packages/x.py"]
    for name in [*skipped, "env/lib/x.py", "env/pyvenv.cfg", ".hidden.py", "notes.txt"]:
        touch(tmp_path / name, 1)
    entered: list[str] = []
    scandir = os.scandir

    def noting(folder: str) -> object:
        entered.append(os.path.relpath(folder, tmp_path))
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", noting)
    watch = Watch([tmp_path])
    assert sorted(entered) == [".", "env", "lib"]
    for name in [*skipped, "env/lib/x.py", ".hidden.py", "notes.txt"]:
        touch(tmp_path / name, 2)
    touch(tmp_path / "svc.py", 2)
    assert await change(watch) == str(tmp_path / "svc.py")


async def test_a_folder_that_goes_is_told_by_its_files(tmp_path: Path) -> None:
    touch(tmp_path / "a/x.py", 1)
    touch(tmp_path / "b/x.py", 1)
    watch = Watch([tmp_path / "a", tmp_path / "b"])
    (tmp_path / "a/x.py").unlink()
    (tmp_path / "a").rmdir()
    assert await change(watch) == str(tmp_path / "a/x.py")
    touch(tmp_path / "b/x.py", 2)
    assert await change(watch) == str(tmp_path / "b/x.py")


def test_the_folder_of_a_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert folder_of("app/svc.py:service") == tmp_path / "app"
    assert folder_of("app/svc.py") == tmp_path / "app"
    assert folder_of("app.svc:service") == tmp_path
