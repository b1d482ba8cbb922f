"""The page with types that hold themselves, names that are odd, and what cannot be sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Iterator
from typing import Annotated, Any, Literal

import pytest
from playwright.sync_api import Browser, Page, expect
from pydantic import BaseModel, Field

import natsrpc
from natsrpc.core import Connection, Msg

from .browsing import Served, at, call, page_of, served
from .shop import shop

pytestmark = pytest.mark.once

Expression = Annotated[
    "Num | Add | Sub | Mul | Div | Pow | And | Or", Field(discriminator="kind")
]  # fmt: skip


class Num(BaseModel):
    kind: Literal["num"] = "num"
    value: int


class Pair(BaseModel):
    left: Expression
    right: Expression


class Add(Pair):
    kind: Literal["add", "plus"] = "add"


class Sub(Pair):
    kind: Literal["sub"] = "sub"


class Mul(Pair):
    kind: Literal["mul"] = "mul"


class Div(Pair):
    kind: Literal["div"] = "div"


class Pow(Pair):
    kind: Literal["pow"] = "pow"


class And(Pair):
    kind: Literal["and"] = "and"


class Or(Pair):
    kind: Literal["or"] = "or"


for each in (Add, Sub, Mul, Div, Pow, And, Or):
    each.model_rebuild()


trees = natsrpc.Service("trees", version="1.0.0")


@trees.handler("trees.evaluate")
async def evaluate(expression: Expression) -> Expression:
    return expression


@trees.handler("trees.import")
async def import_(
    items: AsyncIterator[int], scale: int, name: str | None = None, factor: int | None = 2
) -> str:
    return f"{[each async for each in items]} {scale!r} {name!r} {factor!r}"


SELF = {"$ref": "#/$defs/S"}

TYPES: dict[str, Any] = {
    "fields": {"type": "object", "properties": {f"f{n}": SELF for n in range(20)}},
    "needed": {
        "type": "object",
        "properties": {f"f{n}": SELF for n in range(20)},
        "required": [f"f{n}" for n in range(20)],
    },
    "either": {"anyOf": [SELF] * 20},
    "maybe": {"anyOf": [SELF, {"type": "null"}]},
    "tuples": {"type": "array", "prefixItems": [{"anyOf": [SELF] * 20}] * 12},
}
"""Types that hold themselves, by the name of an endpoint which takes and gives them."""

ODD = "a\ud800b"


def endpoint(name: str, subject: str, schema: Any) -> dict[str, Any]:
    return {"name": name, "subject": subject, "request": schema, "response": schema}


SELVES = [endpoint(name, f"selves.{name}", {**SELF, "$defs": {"S": TYPES[name]}}) for name in TYPES]

CONTRACTS = {
    name: {"name": name, "version": "1.0.0", "endpoints": endpoints}
    for name, endpoints in [
        ("selves", SELVES),
        ("odd", [endpoint(ODD, "odd.x", {"type": "string"})]),
        (ODD, []),
    ]
}


async def speak(connection: Connection) -> None:
    """Answer discovery as services with these contracts would."""

    async def ping(msg: Msg) -> None:
        for name in CONTRACTS:
            identity = {"name": name, "id": "1", "version": "1.0.0"}
            await msg.respond(json.dumps(identity).encode())

    async def schema(msg: Msg) -> None:
        await msg.respond(json.dumps(CONTRACTS[msg.subject.split(".")[2]]).encode())

    await connection.subscribe("$SRV.PING", cb=ping)
    await connection.subscribe("$SRV.SCHEMA.*.1", cb=schema)
    await connection.flush()


@pytest.fixture(scope="module")
def gateway() -> Iterator[Served]:
    with served(shop(), trees) as one:
        one.speak(speak)
        yield one


@pytest.fixture
def page(browser: Browser, gateway: Served) -> Iterator[Page]:
    with page_of(browser) as (page, wrong):
        yield page
        assert wrong == []


@pytest.mark.parametrize("name", TYPES)
def test_a_type_that_holds_itself_at_many_places_has_an_end(
    page: Page, gateway: Served, name: str
) -> None:
    at(page, gateway, "selves", name)
    assert page.locator("main *").count() < 20_000
    for _ in range(3):
        closed = page.locator("main .type details:not([open]) > summary").first
        if not closed.count():
            break
        closed.click()
        expect(page.locator("main .type details[open] > ul").last).to_be_visible()
    call(page)
    expect(page.locator(".status")).to_contain_text("503")  # nobody is there


def test_an_expression_is_looked_at_and_called(page: Page, gateway: Served) -> None:
    at(page, gateway, "trees", "evaluate")
    inner = page.locator("main .type li li li")
    expect(inner).to_have_count(0)
    page.locator("main .type details:not([open]) > summary").first.click()
    expect(inner.first).to_be_visible()
    page.get_by_label("one of").first.select_option(label="Add")
    for place, value in enumerate(("1", "2")):
        page.get_by_label("value integer").nth(place).fill(value)
    call(page)
    left, right = ({"kind": "num", "value": value} for value in (1, 2))
    expect(page.get_by_label("value", exact=True)).to_contain_text('"right"')
    shown = json.loads(page.get_by_label("value", exact=True).inner_text())
    assert shown == {"left": left, "right": right, "kind": "add"}


def test_a_name_that_is_no_unicode_hides_no_other(page: Page, gateway: Served) -> None:
    page.goto(f"{gateway.url}/docs")
    expect(page.get_by_role("main")).to_contain_text("takes orders")
    page.goto(f"{gateway.url}/docs#/odd")
    page.locator("main a[href*='%EF%BF%BD']").click()
    expect(page.get_by_role("main")).to_contain_text("odd.x")


def test_the_link_to_the_content_leaves_it_as_it_is(page: Page, gateway: Served) -> None:
    at(page, gateway, "orders", "place")
    page.get_by_label("sku").fill("pen")
    page.get_by_role("link", name="Skip to the content").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("main")).to_be_focused()
    with page.expect_response("**/services.json"):
        page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    expect(page.get_by_label("sku")).to_have_value("pen")
    page.go_back()
    expect(page.get_by_role("heading", level=1)).to_have_text("place")
    page.goto("about:blank")
    page.goto(f"{gateway.url}/docs#main")
    expect(page.get_by_role("heading", level=1)).to_have_text("Services")


@pytest.mark.parametrize("value", [".", ".."])
def test_a_part_that_browsers_take_for_another_path_is_told(
    page: Page, gateway: Served, value: str
) -> None:
    at(page, gateway, "orders", "list")
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.method))
    page.get_by_label("user").fill(value)
    expect(page.get_by_label("line to copy")).to_contain_text(f"not yet: user cannot be {value}")
    call(page)
    expect(page.get_by_label("user")).to_have_attribute("aria-invalid", "true")
    expect(page.get_by_label("user")).to_be_focused()
    assert "POST" not in asked


def test_a_query_keeps_digits_and_says_what_is_null(page: Page, gateway: Served) -> None:
    at(page, gateway, "trees", "import")
    page.get_by_role("button", name="JSON").click()
    page.get_by_label("items").fill("1\n2")
    for name, factor in [("null", "null"), ('"a, [b]"', "3")]:
        fields = f'{{"scale": 12345678901234567890, "name": {name}, "factor": {factor}}}'
        page.get_by_label("request as JSON").fill(fields)
        call(page)
        said = f"{name.replace('null', 'None')} {factor.replace('null', 'None')}"
        shown = f"[1, 2] 12345678901234567890 {said}".replace('"a, [b]"', "'a, [b]'")
        expect(page.get_by_label("value", exact=True)).to_have_text(f'"{shown}"')


@pytest.mark.parametrize("line", ["X-Foo: \u20ac", "no header", "a b: c"])
def test_a_header_that_cannot_be_sent_is_told(page: Page, gateway: Served, line: str) -> None:
    at(page, gateway, "orders", "forget")
    page.get_by_text("Headers", exact=True).click()
    page.get_by_label("Sent with every request").fill(line)
    page.get_by_label("Sent with every request").blur()
    said = "A line under 'Headers' is none"
    expect(page.get_by_role("status").first).to_contain_text(said)
    call(page)
    expect(page.locator(".status")).to_contain_text(said)
    page.get_by_label("Sent with every request").fill("X-Foo: \u00e9")
    call(page)
    expect(page.locator(".answer")).to_contain_text("An empty answer.")
