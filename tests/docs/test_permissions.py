"""The configurations of docs/permissions.md: each lets all of natsrpc through, and nothing else.

Every kind of call is done by the operations of `tests/behavior/matrix`, with the users of the page.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator

import pytest

import natsrpc
from natsrpc import discovery
from natsrpc.core import AsyncError
from natsrpc.core.opening import Opening
from natsrpc.server import NatsServer
from tests.behavior.matrix.cell import Cell, opened
from tests.behavior.matrix.operations import ALL
from tests.behavior.matrix.topologies import Topology
from tests.core.harness import eventually

from .blocks import BLOCKS, ROOT

pytestmark = pytest.mark.live

PAGE = (ROOT / "docs/permissions.md").read_text(encoding="utf-8")
CONFIGS = {
    block.text.splitlines()[0].removeprefix("# "): block.text
    for block in BLOCKS
    if block.kind == "conf" and block.page.name == "permissions.md"
}
ACROSS = "accounts"
BY_CALLER = [name for name in ALL if name != "discover"]

placed = natsrpc.Event("shop.events.{region}.placed", int)


def options(user: str) -> dict[str, str]:
    return {"user": user, "password": "p", "inbox_prefix": f"_INBOX.{user}"}


def connect(server: NatsServer, user: str) -> Opening[natsrpc.Client]:
    return natsrpc.connect(
        server.url, user=user, password="p", inbox_prefix=f"_INBOX.{user}", drain_timeout=2
    )


@pytest.fixture(scope="module", params=list(CONFIGS))
def name(request: pytest.FixtureRequest) -> str:
    found: str = request.param
    return found


@pytest.fixture(scope="module")
def server(name: str) -> Iterator[NatsServer]:
    with NatsServer(CONFIGS[name]) as server:
        yield server


@pytest.fixture
def topology(name: str, server: NatsServer) -> Topology:
    return Topology(
        server.url, server.url, options("calc"), options("shop"), rewrites=name == ACROSS
    )


def test_the_page_has_these_blocks() -> None:
    assert list(CONFIGS) == ["one account", "answers", "inboxes", ACROSS]


@pytest.mark.parametrize("operation", BY_CALLER)
async def test_every_kind_of_call_passes(topology: Topology, operation: str) -> None:
    async with opened(topology) as cell:
        await ALL[operation](cell)


async def test_an_observer_finds_services(topology: Topology, server: NatsServer) -> None:
    async with opened(topology) as cell, connect(server, "watch") as watch:
        await ALL["discover"](Cell(topology, watch, cell.worker, cell.calculator, cell.server))
        for question in (discovery.ping, discovery.info, discovery.stats):
            assert await question(watch.connection, "calc", timeout=5, stall=0.05)


async def test_events_reach_their_subscriber(server: NatsServer) -> None:
    got: asyncio.Queue[int] = asyncio.Queue()
    billing = natsrpc.Service("billing", version="1.0.0")

    @billing.subscriber(placed)
    async def charge(event: int) -> None:
        got.put_nowait(event)

    till, client = connect(server, "till"), connect(server, "billing")
    async with till as publishing, client as serving, serving.serve(billing):
        await publishing.publish(placed, 7, tokens={"region": "eu"})
        assert await asyncio.wait_for(got.get(), 10) == 7


@pytest.mark.parametrize("within", [each for each in CONFIGS if each != ACROSS])
async def test_nobody_reads_what_answers_another(within: str) -> None:
    with NatsServer(CONFIGS[within]) as server:
        async with connect(server, "shop") as shop:
            for subject in ("_INBOX.calc.>", "_INBOX.watch.>", "_INBOX.>", "calc.>"):
                await refused_to_listen(shop, subject)


async def refused_to_listen(client: natsrpc.Client, subject: str, queue_group: str = "") -> None:
    sub = await client.connection.subscribe(subject, queue_group=queue_group)
    with pytest.raises(natsrpc.PermissionsError) as caught:
        await sub.next_msg(10)
    assert (caught.value.subject, caught.value.queue_group) == (subject, queue_group)


async def test_the_server_takes_a_wildcard_for_a_match_of_a_star() -> None:
    """The trap that the page names; should a server mend it, the page is to be mended."""
    user = '{ user: a, password: p, permissions { subscribe: ["calc.*"] } }'
    admin = "{ user: admin, password: p }"
    with NatsServer(f"authorization {{ users: [{user}, {admin}] }}") as server:
        async with connect(server, "a") as client, connect(server, "admin") as other:
            sub = await client.connection.subscribe("calc.>")
            await client.connection.flush()
            await other.connection.publish("calc.more.tokens", b"x")
            assert (await sub.next_msg(10)).subject == "calc.more.tokens"


# what is refused


@contextlib.asynccontextmanager
async def one_account() -> AsyncIterator[Callable[[str], Opening[natsrpc.Client]]]:
    with NatsServer(CONFIGS["one account"]) as server:
        yield functools.partial(connect, server)


User = Callable[[str], Opening[natsrpc.Client]]


async def denied(waiting: Awaitable[object], subject: str, queue_group: str = "") -> None:
    """It is refused without a timeout of its own being waited for."""
    with pytest.raises(natsrpc.PermissionsError, match=re.escape(f'"{subject}')) as caught:
        await asyncio.wait_for(waiting, 10)
    assert caught.value.subject.startswith(subject)
    assert caught.value.queue_group == queue_group


async def call(user: User) -> None:
    async with user("shop") as shop:
        await denied(shop.call("bank.pay", timeout=60), "bank.pay")


async def read(client: natsrpc.Client, subject: str) -> None:
    async for _ in client.stream(subject, 1, int):
        pass


async def stream(user: User) -> None:
    async with user("shop") as shop:
        await denied(read(shop, "bank.payments"), "bank.payments")


async def inbox(user: User) -> None:
    async with user("shop") as right:
        url = right.connection.connected_url
        assert url is not None
        async with natsrpc.connect(url, user="shop", password="p") as shop:
            await denied(shop.call("calc.add", timeout=60), "_INBOX.")


async def discover(user: User) -> None:
    async with user("shop") as shop:
        await denied(discovery.ping(shop.connection, timeout=60), "$SRV.PING")


def serving(subject: str, queue_group: str) -> natsrpc.Service:
    service = natsrpc.Service("calc", version="1.0.0", queue_group=queue_group)

    @service.handler(subject)
    async def handle() -> None: ...

    return service


async def serve(user: User) -> None:
    async with user("calc") as calc:
        await denied(calc.serve(serving("bank.pay", "q")), "bank.pay", "q")


async def serve_elsewhere(user: User) -> None:
    async with user("calc") as calc:
        await denied(calc.serve(serving("calc.add", "mine")), "calc.add", "mine")


async def listen(user: User) -> None:
    async with user("calc") as calc, user("billing") as billing:
        await refused_to_listen(calc, "calc.>")
        await refused_to_listen(billing, "shop.events.*.placed")
        await refused_to_listen(billing, "shop.events.*.placed", "audit.note")


async def event(user: User) -> None:
    async with user("shop") as shop:
        told = errors_of(shop)
        await shop.publish(placed, 7, tokens={"region": "eu"})
        await eventually(lambda: told == ["shop.events.eu.placed"], what="the denied event")


async def answer(_: User) -> None:
    config = CONFIGS["one account"].replace('publish: ["_INBOX.shop.>", ', "publish: [", 1)
    with NatsServer(config) as server:
        async with connect(server, "calc") as calc, connect(server, "shop") as shop:
            told = errors_of(calc)
            async with calc.serve(serving("calc.add", "q")):
                with pytest.raises(natsrpc.NatsTimeoutError):
                    await shop.call("calc.add", timeout=0.3)
                await eventually(lambda: bool(told), what="the denied answer")
    assert told[0].startswith("_INBOX.shop.")


async def own_inbox(_: User) -> None:
    config = CONFIGS["one account"].replace(', "_INBOX.calc.>"]', "]", 1)
    with NatsServer(config) as server:
        topology = Topology(server.url, server.url, options("calc"), options("shop"))
        async with opened(topology) as cell:
            told = errors_of(cell.worker)
            await ALL["value"](cell)
            for name in ("upload", "large_request", "large_reply", "long_stream"):
                with pytest.raises(natsrpc.RpcError) as caught:
                    await asyncio.wait_for(ALL[name](cell), 10)
                assert caught.value.code in (500, 503), name
            await eventually(lambda: bool(told), what="the denied inbox")
    assert told[0].startswith("_INBOX.calc.")


def errors_of(client: natsrpc.Client) -> list[str]:
    """The subjects of what the server denies from now on, as `on_error` is told."""
    told: list[str] = []

    def hear(event: object) -> None:
        if isinstance(event, AsyncError) and isinstance(event.error, natsrpc.PermissionsError):
            told.append(event.error.subject)

    client.connection.link.add_listener(hear)
    return told


REFUSED: dict[str, Callable[[User], Awaitable[None]]] = {
    "a call that is not allowed": call,
    "a stream that is not allowed": stream,
    "a caller's inbox that is not its own": inbox,
    "discovery that is not allowed": discover,
    "serving an endpoint that is not allowed": serve,
    "serving in another queue group": serve_elsewhere,
    "listening to what others are asked": listen,
    "an event that is not allowed": event,
    "a service that may not answer its caller": answer,
    "a service that may not listen to its own inbox": own_inbox,
}
"""The lines of the page's last table, each tried."""


def test_the_table_of_what_is_refused_has_these_lines() -> None:
    table = PAGE.partition("## What is refused")[2]
    assert re.findall(r"^\| (.*?) \|", table, re.M)[1:] == list(REFUSED)


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_refused_is_told(what: str) -> None:
    async with one_account() as user:
        await REFUSED[what](user)
