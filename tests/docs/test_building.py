"""scripts/docs and scripts/drawings: what they make of a page, and what they refuse."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from .blocks import ROOT

pytestmark = pytest.mark.once


def load(script: str) -> Any:
    loader = importlib.machinery.SourceFileLoader(script, str(ROOT / "scripts" / script))
    spec = importlib.util.spec_from_loader(script, loader)
    assert spec is not None
    module = importlib.util.module_from_spec(spec)
    loader.exec_module(module)
    return module


@pytest.fixture
def docs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The script, with a folder of its own to build in."""
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    module = load("docs")
    monkeypatch.setattr(module, "PAGES", tmp_path / "pages")
    monkeypatch.setattr(module, "SITE", tmp_path / "site")
    return module


def prose(docs: Any, text: str, page: str = "docs/how-to/errors.md") -> str:
    target = docs.PAGES / Path(page).relative_to("docs")
    found: str = docs.prose_of(text, ROOT / page, target, "https://there")
    return found


@pytest.mark.parametrize(
    ("link", "becomes"),
    [
        ("](../guide.md#errors)", "](../guide.md#errors)"),
        ("](../../SECURITY.md)", "](../security.md)"),
        ("](../../README.md#connect)", "](../readme.md#connect)"),
        ("](../../tests/test_mirror.py)", "](https://there/blob/main/tests/test_mirror.py)"),
        ("](../../examples)", "](https://there/tree/main/examples)"),
        ("](https://nats.io)", "](https://nats.io)"),
        ("](#errors)", "](#errors)"),
    ],
)
def test_links_lead_to_pages_and_else_to_the_repository(docs: Any, link: str, becomes: str) -> None:
    assert prose(docs, f"[x{link}") == f"[x{becomes}"


def test_a_link_to_nothing_is_refused(docs: Any) -> None:
    with pytest.raises(SystemExit, match=r"docs/how-to/errors.md: nothing is at \.\./nowhere.md"):
        prose(docs, "[x](../nowhere.md)")


def test_a_drawing_becomes_part_of_its_page(docs: Any) -> None:
    page = prose(docs, "![A drain](../drawings/drain.svg)\n", "docs/concepts/drain.md")
    assert page.startswith('<figure class="drawing"><svg ')
    assert "<title>" in page
    assert "<style>" not in page


def test_a_page_outside_of_the_navigation_is_refused(docs: Any) -> None:
    docs.write(docs.PAGES / "lost.md", "# Lost")
    wrong = docs.wrong_in_nav()
    assert "lost.md: not in the navigation of docs/zensical.toml" in wrong
    assert "index.md: in the navigation, and not there" in wrong


@pytest.mark.parametrize(
    ("body", "wrong"),
    [
        ('<p id="here"><a href="#here">x</a>', None),
        ('<a href="b.html#there">x</a>', None),
        ('<a href="https://nats.io">x</a>', None),
        ('<a href="c.html">x</a>', "a.html: nothing is at c.html"),
        ('<a href="b.html#nowhere">x</a>', "a.html: no place in b.html is called nowhere"),
        ('<img src="x.png">', "a.html: nothing is at x.png"),
        ('<script src="https://cdn/x.js"></script>', "a.html: loads https://cdn/x.js"),
        ('<link rel="stylesheet" href="//cdn/x.css">', "a.html: loads //cdn/x.css"),
    ],
)
def test_what_leads_nowhere_or_elsewhere_is_refused(
    docs: Any, body: str, wrong: str | None
) -> None:
    docs.write(docs.SITE / "a.html", body)
    docs.write(docs.SITE / "b.html", '<p id="there">')
    assert list(docs.wrong_in_site()) == ([wrong] if wrong else [])


def test_the_public_modules_are_read_from_the_page_on_compatibility(docs: Any) -> None:
    modules = docs.public_modules()
    assert modules[0] == "natsrpc"
    assert {"natsrpc.core", "natsrpc.testing.fixtures", "natsrpc.observe.otel"} <= set(modules)


def test_the_drawings_are_those_of_the_script(tmp_path: Path) -> None:
    subprocess.run(
        [sys.executable, ROOT / "scripts" / "drawings", tmp_path], check=True, timeout=60
    )
    there = ROOT / "docs" / "drawings"
    drawn = {file.name: file.read_text(encoding="utf-8") for file in tmp_path.iterdir()}
    assert drawn == {file.name: file.read_text(encoding="utf-8") for file in there.iterdir()}


def test_each_class_of_a_drawing_has_its_style() -> None:
    style = (ROOT / "docs" / "assets" / "natsrpc.css").read_text(encoding="utf-8")
    for file in (ROOT / "docs" / "drawings").iterdir():
        text = file.read_text(encoding="utf-8")
        used = {name for found in re.findall(r'class="([^"]+)"', text) for name in found.split()}
        own = text.partition("</style>")[0]
        assert [n for n in used if f".{n}" not in style] == []
        assert [n for n in used if f".{n}" not in own] == []
