"""`natsrpc publish`: an event from the shell, and who takes it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from pydantic import BaseModel

import natsrpc
from natsrpc.testing import NatsServer

from .processes import Shell

pytestmark = pytest.mark.live


class Order(BaseModel):
    sku: str
    count: int = 1


placed = natsrpc.Event("shop.events.{region}.placed", Order)


class Billing:
    """A service with a subscriber and an endpoint, and what they got."""

    def __init__(self) -> None:
        self.got: asyncio.Queue[Order] = asyncio.Queue()
        self.service = natsrpc.Service("billing", version="1.0.0")
        self.service.subscriber(placed, name="charge")(self.charge)
        self.service.handler("billing.open", name="open")(self.open)

    async def charge(self, order: Order) -> None:
        self.got.put_nowait(order)

    async def open(self, order: Order) -> None:
        self.got.put_nowait(order)


@pytest.fixture
async def billing(fresh_server: NatsServer) -> AsyncIterator[Billing]:
    found = Billing()
    async with natsrpc.connect(fresh_server.url) as client, client.serve(found.service):
        yield found


@pytest.fixture
def shell(fresh_server: NatsServer) -> Shell:
    return Shell(fresh_server.url)


async def test_a_subscriber_gets_it_and_is_named(billing: Billing, shell: Shell) -> None:
    code, out, err = await shell("publish", "shop.events.eu.placed", '{"sku": "tea", "count": 2}')
    assert (code, out, err) == (0, "published 23 B to billing/charge\n", "")
    assert await asyncio.wait_for(billing.got.get(), 10) == Order(sku="tea", count=2)


async def test_what_its_subscriber_would_refuse_is_not_sent(billing: Billing, shell: Shell) -> None:
    arguments = ("publish", "shop.events.eu.placed", '{"count": "many"}')
    code, out, err = await shell(*arguments)
    assert (code, out) == (2, "")
    assert err == (
        "error: billing/charge would refuse it: sku: field required; count: expected an integer, "
        "not a string; --unchecked sends it all the same\n"
    )
    assert (await shell(*arguments, "--unchecked"))[0] == 0
    await shell("publish", "shop.events.eu.placed", '{"sku": "tea"}')
    assert (await asyncio.wait_for(billing.got.get(), 10)).sku == "tea"
    assert billing.got.empty()


async def test_that_nobody_takes_it_is_said(billing: Billing, shell: Shell) -> None:
    code, out, err = await shell("publish", "nobody.here", "1")
    assert (code, out) == (0, "published 1 B\n")
    assert err == "no service has a subscriber to 'nobody.here'\n"


async def test_an_endpoint_takes_it_and_its_answer_goes_nowhere(
    billing: Billing, shell: Shell
) -> None:
    code, out, _ = await shell("publish", "billing.open", '{"sku": "tea"}')
    assert (code, out) == (0, "published 13 B to billing/open (which nobody hears answer)\n")
    assert (await asyncio.wait_for(billing.got.get(), 10)).sku == "tea"


async def test_json_bodies_headers_and_stdin(billing: Billing, shell: Shell) -> None:
    code, out, _ = await shell(
        "publish", "shop.events.us.placed", "-", "-H", "Who: me", "--json", stdin='{"sku": "x"}'
    )
    assert code == 0
    assert json.loads(out) == {
        "subject": "shop.events.us.placed",
        "bytes": 11,
        "takers": [
            {
                "service": "billing",
                "name": "charge",
                "subject": "shop.events.*.placed",
                "kind": "event",
            }
        ],
    }


@pytest.mark.parametrize(
    "arguments", [("shop.*", "1"), ("", "1"), ("a.b", "{no json"), ("a.b", "@/no/such/file")]
)
async def test_bad_input_is_code_2(shell: Shell, arguments: tuple[str, str]) -> None:
    code, out, err = await shell("publish", *arguments)
    assert (code, out) == (2, "")
    assert err.startswith("error: ") and err.count("\n") == 1


DENIED = """
authorization { users: [ { user: "u", password: "p", permissions: {
  publish: { allow: ["shop.>"] }, subscribe: { allow: ["_INBOX.>"] } } } ] }
"""


async def test_what_the_server_denies_is_told() -> None:
    with NatsServer(DENIED) as server:
        shell = Shell(server.url.replace("nats://", "nats://u:p@"))
        code, out, err = await shell("publish", "other.x", "1", "--unchecked")
        assert (code, out) == (1, "")
        assert "other.x" in err and "error: " in err
        # services must not be asked: it is sent all the same
        code, out, err = await shell("publish", "shop.x", "1")
        assert (code, out) == (0, "published 1 B\n")
        assert err.startswith("who takes it is not known: ")
