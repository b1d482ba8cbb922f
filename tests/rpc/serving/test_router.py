"""`Router`: handlers without a service, included in any; and the order of what surrounds them."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated, Any

import pytest
from pydantic import BaseModel

import natsrpc
from natsrpc import Context, Depends, Embed, Header, Router, Service, Token
from natsrpc.errors import (
    ConfigError,
    ConfigTypeError,
    ForbiddenError,
    InvalidRequestError,
    LocalProtocolError,
    NotFoundError,
    RpcError,
    UnauthorizedError,
)
from natsrpc.rpc import HandlerOptions, Next
from natsrpc.testing import Broker


class OrderError(RpcError, code=422):
    pass


class Order(BaseModel):
    sku: str


def shop(**options: Any) -> Service:
    return Service("shop", version="1.0.0", **options)


def subjects(service: Service) -> list[str]:
    return [each.template for each in service.contract.endpoints]


async def place(order: Order) -> str:
    """Place an order."""
    return order.sku


async def cancel(order: Order) -> str:
    return order.sku


async def test_handlers_are_served_below_both_prefixes() -> None:
    router, service = Router("orders"), shop()
    assert router.handler("place", idempotent=True, errors=(NotFoundError,))(place) is place
    router.handler()(cancel)
    service.include(router, prefix="v1")
    first, second = service.contract.endpoints
    assert (first.subject, first.name, first.doc) == ("v1.orders.place", "place", "Place an order.")
    assert (first.idempotent, first.errors, first.queue_group) == (True, (NotFoundError,), "q")
    assert (second.subject, second.name) == ("v1.orders.cancel", "cancel")
    async with service.test() as client:
        assert await client.call("v1.orders.place", Order(sku="a"), str) == "a"


async def test_one_router_in_two_services_and_under_two_prefixes() -> None:
    router, first, second, broker = Router("orders"), shop(), shop(), Broker()
    router.handler("place")(place)
    first.include(router, prefix="v1")
    first.include(router, "v2")
    second.group("eu").include(router)
    assert subjects(first) == ["v1.orders.place", "v2.orders.place"]
    assert [each.name for each in first.contract.endpoints] == ["place", "v2_orders_place"]
    assert subjects(second) == ["eu.orders.place"]
    async with first.test(broker=broker) as client, second.test(broker=broker):
        for subject in [*subjects(first), *subjects(second)]:
            assert await client.call(subject, Order(sku=subject), str) == subject


async def test_routers_within_routers() -> None:
    inner, middle, outer, service = Router("c"), Router(), Router("a"), shop()
    inner.handler("d")(place)
    middle.include(inner, prefix="b")
    middle.handler("e")(place)
    outer.include(middle)
    outer.include(inner, prefix="x")
    service.include(outer)
    assert subjects(service) == ["a.b.c.d", "a.e", "a.x.c.d"]


def test_tokens_may_come_from_a_prefix() -> None:
    router, service = Router("users.{user}"), shop()

    @router.handler("get")
    async def get(
        tenant: Annotated[str, Token("tenant")], user: str, data: bytes, region: str
    ) -> str:
        return tenant + user

    service.include(router, prefix="{tenant}.{region}")
    (endpoint,) = service.contract.endpoints
    assert endpoint.subject == "*.*.users.*.get"
    assert endpoint.request_type is bytes
    with pytest.raises(ConfigError, match=r"'tenant'.*token 'tenant'"):
        shop().include(router)


def note(order: list[str], name: str) -> Callable[..., Any]:
    def dependency() -> None:
        order.append(name)

    return dependency


def around(order: list[str], name: str) -> Callable[[Context, Next[Context]], Awaitable[Any]]:
    async def middleware(context: Context, call_next: Next[Context]) -> Any:
        order.append(name)
        return await call_next(context)

    return middleware


async def test_the_order_of_middleware_and_dependencies() -> None:
    """Service, routers from the outside in, group, handler; middleware first."""
    order: list[str] = []
    service = shop(dependencies=[Depends(note(order, "service"))])
    outer = Router("a", dependencies=[Depends(note(order, "outer"))])
    inner = Router("b", dependencies=[Depends(note(order, "inner"))])
    inner.middleware(around(order, "<inner>"))

    @inner.handler("c", dependencies=[Depends(note(order, "handler"))])
    async def handler(own: Annotated[None, Depends(note(order, "own"))]) -> None:
        order.append("called")

    outer.include(inner)
    outer.middleware(around(order, "<outer>"))
    service.group("g", dependencies=[Depends(note(order, "group"))]).include(outer)
    service.middleware(around(order, "<service>"))

    @service.handler("other")
    async def other() -> None:
        order.append("other")

    async with service.test() as client:
        await client.call(handler)
        assert order == [
            *("<service>", "<outer>", "<inner>"),
            *("service", "group", "outer", "inner", "handler", "own"),
            "called",
        ]
        order.clear()
        await client.call(other)
    assert order == ["<service>", "service", "other"]


def test_errors_metadata_and_queue_groups_of_all_levels() -> None:
    outer = Router(
        errors=(OrderError, NotFoundError), metadata={"team": "a", "tier": "1"}, queue_group=None
    )
    inner, service = Router(errors=(NotFoundError,), metadata={"team": "b"}), shop()
    inner.handler("x", errors=(ForbiddenError,), metadata={"own": "c"})(place)
    inner.handler("y", queue_group="some")(place)
    outer.include(inner)
    service.include(outer)
    x, y = service.contract.endpoints
    assert x.errors == (OrderError, NotFoundError, ForbiddenError)
    assert y.errors == (OrderError, NotFoundError)
    assert dict(x.metadata) == {"team": "b", "tier": "1", "own": "c"}
    assert (x.queue_group, y.queue_group) == ("", "some")


async def test_what_is_included_while_serving_is_served_at_once() -> None:
    router, service = Router("orders"), shop()
    router.handler("place")(place)
    broker = Broker()
    async with service.test(broker=broker) as client:
        service.include(router)
        assert await client.call("orders.place", Order(sku="a"), str) == "a"


async def test_an_include_that_is_refused_adds_nothing() -> None:
    router, service = Router("orders"), shop()
    service.handler("orders.cancel")(cancel)
    router.handler("place")(place)
    router.handler("cancel")(cancel)
    async with service.test() as client:
        with pytest.raises(ConfigError, match=r"already serves 'orders.cancel'"):
            service.include(router)
        assert subjects(service) == ["orders.cancel"]
        with pytest.raises(natsrpc.NoRespondersError):
            await client.call("orders.place", Order(sku="a"), str)
        assert await client.call("orders.cancel", Order(sku="a"), str) == "a"


def test_a_conflict_names_both_functions_with_file_and_line() -> None:
    router, service = Router("orders"), shop()
    service.handler("orders.place")(place)
    router.handler("place")(cancel)
    with pytest.raises(ConfigError) as refused:
        service.include(router)
    for function in (place, cancel):
        line = inspect.getsourcelines(function)[1]
        assert f"{function.__name__!r} (" in str(refused.value)
        assert f"test_router.py:{line})" in str(refused.value)


def test_subscribers_of_a_router_are_served_once_however_it_is_prefixed() -> None:
    service, router = natsrpc.Service("bill", version="1.0.0"), natsrpc.Router("r")

    @router.subscriber("shop.placed")
    async def charge(order: int) -> None: ...

    service.include(router, prefix="v1")
    with pytest.raises(ConfigError, match="only some of the events; a prefix does not touch"):
        service.include(router, prefix="v2")


def test_a_warning_of_overlap_is_about_the_program_s_own_line() -> None:
    router, service = Router("orders"), shop()
    router.handler("*", name="any")(place)
    service.handler("orders.cancel")(cancel)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        service.include(router)
    (warning,) = caught
    assert warning.filename == __file__
    assert "'place' (" in str(warning.message)


# what is refused


def test_cycles_are_refused() -> None:
    first, second, third = Router("a"), Router("b"), Router("c")
    first.include(second)
    second_again = second
    with pytest.raises(ConfigError, match="includes that itself"):
        third.include(third)
    with pytest.raises(ConfigError, match="includes that itself"):
        second_again.include(first)


@pytest.mark.parametrize("late", ["handler", "middleware", "include", "register"])
def test_what_is_added_after_an_include_is_refused(late: str) -> None:
    """It would be served by nobody."""
    router, service = Router("orders"), shop()
    router.handler("place")(place)
    service.include(router)
    add: dict[str, Callable[[], object]] = {
        "handler": lambda: router.handler("cancel")(cancel),
        "middleware": lambda: router.middleware(around([], "x")),
        "include": lambda: router.include(Router()),
        "register": lambda: router.register(Desk()),
    }
    with pytest.raises(ConfigError, match=r"comes too late .*was included already .*test_router"):
        add[late]()


class Desk:
    async def ask(self, n: int) -> int:
        return n

    @natsrpc.endpoint("answer.{who}", errors=(NotFoundError,))
    async def answer(self, who: str, n: int) -> str:
        return f"{who} {n}"


async def test_objects_are_registered_with_a_router() -> None:
    router, service = Router("desk"), shop()
    router.register(Desk(), prefix="one")
    service.include(router, prefix="v1")
    (endpoint,) = service.contract.endpoints
    assert (endpoint.template, endpoint.name) == ("v1.desk.one.answer.{who}", "answer")
    assert endpoint.errors == (NotFoundError,)
    async with service.test() as client:
        assert await client.call(Desk.answer, 3, tokens={"who": "a"}) == "a 3"


def no_dependency() -> None: ...


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: Router(dependencies=[no_dependency]), r"write Depends\(no_dependency\)"),
        (lambda: Router(dependencies=Depends(no_dependency)), "expected a list"),
        (lambda: Router(dependencies=[Depends]), r"write Depends\(...\)|write Depends"),
        (lambda: Router(errors=(ValueError,)), "errors of router ''"),  # type: ignore[arg-type]  # is tested
        (lambda: Router(errors=OrderError), "errors of router"),  # type: ignore[arg-type]  # is tested
        (lambda: Router("a..b"), "a..b"),
        (lambda: Router("a.>"), "nothing can follow"),
        (lambda: Router(3), "prefix of a router is 3"),  # type: ignore[arg-type]  # is tested
        (lambda: Router(metadata={"a": 1}), "bad metadata"),  # type: ignore[dict-item]  # is tested
        (lambda: Router(queue_group="a b"), "a b"),
        (lambda: shop(dependencies=[no_dependency]), "dependencies of service 'shop'"),
        (lambda: shop().group("g", dependencies=[3]), "dependencies of group 'g' has 3"),
        (lambda: shop().include(shop()), "include takes a natsrpc.Router"),  # type: ignore[arg-type]  # is tested
        (lambda: Router().include("orders"), "include takes a natsrpc.Router"),  # type: ignore[arg-type]  # is tested
        (lambda: shop().include(Router(), prefix="a b"), "a b"),
        (lambda: Router().middleware(3), "middleware is 3"),  # type: ignore[type-var]  # is tested
    ],
)
def test_what_routers_refuse(make: Callable[[], object], words: str) -> None:
    with pytest.raises((ConfigError, LocalProtocolError), match=words):
        make()


async def body_in_dependency(n: int) -> int:
    return n


async def of_two(a: Order, b: Any) -> None: ...


async def unknown(a: Nope) -> None: ...  # type: ignore[name-defined]  # noqa: F821 — is tested


@pytest.mark.parametrize(
    ("subject", "function", "options"),
    [
        ("a b", place, {}),
        ("x", unknown, {}),
        ("x", 3, {}),
        ("x", place, {"timeout": -1}),
        ("x", place, {"max_concurrency": 0}),
        ("x", place, {"name": "a b"}),
        ("x", place, {"errors": (ValueError,)}),
        ("x", place, {"dependencies": [no_dependency]}),
        ("x", place, {"dependencies": [Depends(body_in_dependency)]}),
        ("x", place, {"metadata": {"_nats": "x"}}),
        ("x", place, {"timout": 3}),
    ],
)
@pytest.mark.parametrize("of", ["router", "service"])
def test_a_mistake_is_refused_where_it_is_written(
    of: str, subject: str, function: Any, options: Any
) -> None:
    handler: Any = Router().handler if of == "router" else shop().handler
    with pytest.raises((ConfigError, LocalProtocolError, TypeError)):
        handler(subject, **options)(function)


def test_brackets_are_missed() -> None:
    with pytest.raises(ConfigTypeError, match=r"write @router.handler\(\) with brackets"):
        Router().handler(place)  # type: ignore[arg-type]  # is tested


def test_options_of_routers_are_those_of_services() -> None:
    parameters = [*inspect.signature(Service.handler).parameters][2:]
    assert parameters == list(HandlerOptions.__annotations__)


# dependencies without a value


calls: list[str] = []


def authorize(token: Annotated[str | None, Header("Authorization")] = None) -> str:
    calls.append("authorize")
    if token is None:
        raise UnauthorizedError("no token")
    if token != "secret":
        raise ForbiddenError("wrong token")
    return token


@pytest.fixture
def guarded() -> Service:
    calls.clear()
    service = shop(dependencies=[Depends(authorize)])

    @service.handler("place")
    async def place(order: Order, token: Annotated[str, Depends(authorize)]) -> str:
        return f"{order.sku} {token}"

    @service.handler("plain")
    def plain(n: Annotated[int, Embed]) -> int:
        return n

    @service.handler("items")
    async def items(n: int) -> AsyncIterator[int]:
        for number in range(n):
            yield number

    return service


@pytest.mark.parametrize("subject", ["place", "plain"])
async def test_a_dependency_without_a_value_stops_a_call(guarded: Service, subject: str) -> None:
    async with guarded.test() as client:
        with pytest.raises(UnauthorizedError, match="no token") as refused:
            await client.call(subject, {"sku": "a", "n": 1})
        assert refused.value.code == 401
        with pytest.raises(ForbiddenError) as forbidden:
            await client.call(subject, {"sku": "a", "n": 1}, headers={"Authorization": "x"})
        assert forbidden.value.code == 403
        with pytest.raises(UnauthorizedError):
            [item async for item in client.stream("items", 3)]
        headers = {"Authorization": "secret"}
        assert [item async for item in client.stream("items", 3, int, headers=headers)] == [0, 1, 2]


async def test_who_may_not_call_learns_nothing_of_the_body(guarded: Service) -> None:
    """401 before 422, and before 400; also for what a parameter depends on."""
    guarded.handler("own")(own)
    async with guarded.test() as client:
        for subject in ("place", "plain", "own", "items"):
            with pytest.raises(UnauthorizedError):
                await client.call(subject, "of another type")
        answer = await client.connection.request("place", b"{no json")
        assert answer.headers["Nats-Service-Error-Code"] == "401"
        assert answer.headers["Nats-Service-Error"] == "no token"
        with pytest.raises(InvalidRequestError):
            await client.call("place", 3, headers={"Authorization": "secret"})


async def own(order: Order, token: Annotated[str, Depends(authorize)]) -> str:
    return token


async def test_it_runs_once_in_a_request_though_a_parameter_has_it_too(guarded: Service) -> None:
    async with guarded.test() as client:
        calls.clear()
        headers = {"Authorization": "secret"}
        assert await client.call("place", {"sku": "a"}, str, headers=headers) == "a secret"
    assert calls == ["authorize"]


async def test_it_can_be_overridden_and_live_as_long_as_the_app() -> None:
    made: list[str] = []

    async def pool() -> AsyncIterator[str]:
        made.append("made")
        yield "pool"
        made.append("ended")

    service = shop(dependencies=[Depends(authorize)])
    service.handler("x", dependencies=[Depends(pool, scope="app")])(place)
    with service.override(authorize, no_dependency):
        async with service.test() as client:
            for _ in range(2):
                assert await client.call("x", Order(sku="a"), str) == "a"
            assert made == ["made"]
    assert made == ["made", "ended"]


async def test_one_that_yields_ends_after_the_call() -> None:
    order: list[str] = []

    async def transaction() -> AsyncIterator[None]:
        order.append("begin")
        try:
            yield
        except ValueError:
            order.append("rolled back")
            raise
        order.append("committed")

    service = shop(dependencies=[Depends(transaction)])

    @service.handler("x")
    async def x(fails: bool) -> None:
        order.append("called")
        if fails:
            raise ValueError

    async with service.test() as client:
        await client.call(x, False)
        with pytest.raises(natsrpc.InternalError):
            await client.call(x, True)
    assert order == ["begin", "called", "committed", "begin", "called", "rolled back"]


async def test_what_is_added_while_serving_may_need_what_the_app_has() -> None:
    made: list[str] = []

    async def pool() -> str:
        made.append("made")
        return "pool"

    async def another() -> str:
        return "another"

    service = shop()
    service.handler("x", dependencies=[Depends(pool, scope="app")])(place)
    async with service.test() as client:
        service.handler("y", dependencies=[Depends(pool, scope="app")])(place)
        assert await client.call("y", Order(sku="a"), str) == "a"
        with pytest.raises(ConfigError, match=r"'another'.*add it before the service starts"):
            service.handler("z", dependencies=[Depends(another, scope="app")])(place)
        assert subjects(service) == ["x", "y"]
    assert made == ["made"]
