"""README.md where packages are shown, and its picture."""

from __future__ import annotations

import html
import re
import tomllib

import pytest

from .blocks import ROOT

pytestmark = pytest.mark.once

README = (ROOT / "README.md").read_text(encoding="utf-8")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
PICTURE = ROOT / "docs" / "assets" / "terminal.svg"


def shown() -> str:
    """What the hook of pyproject.toml makes of it for a package's page."""
    hook = PROJECT["tool"]["hatch"]["metadata"]["hooks"]["fancy-pypi-readme"]
    assert hook["fragments"] == [{"path": "README.md"}]
    text = README
    for each in hook["substitutions"]:
        text = re.sub(each["pattern"], each["replacement"], text)
    return text


def test_every_link_is_whole_where_packages_are_shown() -> None:
    prose = re.sub(r"^```.*?^```$", "", shown(), flags=re.M | re.S)
    links = re.findall(r"\]\(([^)\s]+)\)", prose)
    assert len(links) > 40
    assert [link for link in links if not link.startswith(("https://", "#"))] == []
    source = PROJECT["project"]["urls"]["Source"]
    led = re.findall(rf"\]\({source}/blob/main/([^)#]+)", prose)
    assert len(led) > 35
    assert [path for path in led if not (ROOT / path).exists()] == []


def test_the_pictures_are_those_that_the_repository_has() -> None:
    urls = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", shown())
    assert [url for url in urls if not url.startswith("https://raw.githubusercontent.com/")] == []
    paths = [url.partition("/main/")[2] for url in urls]
    assert PICTURE.relative_to(ROOT).as_posix() in paths
    assert [path for path in paths if not (ROOT / path).is_file()] == []


def test_code_is_shown_as_it_is() -> None:
    blocks = re.findall(r"^```.*?^```$", README, re.M | re.S)
    assert blocks == re.findall(r"^```.*?^```$", shown(), re.M | re.S)


def test_the_picture_shows_commands_and_loads_nothing() -> None:
    svg = PICTURE.read_text(encoding="utf-8")
    words = html.unescape("".join(re.findall(r"<text[^>]*>([^<]*)", svg))).replace("\xa0", " ")
    for said in ("natsrpc run calc.py --workers 3", "natsrpc ls", "422 DivisionByZero"):
        assert said in words
    assert re.findall(r"https?://[^\s\"')]+", svg) == ["http://www.w3.org/2000/svg"]


def test_the_install_lines_name_extras_that_are_there() -> None:
    extras = PROJECT["project"]["optional-dependencies"]
    told = re.search(r"^## Install$(.*?)^## ", README, re.M | re.S)
    assert told is not None
    named = {name for found in re.findall(r"\[([\w,]+)\]'", told[1]) for name in found.split(",")}
    assert named == {"cli", "server"}
    optional = set(re.findall(r"`(\w+)`", told[1].partition("Other extras")[2]))
    assert optional | named == extras.keys() - {"test", "dev", "docs"}
