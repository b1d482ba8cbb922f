"""A connection seen through a codec: both ways, with a stranger at the other end."""

from __future__ import annotations

import asyncio
import functools
import json
import sys
from collections.abc import AsyncIterator
from typing import Annotated, Any, Optional

import nats
import pytest
from pydantic import BaseModel

from natsrpc import codecs
from natsrpc.core import Connection, Headers, Msg, connect
from natsrpc.errors import (
    BadSubjectError,
    ConfigTypeError,
    ConnectionClosedError,
    DecodeError,
    EncodeError,
    NatsTimeoutError,
    NoRespondersError,
    RpcError,
    UnknownCodecError,
)
from natsrpc.rpc.encoded import Encoded
from natsrpc.rpc.signature.markers import Header
from natsrpc.testing import NatsServer
from tests.core.harness import eventually

pytestmark = pytest.mark.live


class Person(BaseModel):
    name: str
    age: int = 0


class Told:
    """What `on_error` was told."""

    def __init__(self) -> None:
        self.errors: asyncio.Queue[tuple[Any, Exception]] = asyncio.Queue()

    def __call__(self, connection: Connection, sub: Any, error: Exception) -> None:
        self.errors.put_nowait((sub, error))

    async def next(self) -> tuple[Any, Exception]:
        return await asyncio.wait_for(self.errors.get(), 2)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def connection(nats_server: NatsServer, told: Told) -> AsyncIterator[Connection]:
    async with connect(nats_server.url, on_error=told) as connection:
        yield connection


@pytest.fixture
def encoded(connection: Connection) -> Encoded:
    return Encoded(connection, "json")


@pytest.fixture
def subject(connection: Connection) -> str:
    return connection.new_inbox().replace("_INBOX", "encoded")


@pytest.fixture
async def stranger(nats_server: NatsServer) -> AsyncIterator[Any]:
    client = await nats.connect(nats_server.url)
    yield client
    await client.close()


async def settle(stranger: Any) -> None:
    """Wait until its SUB is known: nats-py's PING may overtake it, a second PING may not."""
    await stranger.flush()
    await stranger.flush()


async def got(queue: asyncio.Queue[Any]) -> Any:
    return await asyncio.wait_for(queue.get(), 2)


# --- the handle itself


@pytest.mark.parity("Y1")
async def test_what_is_not_a_connection_or_codec_is_refused(connection: Connection) -> None:
    wrong: Any = None
    with pytest.raises(ConfigTypeError, match="expected a Connection"):
        Encoded(wrong, "json")
    with pytest.raises(UnknownCodecError):
        Encoded(connection, "foo22")
    with pytest.raises(ConfigTypeError):
        Encoded(connection, wrong)
    await connection.close()
    with pytest.raises(ConnectionClosedError):
        Encoded(connection, "json")


@pytest.mark.parity("Y1")
async def test_several_share_a_connection(connection: Connection, subject: str) -> None:
    json_, text = Encoded(connection), Encoded(connection, codecs.get("text"))
    values: asyncio.Queue[Any] = asyncio.Queue()

    async def handler(value: int) -> None:
        values.put_nowait(value)

    await text.subscribe(subject, handler)
    await json_.publish(subject, 5)
    await text.publish(subject, 6)
    assert [await got(values), await got(values)] == [5, 6]
    assert (json_.connection, json_.codec.name) == (connection, "json")


@pytest.mark.parity("Y6")
async def test_flush_drain_and_close_are_the_connection_s(nats_server: NatsServer) -> None:
    connection = await connect(nats_server.url)
    encoded = Encoded(connection)
    await encoded.flush()
    await encoded.drain()
    assert connection.is_closed
    connection = await connect(nats_server.url)
    encoded = Encoded(connection)
    await encoded.close()
    assert connection.is_closed
    assert encoded.last_error is connection.last_error
    with pytest.raises(ConnectionClosedError):
        await encoded.publish("foo", 1)


# --- publishing and requests


@pytest.mark.parametrize(
    ("codec", "value", "data"),
    [
        ("json", Person(name="ann"), b'{"name":"ann","age":0}'),
        ("json", {"a": 1}, b'{"a":1}'),
        ("json", "text", b'"text"'),
        ("json", None, b"null"),
        ("json", b"raw", b"raw"),
        ("text", "text", b"text"),
        ("text", 22.0, b"22"),
        ("text", None, b""),
        ("msgpack", [1, "x"], b"\x92\x01\xa1x"),
        ("raw", b"raw", b"raw"),
    ],
)
@pytest.mark.parity("Y2")
async def test_a_stranger_gets_the_bare_value(
    connection: Connection, stranger: Any, subject: str, codec: str, value: Any, data: bytes
) -> None:
    sub = await stranger.subscribe(subject)
    await settle(stranger)
    await Encoded(connection, codec).publish(subject, value, reply="answer", headers={"X": "y"})
    msg = await sub.next_msg(2)
    assert (msg.data, msg.reply, msg.headers) == (data, "answer", {"X": "y"})


@pytest.mark.parity("Y2")
async def test_a_value_that_cannot_be_encoded_is_refused_and_the_next_is_sent(
    encoded: Encoded, stranger: Any, subject: str
) -> None:
    sub = await stranger.subscribe(subject)
    await settle(stranger)
    for bad in (float("nan"), object()):
        with pytest.raises(EncodeError):
            await encoded.publish(subject, bad)
        with pytest.raises(EncodeError):
            await encoded.request(subject, bad, int)
    assert encoded.last_error is None
    await encoded.publish(subject, 1)
    assert (await sub.next_msg(2)).data == b"1"


@pytest.mark.parity("Y3", "X5")
async def test_a_request_is_typed(encoded: Encoded, stranger: Any, subject: str) -> None:
    async def answer(msg: Any) -> None:
        name = json.loads(msg.data)["name"]
        await msg.respond(json.dumps({"name": name.upper(), "unknown": 1}).encode())

    await stranger.subscribe(subject, cb=answer)
    await settle(stranger)
    person = await encoded.request(subject, Person(name="ann"), Person)
    assert person == Person(name="ANN")
    assert await encoded.request(subject, {"name": "bo"}) == {"name": "BO", "unknown": 1}
    raw = await encoded.request(subject, {"name": "bo"}, Msg)
    assert isinstance(raw, Msg)
    assert raw.data == b'{"name": "BO", "unknown": 1}'
    with pytest.raises(DecodeError):
        await encoded.request(subject, {"name": "bo"}, int)


@pytest.mark.parity("X5")
async def test_a_request_fails_as_the_connection_s_does(encoded: Encoded, subject: str) -> None:
    with pytest.raises(NoRespondersError):
        await encoded.request(subject, 1, int)
    await encoded.subscribe(subject, lambda msg: None)
    with pytest.raises(NatsTimeoutError):
        await encoded.request(subject, 1, int, timeout=0.05)


async def test_a_service_s_error_is_raised(encoded: Encoded, stranger: Any, subject: str) -> None:
    async def answer(msg: Any) -> None:
        headers = {"Nats-Service-Error": "sold out", "Nats-Service-Error-Code": "409"}
        await stranger.publish(msg.reply, b"", headers=headers)

    await stranger.subscribe(subject, cb=answer)
    await settle(stranger)
    with pytest.raises(RpcError, match="sold out") as caught:
        await encoded.request(subject, 1, int)
    assert caught.value.code == 409
    assert isinstance(await encoded.request(subject, 1, Msg), Msg)


# --- handlers


class Calls:
    """Handlers of every accepted form; each notes what it was called with."""

    def __init__(self) -> None:
        self.queue: asyncio.Queue[Any] = asyncio.Queue()

    async def value(self, person: Person) -> None:
        self.queue.put_nowait(person)

    async def with_subject(self, where: str, person: Person) -> None:
        self.queue.put_nowait((where, person))

    async def with_reply(self, where: str, answer_to: str, person: Person) -> None:
        self.queue.put_nowait((where, answer_to, person))

    async def message(self, m: Msg) -> None:
        self.queue.put_nowait((m.subject, m.data))

    async def message_and_subject(self, s: str, m: Msg) -> None:
        self.queue.put_nowait((s, m.data))

    async def message_subject_reply(self, s: str, r: str, m: Msg) -> None:
        self.queue.put_nowait((s, r, m.data))

    async def message_first(self, m: Msg, person: Person) -> None:
        self.queue.put_nowait((m.data, person))

    async def named(self, headers: Headers, person: Person, reply: str, subject: str) -> None:
        self.queue.put_nowait((headers["X"], person, reply, subject))

    async def named_unannotated(self, msg, person, headers):  # type: ignore[no-untyped-def]  # on purpose
        self.queue.put_nowait((person, headers["X"], msg.data))

    async def untyped(self, value):  # type: ignore[no-untyped-def]  # on purpose
        self.queue.put_nowait(value)

    async def anything(self, value: Any) -> None:
        self.queue.put_nowait(value)

    async def optional(self, person: Optional[Person]) -> None:  # noqa: UP045 - the old spelling
        self.queue.put_nowait(person)

    async def annotated(self, person: Annotated[Person, "a note"]) -> None:
        self.queue.put_nowait(person)

    async def text(self, person: "Person") -> None:  # noqa: UP037 - a string annotation
        self.queue.put_nowait(person)

    async def positional(self, where: str, person: Person, /) -> None:
        self.queue.put_nowait((where, person))

    async def with_default(self, person: Person, times: int = 3) -> None:
        self.queue.put_nowait((person, times))

    async def keyword_only(self, person: Person, *, subject: str) -> None:
        self.queue.put_nowait((person, subject))

    def plain(self, person: Person) -> str:
        self.queue.put_nowait(person)
        return "ignored"

    async def returns(self, person: Person) -> str:
        self.queue.put_nowait(person)
        return "ignored"

    async def raw(self, data: bytes) -> None:
        self.queue.put_nowait(data)

    async def ignores(self, nothing: None) -> None:
        self.queue.put_nowait(nothing)


ANN = Person(name="ann", age=3)
DATA = b'{"name":"ann","age":3}'


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("value", ANN),
        ("with_subject", ("S", ANN)),
        ("with_reply", ("S", "R", ANN)),
        ("message", ("S", DATA)),
        ("message_and_subject", ("S", DATA)),
        ("message_subject_reply", ("S", "R", DATA)),
        ("message_first", (DATA, ANN)),
        ("named", ("y", ANN, "R", "S")),
        ("named_unannotated", ({"name": "ann", "age": 3}, "y", DATA)),
        ("untyped", {"name": "ann", "age": 3}),
        ("anything", {"name": "ann", "age": 3}),
        ("optional", ANN),
        ("annotated", ANN),
        ("text", ANN),
        ("positional", ("S", ANN)),
        ("with_default", (ANN, 3)),
        ("keyword_only", (ANN, "S")),
        ("plain", ANN),
        ("returns", ANN),
        ("raw", DATA),
        ("ignores", None),
    ],
)
@pytest.mark.parity("Z1", "Z2", "Z3", "Z4", "Z5", "Z7", "Y4")
async def test_a_handler_gets_what_its_signature_says(
    encoded: Encoded, stranger: Any, subject: str, name: str, expected: Any
) -> None:
    calls = Calls()
    sub = await encoded.subscribe(subject, getattr(calls, name))
    await encoded.flush()
    await stranger.publish(subject, DATA, reply="R", headers={"X": "y"})
    found = await got(calls.queue)
    if isinstance(expected, tuple):
        expected = tuple(subject if item == "S" else item for item in expected)
    assert found == expected
    assert sub.delivered == 1


@pytest.mark.parity("Z5")
async def test_other_callables_are_handlers_too(encoded: Encoded, subject: str) -> None:
    values: list[Any] = []
    done: asyncio.Queue[Any] = asyncio.Queue()

    async def three(tag: str, subject: str, number: int) -> None:
        values.append((tag, number))

    class Callable_:  # noqa: N801 - named after what it is
        async def __call__(self, number: int) -> None:
            values.append(("object", number))

    await encoded.subscribe(subject, functools.partial(three, "partial"))
    await encoded.subscribe(subject, functools.partial(three, tag="keyword"))
    await encoded.subscribe(subject, Callable_())
    await encoded.subscribe(subject, lambda number: values.append(("lambda", number)))
    await encoded.subscribe(subject, done.put_nowait)
    await encoded.publish(subject, 5)
    assert await got(done) == 5
    await asyncio.sleep(0)
    assert sorted(tag for tag, _ in values) == ["keyword", "lambda", "object", "partial"]


@pytest.mark.parity("Z2")
async def test_each_message_is_a_new_object(encoded: Encoded, subject: str) -> None:
    calls = Calls()
    await encoded.subscribe(subject, calls.value)
    await encoded.publish(subject, ANN)
    await encoded.publish(subject, ANN)
    first, second = await got(calls.queue), await got(calls.queue)
    assert first == second
    assert first is not second


@pytest.mark.parity("Z4")
async def test_a_reply_is_empty_if_there_is_none(encoded: Encoded, subject: str) -> None:
    calls = Calls()
    await encoded.subscribe(subject, calls.with_reply)
    await encoded.publish(subject, ANN)
    assert await got(calls.queue) == (subject, "", ANN)


@pytest.mark.parity("Z8")
@pytest.mark.parametrize("name", ["plain", "returns"])
async def test_what_a_handler_returns_is_ignored(encoded: Encoded, subject: str, name: str) -> None:
    calls = Calls()
    await encoded.subscribe(subject, getattr(calls, name))
    answers = await encoded.connection.subscribe(f"{subject}.answer")
    await encoded.publish(subject, ANN, reply=f"{subject}.answer")
    assert await got(calls.queue) == ANN
    await encoded.flush()
    assert answers.pending_msgs == 0


@pytest.mark.parity("Y4")
async def test_a_queue_group_shares_the_messages(encoded: Encoded, subject: str) -> None:
    calls = Calls()
    for _ in range(3):
        await encoded.subscribe(subject, calls.value, "workers")
    for _ in range(9):
        await encoded.publish(subject, ANN)
    await encoded.flush()
    for _ in range(9):
        await got(calls.queue)
    assert calls.queue.empty()


async def test_max_msgs_ends_the_subscription(encoded: Encoded, subject: str) -> None:
    calls = Calls()
    sub = await encoded.subscribe(subject, calls.value, max_msgs=1)
    await encoded.publish(subject, ANN)
    await got(calls.queue)
    assert not sub.is_valid


def takes_nothing() -> None: ...
def takes_four(a: str, b: str, c: str, d: Person) -> None: ...
def takes_wrong_subject(where: int, person: Person) -> None: ...
def takes_wrong_reply(where: str, answer_to: int, person: Person) -> None: ...
def takes_all(*args: Any) -> None: ...
def takes_keywords(**kwargs: Any) -> None: ...
def takes_two_messages(a: Msg, b: Msg) -> None: ...
def takes_header(value: int, trace: str = Header("X")) -> None: ...
def takes_unknown(value: "Nowhere") -> None: ...  # type: ignore[name-defined]  # noqa: F821, UP037 - unknown


@pytest.mark.parametrize(
    "handler",
    [
        None,
        5,
        takes_nothing,
        takes_four,
        takes_wrong_subject,
        takes_wrong_reply,
        takes_all,
        takes_keywords,
        takes_two_messages,
        takes_header,
        takes_unknown,
    ],
)
@pytest.mark.parity("Z6", "Y4")
async def test_a_bad_handler_is_refused_before_anything_is_sent(
    encoded: Encoded, subject: str, handler: Any
) -> None:
    with pytest.raises(TypeError) as caught:
        await encoded.subscribe(subject, handler)
    assert isinstance(caught.value, ConfigTypeError)
    assert encoded.connection.subscriptions == []
    with pytest.raises(NoRespondersError):
        await encoded.request(subject, 1, int)


@pytest.mark.parity("Y5")
async def test_a_payload_that_does_not_decode_is_told_and_the_next_is_handled(
    encoded: Encoded, stranger: Any, subject: str, told: Told
) -> None:
    calls = Calls()
    for handler in (calls.value, calls.plain):
        sub = await encoded.subscribe(subject, handler)
        await encoded.flush()
        await stranger.publish(subject, b"{")
        await stranger.publish(subject, b'{"age":1}')
        await stranger.publish(subject, DATA)
        assert await got(calls.queue) == ANN
        for malformed in (True, False):
            where, error = await told.next()
            assert where is sub
            assert isinstance(error, DecodeError)
            assert error.malformed is malformed
        assert encoded.last_error is None
        await sub.unsubscribe()


async def test_a_handler_that_raises_is_told(encoded: Encoded, subject: str, told: Told) -> None:
    async def fails(value: int) -> None:
        raise KeyError(value)

    sub = await encoded.subscribe(subject, fails)
    await encoded.publish(subject, 1)
    where, error = await told.next()
    assert (where, type(error)) == (sub, KeyError)


async def test_a_plain_function_that_gives_a_coroutine_is_told(
    encoded: Encoded, subject: str, told: Told
) -> None:
    async def inner(value: int) -> None: ...

    await encoded.subscribe(subject, lambda value: inner(value))
    await encoded.publish(subject, 1)
    assert isinstance((await told.next())[1], ConfigTypeError)


# --- queues


@pytest.mark.parity("W1")
async def test_values_put_into_a_queue_are_published(
    encoded: Encoded, stranger: Any, subject: str
) -> None:
    sub = await stranger.subscribe(subject)
    await settle(stranger)
    queue: asyncio.Queue[Any] = asyncio.Queue(2)
    task = encoded.bind_send_queue(subject, queue)
    for number in range(5):
        await queue.put(Person(name="ann", age=number))
    await queue.put(Encoded.END)
    await asyncio.wait_for(task, 2)
    await asyncio.wait_for(queue.join(), 2)
    ages = [json.loads((await sub.next_msg(2)).data)["age"] for _ in range(5)]
    assert ages == [0, 1, 2, 3, 4]


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queues can be shut down from 3.13 on")
@pytest.mark.parity("W1")
async def test_a_send_queue_that_is_shut_down_ends_after_what_is_in_it(
    encoded: Encoded, stranger: Any, subject: str
) -> None:
    sub = await stranger.subscribe(subject)
    await settle(stranger)
    queue: Any = asyncio.Queue()
    queue.put_nowait(1)
    queue.shutdown()
    await asyncio.wait_for(encoded.bind_send_queue(subject, queue), 2)
    assert (await sub.next_msg(2)).data == b"1"


@pytest.mark.parity("W2")
async def test_a_send_queue_ends_at_a_value_that_cannot_be_sent(
    encoded: Encoded, subject: str, told: Told
) -> None:
    for bad in (object(), b"x" * (encoded.connection.max_payload + 1)):
        queue: asyncio.Queue[Any] = asyncio.Queue()
        task = encoded.bind_send_queue(subject, queue)
        queue.put_nowait(bad)
        _, error = await told.next()
        assert encoded.last_error is error
        await asyncio.wait_for(task, 2)


@pytest.mark.parity("W2")
async def test_a_send_queue_on_a_closed_connection_tells_the_error(
    encoded: Encoded, subject: str, told: Told
) -> None:
    queue: asyncio.Queue[Any] = asyncio.Queue()
    task = encoded.bind_send_queue(subject, queue)
    await encoded.connection.close()
    queue.put_nowait(1)
    _, error = await told.next()
    assert isinstance(error, ConnectionClosedError)
    await asyncio.wait_for(task, 2)


async def test_a_send_queue_can_be_cancelled(encoded: Encoded, subject: str) -> None:
    queue: asyncio.Queue[Any] = asyncio.Queue()
    task = encoded.bind_send_queue(subject, queue)
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@pytest.mark.parametrize("queue", [None, [], object])
@pytest.mark.parity("W1", "W3")
async def test_what_is_not_a_queue_is_refused(encoded: Encoded, subject: str, queue: Any) -> None:
    with pytest.raises(TypeError, match=r"asyncio\.Queue"):
        encoded.bind_send_queue(subject, queue)
    with pytest.raises(TypeError, match=r"asyncio\.Queue"):
        await encoded.bind_recv_queue(subject, queue)


async def test_a_bad_subject_is_refused_when_bound(encoded: Encoded) -> None:
    with pytest.raises(BadSubjectError):
        encoded.bind_send_queue("foo.*", asyncio.Queue())
    with pytest.raises(BadSubjectError):
        await encoded.bind_recv_queue("foo..bar", asyncio.Queue())


@pytest.mark.parity("W3")
async def test_values_of_a_subject_are_put_into_a_queue(
    encoded: Encoded, stranger: Any, subject: str
) -> None:
    people: asyncio.Queue[Any] = asyncio.Queue()
    raw: asyncio.Queue[Any] = asyncio.Queue()
    values: asyncio.Queue[Any] = asyncio.Queue()
    await encoded.bind_recv_queue(subject, people, Person)
    await encoded.bind_recv_queue(subject, raw, type=Msg)
    await encoded.bind_recv_queue(subject, values)
    await encoded.flush()
    await stranger.publish(subject, DATA)
    assert await got(people) == ANN
    assert (await got(raw)).data == DATA
    assert await got(values) == {"name": "ann", "age": 3}


@pytest.mark.parity("W3")
async def test_a_full_queue_makes_the_subscription_wait(encoded: Encoded, subject: str) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    sub = await encoded.bind_recv_queue(subject, queue, int)
    for number in range(5):
        await encoded.publish(subject, number)
    await encoded.flush()
    await eventually(lambda: sub.pending_msgs == 3)
    assert queue.qsize() == 1
    assert [await got(queue) for _ in range(5)] == [0, 1, 2, 3, 4]


@pytest.mark.parity("W3")
async def test_receiving_members_of_a_group_share(encoded: Encoded, subject: str) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    for _ in range(3):
        await encoded.bind_recv_queue(subject, queue, int, "workers")
    for number in range(6):
        await encoded.publish(subject, number)
    await encoded.flush()
    assert sorted([await got(queue) for _ in range(6)]) == [0, 1, 2, 3, 4, 5]
    assert queue.empty()


@pytest.mark.parity("W4")
async def test_a_value_that_does_not_decode_is_told_and_skipped(
    encoded: Encoded, subject: str, told: Told
) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue()
    sub = await encoded.bind_recv_queue(subject, queue, int)
    await encoded.publish(subject, "no number")
    await encoded.publish(subject, 7)
    assert await got(queue) == 7
    where, error = await told.next()
    assert where is sub
    assert isinstance(error, DecodeError)
    assert encoded.last_error is error


@pytest.mark.parametrize("how", ["unsubscribe", "close"])
async def test_a_waiting_receiver_ends_with_its_subscription(
    encoded: Encoded, subject: str, how: str
) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    sub = await encoded.bind_recv_queue(subject, queue, int)
    await encoded.publish(subject, 1)
    await encoded.publish(subject, 2)
    await encoded.flush()
    await eventually(lambda: queue.full() and not sub.pending_msgs)  # the second waits for room
    if how == "close":
        await encoded.close()
    else:
        await sub.unsubscribe()
    await eventually(lambda: not any(t.get_name().endswith(subject) for t in asyncio.all_tasks()))
    assert (queue.qsize(), queue.get_nowait()) == (1, 1)
    assert queue.empty()


async def test_draining_puts_all_that_had_come(encoded: Encoded, subject: str) -> None:
    queue: asyncio.Queue[int] = asyncio.Queue(1)
    sub = await encoded.bind_recv_queue(subject, queue, int)
    for number in range(4):
        await encoded.publish(subject, number)
    await encoded.flush()
    draining = asyncio.ensure_future(sub.drain())
    assert [await got(queue) for _ in range(4)] == [0, 1, 2, 3]
    await asyncio.wait_for(draining, 2)


@pytest.mark.skipif(sys.version_info < (3, 13), reason="queues can be shut down from 3.13 on")
@pytest.mark.parity("W5")
async def test_a_receive_queue_that_is_shut_down_unsubscribes(
    encoded: Encoded, subject: str, told: Told
) -> None:
    queue: Any = asyncio.Queue()
    sub = await encoded.bind_recv_queue(subject, queue, int)
    queue.shutdown()
    await encoded.publish(subject, 1)
    await encoded.flush()
    await eventually(lambda: not sub.is_valid)
    assert told.errors.empty()
