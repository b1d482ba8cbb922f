"""The client that handlers, dependencies, methods and lifespans are given: that of the connection
which the service is served on, and not theirs to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

import pytest

import natsrpc
from natsrpc import Client, Context, Depends, Service
from natsrpc.errors import ConfigError, ConfigTypeError, DeadlineExceededError
from natsrpc.rpc import Call, Next, connect
from natsrpc.testing import Broker
from tests.core.harness import eventually

Got = list[Client]


def interest(client: Client) -> set[str]:
    return {each.subject for each in client.connection.subscriptions}


def prices() -> Service:
    service = Service("prices", version="1.0.0")

    @service.handler("prices.of")
    async def of(sku: str) -> int:
        return len(sku)

    return service


async def test_a_handler_calls_others_over_the_connection_that_it_is_served_on() -> None:
    shop, broker = Service("shop", version="1.0.0"), Broker()

    @shop.handler("shop.total")
    async def total(skus: list[str], client: Client) -> int:
        return sum([await client.call("prices.of", sku, int) for sku in skus])

    async with prices().test(broker=broker), shop.test(broker=broker) as client:
        before = broker.connections
        assert await client.call(total, ["ab", "abc"]) == 5
        assert broker.connections == before == 4  # for each service a worker and a caller


async def test_everybody_is_given_the_same_client() -> None:
    got: Got = []

    @asynccontextmanager
    async def lifespan(service: Service, client: Client) -> AsyncIterator[str]:
        got.append(client)
        yield service.name

    class Repository:
        def __init__(self, client: Client) -> None:
            got.append(client)

    async def of_app(client: Client) -> AsyncIterator[Client]:
        got.append(client)
        yield client

    service = Service("shop", version="1.0.0", lifespan=lifespan)

    @service.middleware
    async def middleware(context: Context, call_next: Next[Context]) -> Any:
        got.append(context.client)
        return await call_next(context)

    class Desk:
        async def ask(
            self,
            client: Client,
            context: Context,
            repository: Annotated[Repository, Depends(Repository)],
            app: Annotated[Client, Depends(of_app, scope="app")],
        ) -> str:
            got.extend([client, context.client, app])
            return str(context.state)

    service.register(Desk())
    async with service.test() as client:
        assert await client.call("ask", returns=str) == "shop"
    assert len(got) == 7
    assert all(type(each) is Client and each is got[0] for each in got)


async def test_it_is_another_face_of_the_client_that_serves() -> None:
    service, calls = prices(), []

    @service.handler("double")
    async def double(sku: str, client: Client) -> int:
        assert client.codec.name == "msgpack"
        return 2 * await client.call("prices.of", sku, int)

    async def note(call: Call, call_next: Next[Call]) -> Any:
        calls.append(call.target)
        return await call_next(call)

    broker = Broker()
    async with (
        connect(codec="msgpack", **broker.options()) as worker,
        connect(**broker.options()) as client,
        worker.serve(service),
    ):
        worker.middleware(note)
        assert await client.call(double, "ab") == 4
    assert calls == ["prices.of"]


@pytest.mark.parametrize("what", ["close", "drain", "async with"])
async def test_it_cannot_be_ended_by_those_who_are_given_it(
    what: str, caplog: pytest.LogCaptureFixture
) -> None:
    service = Service("shop", version="1.0.0")

    @service.handler("end")
    async def end(client: Client) -> str:
        with pytest.raises(ConfigError) as refused:
            if what == "async with":
                async with client:
                    pass
            else:
                await getattr(client, what)()
        return str(refused.value)

    async with service.test() as client:
        for _ in range(2):
            text = await client.call(end)
            assert what in text
            assert "the connection which the service is served on" in text


@pytest.mark.usefixtures("patient_callers")
async def test_its_calls_inherit_the_deadline_of_the_handler() -> None:
    service, left = Service("shop", version="1.0.0"), []

    @service.handler("outer")
    async def outer(client: Client) -> None:
        await client.call("inner", returns=None, timeout=60.0)

    @service.handler("inner")
    async def inner(context: Context) -> None:
        left.append(context.time_left())
        await asyncio.Event().wait()

    async with service.test() as client:
        with pytest.raises(DeadlineExceededError):
            await client.call(outer, timeout=0.2)
    assert left[0] is not None
    assert left[0] <= 0.2


@pytest.mark.live
async def test_handlers_go_on_calling_while_their_service_drains(
    client: Client, other: Client, unique: str
) -> None:
    """By the server's drain, and by the drain of the connection itself."""
    entered, go_on = asyncio.Event(), asyncio.Event()
    service, inner = Service("shop", version="1.0.0"), Service("prices", version="1.0.0")

    @inner.handler(f"{unique}.inner")
    async def price(sku: str) -> int:
        return len(sku)

    @service.handler(f"{unique}.outer")
    async def outer(sku: str, client: Client) -> int:
        entered.set()
        await go_on.wait()
        return await client.call(price, sku)

    drains: list[Callable[[natsrpc.Server], Any]] = [
        lambda server: server.drain(),
        lambda server: other.drain(),
    ]
    async with client.serve(inner):
        for drain in drains:
            entered.clear()
            go_on.clear()
            server = await other.serve(service)
            call = asyncio.ensure_future(client.call(outer, "abc"))
            await entered.wait()
            draining = asyncio.ensure_future(drain(server))
            # until its interest is taken back
            await eventually(lambda: f"{unique}.outer" not in interest(other))
            go_on.set()
            assert await call == 3
            await draining


async def test_a_lifespan_may_serve_more_on_the_connection() -> None:
    broker = Broker()

    @asynccontextmanager
    async def lifespan(service: Service, client: Client) -> AsyncIterator[None]:
        async with client.serve(prices()):
            yield

    service = Service("shop", version="1.0.0", lifespan=lifespan)
    async with service.test(broker=broker) as client:
        assert await client.call("prices.of", "ab", int) == 2
        assert broker.connections == 2


class NotClient(Client):
    """What is given is no instance of it."""


@pytest.mark.parametrize(
    "annotation",
    [Client | None, Annotated[Client, Depends(prices)], NotClient],
)
def test_the_annotation_is_the_class_alone(annotation: Any) -> None:
    async def handler(client: Any, n: int) -> int:
        return n

    handler.__annotations__["client"] = annotation
    service = Service("shop", version="1.0.0")
    if "Depends" in repr(annotation):
        service.handler("a")(handler)  # a dependency of that type is one
        return
    with pytest.raises(ConfigError, match=r"parameter 'client'.*Client"):
        service.handler("a")(handler)


def test_a_default_is_refused() -> None:
    async def handler(client: Client = None) -> None: ...  # type: ignore[assignment]  # is tested

    with pytest.raises(ConfigError, match=r"'client'.*default"):
        Service("shop", version="1.0.0").handler("a")(handler)


# lifespans


@asynccontextmanager
async def of_service(service: Service) -> AsyncIterator[str]:
    yield service.name


@asynccontextmanager
async def of_both(service: Service, client: Client, more: int = 3) -> AsyncIterator[str]:
    yield f"{service.name} {client.codec.name} {more}"


@asynccontextmanager
async def of_unannotated(app, client):  # type: ignore[no-untyped-def]
    yield f"{app.name} {client.codec.name}"


@asynccontextmanager
async def of_unknown(app: Nope, client: Nope) -> AsyncIterator[str]:  # type: ignore[name-defined]  # noqa: F821 — is tested
    yield f"unknown {client.codec.name}"


class Lifespan:
    @asynccontextmanager
    async def __call__(self, service: Service, client: Client) -> AsyncIterator[str]:
        yield f"object {client.codec.name}"


@pytest.mark.parametrize(
    ("lifespan", "state"),
    [
        (of_service, "shop"),
        (of_both, "shop json 3"),
        (of_unannotated, "shop json"),
        (of_unknown, "unknown json"),
        (Lifespan(), "object json"),
        (Lifespan().__call__, "object json"),
    ],
)
async def test_a_lifespan_takes_the_service_or_the_client_as_well(
    lifespan: Any, state: str
) -> None:
    service = Service("shop", version="1.0.0", lifespan=lifespan)

    @service.handler("state")
    async def read(context: Context) -> str:
        return str(context.state)

    async with service.test() as client:
        assert await client.call(read) == state


@asynccontextmanager
async def of_nothing() -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def of_three(service: Service, client: Client, pool: int) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def swapped(client: Client, service: Service) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def of_another(service: Service, settings: int) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def with_default(service: Service, client: Client | None = None) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def by_name(service: Service, *, client: Client) -> AsyncIterator[None]:
    yield


@asynccontextmanager
async def of_any(*args: Any) -> AsyncIterator[None]:
    yield


async def undecorated(service: Service) -> AsyncIterator[None]:
    yield


async def coroutine(service: Service) -> None: ...


def plain_generator(service: Service) -> Any:
    yield


@pytest.mark.parametrize(
    ("lifespan", "words"),
    [
        (of_nothing, r"'of_nothing' takes no parameter: expected \(service\) or"),
        (of_three, "'pool' of lifespan 'of_three' is one that nobody fills"),
        (swapped, "'client' of lifespan 'swapped' is a Client, and gets a Service"),
        (of_another, "'settings' of lifespan 'of_another' is a int, and gets a Client"),
        (with_default, "'client' of lifespan 'with_default' has a default"),
        (by_name, "'client' of lifespan 'by_name' is one that nobody fills"),
        (of_any, "'args' of lifespan 'of_any' is one that nobody fills"),
        (undecorated, "'undecorated' gives no context manager: decorate it"),
        (coroutine, "'coroutine' gives no context manager: decorate it"),
        (plain_generator, "'plain_generator' is a plain generator"),
    ],
)
def test_other_lifespans_are_refused_where_they_are_written(lifespan: Any, words: str) -> None:
    with pytest.raises(ConfigError, match=words):
        Service("shop", version="1.0.0", lifespan=lifespan)


def test_a_lifespan_is_a_function() -> None:
    with pytest.raises(ConfigTypeError, match="lifespan is 3"):
        Service("shop", version="1.0.0", lifespan=3)  # type: ignore[arg-type]  # is tested
