"""The documentation site, in a browser and without a network: opened as the files that it is."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from typing import Literal

import pytest
from playwright.sync_api import Browser, Page, Request, Route, expect

from tests.browser import chromium

from .blocks import ROOT

pytestmark = [pytest.mark.once, pytest.mark.timeout(600), pytest.mark.usefixtures("site")]

SITE = ROOT / ".make" / "docs" / "site"
SIZES = {"wide": (1360, 900), "narrow": (390, 844)}
Scheme = Literal["light", "dark"]


@pytest.fixture(scope="module")
def site() -> None:
    """What `make docs` builds, as strictly."""
    for command in (
        ["sh", "scripts/venv", ".make/docs-venv", "docs"],
        [".make/docs-venv/bin/python", "scripts/docs"],
    ):
        done = subprocess.run(
            command, cwd=ROOT, capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as found:
        yield found


class Reader:
    """Somebody who reads the site, and notes what a page complains of or asks the network for."""

    def __init__(self, browser: Browser, size: str, scheme: Scheme) -> None:
        width, height = SIZES[size]
        context = browser.new_context(
            viewport={"width": width, "height": height}, color_scheme=scheme
        )
        self.page = context.new_page()
        self.wrong: list[str] = []
        self.page.on("pageerror", lambda error: self.wrong.append(str(error)))
        self.page.on("requestfailed", self._note)
        self.page.route(lambda url: not url.startswith("file:"), self._refuse)

    def _note(self, request: Request) -> None:
        if request.failure != "net::ERR_ABORTED":  # the next page was opened meanwhile
            self.wrong.append(f"{request.url}: {request.failure}")

    def _refuse(self, route: Route) -> None:
        self.wrong.append(f"asks the network for {route.request.url}")
        route.abort()

    def open(self, page: str) -> Page:
        self.page.goto((SITE / page).as_uri())
        return self.page


@pytest.mark.parametrize(("size", "scheme"), [("wide", "light"), ("narrow", "dark")])
def test_every_page_fits_its_window_and_complains_of_nothing(
    browser: Browser, size: str, scheme: Scheme
) -> None:
    files = sorted(file for file in SITE.rglob("*.html") if file.name != "404.html")
    pages = [file.relative_to(SITE).as_posix() for file in files]
    assert len(pages) > 60
    reader = Reader(browser, size, scheme)
    index = "var __index = {config: {lang: ['en'], separator: ' '}, items: []}"
    reader.page.route("**/search.js", lambda route: route.fulfill(body=index))  # read it but once
    for name in pages:
        page = reader.open(name)
        beyond = page.evaluate("document.documentElement.scrollWidth - window.innerWidth")
        assert (name, beyond > 0, reader.wrong) == (name, False, [])


@pytest.mark.parametrize(("word", "title"), [("drain", "Drain"), ("NotOnTheMenu", "A first")])
def test_search_finds_pages_without_a_server(browser: Browser, word: str, title: str) -> None:
    reader = Reader(browser, "wide", "light")
    page = reader.open("index.html")
    page.keyboard.press("Control+k")
    page.locator("input:visible").fill(word)
    found = page.locator("a:visible").filter(has_text=title).filter(has_text=word).first
    found.click()
    page.wait_for_url(lambda url: not url.endswith("/site/index.html"))
    expect(page.locator("article")).to_contain_text(word)
    assert reader.wrong == []


def test_drawings_have_the_colors_of_the_scheme(browser: Browser) -> None:
    schemes: tuple[Scheme, Scheme] = ("light", "dark")
    color = "getComputedStyle(document.querySelector('.drawing .d-text')).fill"
    behind = "getComputedStyle(document.body).backgroundColor"
    seen = set()
    for scheme in schemes:
        page = Reader(browser, "wide", scheme).open("concepts/call.html")
        assert page.evaluate(color) != page.evaluate(behind)
        seen.add((page.evaluate(color), page.evaluate(behind)))
    assert len(seen) == 2


def test_the_reference_has_signature_and_words_of_a_method(browser: Browser) -> None:
    page = Reader(browser, "wide", "light").open("reference/natsrpc.html")
    expect(page.locator("[id='natsrpc.Client.call']")).to_contain_text("call")
    expect(page.locator("[id='natsrpc.Service.handler']")).to_contain_text("handler")
    told = page.locator(".doc-object", has=page.locator("[id='natsrpc.Service.handler']")).last
    expect(told.locator("pre").first).to_contain_text("idempotent")
    expect(told).to_contain_text("ConfigError")
