"""`Client`: by subject, by handler, by proxy; middleware; what is remembered of calls."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import date
from enum import StrEnum
from typing import Annotated, Any, Protocol

import pytest
from pydantic import BaseModel

from natsrpc import core
from natsrpc.core import Msg, Options
from natsrpc.errors import (
    BadRequestError,
    BadSubjectError,
    ConfigError,
    ConnectionClosedError,
    ContractError,
    DecodeError,
    EncodeError,
    NoRespondersError,
    RpcError,
    UnknownCodecError,
)
from natsrpc.rpc import Call, Client, Context, Event, Next, Service, Token, connect, endpoint
from natsrpc.testing import NatsServer
from tests.core.harness import eventually
from tests.rpc.paths import either_path

pytestmark = pytest.mark.live

path = either_path


class Question(BaseModel):
    topic: str


class Answer(BaseModel):
    text: str


class HelpDesk(Protocol):
    async def help(self, question: Question) -> Answer: ...

    async def add(self, a: int, b: int = 2) -> int: ...

    async def ping(self) -> None: ...


class Desk:
    async def help(self, question: Question) -> Answer:
        return Answer(text=f"I can help with {question.topic}")

    async def add(self, a: int, b: int = 2) -> int:
        return a + b

    async def ping(self) -> None: ...

    async def unlisted(self) -> None: ...


def desk_service(prefix: str) -> Service:
    service = Service("desk", version="1.0.0")
    service.register(Desk(), prefix=prefix, api=HelpDesk)
    return service


async def test_a_proxy_calls_what_its_protocol_names(client: Client, unique: str) -> None:
    desk = client.bind(HelpDesk, unique)
    async with client.serve(desk_service(unique)):
        assert await desk.help(Question(topic="x")) == Answer(text="I can help with x")
        assert await desk.help(question=Question(topic="y")) == Answer(text="I can help with y")
        assert await desk.add(1) == 3
        assert await desk.add(1, b=5) == 6
        assert await desk.ping() is None  # type: ignore[func-returns-value]  # as is tested
        with pytest.raises(TypeError):
            await desk.add()  # type: ignore[call-arg]  # the mistake
        with pytest.raises(TypeError):
            await desk.ping(1)  # type: ignore[call-arg]  # the mistake
    assert not hasattr(desk, "unlisted")
    assert repr(desk) == "<Proxy HelpDesk>"


async def test_a_proxy_of_the_serving_class_leaves_out_what_is_not_the_callers(
    client: Client, unique: str
) -> None:
    class Greeter:
        async def greet(self, name: str, context: Context) -> str:
            return f"hello {name} on {context.subject}"

    service = Service("greeter", version="1.0.0")
    service.register(Greeter(), prefix=unique)
    proxy: Any = client.bind(Greeter, unique)
    async with client.serve(service):
        assert await proxy.greet("ann") == f"hello ann on {unique}.greet"


class Region(StrEnum):
    eu = "eu-1"


class Ledger:
    @endpoint("ledger.{region}.{day}.{user}.add")
    async def add(
        self, region: Region, day: date, who: Annotated[bytes, Token("user")], amount: int
    ) -> str:
        return f"{region.value} {day} {who!r} {amount}"

    @endpoint("ledger.{user}.get")
    async def get(self, context: Context, *, user: int) -> str:
        return f"{user} {context.subject}"

    @endpoint("ledger.{user}.count")
    async def count(self, user: str, until: int = 2) -> AsyncIterator[str]:
        for number in range(until):
            yield f"{user} {number}"

    @endpoint("ledger.{user}.total")
    async def total(self, user: str, numbers: AsyncIterator[int]) -> str:
        return f"{user} {sum([number async for number in numbers])}"


async def one_to_three() -> AsyncIterator[int]:
    for number in (1, 2, 3):
        yield number


async def test_a_proxy_takes_the_tokens_of_the_subject(client: Client, unique: str) -> None:
    service = Service("ledger", version="1.0.0")
    service.register(Ledger(), prefix=unique)
    ledger: Any = client.bind(Ledger, unique)
    async with client.serve(service):
        day = date(2026, 11, 30)
        assert await ledger.add(Region.eu, day, b"ada", 5) == "eu-1 2026-11-30 b'ada' 5"
        assert await ledger.add("eu-1", day, amount=5, who=b"b") == "eu-1 2026-11-30 b'b' 5"
        assert await ledger.get(user=7) == f"7 {unique}.ledger.7.get"
        assert [item async for item in ledger.count("ada", 1)] == ["ada 0"]
        assert [item async for item in ledger.count(user="ada")] == ["ada 0", "ada 1"]
        assert await ledger.total("ada", one_to_three()) == "ada 6"
        for wrong in ("a.b", "", "*", "a b"):
            with pytest.raises(ConfigError, match="expected one token"):
                await ledger.total(wrong, one_to_three())
        with pytest.raises(TypeError, match="user"):
            ledger.count()


async def test_what_cannot_be_bound(client: Client) -> None:
    class Empty: ...

    class Static:
        @staticmethod
        async def ask() -> None: ...

    class Unannotated:
        async def ask(self, thing) -> None: ...  # type: ignore[no-untyped-def]  # the mistake

    for api, text in ((Empty, "no public"), (Static, "only plain"), (Unannotated, "'thing'")):
        with pytest.raises(ConfigError, match=text):
            client.bind(api)
    with pytest.raises(ConfigError, match="Protocol or a class"):
        client.bind(lambda: None)


async def test_a_request_of_the_wrong_shape_is_told_the_right_one(
    client: Client, unique: str
) -> None:
    service = Service("shapes", version="1.0.0")

    @service.handler(f"{unique}.ask")
    async def ask(question: Question) -> str:
        return question.topic

    @service.handler(f"{unique}.add")
    async def add(a: int, b: int = 2) -> int:
        return a + b

    wrong: list[tuple[Any, Any, str]] = [
        (ask, {"question": {"topic": "x"}}, "the value of 'question' would fit: pass it by itself"),
        (add, 1, "cannot encode int: expected a mapping of 'a', 'b'"),
        (add, {"a": 1, "bb": 5}, "there is no parameter 'bb': expected a mapping of 'a', 'b'"),
    ]
    async with client.serve(service):
        for handler, request, text in wrong:
            with pytest.raises(EncodeError, match=text):
                await client.call(handler, request)


async def test_targets_that_cannot_be_called(client: Client) -> None:
    async def stranger() -> None: ...

    with pytest.raises(ConfigError, match=r"'stranger' is not registered.*include"):
        await client.call(stranger)
    event: Any = Event("shop.placed", int)
    with pytest.raises(ConfigError, match=r"cannot call Event.*an event is published"):
        await client.call(event)
    with pytest.raises(ConfigError, match="expected a subject or a handler"):
        await client.call(5)  # type: ignore[call-overload]  # the mistake
    with pytest.raises(BadSubjectError):
        await client.call("a b")
    with pytest.raises(BadSubjectError):
        await client.call("a.*")
    with pytest.raises(UnknownCodecError):
        await client.call("a", codec="yaml")
    with pytest.raises(ConfigError, match="needs a value for token 'user'"):
        await client.call("orders.{user}.get")
    with pytest.raises(ConfigError, match="returns is 2: expected a type; several body parameters"):
        await client.call("add", 1, 2)  # type: ignore[call-overload]  # the mistake
    with pytest.raises(ConfigError, match="expected a tuple of RpcError classes, not <class"):
        await client.call("add", 1, errors=RpcError)  # type: ignore[call-overload]  # the mistake
    with pytest.raises(ConfigError, match="items are list: expected an async iterable"):
        await client.upload("mean", [1.0, 2.0])  # type: ignore[call-overload]  # the mistake
    with pytest.raises(ConfigError, match="items are list: expected an async iterable"):
        await anext(client.stream("each", items=[1]))  # type: ignore[call-overload]  # the mistake


async def test_a_request_without_the_body_it_needs_is_told_so(client: Client, unique: str) -> None:
    async with client.serve(desk_service(unique)):
        with pytest.raises(BadRequestError, match="it is empty, and Question is expected"):
            await client.call(f"{unique}.help")


async def test_a_handler_under_two_subjects_is_called_by_subject(
    client: Client, unique: str
) -> None:
    service = Service("twice", version="1.0.0")

    async def handle() -> str:
        return "here"

    service.handler(f"{unique}.a")(handle)
    service.handler(f"{unique}.b")(handle)
    with pytest.raises(ConfigError, match="call it by subject"):
        await client.call(handle)


@pytest.mark.parametrize(
    "tokens", [{}, {"user": "a.b"}, {"user": ""}, {"user": "a", "more": "b"}, {"user": "a b"}]
)
async def test_tokens_that_do_not_fit(client: Client, unique: str, tokens: dict[str, str]) -> None:
    service = Service("tokens", version="1.0.0")

    async def handle() -> str:
        return "here"

    service.handler(f"{unique}.{{user}}")(handle)
    with pytest.raises((ConfigError, BadSubjectError)):
        await client.call(handle, tokens=tokens)


async def test_a_response_of_another_type_is_a_contract_error(client: Client, unique: str) -> None:
    async def answer(msg: Msg) -> None:
        await msg.respond(b'{"text":5}')

    await client.connection.subscribe(unique, cb=answer)
    with pytest.raises(ContractError) as caught:
        await client.call(unique, returns=Answer)
    assert isinstance(caught.value, DecodeError)
    assert caught.value.subject == unique
    assert caught.value.errors[0]["path"] == "text"
    assert await client.call(unique) == {"text": 5}


async def test_a_response_says_which_codec_it_is_in(client: Client, unique: str) -> None:
    async def answer(msg: Msg) -> None:
        await msg.respond(b"\x05", {"Content-Type": "application/msgpack"})

    await client.connection.subscribe(unique, cb=answer)
    assert await client.call(unique, returns=int) == 5


async def test_a_request_that_cannot_be_written_is_not_sent(client: Client, unique: str) -> None:
    with pytest.raises(EncodeError):
        await client.call(unique, {"n": float("nan")})
    with pytest.raises(NoRespondersError):
        await client.call(unique, "x" * 2_000_000)
    assert not client.connection.link.requests.pending


async def test_unhashable_types_are_called_with_too(client: Client, unique: str) -> None:
    async def answer(msg: Msg) -> None:
        await msg.respond(b"5")

    await client.connection.subscribe(unique, cb=answer)
    for _ in range(2):
        assert await client.call(unique, returns=Annotated[int, ["unhashable"]]) == 5


async def test_publish_reaches_a_handler_without_waiting_for_it(
    client: Client, unique: str
) -> None:
    seen: list[tuple[Question, str | None]] = []
    service = Service("events", version="1.0.0")

    @service.handler(unique)
    async def note(question: Question, context: Context) -> None:
        seen.append((question, context.headers.get("X-Trace")))

    async with client.serve(service):
        await client.publish(unique, Question(topic="a"), headers={"X-Trace": "t"})
        await client.publish(unique, Question(topic="b"), codec="msgpack")
        await client.connection.flush()
        await eventually(lambda: len(seen) == 2)
    assert seen == [(Question(topic="a"), "t"), (Question(topic="b"), None)]


async def test_a_header_of_the_publisher_stands_in_place_of_ours(
    client: Client, unique: str
) -> None:
    subscription = await client.connection.subscribe(unique)
    await client.publish(unique, "a", headers={"content-type": "text/plain", "X-Trace": "t"})
    msg = await subscription.next_msg(5)
    assert msg.raw_headers == b"NATS/1.0\r\ncontent-type: text/plain\r\nX-Trace: t\r\n\r\n"


async def test_client_middleware_goes_around_calls_in_order(client: Client, unique: str) -> None:
    events: list[str] = []

    @client.middleware
    async def outer(call: Call, call_next: Next[Call]) -> Any:
        events.append(f"outer {call.request}")
        call.headers["X-User"] = "ann"
        result = await call_next(call)
        events.append(f"outer got {result}")
        return result

    @client.middleware
    async def inner(call: Call, call_next: Next[Call]) -> Any:
        call.request += 1
        return await call_next(call) * 10

    service = Service("middle", version="1.0.0")

    @service.handler(unique)
    async def handle(n: int, context: Context) -> int:
        events.append(f"handler {n} for {context.headers['X-User']}")
        return n

    async with client.serve(service):
        assert await client.call(handle, 1) == 20
    assert events == ["outer 1", "handler 2 for ann", "outer got 20"]


async def test_server_middleware_sees_results_and_errors(client: Client, unique: str) -> None:
    events: list[str] = []
    service = Service("guarded", version="1.0.0")

    @service.middleware
    async def timing(context: Context, call_next: Next[Context]) -> Any:
        try:
            result = await call_next(context)
        except RpcError as error:
            events.append(f"{context.endpoint.name} failed {error.code}")
            raise
        events.append(f"{context.endpoint.name} gave {result}")
        return result

    @service.middleware
    async def guard(context: Context, call_next: Next[Context]) -> Any:
        if context.headers.get("X-Key") != "secret":
            raise RpcError("who are you?", code=401)
        return await call_next(context)

    group = service.group(unique)

    @group.handler("double")
    async def double(n: int) -> int:
        return 2 * n

    async with client.serve(service):
        with pytest.raises(RpcError) as caught:
            await client.call(double, 4)
        assert caught.value.code == 401
        assert await client.call(double, 4, headers={"X-Key": "secret"}) == 8
        with pytest.raises(RpcError):
            await client.call(f"{unique}.double", "x", headers={"X-Key": "secret"})
    assert events == ["double failed 401", "double gave 8", "double failed 422"]


async def test_awaiting_and_entering_connect(nats_server: NatsServer) -> None:
    client = await connect(nats_server.url, codec="msgpack")
    assert client.codec.name == "msgpack"
    assert "msgpack" in repr(client)
    async with client:
        assert client.connection.is_connected
    assert client.connection.is_closed
    with pytest.raises(ConnectionClosedError):
        await client.call("x")
    with pytest.raises(ConnectionClosedError):
        await client.publish("x", 1)
    with pytest.raises(UnknownCodecError):
        connect(nats_server.url, codec="yaml")


@pytest.mark.parametrize("prefix", ["_NATSRPC", "a._NATSRPC.large"])
async def test_an_inbox_prefix_that_no_service_answers_to_is_refused(
    nats_server: NatsServer, prefix: str
) -> None:
    for options in ({"inbox_prefix": prefix}, {"options": Options(inbox_prefix=prefix)}):
        with pytest.raises(BadSubjectError, match="services answer to no such subject"):
            connect(nats_server.url, **options)
    async with core.connect(nats_server.url, inbox_prefix=prefix) as nc:
        with pytest.raises(BadSubjectError, match="services answer to no such subject"):
            Client(nc)


async def test_calls_on_a_connection_with_old_style_requests(
    nats_server: NatsServer, unique: str
) -> None:
    async with connect(nats_server.url, old_style_requests=True) as client:
        async with client.serve(desk_service(unique)):
            assert await client.call(f"{unique}.add", {"a": 1}, int) == 3
        assert not client.connection.link.requests.pending


async def test_gather_asks_every_instance(
    client: Client, other: Client, nats_server: NatsServer, unique: str
) -> None:
    def service(name: str) -> Service:
        made = Service("each", version="1.0.0", queue_group=None)

        async def who(short: bool) -> str:
            if name == "c":
                raise RpcError("no name", code=418)
            return name[:1] if short else name

        made.handler(unique)(who)
        return made

    async with (
        connect(nats_server.url) as third,
        client.serve(service("a")),
        other.serve(service("b")),
        third.serve(service("c")),
    ):
        found = await client.gather(unique, True, str, max_responses=3)
        values = sorted(each for each in found if isinstance(each, str))
        assert values == ["a", "b"]
        (error,) = (each for each in found if isinstance(each, RpcError))
        assert error.code == 418


async def test_a_value_no_codec_can_write_is_an_encode_error(client: Client) -> None:
    with pytest.raises(EncodeError, match="object"):
        await client.call("anything", object())


async def test_streams_and_calls_are_not_mixed_up(client: Client, unique: str) -> None:
    service = Service("kinds", version="1.0.0")

    async def count() -> AsyncIterator[int]:
        yield 1

    async def one() -> int:
        return 1

    service.handler(f"{unique}.count")(count)
    service.handler(f"{unique}.one")(one)
    async with client.serve(service):
        for _ in range(2):
            assert [n async for n in client.stream(count)] == [1]
            assert await client.call(one) == 1
            with pytest.raises(ConfigError, match="stream"):
                await client.call(count)  # type: ignore[misc]  # the mistake
            with pytest.raises(ConfigError, match="call"):
                await anext(client.stream(one))  # type: ignore[arg-type]  # the mistake
        # by subject nobody can know: what a plain endpoint answers is the only item
        assert [n async for n in client.stream(f"{unique}.one", returns=int)] == [1]


class TwinError(RpcError, code=409, name="Twin"):
    sku: str


class OtherTwinError(RpcError, code=409, name="Twin"):
    sku: str


async def test_a_caller_may_name_the_error_classes_it_means(client: Client, unique: str) -> None:
    """Two services' classes share a name here; by subject nothing else tells them apart."""

    class Shop(Protocol):
        async def buy(self, sku: str) -> None: ...

    service = Service("twins", version="1.0.0")
    group = service.group(unique)

    @group.handler("buy")
    async def buy(sku: str) -> None:
        raise TwinError(sku=sku)

    @group.handler("watch")
    async def watch(sku: str) -> AsyncIterator[int]:
        yield 1
        raise TwinError(sku=sku)

    subject = f"{unique}.buy"
    async with client.serve(service):
        for _ in range(2):
            for wanted in (TwinError, OtherTwinError):
                with pytest.raises(wanted) as caught:
                    await client.call(subject, "A-7", errors=(wanted,))
                assert type(caught.value) is wanted
                assert caught.value.details == {"sku": "A-7"}
                with pytest.raises(wanted):
                    await client.bind(Shop, unique, errors=(wanted,)).buy("A-8")
                with pytest.raises(wanted):
                    async for _item in client.stream(
                        f"{unique}.watch", "A-9", returns=int, errors=(wanted,)
                    ):
                        pass
        with pytest.raises(ConfigError, match="not an RpcError class"):
            await client.call(subject, "A-7", errors=(ValueError,))  # type: ignore[arg-type]  # refused
