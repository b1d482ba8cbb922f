"""What a handler's signature names is what the handler gets, over a real server."""

from __future__ import annotations

import dataclasses
import enum
import json
import uuid
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Annotated, Any, Literal, TypedDict

import pytest
from pydantic import BaseModel

from natsrpc import Client, Context, Depends, Embed, Header, Service, Token
from natsrpc.core import Msg
from natsrpc.errors import ConfigError, InvalidRequestError

pytestmark = pytest.mark.live


class Item(BaseModel):
    sku: str
    price: Decimal = Decimal("0")


@dataclasses.dataclass
class Point:
    x: int
    y: int


class Named(TypedDict):
    name: str


class Color(enum.Enum):
    RED = "red"


NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
ID = uuid.UUID(int=7)


@pytest.mark.parametrize(
    ("type_", "value"),
    [
        (Item, Item(sku="a", price=Decimal("1.10"))),
        (Point, Point(1, 2)),
        (Named, {"name": "x"}),
        (int | str, "five"),
        (Item | None, None),
        (Item | None, Item(sku="b")),
        (Literal["a", "b"], "b"),
        (Color, Color.RED),
        (datetime, NOW),
        (uuid.UUID, ID),
        (Decimal, Decimal("1.50")),
        (bytes, b"\x00\xff"),
        (str, "text"),
        (int, 5),
        (float, 1.5),
        (bool, True),
        (list[Item], [Item(sku="a"), Item(sku="b")]),
        (dict[str, list[int]], {"a": [1]}),
        (Any, {"free": [1, None]}),
    ],
)
@pytest.mark.parametrize("codec", ["json", "msgpack"])
async def test_types_arrive_and_return(
    client: Client, unique: str, type_: Any, value: Any, codec: str
) -> None:
    service = Service("types", version="1.0.0")
    seen: list[Any] = []

    async def echo(item: Any) -> Any:
        seen.append(item)
        return item

    echo.__annotations__ = {"item": type_, "return": type_}
    service.handler(unique)(echo)
    async with client.serve(service):
        assert await client.call(echo, value, codec=codec) == value
    assert seen == [value]
    assert type(seen[0]) is type(value)


async def test_several_parameters_are_fields_by_name(client: Client, unique: str) -> None:
    service = Service("fields", version="1.0.0")

    @service.handler(unique)
    async def add(a: int, b: int = 2) -> int:
        return a + b

    async with client.serve(service):
        assert await client.call(add, {"a": 1}) == 3
        reply = await client.connection.request(unique, b'{"a":1,"b":5}')
        assert reply.data == b"6"
        with pytest.raises(InvalidRequestError) as caught:
            await client.call(unique, {"b": 1})
    assert caught.value.details[0]["path"] == "a"


async def test_embed_makes_a_single_parameter_a_field(client: Client, unique: str) -> None:
    service = Service("embed", version="1.0.0")

    @service.handler(unique)
    async def greet(name: Annotated[str, Embed]) -> str:
        return f"hello {name}"

    async with client.serve(service):
        assert await client.call(unique, {"name": "x"}) == "hello x"


async def test_an_absent_body_takes_the_default(client: Client, unique: str) -> None:
    service = Service("default", version="1.0.0")

    @service.handler(unique)
    async def page(number: int = 1) -> int:
        return number

    async with client.serve(service):
        assert await client.call(unique) == 1
        assert await client.call(unique, 4) == 4


async def test_message_context_headers_and_tokens(client: Client, unique: str) -> None:
    service = Service("sources", version="1.0.0")
    group = service.group(unique)

    @group.handler("orders.{user}.{number}")
    async def order(
        item: Item,
        msg: Msg,
        context: Context,
        user: str = Token(),
        number: int = Token("number"),
        tenant: str = Header("X-Tenant"),
        limit: int = Header("X-Limit", 10),
        trace: str | None = Header("X-Trace"),
    ) -> list[Any]:
        assert context.msg is msg
        return [item.sku, msg.subject, user, number, tenant, limit, trace, context.service.name]

    async with client.serve(service):
        subject = f"{unique}.orders.ann.7"
        headers = {"X-Tenant": "acme", "X-Limit": "3"}
        got = await client.call(subject, Item(sku="a"), headers=headers)
        assert got == ["a", subject, "ann", 7, "acme", 3, None, "sources"]
        tokens = {"user": "bob", "number": "8"}
        got = await client.call(order, Item(sku="a"), tokens=tokens, headers={"x-tenant": "t"})
        assert got[2:6] == ["bob", 8, "t", 10]
        with pytest.raises(InvalidRequestError) as caught:
            await client.call(subject, Item(sku="a"))
        assert caught.value.details == [{"path": "header.X-Tenant", "reason": "is required"}]
        with pytest.raises(InvalidRequestError) as caught:
            await client.call(f"{unique}.orders.ann.seven", Item(sku="a"), headers=headers)
        assert caught.value.details[0]["path"] == "token.number"


async def test_dependencies_are_shared_cleaned_up_and_blind_to_the_body(
    client: Client, unique: str
) -> None:
    events: list[str] = []

    async def session(context: Context) -> AsyncIterator[str]:
        events.append("open")
        try:
            yield f"session of {context.subject}"
        finally:
            events.append("close")

    def user(session: str = Depends(session), retries: int = 3) -> Iterator[str]:
        yield f"user in {session}, {retries}"
        events.append("user done")

    async def clock() -> int:
        return 12

    service = Service("depends", version="1.0.0")

    @service.handler(unique)
    async def handle(
        retries: int,
        user: Annotated[str, Depends(user)],
        session: Annotated[str, Depends(session)],
        now: int = Depends(clock),
    ) -> list[Any]:
        events.append("handler")
        return [retries, user, session, now]

    async with client.serve(service):
        got = await client.call(unique, 9)
    name = f"session of {unique}"
    assert got == [9, f"user in {name}, 3", name, 12]
    assert events == ["open", "handler", "user done", "close"]


async def test_a_dependency_sees_the_handlers_failure(client: Client, unique: str) -> None:
    seen: list[BaseException] = []

    async def transaction() -> AsyncIterator[None]:
        try:
            yield
        except ValueError as error:
            seen.append(error)
            raise

    service = Service("rollback", version="1.0.0")

    @service.handler(unique)
    async def handle(_: None = Depends(transaction)) -> None:
        raise ValueError("secret")

    async with client.serve(service):
        with pytest.raises(Exception, match="internal error") as caught:
            await client.call(unique)
    assert "secret" not in str(caught.value)
    assert len(seen) == 1


async def test_app_scoped_dependencies_live_as_long_as_the_service(
    client: Client, unique: str
) -> None:
    events: list[str] = []

    async def pool() -> AsyncIterator[list[int]]:
        events.append("open")
        yield [0]
        events.append("close")

    def counter(pool: list[int] = Depends(pool, scope="app")) -> int:
        pool[0] += 1
        return pool[0]

    service = Service("app", version="1.0.0")

    @service.handler(unique)
    async def count(n: int = Depends(counter)) -> int:
        return n

    async with client.serve(service):
        assert events == ["open"]
        assert [await client.call(count) for _ in range(3)] == [1, 2, 3]
        assert events == ["open"]
    assert events == ["open", "close"]


async def test_overriding_a_dependency_in_one_service(client: Client, unique: str) -> None:
    def real() -> str:
        return "real"

    def fake() -> str:
        return "fake"

    service = Service("override", version="1.0.0")

    @service.handler(unique)
    async def which(value: str = Depends(real)) -> str:
        return value

    async with client.serve(service):
        with service.override(real, fake):
            assert await client.call(which) == "fake"
        assert await client.call(which) == "real"


async def test_what_stands_in_for_a_dependency_reads_what_it_read(
    client: Client, unique: str
) -> None:
    def user_of(user: Annotated[str, Token("user")]) -> str:
        return user

    def greeted(real: Annotated[str, Depends(user_of)]) -> str:
        return f"hello {real}"

    def fake(user: Annotated[str, Token("user")], tone: Annotated[str, Header("Tone")]) -> str:
        return f"{tone} {user}"

    service = Service("stand-in", version="1.0.0")

    @service.handler(f"{unique}.{{user}}.first", name="first")
    async def first(greeting: Annotated[str, Depends(greeted)]) -> str:
        return greeting

    @service.handler(f"{unique}.the.second.{{user}}", name="second")
    async def second(greeting: Annotated[str, Depends(greeted)]) -> str:
        return greeting

    async with client.serve(service):
        with service.override(user_of, fake):
            handlers: list[Any] = [first, second]
            for handler in handlers:
                found = await client.call(handler, tokens={"user": "ann"}, headers={"Tone": "dear"})
                assert found == "hello dear ann"


def test_what_cannot_stand_in_for_a_dependency_is_refused_at_once() -> None:
    def real() -> str:
        return "real"

    def needs_body(number: int) -> str:
        return str(number)

    service = Service("stand-in", version="1.0.0")

    @service.handler("which")
    async def which(value: str = Depends(lambda real=Depends(real): real)) -> str:
        return value

    wrong: list[tuple[Any, str]] = [(needs_body, "'number' of dependency"), (5, "callable, not 5")]
    for replacement, text in wrong:
        with pytest.raises(ConfigError, match=text), service.override(real, replacement):
            pass
    assert service.definition.overrides == {}


async def test_objects_methods_are_served_under_their_names(client: Client, unique: str) -> None:
    class Desk:
        def __init__(self, name: str) -> None:
            self.name = name

        async def ask(self, topic: str) -> str:
            return f"{self.name}: {topic}"

        def _private(self) -> None: ...

    service = Service("desk", version="1.0.0")
    desk = Desk("front")
    service.register(desk, prefix=unique)
    async with client.serve(service):
        assert await client.call(desk.ask, "nats") == "front: nats"
        assert await client.call(f"{unique}.ask", "nats") == "front: nats"
    assert [endpoint.name for endpoint in service.contract.endpoints] == ["ask"]


async def test_plain_handlers_run_in_threads_with_their_context(
    client: Client, unique: str
) -> None:
    import threading  # noqa: PLC0415 — only this test looks at threads

    service = Service("threads", version="1.0.0")

    @service.handler(unique)
    def where(n: int) -> list[Any]:
        return [n, threading.current_thread().name.startswith("natsrpc-handler")]

    async with client.serve(service):
        assert await client.call(where, 3) == [3, True]


async def test_reply_headers_are_the_handlers_own(client: Client, unique: str) -> None:
    service = Service("reply-headers", version="1.0.0")

    @service.handler(unique)
    async def handle(context: Context) -> str:
        context.reply_headers["X-Cache"] = "hit"
        return "body"

    async with client.serve(service):
        reply = await client.connection.request(unique, headers={"Authorization": "secret"})
    assert dict(reply.headers.items()) == {"X-Cache": "hit"}
    assert json.loads(reply.data) == "body"


async def test_what_a_request_carried_is_not_sent_back(client: Client, unique: str) -> None:
    service = Service("no-echo", version="1.0.0")
    group = service.group(unique)

    @group.handler("direct")
    async def direct(n: int) -> int:
        return n

    @group.handler("general")
    async def general(n: int, context: Context) -> int:
        return n

    @group.handler("failing")
    async def failing(n: int) -> int:
        raise ValueError

    async with client.serve(service):
        for name in ("direct", "general", "failing"):
            reply = await client.connection.request(
                f"{unique}.{name}", b"1", headers={"Authorization": "secret", "traceparent": "00"}
            )
            assert b"secret" not in reply.raw_headers + reply.data
            assert b"traceparent" not in reply.raw_headers


def test_a_handler_is_still_an_ordinary_function() -> None:
    service = Service("ordinary", version="1.0.0")

    def double(n: int) -> int:
        return 2 * n

    assert service.handler("double")(double) is double
    assert double(2) == 4
