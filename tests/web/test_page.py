"""The page of a gateway, in a real browser."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import BaseModel, Field
from starlette.applications import Starlette
from starlette.requests import HTTPConnection
from starlette.routing import Mount

import natsrpc
from natsrpc.web import Gateway, Target

from .browsing import Served, at, call, page_of, served
from .shop import shop

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
AXE = ROOT / "tests/interop/js/node_modules/axe-core/axe.min.js"

EVIL = "<img src=x onerror='window.pwned=1'><script>window.pwned=1</script>\"'`${window.pwned=1}"


class Address(BaseModel):
    street: str
    zip: str | None = None


class Card(BaseModel):
    kind: Literal["card"] = "card"
    number: str


class Cash(BaseModel):
    kind: Literal["cash"] = "cash"


class Parcel(BaseModel):
    lines: list[Address]
    weights: dict[str, float] = {}
    pay: Card | Cash
    express: bool = False
    serial: int
    note: str | None = None


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Hostile(BaseModel):
    proto: str = Field(alias="__proto__", description=EVIL)
    constructor: str = Field(default=EVIL, title=EVIL)
    choice: Literal["<b>", "javascript:window.pwned=1"] = "<b>"
    catch: Annotated[str, Field(pattern=r"^(a+)+$", alias=EVIL)] = "a"


parcels = natsrpc.Service("parcels", version="1.0.0")


@parcels.handler("parcels.send")
async def send(parcel: Parcel) -> Parcel:
    return parcel


@parcels.handler("parcels.tree")
async def tree(tree: Tree) -> Tree:
    return tree


@parcels.handler("parcels.wait")
async def wait(mark: str) -> AsyncIterator[str]:
    try:
        yield mark
        await asyncio.Event().wait()
    finally:
        ended.append(mark)


ended: list[str] = []

hostile = natsrpc.Service(
    "hostile",
    version="1.0.0",
    description=EVIL,
    metadata={EVIL: EVIL, "__proto__": "javascript:alert(1)"},
)


async def evil(value: Hostile) -> str:
    return EVIL


evil.__doc__ = EVIL
hostile.handler("hostile.evil")(evil)


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    with served(shop(), parcels, hostile) as one:
        yield one


@pytest.fixture
def page(browser: Browser, gateway: Served) -> Iterator[Page]:
    with page_of(browser) as (page, wrong):
        page.goto(f"{gateway.url}/docs")
        yield page
        assert wrong == []


def test_a_service_is_found_and_called_by_mouse(page: Page) -> None:
    expect(page.get_by_role("main")).to_contain_text("takes orders")
    page.get_by_role("searchbox").fill("pla")
    page.get_by_role("navigation").get_by_role("link", name="place", exact=True).click()
    expect(page.get_by_role("main")).to_contain_text("Place an order.")
    page.get_by_label("sku").fill("pen")
    call(page)
    expect(page.get_by_label("value")).to_have_text(
        '{\n  "number": 7,\n  "sku": "pen",\n  "quantity": 1\n}'
    )
    expect(page.locator(".status")).to_contain_text("200 in ")


def test_what_does_not_fit_is_told_at_its_field(page: Page, gateway: Served) -> None:
    at(page, gateway, "orders", "place")
    page.get_by_label("sku").fill("pen")
    page.get_by_label("quantity").fill("0")
    call(page)
    expect(page.locator(".problem")).to_contain_text("422")
    field = page.get_by_label("quantity")
    expect(field).to_be_focused()
    expect(field).to_have_attribute("aria-invalid", "true")
    field.fill("2")
    call(page)
    expect(page.get_by_label("value")).to_contain_text('"quantity": 2')
    expect(field).to_have_attribute("aria-invalid", "false")


def test_an_error_of_the_service_is_shown_with_its_fields(page: Page, gateway: Served) -> None:
    at(page, gateway, "orders", "place")
    page.get_by_label("sku").fill("gone")
    call(page)
    expect(page.locator(".problem")).to_contain_text("409 OutOfStock")
    expect(page.get_by_label("fields of the error")).to_contain_text('"sku": "gone"')


def test_a_nested_value_is_filled_in(page: Page, gateway: Served) -> None:
    at(page, gateway, "parcels", "send")
    page.get_by_role("button", name="Add an item").click()
    page.get_by_label("street").fill('1 "High" Street\nTop')
    page.get_by_role("button", name="Add a key").click()
    page.get_by_label("key", exact=True).fill("box")
    page.get_by_label("value number").fill("1.5")
    page.get_by_label("one of").select_option(label="Card")
    page.get_by_label("number string").fill("42")
    page.get_by_label("serial").fill("12345678901234567890")
    page.get_by_label("express").select_option(label="true")
    call(page)
    value = page.get_by_label("value", exact=True)
    expect(value).to_contain_text('"street": "1 \\"High\\" Street\\nTop"')
    expect(value).to_contain_text('"serial": 12345678901234567890')  # all its digits
    expect(value).to_contain_text('"box": 1.5')
    expect(value).to_contain_text('"kind": "card"')
    expect(value).to_contain_text('"express": true')


def test_what_is_nested_is_told_at_its_field(page: Page, gateway: Served) -> None:
    at(page, gateway, "parcels", "send")
    page.get_by_role("button", name="Add a key").click()
    page.get_by_label("key", exact=True).fill("box")
    page.get_by_label("value number").fill("heavy")
    page.get_by_label("serial").fill("1")
    call(page)
    expect(page.get_by_label("value number")).to_have_attribute("aria-invalid", "true")


def test_a_type_that_holds_itself_has_an_end(page: Page, gateway: Served) -> None:
    at(page, gateway, "parcels", "tree")
    page.get_by_label("name").fill("root")
    page.get_by_role("button", name="JSON").click()
    page.get_by_label("request as JSON").fill('{"name": "a", "children": [{"name": "b"}]}')
    call(page)
    expect(page.get_by_label("value", exact=True)).to_contain_text('"name": "b"')


def test_json_that_is_wrong_is_told(page: Page, gateway: Served) -> None:
    at(page, gateway, "parcels", "tree")
    page.get_by_role("button", name="JSON").click()
    page.get_by_label("request as JSON").fill('{"name": ')
    call(page)
    expect(page.locator(".problem")).to_be_visible()


def test_items_are_shown_as_they_come_and_stopping_cancels(page: Page, gateway: Served) -> None:
    at(page, gateway, "parcels", "wait")
    page.get_by_role("textbox", name="request string").fill("seen")
    call(page)
    expect(page.get_by_label("items")).to_contain_text('"seen"')
    assert "seen" not in ended
    page.get_by_role("button", name="Stop").click()
    expect(page.locator(".status")).to_contain_text("Stopped after 1 items")
    page.wait_for_function("fetch('stats.json').then(() => true)")
    for _ in range(100):
        if "seen" in ended:
            return
        page.wait_for_timeout(50)
    raise AssertionError("the handler was not cancelled")


def test_a_stream_that_fails_shows_its_items_and_the_error(page: Page, gateway: Served) -> None:
    at(page, gateway, "orders", "watch")
    page.get_by_label("fail").select_option(label="true")
    call(page)
    expect(page.get_by_label("items").get_by_role("listitem")).to_have_count(3)
    expect(page.locator(".problem")).to_contain_text("409 OutOfStock")


def test_items_are_uploaded(page: Page, gateway: Served) -> None:
    at(page, gateway, "orders", "import")
    page.get_by_role("textbox", name="request string").fill("e u&x")
    for sku in ("a", "b"):
        page.get_by_label("sku").fill(sku)
        page.get_by_role("button", name="Write the item below").click()
    call(page)
    expect(page.get_by_label("value", exact=True)).to_contain_text('"e u&x"')
    expect(page.get_by_label("value", exact=True)).to_contain_text('"b"')


def test_bytes_go_and_come_as_they_are(page: Page, gateway: Served, tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"\x00abc")
    at(page, gateway, "orders", "blob")
    page.get_by_label("bytes of a file").set_input_files(file)
    call(page)
    expect(page.get_by_role("button", name="Save 4 bytes")).to_be_visible()
    with page.expect_download() as download:
        page.get_by_role("button", name="Save 4 bytes").click()
    assert Path(download.value.path()).read_bytes() == b"cba\x00"


def test_the_counters_are_live(page: Page, gateway: Served) -> None:
    at(page, gateway, "orders", "forget")
    figures = page.locator(".figures")
    expect(figures).to_contain_text("0 errors")
    before = int(figures.inner_text().split(" requests")[0].split()[-1])
    call(page)
    expect(page.locator(".answer")).to_contain_text("An empty answer.")
    expect(figures).to_contain_text(f"{before + 1} requests")


def test_a_service_that_comes_is_shown(browser: Browser) -> None:
    with served() as gateway, page_of(browser) as (page, wrong):
        page.goto(f"{gateway.url}/docs")
        expect(page.get_by_role("main")).to_contain_text("None is there yet")
        gateway.join(shop())
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
        expect(page.get_by_role("main").get_by_role("link", name="orders")).to_be_visible()
        assert wrong == []


def test_texts_of_strangers_are_texts(page: Page, gateway: Served) -> None:
    expect(page.get_by_role("main")).to_contain_text("<img src=x")
    page.goto(f"{gateway.url}/docs#/hostile")
    expect(page.get_by_role("heading", level=1)).to_contain_text("hostile")
    page.get_by_text("Metadata", exact=True).click()
    at(page, gateway, "hostile", "evil")
    page.get_by_label("__proto__").fill("x")
    for name in ("nats", "curl", "Python"):
        page.get_by_role("button", name=name, exact=True).click()
    call(page)
    expect(page.get_by_label("value", exact=True)).to_contain_text("onerror")
    assert page.evaluate("window.pwned") is None
    assert page.evaluate("({}).street") is None
    assert page.locator("main img, main script, main iframe, main style").count() == 0


def test_the_page_allows_nothing_but_its_own_files(page: Page, gateway: Served) -> None:
    response = page.request.get(f"{gateway.url}/docs")
    policy = response.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.reload()
    expect(page.get_by_role("main")).to_contain_text("takes orders")
    assert asked
    assert [url for url in asked if not url.startswith((gateway.url, "data:"))] == []


@pytest.fixture
def axe() -> Path:
    """The checker of pages for those who do not see them."""
    missing = "axe-core is missing: scripts/js installs it"
    if not AXE.is_file():
        if os.environ.get("CI"):
            pytest.fail(missing, pytrace=False)
        pytest.skip(missing)
    return AXE


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_is_read_by_screen_readers(
    browser: Browser, gateway: Served, axe: Path, scheme: Literal["light", "dark"]
) -> None:
    with page_of(browser, color_scheme=scheme, bypass_csp=True) as (page, _):
        page.goto(f"{gateway.url}/docs")
        for place in (
            "/",
            "/orders",
            "/orders/1.0.0/endpoints/place",
            "/parcels/1.0.0/endpoints/send",
        ):
            page.goto(f"{gateway.url}/docs#{place}")
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            page.add_script_tag(path=axe)
            found = page.evaluate("axe.run().then((all) => all.violations)")
            assert [(each["id"], each["nodes"][0]["html"]) for each in found] == []


def test_it_is_used_by_keyboard(page: Page, gateway: Served) -> None:
    expect(page.get_by_role("main")).to_contain_text("takes orders")
    page.keyboard.press("Tab")
    expect(page.get_by_role("link", name="Skip to the content")).to_be_focused()
    page.keyboard.press("/")
    expect(page.get_by_role("searchbox")).to_be_focused()
    page.keyboard.type("double")
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("double")
    page.get_by_role("textbox", name="request integer").focus()
    page.keyboard.type("21")
    page.keyboard.press("Enter")
    expect(page.get_by_label("value", exact=True)).to_have_text("42")


def test_a_narrow_page_does_not_scroll_sideways(browser: Browser, gateway: Served) -> None:
    with page_of(browser, viewport={"width": 360, "height": 740}) as (page, wrong):
        for place in (
            "/",
            "/orders",
            "/orders/1.0.0/endpoints/place",
            "/hostile/1.0.0/endpoints/evil",
        ):
            page.goto(f"{gateway.url}/docs#{place}")
            expect(page.get_by_role("heading", level=1)).to_be_visible()
            assert page.evaluate("document.documentElement.scrollWidth") <= 360
        assert wrong == []


def test_who_must_name_himself_is_told_where(browser: Browser) -> None:
    async def authorize(
        connection: HTTPConnection, target: Target | None
    ) -> Mapping[str, str] | None:
        if connection.headers.get("authorization") != "Bearer mine":
            raise natsrpc.UnauthorizedError("who are you?")
        return None

    with served(shop(), authorize=authorize) as gateway, page_of(browser) as (page, _):
        page.goto(f"{gateway.url}/docs")
        expect(page.get_by_role("status").first).to_contain_text("Write the header it wants")
        page.get_by_text("Headers", exact=True).click()
        page.get_by_label("Sent with every request").fill("Authorization: Bearer mine")
        page.get_by_label("Sent with every request").blur()
        expect(page.get_by_role("main")).to_contain_text("takes orders")


def test_it_works_where_the_gateway_is_mounted(browser: Browser) -> None:
    def mounted(gateway: Gateway) -> Starlette:
        return Starlette(routes=[Mount("/api/v1", gateway)])

    with served(shop(), app=mounted) as gateway, page_of(browser) as (page, wrong):
        page.goto(f"{gateway.url}/api/v1/docs#/orders/1.0.0/endpoints/double")
        page.get_by_role("textbox", name="request integer").fill("4")
        call(page)
        expect(page.get_by_label("value", exact=True)).to_have_text("8")
        assert wrong == []


def copied(page: Page, name: str) -> str:
    page.get_by_role("button", name=name, exact=True).click()
    return page.get_by_label("line to copy").inner_text()


def test_the_python_lines_run(page: Page, gateway: Served, tmp_path: Path) -> None:
    """Against services in memory: `connect` alone is another one."""
    at(page, gateway, "orders", "place")
    page.get_by_label("sku").fill('it\'s "so" $HOME\n')
    place = copied(page, "Python")
    at(page, gateway, "orders", "watch")
    page.get_by_label("count").fill("2")
    watch = copied(page, "Python")
    at(page, gateway, "orders", "import")
    page.get_by_role("textbox", name="request string").fill("eu")
    page.get_by_label("items").fill('{"sku": "a"}\n{"sku": "b"}')
    import_ = copied(page, "Python")
    program = tmp_path / "lines.py"
    program.write_text(
        "import natsrpc\nfrom natsrpc.testing import serve_in_memory\n"
        "from tests.web.shop import shop\n"
        "natsrpc.connect = lambda url: serve_in_memory(shop())\n"
        + "\n".join((place, watch, import_))
    )
    done = subprocess.run(
        [sys.executable, str(program)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={"PYTHONPATH": str(ROOT)},
    )
    assert done.stderr == ""
    first, *rest = done.stdout.splitlines()
    assert first == str({"number": 7, "sku": 'it\'s "so" $HOME\n', "quantity": 1})
    assert [each.count("'quantity': 1") for each in rest] == [1, 1, 0]
    assert rest[-1] == "['eu', 'a', 'b']"


def test_the_lines_of_a_shell_are_words(page: Page, gateway: Served) -> None:
    at(page, gateway, "orders", "list")
    page.get_by_label("user").fill("an'n $(reboot)")
    page.get_by_label("limit").fill("3")
    shown = copied(page, "nats")
    program = shown.replace("nats request", "printf '%s|' nats request", 1)
    done = subprocess.run(
        ["sh", "-c", program], capture_output=True, text=True, timeout=10, check=True
    )
    assert done.stdout == 'nats|request|orders.an\'n $(reboot).list|{"limit":3}|'
    shown = copied(page, "curl")
    program = shown.replace("curl", "printf '%s|' curl", 1)
    done = subprocess.run(
        ["sh", "-c", program], capture_output=True, text=True, timeout=10, check=True
    )
    words = done.stdout.split("|")
    assert words[:4] == ["curl", "-X", "POST", f"{gateway.url}/orders/an'n%20%24(reboot)/list"]
    assert words[-2] == '{"limit":3}'
