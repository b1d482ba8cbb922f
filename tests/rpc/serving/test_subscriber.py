"""Events of a running service: who gets them, how they wait, and what is told of lost ones."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Any
from urllib.parse import urlsplit

import nats
import pytest
from pydantic import BaseModel

import natsrpc
from natsrpc import Event, Header, Service, Token, discovery
from natsrpc.errors import MessagesLostError, NatsTimeoutError, NoRespondersError
from natsrpc.rpc import Client
from natsrpc.testing import Broker, Clock, NatsServer
from tests.core.harness import eventually


class Placed(BaseModel):
    order: int


def placed(unique: str) -> Event[Placed]:
    return Event(f"{unique}.{{region}}.placed", Placed)


EU = {"region": "eu"}


class Told:
    """What a service's people are told of lost events."""

    def __init__(self) -> None:
        self.errors: list[MessagesLostError] = []

    async def on_error(self, connection: object, subscription: object, error: Exception) -> None:
        assert isinstance(error, MessagesLostError), error
        self.errors.append(error)

    @property
    def totals(self) -> tuple[int, int]:
        dropped = sum(each.dropped for each in self.errors)
        return dropped, sum(each.failed for each in self.errors)

    @asynccontextmanager
    async def served(self, service: Service) -> AsyncIterator[Client]:
        async with (
            natsrpc.connect(**Broker().options(on_error=self.on_error)) as client,
            client.serve(service),
        ):
            yield client


async def figures(client: Client, service: str) -> dict[str, discovery.EndpointStats]:
    (found,) = await discovery.stats(client.connection, service, timeout=1.0)
    return {each.name: each for each in found.endpoints}


# who gets an event


async def test_each_subscriber_gets_each_event_once_over_all_instances(
    nats_server: NatsServer, client: Client, unique: str
) -> None:
    event, got = placed(unique), Counter[tuple[str, int]]()
    by_instance: list[set[int]] = []

    def services() -> list[Service]:
        mine: set[int] = set()
        by_instance.append(mine)
        bill = natsrpc.Service("bill", version="1.0.0")
        mail = natsrpc.Service("mail", version="1.0.0")

        @bill.subscriber(event)
        async def charge(event: Placed) -> None:
            got["charge", event.order] += 1
            mine.add(event.order)

        @bill.subscriber(event)
        async def book(event: Placed) -> None:
            got["book", event.order] += 1

        @mail.subscriber(event)
        async def send(event: Placed) -> None:
            got["send", event.order] += 1

        @mail.subscriber(event, queue_group=None)
        async def everywhere(event: Placed) -> None:
            got["everywhere", event.order] += 1

        return [bill, mail]

    async with (
        natsrpc.connect(nats_server.url) as one,
        natsrpc.connect(nats_server.url) as two,
        one.serve(*services()),
        two.serve(*services()),
    ):
        for order in range(200):
            await client.publish(event, Placed(order=order), tokens=EU)
        await eventually(lambda: got.total() == 1000)
        await client.connection.flush()
    for order in range(200):
        assert [got[name, order] for name in ("charge", "book", "send")] == [1, 1, 1]
        assert got["everywhere", order] == 2
    assert all(by_instance)  # the instances share the events
    assert sum(map(len, by_instance)) == 200


async def test_an_event_brings_its_tokens_headers_and_message(unique: str) -> None:
    service = natsrpc.Service("bill", version="1.0.0")
    got: list[Any] = []

    @service.subscriber(placed(unique))
    async def charge(
        event: Placed,
        region: Annotated[str, Token()],
        trace: Annotated[str, Header("Trace")],
        context: natsrpc.Context,
    ) -> None:
        got.append((event, region, trace, context.subject, context.time_left()))

    @service.subscriber(f"{unique}.*.placed")
    def threaded(order: int, shop: str = "none") -> None:
        got.append((order, shop))

    @service.subscriber(f"{unique}.>", name="raw")
    async def raw(msg: natsrpc.Msg) -> None:
        got.append(msg.data)

    async with service.test() as client:
        await client.publish(placed(unique), Placed(order=1), tokens=EU, headers={"Trace": "x"})
        assert await client.settled() == []
    assert (Placed(order=1), "eu", "x", f"{unique}.eu.placed", None) in got
    assert (1, "none") in got
    assert b'{"order":1}' in got
    assert len(got) == 3


async def test_subscribers_read_the_codec_that_the_publisher_names(
    nats_server: NatsServer, unique: str
) -> None:
    event, got = placed(unique), list[tuple[str, int]]()
    json = natsrpc.Service("json", version="1.0.0")
    packed = natsrpc.Service("packed", version="1.0.0", codec="msgpack")

    def subscribe(service: Service) -> None:
        @service.subscriber(event)
        async def take(event: Placed) -> None:
            got.append((service.name, event.order))

    subscribe(json)
    subscribe(packed)
    async with (
        natsrpc.connect(nats_server.url) as server,
        server.serve(json, packed),
        natsrpc.connect(nats_server.url, codec="msgpack") as other,
    ):
        await server.publish(event, Placed(order=1), tokens=EU)
        await other.publish(event, Placed(order=2), tokens=EU)
        await eventually(lambda: len(got) == 4)
    assert sorted(got) == [("json", 1), ("json", 2), ("packed", 1), ("packed", 2)]


async def test_strangers_publish_events(
    nats_server: NatsServer, client: Client, unique: str
) -> None:
    service, got = natsrpc.Service("bill", version="1.0.0"), list[int]()

    @service.subscriber(placed(unique))
    async def charge(event: Placed) -> None:
        got.append(event.order)

    async with client.serve(service):
        stranger = await nats.connect(nats_server.url)
        await stranger.publish(f"{unique}.us.placed", b'{"order": 1}')
        await stranger.close()
        where = urlsplit(nats_server.url)
        with socket.create_connection((where.hostname, where.port)) as raw:
            raw.sendall(
                b'CONNECT {"verbose":false}\r\n'
                b'PUB %b.eu.placed 11\r\n{"order":2}\r\nPING\r\n' % unique.encode()
            )
            await eventually(lambda: sorted(got) == [1, 2])


@pytest.mark.parametrize("reply", ["$JS.ACK.s.c.1.2.3.4.5", "some.reply", "x._NATSRPC.cancel"])
async def test_a_reply_subject_means_nothing(reply: str) -> None:
    service, got, broker = natsrpc.Service("bill", version="1.0.0"), list[int](), Broker()

    @service.subscriber("placed")
    async def charge(event: Placed) -> None:
        got.append(event.order)
        raise natsrpc.ConflictError("no")

    async with service.test(broker=broker) as client:
        for data in (b'{"order": 1}', b"junk"):
            await client.connection.publish("placed", data, reply=reply)
        assert len(await client.settled()) == 2
    assert got == [1]
    assert [each.subject for each in broker.published].count(reply) == 0


async def test_a_request_to_a_subscriber_is_an_event_that_nobody_answers(
    client: Client, unique: str
) -> None:
    service, got = natsrpc.Service("bill", version="1.0.0"), list[int]()

    @service.subscriber(f"{unique}.placed")
    async def charge(event: Placed) -> None:
        got.append(event.order)

    async with client.serve(service):
        with pytest.raises(NatsTimeoutError):
            await client.call(f"{unique}.placed", Placed(order=1), timeout=0.05)
        with pytest.raises(NoRespondersError):  # nothing is subscribed but the event itself
            await client.connection.request(f"{unique}.placed._NATSRPC.cancel", timeout=1.0)
        assert got == [1]


async def test_what_is_ours_and_the_servers_is_no_event(client: Client, unique: str) -> None:
    service, got = natsrpc.Service("bill", version="1.0.0"), list[bytes]()

    @service.subscriber(f"{unique}.>")
    async def take(msg: natsrpc.Msg) -> None:
        got.append(msg.data)

    raw = client.connection
    async with client.serve(service):
        await raw.publish(f"{unique}.a._NATSRPC.cancel", b"no")
        await raw.publish(f"{unique}._NATSRPC", b"no")
        link = raw.link
        link.send(f"{unique}.a".encode(), b"", b"", b"NATS/1.0 100 Idle Heartbeat\r\n\r\n")
        await raw.publish(f"{unique}.a", b"yes")
        await raw.flush()
        found = (await figures(client, "bill"))["take"]
    assert got == [b"yes"]
    assert (found.num_requests, found.num_errors) == (1, 0)


# waiting, order, time


async def test_a_burst_waits_and_each_of_it_is_handled(client: Client, unique: str) -> None:
    service, got = natsrpc.Service("bill", version="1.0.0"), list[int]()

    @service.subscriber(placed(unique))
    async def charge(event: Placed) -> None:
        await asyncio.sleep(0.01)  # why: the handler of the promise takes 10 ms
        got.append(event.order)

    async with client.serve(service):
        for order in range(5001):
            await client.publish(placed(unique), Placed(order=order), tokens=EU)
        await eventually(lambda: len(got) == 5001)
    assert sorted(got) == list(range(5001))


@pytest.mark.parametrize("options", [{"max_waiting": 3}, {"max_waiting_bytes": 3 * 11}])
async def test_what_finds_no_room_is_counted_logged_and_told(
    options: Any, caplog: pytest.LogCaptureFixture
) -> None:
    service, told, go = natsrpc.Service("bill", version="1.0.0"), Told(), asyncio.Event()
    got: list[int] = []

    @service.subscriber("placed", max_concurrency=1, **options)
    async def charge(event: Placed) -> None:
        await go.wait()
        got.append(event.order)

    async with told.served(service) as client:
        for order in range(8):
            await client.connection.publish("placed", b'{"order":%d}' % order)
        await client.connection.flush()
        found = (await figures(client, "bill"))["charge"]
        go.set()
        await eventually(lambda: len(got) == 4)
        go.clear()
        for order in range(4):  # there is room again
            await client.connection.publish("placed", b'{"order":%d}' % order)
        await client.connection.flush()
        go.set()
        await eventually(lambda: len(got) == 8)
    assert got == [0, 1, 2, 3] * 2
    assert told.totals == (4, 0)
    assert {each.last.code for each in told.errors} == {429}
    ours = dict(found.natsrpc)
    del ours["health"]
    assert ours == {"refused": 4, "dropped": 4, "inflight": 4}
    assert (found.num_errors, found.last_error) == (4, "429:3 events (33 bytes) wait already")
    dropped = [each.getMessage() for each in caplog.records if "dropped" in each.getMessage()]
    assert len(dropped) == 1  # rate-limited
    assert "error id" in dropped[0]


async def test_ordered_is_one_at_a_time_in_order() -> None:
    service, running, most = natsrpc.Service("bill", version="1.0.0"), 0, 0
    got: list[int] = []

    @service.subscriber("placed", ordered=True)
    async def charge(event: Placed) -> None:
        nonlocal running, most
        running += 1
        most = max(most, running)
        for _ in range(event.order % 3):
            await asyncio.sleep(0)
        running -= 1
        got.append(event.order)
        if event.order % 5 == 0:
            raise ValueError("poison")

    async with service.test() as client:
        for order in range(300):
            await client.publish("placed", Placed(order=order))
        failed = await client.settled()
    assert (got, most, len(failed)) == (list(range(300)), 1, 60)


async def test_nothing_overtakes_what_waits_for_a_congested_output() -> None:
    service, got, go = natsrpc.Service("bill", version="1.0.0"), list[int](), asyncio.Event()

    @service.subscriber("placed", ordered=True)
    async def charge(event: Placed) -> None:
        await go.wait()
        got.append(event.order)

    broker = Broker()
    async with (
        natsrpc.connect(**broker.options()) as publisher,
        natsrpc.connect(**broker.options()) as client,
        client.serve(service),
    ):
        outbound = client.connection.link.outbound
        for order in range(3):
            await publisher.publish("placed", Placed(order=order))
        await publisher.connection.flush()
        outbound.congested = True
        go.set()
        await eventually(lambda: got == [0])
        await publisher.publish("placed", Placed(order=3))
        await publisher.connection.flush()
        assert got == [0]  # there is a slot, and others wait for it
        outbound.congested = False
        await eventually(lambda: got == [0, 1, 2, 3])


async def test_an_event_that_is_withdrawn_before_it_began_gives_its_slots_back() -> None:
    service, told, done = natsrpc.Service("bill", version="1.0.0"), Told(), list[int]()

    @service.subscriber("placed", max_concurrency=1)
    async def charge(event: Placed) -> None:
        await asyncio.Event().wait()
        done.append(event.order)

    async with natsrpc.connect(**Broker().options(on_error=told.on_error)) as client:
        serving = await client.serve(service)
        (subscriber,) = serving.services[0].subscribers
        subscriber.accept(natsrpc.Msg("placed", data=b'{"order": 1}'))
        subscriber.abort()  # in the turn that took it: before 3.12 its task has not begun
        await serving.drain()
        assert (subscriber.inflight, done) == (0, [])
    assert told.totals == (0, 1)


async def test_no_more_run_at_once_than_may_and_calls_have_slots_of_their_own() -> None:
    service = natsrpc.Service("bill", version="1.0.0", max_concurrency=4)
    go, running, most = asyncio.Event(), Counter[str](), Counter[str]()

    async def hold(name: str) -> None:
        running[name] += 1
        most[name] = max(most[name], running[name])
        most["all"] = max(most["all"], running.total())
        await go.wait()
        running[name] -= 1

    @service.subscriber("placed", max_concurrency=1)
    async def charge(event: Placed) -> None:
        await hold("charge")

    @service.subscriber("placed")
    async def book(event: Placed) -> None:
        await hold("book")

    @service.handler("ask")
    async def ask() -> str:
        return "here"

    async with service.test() as client:
        for order in range(10):
            await client.publish("placed", Placed(order=order))
        assert await client.call(ask) == "here"
        go.set()
        assert await client.settled() == []
    assert (most["charge"], most["all"]) == (1, 4)


async def test_a_handler_whose_time_is_over_is_stopped_and_told() -> None:
    clock = Clock.install()
    service, told = natsrpc.Service("bill", version="1.0.0"), Told()
    begun, done = list[int](), list[int]()

    @service.subscriber("placed", ordered=True, timeout=1.0)
    async def charge(event: Placed, context: natsrpc.Context) -> None:
        begun.append(event.order)
        assert (context.time_left() or 0.0) > 0.9  # of its own: waiting takes none of it
        if event.order < 2:
            await asyncio.Event().wait()
        done.append(event.order)

    async with told.served(service) as client:
        for order in range(3):
            await client.publish("placed", Placed(order=order))
        await client.connection.flush()
        await eventually(lambda: begun == [0])
        await clock.advance(1.0)
        await eventually(lambda: begun == [0, 1])
        await clock.advance(1.0)
        await eventually(lambda: done == [2])
        found = (await figures(client, "bill"))["charge"]
    assert (found.num_requests, found.num_errors, found.last_error[:4]) == (3, 2, "504:")
    assert told.totals == (0, 2)


# failures


async def test_whatever_happens_to_an_event_the_next_is_handled_and_it_leaves_a_trace(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service, told, got = natsrpc.Service("bill", version="1.0.0"), Told(), list[int]()

    @service.subscriber("placed", ordered=True)
    async def charge(event: Placed, much: Annotated[int, Header("Much", 1)]) -> None:
        errors: dict[int, BaseException] = {
            1: ValueError("secret"),
            2: natsrpc.ConflictError("no such order"),
            3: SystemExit(3),
            4: asyncio.CancelledError(),
        }
        if event.order in errors:
            raise errors[event.order]
        got.append(event.order)

    async with told.served(service) as client:
        for order in range(5):
            await client.publish("placed", Placed(order=order))
        raw = client.connection
        await raw.publish("placed", b"{")
        await raw.publish("placed", b'{"order": "x"}')
        await raw.publish("placed", b'{"order": 1}', headers={"Content-Type": "no/such"})
        await raw.publish("placed", b'{"order": 1}', headers={"Much": "x"})
        await raw.publish("placed", b'{"order": 1}', headers={"X": "x" * 70_000})
        await client.publish("placed", Placed(order=9))
        await eventually(lambda: got == [0, 9])
        found = (await figures(client, "bill"))["charge"]
    assert (found.num_requests, found.num_errors) == (11, 9)
    assert told.totals == (0, 9)
    lines = [each for each in caplog.records if "error id" in each.getMessage()]
    assert len(lines) == 5  # four of handlers, and one of those that publishers caused
    assert [each.exc_info is not None for each in lines] == [True, False, True, False, False]
    assert all("'charge'" in each.getMessage() for each in lines)


async def test_a_codec_that_cannot_carry_the_type_is_told_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    service = natsrpc.Service("bill", version="1.0.0")

    @service.subscriber("placed")
    async def charge(event: Placed) -> None: ...

    async with service.test() as client:
        for _ in range(3):
            headers = {"Content-Type": "application/x-protobuf"}
            await client.connection.publish("placed", b"x", headers=headers)
        failed = await client.settled()
    assert [getattr(each, "code", 0) for each in failed] == [415, 415, 415]


# the end


async def test_a_drain_finishes_what_was_taken(
    nats_server: NatsServer, client: Client, unique: str
) -> None:
    service, got, told = natsrpc.Service("bill", version="1.0.0"), list[int](), Told()

    @service.subscriber(placed(unique), max_concurrency=2)
    async def charge(event: Placed, client: Client) -> None:
        await asyncio.sleep(0)
        await client.publish(f"{unique}.done", event.order)
        got.append(event.order)

    done = await client.connection.subscribe(f"{unique}.done")
    async with natsrpc.connect(nats_server.url, on_error=told.on_error) as server:
        serving = await server.serve(service)
        for order in range(500):
            await client.publish(placed(unique), Placed(order=order), tokens=EU)
        await client.connection.flush()
        draining = asyncio.ensure_future(serving.drain())
        for order in range(500, 1000):  # a burst amid the drain: taken, or nobody's
            await client.publish(placed(unique), Placed(order=order), tokens=EU)
            await asyncio.sleep(0)
        await draining
        taken = server.connection.stats().in_msgs
    await client.connection.flush()
    assert got[:500] == list(range(500))
    assert done.pending_msgs == len(got) >= 500
    assert told.errors == []
    assert taken >= len(got)


async def test_what_a_drain_has_no_time_for_is_counted_and_told() -> None:
    service, told, begun = natsrpc.Service("bill", version="1.0.0"), Told(), list[int]()

    @service.subscriber("placed", max_concurrency=2)
    async def charge(event: Placed) -> None:
        begun.append(event.order)
        await asyncio.Event().wait()

    async with natsrpc.connect(**Broker().options(on_error=told.on_error)) as client:
        serving = await client.serve(service)
        for order in range(10):
            await client.publish("placed", Placed(order=order))
        await client.connection.flush()
        assert serving.inflight == 10
        await serving.drain(0.01)
        assert serving.inflight == 0
        await eventually(lambda: told.totals == (8, 2))
    assert begun == [0, 1]


async def test_a_subscriber_is_removed_and_added_at_run_time() -> None:
    service, got = natsrpc.Service("bill", version="1.0.0"), list[int]()

    async def charge(event: Placed) -> None:
        got.append(event.order)

    service.subscriber("placed")(charge)
    async with natsrpc.connect(**Broker().options()) as client:
        serving = await client.serve(service)
        await client.publish("placed", Placed(order=1))
        await serving.remove("charge")
        await client.publish("placed", Placed(order=2))
        service.subscriber("placed")(charge)
        await client.publish("placed", Placed(order=3))
        await client.connection.flush()
        await client.connection.flush()
        assert got == [1, 3]
        assert len(service.contract.endpoints) == 1


async def test_work_after_an_event_is_done_and_waited_for() -> None:
    service, got = natsrpc.Service("bill", version="1.0.0"), list[int]()

    @service.subscriber("placed")
    async def charge(event: Placed, context: natsrpc.Context) -> None:
        context.after_reply(got.append, event.order)
        if event.order == 2:
            raise ValueError("so nothing is done after it")

    async with service.test() as client:
        await client.publish("placed", Placed(order=1))
        await client.publish("placed", Placed(order=2))
        assert len(await client.settled()) == 1
    assert got == [1]


async def test_work_after_an_event_has_no_time_limit_but_the_drains(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock.install()
    service, told = natsrpc.Service("bill", version="1.0.0"), Told()
    began, ended = asyncio.Event(), list[str]()

    async def work() -> None:
        began.set()
        await asyncio.Event().wait()

    @service.subscriber("placed", timeout=1.0)
    async def charge(event: Placed, context: natsrpc.Context) -> None:
        context.after_reply(work)
        context.after_reply(ended.append, "never")

    async with natsrpc.connect(**Broker().options(on_error=told.on_error)) as client:
        serving = await client.serve(service)
        await client.publish("placed", Placed(order=1))
        await began.wait()
        await clock.advance(5.0)
        assert serving.inflight == 1
        draining = asyncio.ensure_future(serving.drain(1.0))
        await asyncio.sleep(0)
        await clock.advance(1.0)
        await draining
        assert (serving.inflight, ended) == (0, [])
    assert told.errors == []  # the event itself was handled
    lost = [each.getMessage() for each in caplog.records if "after the reply" in each.getMessage()]
    assert len(lost) == 2


async def test_a_stubborn_handler_is_logged_by_name(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock.install()
    service, go, ended = natsrpc.Service("bill", version="1.0.0"), asyncio.Event(), asyncio.Event()

    @service.subscriber("placed", timeout=1.0)
    async def charge(event: Placed) -> None:
        while not go.is_set():
            try:
                await go.wait()
            except asyncio.CancelledError:
                continue
        ended.set()

    caplog.set_level(logging.WARNING)
    async with natsrpc.connect(**Broker().options()) as client, client.serve(service):
        await client.publish("placed", Placed(order=1))
        await client.connection.flush()
        await clock.advance(1.0)
        await clock.advance(1.0)
        await eventually(lambda: any("still runs" in each.getMessage() for each in caplog.records))
        go.set()
        await ended.wait()
        assert (await figures(client, "bill"))["charge"].num_errors == 1
