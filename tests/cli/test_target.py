"""natsrpc.cli.target: services by the name of a module or file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from natsrpc.cli.target import ModuleFailedError, load_module, load_services
from natsrpc.errors import ConfigError

MODULE = """
import natsrpc
service = natsrpc.Service("one", version="1.0.0")
both = [service, natsrpc.Service("two", version="1.0.0")]
number = 3
mixed = [service, 3]
none = []
"""


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "target_module.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    yield tmp_path
    sys.modules.pop("target_module", None)


@pytest.mark.parametrize("where", ["target_module", "target_module.py"])
def test_module_and_file_are_found_in_the_current_folder(folder: Path, where: str) -> None:
    assert [service.name for service in load_services(where)] == ["one"]
    assert [service.name for service in load_services(f"{where}:service")] == ["one"]
    assert [service.name for service in load_services(f"{where}:both")] == ["one", "two"]


def test_file_is_found_by_its_path(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    assert load_services(f"{folder}/target_module.py:both")[1].name == "two"


@pytest.mark.parametrize(
    ("target", "text"),
    [
        ("nowhere_module", "no module 'nowhere_module'"),
        ("nowhere_module.inner:service", "no module 'nowhere_module.inner'"),
        ("nowhere.py", "no file 'nowhere.py'"),
        ("target_module:missing", "no attribute 'missing'; name one: `target_module:service`"),
        ("target_module:number", "is of type int, expected a Service"),
        ("target_module:mixed", "expected a Service"),
        ("target_module:none", "expected a Service"),
    ],
)
def test_what_is_no_service_is_refused_in_words(folder: Path, target: str, text: str) -> None:
    with pytest.raises(ConfigError, match=text):
        load_services(target)


def test_module_missing_inside_the_module_is_not_hidden(folder: Path) -> None:
    (folder / "broken_module.py").write_text("import not_there_at_all\n")
    with pytest.raises(ModuleFailedError) as caught:
        load_module("broken_module")
    assert "No module named 'not_there_at_all'" in caught.value.frames
